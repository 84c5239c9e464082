use super::*;

fn arm(exposed: u64, bad: u64) -> Arm {
    Arm { exposed, bad }
}

fn unkeyed(epoch: u64, canary: Arm, stable: Arm) -> EpochEvidence {
    EpochEvidence {
        epoch,
        unkeyed: Stratum { stable, canary },
        ..EpochEvidence::default()
    }
}

fn keyed(epoch: u64, canary: Arm, stable: Arm) -> EpochEvidence {
    EpochEvidence {
        epoch,
        keyed: Stratum { stable, canary },
        ..EpochEvidence::default()
    }
}

fn look_once(settings: ErrorSettings, evidence: &[EpochEvidence]) -> Verdict {
    ErrorTest::new(settings).look(evidence)
}

#[test]
fn one_look_decides_by_the_evidence() {
    use Decision::{Insufficient, Undecided, Worse};
    let rows = [
        ("no traffic", arm(0, 0), arm(0, 0), Insufficient),
        ("stable only", arm(0, 0), arm(1_000, 3), Insufficient),
        ("a few good answers", arm(19, 0), arm(300, 0), Insufficient),
        ("enough good answers", arm(20, 0), arm(300, 0), Undecided),
        (
            "two failures are too few",
            arm(10, 2),
            arm(10_000, 0),
            Insufficient,
        ),
        (
            "failing wholly needs no minimum of draws",
            arm(8, 8),
            arm(160, 0),
            Worse,
        ),
        (
            "a tenth against a thousandth",
            arm(100, 10),
            arm(1_900, 2),
            Worse,
        ),
        ("as bad as stable", arm(100, 10), arm(1_900, 190), Undecided),
        (
            "better than stable",
            arm(100, 0),
            arm(1_900, 190),
            Undecided,
        ),
    ];
    for (name, canary, stable, decision) in rows {
        for settings in [ErrorSettings::analysis(), ErrorSettings::fuse()] {
            let verdict = look_once(settings, &[unkeyed(1, canary, stable)]);
            assert_eq!(verdict.decision, decision, "{name}: {verdict}");
        }
    }
}

#[test]
fn one_user_is_no_release() {
    let settings = ErrorSettings {
        min_errors: 1,
        alpha: 0.5,
        ..ErrorSettings::fuse()
    };
    let look = |bad| look_once(settings, &[keyed(1, arm(bad, bad), arm(10_000, 0))]).decision;
    assert_ne!(look(1), Decision::Worse);
    assert_eq!(look(2), Decision::Worse);
}

#[test]
fn a_lost_message_only_merges_ticks() {
    let counts = |k: u64| unkeyed(1, arm(5 * k, k), arm(95 * k, k / 5));
    let mut often = ErrorTest::new(ErrorSettings::fuse());
    let verdicts: Vec<_> = (1..=30).map(|k| often.look(&[counts(k)])).collect();
    assert!(verdicts[29].is_worse(), "{}", verdicts[29]);
    assert!(look_once(ErrorSettings::fuse(), &[counts(30)]).is_worse());
}

#[test]
fn looking_again_at_the_same_counts_changes_nothing() {
    let mut test = ErrorTest::new(ErrorSettings::fuse());
    let evidence = [unkeyed(1, arm(50, 2), arm(950, 1))];
    let first = test.look(&evidence);
    for _ in 0..100 {
        assert_eq!(test.look(&evidence), first);
    }
}

#[test]
fn a_restarted_proxy_is_a_fresh_base() {
    let mut test = ErrorTest::new(ErrorSettings::fuse());
    test.look(&[unkeyed(1, arm(500, 2), arm(9_500, 30))]);
    let after = test.look(&[unkeyed(1, arm(10, 1), arm(90, 0))]);
    assert_eq!(after.decision, Decision::Insufficient, "{after}");
    let later = test.look(&[unkeyed(1, arm(60, 51), arm(990, 0))]);
    assert!(later.is_worse(), "{later}");
}

#[test]
fn an_alarm_is_final() {
    let mut test = ErrorTest::new(ErrorSettings::fuse());
    let alarm = test.look(&[unkeyed(1, arm(50, 40), arm(950, 0))]);
    assert!(alarm.is_worse());
    assert_eq!(
        test.look(&[unkeyed(1, arm(9_000, 40), arm(99_000, 50_000))]),
        alarm
    );
}

#[test]
fn more_proxies_ask_each_for_more() {
    let threshold = |proxies| {
        look_once(
            ErrorSettings {
                proxies,
                ..ErrorSettings::fuse()
            },
            &[],
        )
        .reasons
        .threshold
    };
    assert!((threshold(1) - 1_000.0).abs() < 1e-6);
    assert!((threshold(4) - 4_000.0).abs() < 1e-6);
    assert!((threshold(0) - 1_000.0).abs() < 1e-6);
}

#[test]
fn memory_is_bounded_and_evidence_of_forgotten_epochs_still_counts() {
    let mut test = ErrorTest::new(ErrorSettings::fuse());
    for epoch in 0..1_000 {
        test.look(&[unkeyed(epoch, arm(1, 0), arm(9, 0))]);
    }
    assert_eq!(test.epochs.len(), EPOCHS_REMEMBERED);
    let verdict = test.look(&[unkeyed(0, arm(900, 900), arm(9, 0))]);
    assert_eq!(
        (verdict.decision, verdict.reasons.evidence),
        (Decision::Undecided, 1_000)
    );
}

#[test]
fn errors_that_come_after_the_weight_was_lowered_meet_their_own_epoch() {
    let mut test = ErrorTest::new(ErrorSettings {
        ratio: 1.0,
        ..ErrorSettings::fuse()
    });
    let half = |bad| unkeyed(1, arm(5_000, bad), arm(5_000, bad));
    test.look(&[half(0)]);
    let verdict = test.look(&[half(500), unkeyed(2, arm(1, 0), arm(999, 0))]);
    assert_eq!(verdict.decision, Decision::Undecided, "{verdict}");
}

#[test]
fn at_full_weight_the_verdict_says_what_it_was_held_against() {
    let before = unkeyed(1, arm(5_000, 5), arm(5_000, 5));
    let full = |bad| unkeyed(2, arm(1_000, bad), arm(0, 0));
    let frozen = look_once(ErrorSettings::fuse(), &[before, full(30)]);
    assert!(frozen.is_worse(), "{frozen}");
    assert_eq!(frozen.reasons.test, TestUsed::FrozenBaseline);
    assert_eq!(
        (frozen.reasons.stable_errors, frozen.reasons.stable_requests),
        (5, 5_000)
    );

    let guarded = look_once(ErrorSettings::fuse(), &[full(150)]);
    assert!(guarded.is_worse(), "{guarded}");
    assert_eq!(guarded.reasons.test, TestUsed::AbsoluteGuard);
    assert!(!look_once(ErrorSettings::fuse(), &[full(45)]).is_worse());
}

#[test]
fn a_canary_as_bad_as_stable_was_passes_although_both_are_above_the_limit() {
    let before = unkeyed(1, arm(5_000, 500), arm(5_000, 500));
    let verdict = look_once(
        ErrorSettings::fuse(),
        &[before, unkeyed(2, arm(5_000, 500), arm(0, 0))],
    );
    assert_eq!(verdict.decision, Decision::Undecided, "{verdict}");
}

#[test]
fn a_verdict_reads_as_a_sentence() {
    let requests = Stratum {
        canary: arm(412, 37),
        stable: arm(8_000, 8),
    };
    let evidence = EpochEvidence {
        requests,
        ..keyed(1, arm(40, 20), arm(760, 4))
    };
    let text = look_once(ErrorSettings::fuse(), &[evidence]).to_string();
    assert!(
        text.starts_with("worse: canary 37 of 412 failed, stable 8 of 8000 at 4.898 % share"),
        "{text}"
    );
    assert!(text.ends_with("threshold 1000, alpha 0.001)"), "{text}");
    let nothing = look_once(ErrorSettings::fuse(), &[keyed(1, arm(3, 0), arm(60, 0))]);
    assert_eq!(nothing.to_string(), "insufficient (3 of 20)");
}

proptest::proptest! {
    #[test]
    fn no_counts_whatever_make_it_panic_or_lose_its_numbers(
        counts in proptest::collection::vec((0..4_u64, 0..500_u64, 0..500_u64, 0..500_u64, 0..500_u64), 0..60)
    ) {
        let mut test = ErrorTest::new(ErrorSettings::analysis());
        for (epoch, a, b, c, d) in counts {
            for evidence in [keyed(epoch, arm(a, b), arm(c, d)), unkeyed(epoch, arm(d, a), arm(b, c))] {
                let verdict = test.look(&[evidence]);
                proptest::prop_assert!(verdict.reasons.e.is_finite() && verdict.reasons.e >= 0.0);
            }
        }
    }
}
