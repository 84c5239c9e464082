//! Weights that came by themselves, apart from snapshots.
//!
//! The newest of each split is remembered: a snapshot that is older than a weight must not undo it,
//! a weight for a canary that no snapshot has brought yet waits for it, and a restart finds it again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::SplitFacts;
use crate::kept::KeptWeight;
use crate::state::State;

/// Splits whose weights are remembered; the checker allows no configuration with as many.
const MAX_WEIGHTS: usize = 10_000;

/// The newest weight of each split.
#[derive(Debug, Default)]
pub(crate) struct WeightBook {
    newest: Mutex<BTreeMap<String, KeptWeight>>,
}

/// What became of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Requests are split by it.
    InForce,
    /// It waits for the configuration that brings its split or canary.
    Waits,
    /// A newer one is known.
    Old,
    /// There are too many.
    Full,
}

// === impl WeightBook ===

impl WeightBook {
    /// Takes a weight, in force at once where its canary is.
    pub(crate) fn take(
        &self,
        split: &str,
        mut weight: KeptWeight,
        facts: Option<&SplitFacts>,
        state: &State,
    ) -> Taken {
        if let Some(facts) = facts {
            weight.rollout_uid = Some(facts.rollout_uid.clone());
        }
        let mut newest = self.newest();
        match newest.get(split) {
            Some(known) if known.weight.newer(weight.weight) != weight.weight => {
                return Taken::Old;
            }
            None if newest.len() >= MAX_WEIGHTS => return Taken::Full,
            _ => {}
        }
        state.set_weight(split, weight.weight, &weight.revision);
        let in_force = facts.is_some_and(|facts| is_in_force(&weight, facts));
        newest.insert(split.to_owned(), weight);
        if in_force {
            Taken::InForce
        } else {
            Taken::Waits
        }
    }

    /// Gives every split its newest weight again: splits are made by the first snapshot that names
    /// them, and weights may have come before.
    /// Weights of a Rollout that another one of the same name replaces are dropped.
    pub(crate) fn restate(&self, splits: &BTreeMap<String, SplitFacts>, state: &State) {
        let mut newest = self.newest();
        newest.retain(|split, weight| {
            let Some(facts) = splits.get(split) else {
                return true;
            };
            let uid = weight
                .rollout_uid
                .get_or_insert_with(|| facts.rollout_uid.clone());
            *uid == facts.rollout_uid
        });
        for (split, weight) in newest.iter() {
            state.set_weight(split, weight.weight, &weight.revision);
        }
    }

    /// The weights by which requests are split now, of those that came by themselves.
    pub(crate) fn in_force(&self, splits: &BTreeMap<String, SplitFacts>) -> Vec<(String, u64)> {
        let newest = self.newest();
        let in_force = newest.iter().filter(|(split, weight)| {
            splits
                .get(*split)
                .is_some_and(|facts| is_in_force(weight, facts))
        });
        in_force
            .map(|(split, weight)| (split.clone(), weight.weight.epoch))
            .collect()
    }

    /// All of them, to be kept.
    pub(crate) fn all(&self) -> BTreeMap<String, KeptWeight> {
        self.newest().clone()
    }

    fn newest(&self) -> MutexGuard<'_, BTreeMap<String, KeptWeight>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 0 is for whatever canary there is; more is for one revision.
fn is_in_force(weight: &KeptWeight, facts: &SplitFacts) -> bool {
    weight.weight.weight == 0 || facts.canary_revision.as_deref() == Some(&*weight.revision)
}

#[cfg(test)]
mod tests {
    use uplink::weight::EpochWeight;

    use super::*;
    use crate::clock::Clock;

    fn weight(weight: u32, epoch: u64, revision: &str) -> KeptWeight {
        let weight = EpochWeight { weight, epoch };
        KeptWeight {
            rollout_uid: None,
            weight,
            revision: revision.into(),
        }
    }

    #[test]
    fn the_newest_weight_counts_and_waits_for_its_canary() {
        let state = State::new(1, Clock.now());
        let facts = SplitFacts {
            rollout_uid: "uid".into(),
            canary_revision: Some("r2".into()),
        };
        let rows = [
            (weight(10, 1, "r2"), Some(&facts), Taken::InForce),
            (weight(20, 3, "r3"), Some(&facts), Taken::Waits),
            (weight(20, 2, "r2"), Some(&facts), Taken::Old),
            (weight(0, 4, "r3"), Some(&facts), Taken::InForce),
            (weight(0, 4, "r3"), Some(&facts), Taken::InForce),
            (weight(9, 4, "r2"), Some(&facts), Taken::Old),
            (weight(5, 5, "r2"), None, Taken::Waits),
        ];
        let book = WeightBook::default();
        for (weight, facts, expected) in rows {
            assert_eq!(
                book.take("app", weight.clone(), facts, &state),
                expected,
                "{weight:?}"
            );
        }
        let split = state.split("app", "uid");
        assert_eq!(
            split.canary("r2").word().weight,
            0,
            "nobody named the split before"
        );
        let mut splits = BTreeMap::from([("app".to_owned(), facts)]);
        book.restate(&splits, &state);
        assert_eq!(split.canary("r2").word().weight, 5);
        assert_eq!(book.in_force(&splits), [("app".to_owned(), 5)]);
        splits.get_mut("app").expect("there").rollout_uid = "another".into();
        book.restate(&splits, &state);
        assert!(
            book.in_force(&splits).is_empty(),
            "another Rollout counts its epochs anew"
        );
    }
}
