//! The one place that reads the time. Everything else in this crate is given a [`Clock`].
//!
//! The clock is an origin plus the time that tokio's timer has seen since. Under
//! `tokio::time::pause` it therefore stands still with the timers and jumps with them: a release
//! that takes an hour of virtual time runs in milliseconds.

use jiff::{SignedDuration, Timestamp};

/// Wall-clock time that follows tokio's timer.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Timestamp,
    started: tokio::time::Instant,
}

impl Clock {
    /// The machine's time. Must be called inside a tokio runtime.
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is where time is read"
    )]
    pub fn system() -> Self {
        Self {
            origin: Timestamp::now(),
            started: tokio::time::Instant::now(),
        }
    }

    /// A clock that starts at `origin` and follows tokio's timer from now on.
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is where time is read"
    )]
    pub fn starting_at(origin: Timestamp) -> Self {
        Self {
            origin,
            started: tokio::time::Instant::now(),
        }
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        let elapsed =
            SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.origin
            .saturating_add(elapsed)
            .unwrap_or(Timestamp::MAX)
    }
}
