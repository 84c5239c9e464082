//! What the pure parts cost: nanoseconds per call, the median of several rounds.
//!
//! `cargo run --release -p sluice-benches --bin micro`. Whole requests are measured by `benches/compare`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use judgement::{Arm, EpochEvidence, ErrorSettings, ErrorTest, Stratum};
use uplink::sticky;

/// Rounds, of which the median is shown.
const ROUNDS: usize = 9;

/// How long a round should take.
const ROUND: Duration = Duration::from_millis(40);

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn main() {
    println!("{:<44}{:>12}", "what", "ns per call");
    for (what, nanoseconds) in [
        ("sticky: side of a 16-byte key", side_of_a_key()),
        ("fuse: a look without news", look_without_news()),
        ("fuse: a look with a failure", look_with_a_failure()),
        ("configuration: check 100 routes", check_routes()),
    ] {
        println!("{what:<44}{nanoseconds:>12.1}");
    }
}

fn side_of_a_key() -> f64 {
    let salt = sticky::rollout_salt("9b1c5f6e-0f0a-4e2b-9a53-2f6d0c8f7a11", "66c8f4d79");
    let mut key = *b"user-00000000000";
    per_call(|turn| {
        key[5..13].copy_from_slice(&turn.to_be_bytes());
        let hash = sticky::bucket(&salt, black_box(&key));
        black_box(sticky::is_canary(hash, 10, 100));
    })
}

fn evidence(canary_exposed: u64, canary_bad: u64) -> [EpochEvidence; 1] {
    let unkeyed = Stratum {
        stable: Arm {
            exposed: canary_exposed * 19,
            bad: 0,
        },
        canary: Arm {
            exposed: canary_exposed,
            bad: canary_bad,
        },
    };
    [EpochEvidence {
        epoch: 1,
        unkeyed,
        ..EpochEvidence::default()
    }]
}

fn look_without_news() -> f64 {
    let mut test = ErrorTest::new(ErrorSettings::fuse());
    let same = evidence(100, 0);
    per_call(|_| {
        black_box(test.look(black_box(&same)));
    })
}

fn look_with_a_failure() -> f64 {
    let mut test = ErrorTest::new(ErrorSettings::fuse());
    per_call(|turn| {
        // One failure in ten thousand: far from any decision.
        black_box(test.look(&evidence(100 + turn * 10_000, turn)));
    })
}

fn check_routes() -> f64 {
    let mut text = String::from("clusters: {a: {endpoints: ['127.0.0.1:9001']}}\nroutes:\n");
    for index in 0..100 {
        let route = format!(
            "- {{name: r{index}, hostnames: [h{index}.example.com], backend: {{cluster: a}}}}\n"
        );
        text.push_str(&route);
    }
    let document = uplink::document::read_yaml_or_json(&text).expect("the document is valid");
    per_call(|_| {
        black_box(uplink::check::check(black_box(&document)).expect("the document is valid"));
    })
}

/// Calls `work` with a count that never repeats, for [`ROUNDS`] rounds.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn per_call(mut work: impl FnMut(u64)) -> f64 {
    let mut turn = 0;
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            let first = turn;
            while started.elapsed() < ROUND {
                for _ in 0..16 {
                    work(turn);
                    turn += 1;
                }
            }
            started.elapsed().as_secs_f64() * 1e9 / (turn - first) as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
