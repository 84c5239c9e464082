//! The drain signal: how a proxy leaves without losing a request.
//!
//! First [`DrainSignal::begin`]: connections are still accepted (load balancers take a while to learn
//! that this proxy leaves), but each closes after its present answer. Then [`DrainSignal::stop`]: no
//! connection is accepted any more, and what is open at the deadline is cut.

use std::time::Instant;

use tokio::sync::watch;

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainPhase {
    /// No drain.
    Serving,
    /// Connections are accepted and closed after one answer.
    Leaving,
    /// Nothing is accepted; at the deadline what is open is cut.
    Stopping {
        /// When.
        deadline: Instant,
    },
}

/// The drain of this process.
#[derive(Debug)]
pub struct DrainSignal(watch::Sender<DrainPhase>);

// === impl DrainSignal ===

impl DrainSignal {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(DrainPhase::Serving))
    }

    /// Connections close after their present answer; new ones are still accepted.
    pub fn begin(&self) {
        self.0.send_if_modified(|phase| {
            let first = *phase == DrainPhase::Serving;
            if first {
                *phase = DrainPhase::Leaving;
            }
            first
        });
    }

    /// Nothing is accepted any more, and at the deadline what is open is cut. A second call moves
    /// the deadline.
    pub fn stop(&self, deadline: Instant) {
        self.0.send_replace(DrainPhase::Stopping { deadline });
    }

    /// How far it has come.
    pub fn phase(&self) -> DrainPhase {
        *self.0.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<DrainPhase> {
        self.0.subscribe()
    }
}

// === impl DrainPhase ===

impl DrainPhase {
    /// Whether a drain has begun.
    pub fn is_draining(self) -> bool {
        self != Self::Serving
    }
}
