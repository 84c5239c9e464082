//! Faults for tests: what networks and busy servers do to clients, at random but by a seed.

use std::time::Duration;

/// How often what goes wrong. Shares are between 0 and 1; the default is that nothing does.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The seed: the same requests in the same order meet the same faults.
    pub seed: u64,
    /// Each request waits for up to so long.
    pub delay: Duration,
    /// The share of requests answered with 500 and not done.
    pub errors: f64,
    /// The share of updates and patches answered with 409 and not done.
    pub conflicts: f64,
    /// The share of writes that close every open watch.
    pub dropped_watches: f64,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) delay: Duration,
    pub(super) error: bool,
    pub(super) conflict: bool,
    pub(super) drop_watches: bool,
}

/// Faults with the state of their randomness.
#[derive(Debug, Default)]
pub(super) struct Dice(Option<(Faults, fastrand::Rng)>);

impl Dice {
    pub(super) fn new(faults: Faults) -> Self {
        let random = fastrand::Rng::with_seed(faults.seed);
        Self(Some((faults, random)))
    }

    /// Throws once. Always as many numbers, so that one setting does not shift the others' luck.
    pub(super) fn throw(&mut self) -> Fate {
        let Some((faults, random)) = &mut self.0 else {
            return Fate::default();
        };
        Fate {
            delay: faults.delay.mul_f64(random.f64()),
            error: random.f64() < faults.errors,
            conflict: random.f64() < faults.conflicts,
            drop_watches: random.f64() < faults.dropped_watches,
        }
    }
}
