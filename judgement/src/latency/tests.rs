use super::*;
use crate::buckets::{LATENCY_BOUNDS_US, LATENCY_BUCKETS, bucket_of};

/// Counts from (milliseconds, how many).
fn counts(rows: &[(u64, u64)]) -> Vec<u64> {
    let mut counts = vec![0; LATENCY_BUCKETS];
    for (ms, count) in rows {
        counts[bucket_of(ms * 1_000)] += count;
    }
    counts
}

fn arm(completed: &[(u64, u64)], open: &[(u64, u64)]) -> LatencyArm {
    LatencyArm {
        completed: counts(completed),
        open: counts(open),
    }
}

fn evidence(epoch: u64, canary: LatencyArm, stable: LatencyArm) -> LatencyEvidence {
    LatencyEvidence {
        epoch,
        bounds_us: LATENCY_BOUNDS_US.to_vec(),
        stable,
        canary,
    }
}

/// Bounds frozen on 1,000 stable requests: half at 8 ms, a few at 40 ms and 100 ms.
fn warmed() -> LatencyTest {
    let mut test = LatencyTest::new(LatencySettings::default());
    let stable = arm(&[(8, 900), (40, 90), (100, 10)], &[]);
    assert!(
        !test
            .look(&[evidence(1, arm(&[(8, 50)], &[]), stable)])
            .is_worse()
    );
    test
}

#[test]
fn a_hanging_canary_is_found_by_the_age_of_what_is_open() {
    let mut test = warmed();
    let stable = arm(&[(8, 1_700), (40, 180), (100, 20)], &[(4, 5)]);
    let verdict = test.look(&[evidence(1, arm(&[(8, 50)], &[(150, 20), (4, 5)]), stable)]);
    assert!(verdict.is_worse(), "{verdict}");
    assert_eq!(verdict.reasons.errors, 20);
}

#[test]
fn a_slow_tail_and_a_shifted_median_are_found() {
    let stable = || arm(&[(8, 3_600), (40, 360), (100, 40)], &[]);
    let rows = [
        ("tail", arm(&[(8, 170), (1_500, 30)], &[]), true),
        ("median", arm(&[(8, 50), (30, 200)], &[]), true),
        (
            "as stable",
            arm(&[(8, 180), (40, 18), (100, 2)], &[]),
            false,
        ),
        ("faster", arm(&[(2, 200)], &[]), false),
    ];
    for (name, canary, worse) in rows {
        let verdict = warmed().look(&[evidence(1, canary, stable())]);
        assert_eq!(verdict.is_worse(), worse, "{name}: {verdict}");
    }
}

#[test]
fn a_limit_needs_no_freezing() {
    let settings = LatencySettings {
        quantiles: Vec::new(),
        slo_us: vec![510_000],
        ..LatencySettings::default()
    };
    let slow = evidence(1, arm(&[(8, 5)], &[(600, 12)]), arm(&[(8, 200)], &[]));
    let verdict = LatencyTest::new(settings).look(&[slow]);
    assert!(verdict.is_worse(), "{verdict}");
    assert_eq!(verdict.reasons.measure, Measure::SlowerThanUs(500_000));
    assert!(
        verdict.to_string().contains("12 of 17 slower than 500 ms"),
        "{verdict}"
    );
}

#[test]
fn too_little_is_insufficient_and_a_restart_is_a_fresh_base() {
    let mut test = LatencyTest::new(LatencySettings::default());
    assert_eq!(test.look(&[]).decision, Decision::Insufficient);
    let mut test = warmed();
    test.look(&[evidence(1, arm(&[(8, 60)], &[]), arm(&[(8, 2_000)], &[]))]);
    let restarted = test.look(&[evidence(1, arm(&[(1_500, 8)], &[]), arm(&[(8, 10)], &[]))]);
    assert!(!restarted.is_worse(), "{restarted}");
}

#[test]
fn a_short_or_empty_histogram_counts_as_zeros() {
    let empty = LatencyEvidence {
        epoch: 1,
        ..LatencyEvidence::default()
    };
    assert_eq!(warmed().look(&[empty]).decision, Decision::Undecided);
    let one = LatencyArm {
        completed: vec![3],
        open: Vec::new(),
    };
    assert_eq!(one.slower(&[500], 500), Arm { exposed: 3, bad: 0 });
}
