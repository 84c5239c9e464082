//! The only place of the proxy that reads a clock. Everything else takes an instant or a [`Clock`].

use std::time::{Duration, Instant, SystemTime};

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

// === impl Clock ===

impl Clock {
    /// Now, on the clock that never goes back.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub fn now(self) -> Instant {
        Instant::now()
    }

    /// Now, on the clock that people read.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub fn wall(self) -> SystemTime {
        SystemTime::now()
    }

    /// Milliseconds since the Unix epoch; 0 for a clock that stands before it.
    pub fn unix_ms(self) -> u64 {
        let since = self.wall().duration_since(SystemTime::UNIX_EPOCH);
        micros(since.unwrap_or_default()) / 1_000
    }
}

/// A duration in microseconds, saturating (584,000 years).
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
