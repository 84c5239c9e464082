//! Weights and the epochs that order them.
//!
//! A split's weight changes often and must change fast, so it travels apart from snapshots. The
//! epoch says which of two weights is newer: a snapshot carries the weight as of its making, a
//! `Weights` message may be newer or older than that, and the higher epoch wins.

use serde::{Deserialize, Serialize};

/// A weight and the epoch in which it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochWeight {
    /// Requests out of the split's `maxWeight` that go to the canary.
    pub weight: u32,
    /// Counts up with every change of the split's weight.
    pub epoch: u64,
}

// === impl EpochWeight ===

impl EpochWeight {
    /// The newer of the two: the higher epoch. At equal epochs the lower weight, which is the safer.
    #[must_use]
    pub fn newer(self, other: Self) -> Self {
        let rank = |this: Self| (this.epoch, std::cmp::Reverse(this.weight));
        if rank(self) >= rank(other) {
            self
        } else {
            other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_epoch_wins_and_equal_epochs_take_the_lower_weight() {
        let w = |weight, epoch| EpochWeight { weight, epoch };
        assert_eq!(w(10, 2).newer(w(50, 1)), w(10, 2));
        assert_eq!(w(10, 1).newer(w(50, 2)), w(50, 2));
        assert_eq!(w(10, 2).newer(w(0, 2)), w(0, 2));
    }
}
