//! The retry budget: retries stay a small part of the traffic, whatever fails.
//!
//! Each request adds a fifth of a retry, and time adds ten a second over all workers, so that a quiet
//! service can retry at all. Retries of requests that were never sent need no budget: they add no load.

use std::cell::Cell;
use std::time::Duration;

/// Retries that each request adds.
const PER_REQUEST: f64 = 0.2;

/// Retries that each second adds, over all workers.
const PER_SECOND: f64 = 10.0;

/// Retries that can be saved up, per worker.
const SAVED: f64 = 100.0;

/// One worker's retry budget.
#[derive(Debug)]
pub(crate) struct Budget {
    saved: Cell<f64>,
    workers: f64,
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(workers: usize) -> Self {
        let workers = workers.max(1) as f64;
        Self {
            saved: Cell::new(PER_SECOND / workers),
            workers,
        }
    }

    pub(crate) fn deposit(&self) {
        self.add(PER_REQUEST);
    }

    pub(crate) fn tick(&self, passed: Duration) {
        self.add(passed.as_secs_f64() * PER_SECOND / self.workers);
    }

    /// Takes one retry, where there is one.
    pub(crate) fn withdraw(&self) -> bool {
        let enough = self.saved.get() >= 1.0;
        if enough {
            self.saved.set(self.saved.get() - 1.0);
        }
        enough
    }

    fn add(&self, retries: f64) {
        self.saved.set((self.saved.get() + retries).min(SAVED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_five_may_be_retried_and_ten_a_second() {
        let budget = Budget::new(2);
        assert_eq!(
            (0..100).filter(|_| budget.withdraw()).count(),
            5,
            "what a start allows"
        );
        (0..50).for_each(|_| budget.deposit());
        let of_fifty = (0..100).filter(|_| budget.withdraw()).count();
        assert!((9..=10).contains(&of_fifty), "{of_fifty}");
        budget.tick(Duration::from_secs(1));
        let of_a_second = (0..100).filter(|_| budget.withdraw()).count();
        assert!((5..=6).contains(&of_a_second), "{of_a_second}");
    }

    #[test]
    fn savings_are_bounded() {
        let budget = Budget::new(1);
        budget.tick(Duration::from_hours(1));
        assert_eq!((0..1000).filter(|_| budget.withdraw()).count(), 100);
    }
}
