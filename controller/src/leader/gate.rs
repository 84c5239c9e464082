//! The gate before every write: open while nobody else can be leading.
//!
//! A renewal of the lease opens it until the renew deadline, counted from before the renewal was
//! sent. It shuts by the passing of time alone, on a clock that goes on while the process stands
//! still: a leader that was stopped for a minute finds it shut before it does anything.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

/// Says whether this process may write.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<Option<Timestamp>>>);

// === impl Gate ===

impl Default for Gate {
    /// Shut, until a lease is held.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Gate {
    /// One that is always open: for a controller that shares its cluster with nobody.
    pub fn open() -> Self {
        let gate = Self::default();
        gate.open_until(Timestamp::MAX);
        gate
    }

    /// Opens it until then; what it was open until before is forgotten.
    pub fn open_until(&self, until: Timestamp) {
        self.0.send_replace(Some(until));
    }

    /// Shuts it.
    pub fn shut(&self) {
        self.0.send_replace(None);
    }

    /// Whether a write may be sent now.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.0.borrow().is_some_and(|until| now < until)
    }

    /// Waits until somebody opens it. Cancel-safe.
    pub async fn opened(&self, now: impl Fn() -> Timestamp) {
        let mut gate = self.0.subscribe();
        let open = |until: &Option<Timestamp>| until.is_some_and(|until| now() < until);
        // The sender is this gate's own.
        let _ = gate.wait_for(open).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shuts_by_time_alone_and_opens_by_a_renewal() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let gate = Gate::default();
        assert!(!gate.is_open(at(0)));
        gate.open_until(at(10));
        assert!(gate.is_open(at(9)) && !gate.is_open(at(10)));
        gate.open_until(at(20));
        assert!(gate.is_open(at(10)));
        gate.shut();
        assert!(!gate.is_open(at(10)));
        assert!(Gate::open().is_open(at(1_000_000)));
    }
}
