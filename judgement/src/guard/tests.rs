use super::*;
use crate::evidence::{LatencyArm, Stratum};

fn success(exposed: u64, bad: u64) -> EpochEvidence {
    let canary = Arm { exposed, bad };
    EpochEvidence {
        epoch: 1,
        unkeyed: Stratum {
            canary,
            ..Stratum::default()
        },
        ..EpochEvidence::default()
    }
}

#[test]
fn a_success_rate_below_its_limit_is_proved() {
    let rows = [
        (0, 0, Decision::Insufficient),
        (10, 0, Decision::Insufficient),
        (1_000, 0, Decision::Undecided),
        (1_000, 10, Decision::Undecided),
        (1_000, 60, Decision::Worse),
        (10, 10, Decision::Worse),
    ];
    for (exposed, bad, decision) in rows {
        let mut test = SuccessRateTest::new(SuccessRateSettings::new(0.99));
        let verdict = test.look(&[success(exposed, bad)]);
        assert_eq!(verdict.decision, decision, "{bad} of {exposed}: {verdict}");
    }
}

#[test]
fn one_users_bad_day_is_no_proof() {
    let requests = Stratum {
        canary: Arm {
            exposed: 1_000,
            bad: 200,
        },
        ..Stratum::default()
    };
    let users = Stratum {
        canary: Arm {
            exposed: 40,
            bad: 1,
        },
        ..Stratum::default()
    };
    let evidence = EpochEvidence {
        epoch: 1,
        requests,
        keyed: users,
        ..EpochEvidence::default()
    };
    let mut test = SuccessRateTest::new(SuccessRateSettings {
        alpha: 0.001,
        ..SuccessRateSettings::new(0.9)
    });
    assert!(!test.look(&[evidence]).is_worse());
}

#[test]
fn a_quantile_above_its_limit_is_proved_open_requests_included() {
    let evidence = |fast, hanging| LatencyEvidence {
        epoch: 1,
        bounds_us: LATENCY_BOUNDS_US.to_vec(),
        stable: LatencyArm::default(),
        canary: LatencyArm {
            completed: vec![fast],
            open: [vec![0; 57], vec![hanging]].concat(),
        },
    };
    let look = |fast, hanging| {
        QuantileTest::new(QuantileSettings::new(0.95, 500_000)).look(&[evidence(fast, hanging)])
    };
    assert_eq!(look(100, 5).decision, Decision::Undecided);
    let verdict = look(100, 30);
    assert!(verdict.is_worse(), "{verdict}");
    assert!(
        verdict
            .to_string()
            .contains("30 of 130 slower than 500 ms, limit 5.000 %"),
        "{verdict}"
    );
}

#[test]
fn at_the_limit_alarms_stay_within_alpha() {
    let mut alarms = 0;
    for seed in 0..2_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let settings = SuccessRateSettings {
            alpha: 0.05,
            ..SuccessRateSettings::new(0.95)
        };
        let mut test = SuccessRateTest::new(settings);
        let (mut exposed, mut bad) = (0, 0);
        for _ in 0..500 {
            exposed += 5;
            bad += (0..5).filter(|_| rng.f64() < 0.05).count() as u64;
            if test.look(&[success(exposed, bad)]).is_worse() {
                alarms += 1;
                break;
            }
        }
    }
    assert!(alarms <= 100, "{alarms} of 2000 at 5 %");
}
