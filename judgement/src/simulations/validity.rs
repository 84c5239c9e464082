//! False alarms at α = 5 % and 1 %, with the harshest settings: no tolerance (`ratio` 1) and no
//! minimum of errors, so that nothing but the e-value holds an alarm back.

use super::world::{Step, World};
use super::{RUNS, TICKS_PER_SECOND};
use crate::ErrorSettings;

const SECOND: u32 = TICKS_PER_SECOND;

fn harsh(alpha: f64) -> ErrorSettings {
    ErrorSettings {
        alpha,
        ratio: 1.0,
        min_errors: 1,
        ..ErrorSettings::analysis()
    }
}

fn healthy(weight: f64, seconds: u32, rate: f64) -> Step {
    Step {
        weight,
        ticks: seconds * SECOND,
        fail: (rate, rate),
        continues: false,
    }
}

/// Runs of 2,000 that raise a false alarm at 5 % and at 1 %.
fn false_alarms(world: &World, steps: &[Step]) -> (u64, u64) {
    let settings = [harsh(0.05), harsh(0.01)];
    let mut counts = (0, 0);
    for seed in 0..RUNS {
        let alarms = world.alarms(steps, &settings, seed);
        counts.0 += u64::from(alarms[0].is_some());
        counts.1 += u64::from(alarms[1].is_some());
    }
    counts
}

#[track_caller]
fn holds(world: &World, steps: &[Step]) {
    let (five, one) = false_alarms(world, steps);
    #[expect(
        clippy::print_stderr,
        reason = "the measured figure, shown with --nocapture"
    )]
    {
        eprintln!(
            "{}: {five} at 5 %, {one} at 1 %",
            std::thread::current().name().unwrap_or("")
        );
    }
    assert!(five <= RUNS / 20, "{five} of {RUNS} at α = 5 %");
    assert!(one <= RUNS / 100, "{one} of {RUNS} at α = 1 %");
}

#[test]
fn healthy_canary() {
    holds(&World::unkeyed(10), &[healthy(0.05, 20, 0.01)]);
}

#[test]
fn healthy_canary_with_many_errors_and_few_requests() {
    for delay in [0, 1, 4, 20] {
        holds(
            &World {
                delay,
                ..World::unkeyed(2)
            },
            &[healthy(0.2, 20, 0.3)],
        );
        holds(
            &World {
                delay,
                ..World::unkeyed(2)
            },
            &[healthy(0.5, 20, 0.8)],
        );
    }
}

#[test]
fn healthy_canary_whose_errors_come_late() {
    holds(
        &World {
            delay: 40,
            ..World::unkeyed(10)
        },
        &[healthy(0.05, 20, 0.05)],
    );
}

#[test]
fn healthy_sticky_users() {
    holds(&World::sticky(300, 10), &[healthy(0.05, 20, 0.01)]);
}

#[test]
fn few_sticky_users_with_many_errors() {
    for delay in [0, 4] {
        holds(
            &World {
                delay,
                ..World::sticky(60, 3)
            },
            &[healthy(0.2, 20, 0.1)],
        );
        holds(
            &World {
                delay,
                ..World::sticky(60, 3)
            },
            &[healthy(0.5, 20, 0.8)],
        );
        holds(
            &World {
                delay,
                ..World::sticky(500, 3)
            },
            &[healthy(0.5, 20, 0.8)],
        );
    }
}

#[test]
fn one_user_with_a_fifth_of_the_traffic_in_the_canary() {
    let world = World {
        heavy: 0.2,
        heavy_in_canary: true,
        ..World::sticky(300, 10)
    };
    holds(&world, &[healthy(0.05, 20, 0.01)]);
}

#[test]
fn one_percent_of_users_fail_half_of_their_requests() {
    let world = World {
        ailing: (0.01, 0.5),
        ..World::sticky(1_000, 10)
    };
    holds(&world, &[healthy(0.05, 20, 0.001)]);
}

#[test]
fn one_percent_of_users_always_fail() {
    let world = World {
        ailing: (0.01, 1.0),
        ..World::sticky(1_000, 10)
    };
    holds(&world, &[healthy(0.05, 20, 0.001)]);
}

#[test]
fn weight_lowered_in_mid_flight() {
    let steps = [
        healthy(0.5, 5, 0.1),
        healthy(0.05, 5, 0.1),
        healthy(0.01, 5, 0.1),
    ];
    holds(
        &World {
            delay: 60,
            ..World::unkeyed(10)
        },
        &steps,
    );
    holds(
        &World {
            delay: 60,
            ..World::sticky(500, 10)
        },
        &steps,
    );
}

#[test]
fn several_steps_with_users_who_always_fail() {
    let world = World {
        ailing: (0.01, 1.0),
        heavy: 0.1,
        ..World::sticky(1_000, 10)
    };
    let steps = [0.05, 0.2, 0.5].map(|weight| healthy(weight, 8, 0.002));
    holds(&world, &steps);
}

#[test]
fn outage_that_both_arms_share() {
    let outage = Step {
        continues: true,
        ..healthy(0.05, 5, 0.6)
    };
    let steps = [healthy(0.05, 5, 0.01), outage];
    holds(&World::unkeyed(10), &steps);
    holds(&World::sticky(500, 10), &steps);
}

#[test]
fn all_traffic_on_a_healthy_canary() {
    let world = World {
        ailing: (0.01, 1.0),
        ..World::sticky(500, 10)
    };
    holds(
        &world,
        &[
            healthy(0.2, 8, 0.002),
            healthy(0.6, 8, 0.002),
            healthy(1.0, 10, 0.002),
        ],
    );
    holds(
        &World::unkeyed(10),
        &[healthy(0.5, 5, 0.02), healthy(1.0, 20, 0.02)],
    );
}
