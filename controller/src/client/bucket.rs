//! A token bucket: so many requests a second, and so many at once after a rest.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// The shortest wait for a turn that nobody else waits for.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// How many requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// A second, on average; 0 or less: any number.
    pub qps: f32,
    /// At once, after a rest.
    pub burst: u32,
}

/// Hands out turns.
#[derive(Debug)]
pub(super) struct Bucket {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Negative: so many turns were promised that are still to come.
    tokens: f64,
    at: Timestamp,
}

// === impl Limits ===

impl Limits {
    /// No limit.
    pub const NONE: Self = Self { qps: 0.0, burst: 0 };
}

impl Default for Limits {
    /// Five times what Argo's controller allows itself: what keeps an API server free of crowds is
    /// its own priority and fairness, and writes are few (docs/scale.md has figures).
    fn default() -> Self {
        Self {
            qps: 200.0,
            burst: 400,
        }
    }
}

// === impl Bucket ===

impl Bucket {
    /// A full one.
    pub(super) fn new(limits: Limits, now: Timestamp) -> Self {
        Self {
            limits,
            state: Mutex::new(State {
                tokens: f64::from(limits.burst.max(1)),
                at: now,
            }),
        }
    }

    /// Takes a turn; how long to wait for it. Turns come in the order in which they were taken.
    pub(super) fn reserve(&self, now: Timestamp) -> Duration {
        let qps = f64::from(self.limits.qps);
        if qps <= 0.0 {
            return Duration::ZERO;
        }
        let mut state = self.rested(now);
        state.tokens -= 1.0;
        Duration::try_from_secs_f64(-state.tokens / qps).unwrap_or_default()
    }

    /// Takes a turn that nobody else waits for; `None`: it is taken, else when to ask again.
    pub(super) fn spare(&self, now: Timestamp) -> Option<Duration> {
        let qps = f64::from(self.limits.qps);
        if qps <= 0.0 {
            return None;
        }
        let mut state = self.rested(now);
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return None;
        }
        let missing = Duration::try_from_secs_f64((1.0 - state.tokens) / qps);
        Some(missing.unwrap_or(SHORTEST_WAIT).max(SHORTEST_WAIT))
    }

    fn rested(&self, now: Timestamp) -> MutexGuard<'_, State> {
        // Two numbers that belong together whatever happens.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = now.duration_since(state.at).as_secs_f64().max(0.0);
        let most = f64::from(self.limits.burst.max(1));
        state.tokens = (state.tokens + rested * f64::from(self.limits.qps)).min(most);
        state.at = state.at.max(now);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let at = |milliseconds| Timestamp::from_millisecond(milliseconds).expect("a time");
        let bucket = Bucket::new(
            Limits {
                qps: 10.0,
                burst: 3,
            },
            at(0),
        );
        let waits: Vec<_> = (0..6).map(|_| bucket.reserve(at(0)).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200, 300]);
        assert_eq!(
            bucket.reserve(at(300)).as_millis(),
            100,
            "three turns were promised"
        );
        let rested: Vec<_> = (0..4)
            .map(|_| bucket.reserve(at(10_000)).as_millis())
            .collect();
        assert_eq!(rested, [0, 0, 0, 100], "no more than the burst is saved");
        assert_eq!(
            bucket.spare(at(10_000)).map(|it| it.as_millis()),
            Some(200),
            "one is promised"
        );
        assert_eq!(bucket.spare(at(10_200)), None);
        let free = Bucket::new(Limits::NONE, at(0));
        assert!((0..1000).all(|_| free.reserve(at(0)).is_zero()));
    }
}
