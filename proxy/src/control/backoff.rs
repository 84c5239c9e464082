//! How long to wait before the next attempt to reach the controller.

use std::time::Duration;

/// The first wait, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Doubles with each failure, with jitter of a half, so that a fleet does not come back as one.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    random: fastrand::Rng,
}

// === impl Backoff ===

impl Backoff {
    /// Starts at the first wait.
    pub(crate) fn new(random: fastrand::Rng) -> Self {
        Self {
            next: FIRST,
            random,
        }
    }

    /// After a success the next failure waits shortly again.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The wait before the next attempt: between half of it and all of it.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.next.mul_f64(0.5 + 0.5 * self.random.f64());
        self.next = (self.next * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(fastrand::Rng::with_seed(7));
        let waits: Vec<Duration> = (0..8).map(|_| backoff.wait()).collect();
        for (wait, millis) in waits
            .iter()
            .zip([100, 200, 400, 800, 1600, 2000, 2000, 2000])
        {
            let full = Duration::from_millis(millis);
            assert!(*wait >= full / 2 && *wait <= full, "{wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
