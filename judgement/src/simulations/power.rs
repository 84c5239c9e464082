//! How soon a fault is found: 1,000 requests a second, 5 % share, a look every 50 ms.

use super::world::{Step, World};
use super::{RUNS, TICKS_PER_SECOND};
use crate::ErrorSettings;

/// Seconds from tick `after` to the alarm: (median, p95). Runs that missed the fault are endless.
fn seconds_to_alarm(
    world: &World,
    steps: &[Step],
    settings: ErrorSettings,
    after: u32,
) -> (f64, f64) {
    let runs = if after == 0 { RUNS } else { RUNS / 10 };
    let mut seconds: Vec<f64> = (0..runs)
        .map(|seed| world.alarms(steps, &[settings], seed)[0])
        .map(|tick| {
            tick.map_or(f64::INFINITY, |tick| {
                assert!(tick > after, "an alarm before the fault");
                f64::from(tick - after) / f64::from(TICKS_PER_SECOND)
            })
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    (
        seconds[seconds.len() / 2],
        seconds[seconds.len() * 95 / 100],
    )
}

#[track_caller]
fn found_within(limit: f64, world: &World, steps: &[Step], settings: ErrorSettings) {
    let after = steps[..steps.len() - 1].iter().map(|step| step.ticks).sum();
    let (median, p95) = seconds_to_alarm(world, steps, settings, after);
    #[expect(
        clippy::print_stderr,
        reason = "the measured figure, shown with --nocapture"
    )]
    {
        let name = std::thread::current().name().unwrap_or("").to_owned();
        eprintln!(
            "{name} α {}: median {median} s, p95 {p95} s",
            settings.alpha
        );
    }
    assert!(
        p95 <= limit,
        "p95 {p95} s, median {median} s, limit {limit} s"
    );
}

fn faulty(stable: f64, canary: f64, seconds: u32) -> Step {
    Step {
        weight: 0.05,
        ticks: seconds * TICKS_PER_SECOND,
        fail: (stable, canary),
        continues: false,
    }
}

#[test]
fn ten_percent_against_a_tenth_of_a_percent() {
    let steps = [faulty(0.001, 0.1, 10)];
    found_within(2.1, &World::unkeyed(50), &steps, ErrorSettings::analysis());
    found_within(2.1, &World::unkeyed(50), &steps, ErrorSettings::fuse());
    found_within(
        2.1,
        &World::sticky(20_000, 50),
        &steps,
        ErrorSettings::analysis(),
    );
    found_within(
        2.1,
        &World::sticky(20_000, 50),
        &steps,
        ErrorSettings::fuse(),
    );
}

#[test]
fn total_failure() {
    let steps = [faulty(0.001, 1.0, 5)];
    found_within(0.2, &World::unkeyed(50), &steps, ErrorSettings::analysis());
    found_within(0.2, &World::unkeyed(50), &steps, ErrorSettings::fuse());
    found_within(
        0.2,
        &World::sticky(20_000, 50),
        &steps,
        ErrorSettings::fuse(),
    );
}

#[test]
fn a_fault_after_a_long_healthy_phase_of_the_same_epoch() {
    let late = |canary| {
        [
            faulty(0.001, 0.001, 100),
            Step {
                continues: true,
                ..faulty(0.001, canary, 15)
            },
        ]
    };
    found_within(0.5, &World::unkeyed(50), &late(1.0), ErrorSettings::fuse());
    found_within(5.0, &World::unkeyed(50), &late(0.1), ErrorSettings::fuse());
}
