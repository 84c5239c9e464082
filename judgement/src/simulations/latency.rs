//! Latency: false alarms in a slow world, and how soon a hanging canary is found.

use fastrand::Rng;

use super::RUNS;
use crate::{
    Counted, LATENCY_BOUNDS_US, LATENCY_BUCKETS, LatencyEvidence, LatencySettings, LatencyTest,
    bucket_of,
};

const LOOKS: u32 = 200;

struct World {
    /// 0: no request has a key, and requests are counted; else users are.
    users: usize,
    /// Fraction of users who are always ten times as slow.
    slow_users: f64,
    weight: f64,
}

struct User {
    canary: bool,
    slow: bool,
    worst: Option<usize>,
}

fn empty() -> LatencyEvidence {
    let mut evidence = LatencyEvidence {
        bounds_us: LATENCY_BOUNDS_US.to_vec(),
        ..Default::default()
    };
    for arm in [&mut evidence.stable, &mut evidence.canary] {
        (arm.completed, arm.open) = (vec![0; LATENCY_BUCKETS], vec![0; LATENCY_BUCKETS]);
    }
    evidence
}

/// About exponential around 10 ms, times what the moment and the user add.
fn latency_us(rng: &mut Rng, slowness: f64) -> u64 {
    (-(1.0 - rng.f64()).ln() * 10_000.0 * slowness) as u64
}

/// The whole world is slow for a while, then fast again: autocorrelated, but the same for both arms.
fn weather(look: u32) -> f64 {
    if look % 80 < 30 { 4.0 } else { 1.0 }
}

fn alarms(world: &World, alpha: f64) -> u64 {
    let counted = if world.users == 0 {
        Counted::Requests
    } else {
        Counted::Users
    };
    let settings = LatencySettings {
        alpha,
        ratio: 1.0,
        min_slow: 1,
        counted,
        ..Default::default()
    };
    (0..RUNS)
        .filter(|seed| alarm(world, settings.clone(), *seed))
        .count() as u64
}

fn alarm(world: &World, settings: LatencySettings, seed: u64) -> bool {
    let mut rng = Rng::with_seed(seed);
    let mut test = LatencyTest::new(settings);
    let mut evidence = empty();
    let user = |_| User {
        canary: rng.f64() < world.weight,
        slow: rng.f64() < world.slow_users,
        worst: None,
    };
    let mut users: Vec<_> = (0..world.users).map(user).collect();
    (0..LOOKS).any(|look| {
        for _ in 0..20 {
            let mut nobody = User {
                canary: rng.f64() < world.weight,
                slow: false,
                worst: None,
            };
            // A fifth of the traffic is one user's.
            let heavy = rng.f64() < 0.2;
            let picked = if heavy {
                0
            } else {
                rng.usize(0..world.users.max(1))
            };
            let user = users.get_mut(picked).unwrap_or(&mut nobody);
            let slowness = weather(look) * if user.slow { 10.0 } else { 1.0 };
            let bucket = bucket_of(latency_us(&mut rng, slowness));
            let arm = if user.canary {
                &mut evidence.canary
            } else {
                &mut evidence.stable
            };
            if let Some(worst) = user.worst {
                arm.completed[worst] -= 1;
            }
            let worst = bucket.max(user.worst.unwrap_or(0));
            arm.completed[worst] += 1;
            user.worst = Some(worst);
        }
        test.look(std::slice::from_ref(&evidence)).is_worse()
    })
}

#[track_caller]
fn holds(world: &World) {
    for (alpha, most) in [(0.05, RUNS / 20), (0.01, RUNS / 100)] {
        let alarms = alarms(world, alpha);
        #[expect(
            clippy::print_stderr,
            reason = "the measured figure, shown with --nocapture"
        )]
        {
            eprintln!("latency: {alarms} at α {alpha}");
        }
        assert!(alarms <= most, "{alarms} of {RUNS} at α {alpha}");
    }
}

#[test]
fn a_world_that_is_slow_now_and_then_raises_no_alarm() {
    holds(&World {
        users: 0,
        slow_users: 0.0,
        weight: 0.05,
    });
    holds(&World {
        users: 0,
        slow_users: 0.0,
        weight: 0.3,
    });
}

#[test]
fn slow_and_heavy_users_raise_no_alarm() {
    holds(&World {
        users: 500,
        slow_users: 0.05,
        weight: 0.1,
    });
}

#[test]
fn a_canary_that_hangs_is_found_soon_after_its_age_threshold() {
    let mut late = Vec::new();
    for seed in 0..RUNS {
        let mut rng = Rng::with_seed(seed);
        let mut test = LatencyTest::new(LatencySettings::default());
        let mut evidence = empty();
        let mut hanging = Vec::new();
        // 1,000 requests a second, 5 % canary, a look every 50 ms; it hangs from 1 s on.
        let found = (1..200_u64).find(|look| {
            for _ in 0..50 {
                let bucket = bucket_of(latency_us(&mut rng, 1.0));
                match (rng.f64() < 0.05, *look > 20) {
                    (true, true) => hanging.push(*look),
                    (true, false) => evidence.canary.completed[bucket] += 1,
                    (false, _) => evidence.stable.completed[bucket] += 1,
                }
            }
            evidence.canary.open = vec![0; LATENCY_BUCKETS];
            for since in &hanging {
                evidence.canary.open[bucket_of((look - since) * 50_000)] += 1;
            }
            test.look(std::slice::from_ref(&evidence)).is_worse()
        });
        late.push((found.expect("a hanging canary is found") as f64 - 20.0) * 0.05);
    }
    late.sort_by(f64::total_cmp);
    let p95 = late[late.len() * 95 / 100];
    #[expect(
        clippy::print_stderr,
        reason = "the measured figure, shown with --nocapture"
    )]
    {
        eprintln!("hanging canary found after {p95} s at p95");
    }
    assert!(p95 <= 0.6, "p95 {p95} s");
}

/// Whether a rollout whose pods are all the same, but slow for ten seconds after they turned ready,
/// raises an alarm; answers of the first `warm_up` seconds of each pod are left out.
///
/// Four canary pods turn ready half a minute apart, and one of four stable pods is replaced in
/// between. A look is a second.
fn cold_start_alarms(warm_up: u32, seed: u64) -> bool {
    const READY_AT: [u32; 4] = [0, 30, 60, 90];
    let mut rng = Rng::with_seed(seed);
    let mut test = LatencyTest::new(LatencySettings {
        ratio: 1.0,
        min_slow: 1,
        ..Default::default()
    });
    let mut evidence = empty();
    (0..LOOKS).any(|look| {
        for _ in 0..100 {
            let canary = rng.f64() < 0.2;
            let pod = rng.usize(0..4);
            // The others of stable have been there for ever.
            let ready_at = match (canary, pod) {
                (true, _) => Some(READY_AT[pod]),
                (false, 0) => Some(45),
                (false, _) => None,
            };
            let age = match ready_at {
                Some(ready_at) if ready_at > look => continue,
                Some(ready_at) => look - ready_at,
                None => u32::MAX,
            };
            let slowness = weather(look) * if age < 10 { 8.0 } else { 1.0 };
            let bucket = bucket_of(latency_us(&mut rng, slowness));
            if age < warm_up {
                continue;
            }
            let arm = if canary {
                &mut evidence.canary
            } else {
                &mut evidence.stable
            };
            arm.completed[bucket] += 1;
        }
        test.look(std::slice::from_ref(&evidence)).is_worse()
    })
}

#[test]
fn pods_that_start_slowly_raise_no_alarm_once_their_warm_up_is_left_out() {
    let alarms = |warm_up| {
        (0..RUNS)
            .filter(|seed| cold_start_alarms(warm_up, *seed))
            .count() as u64
    };
    let (with, without) = (alarms(10), alarms(0));
    #[expect(
        clippy::print_stderr,
        reason = "the measured figure, shown with --nocapture"
    )]
    {
        eprintln!("cold starts: {with} alarms of {RUNS} with a warm-up, {without} without");
    }
    assert!(with <= RUNS / 100, "{with} of {RUNS} at α 0.01");
    // Or the simulation would show nothing.
    assert!(without > RUNS * 9 / 10, "{without} of {RUNS} without");
}
