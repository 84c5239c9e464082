//! A split's weights, trips and evidence.
//!
//! A weight belongs to a *canary revision* of a split, not to the split alone: a snapshot that brings
//! another revision must not expose it, for the instant between two stores, to the weight of the one
//! before. So each canary revision has a word of its own, and a weight that comes before the snapshot
//! that brings its revision simply waits in it. Weight 0 applies to every revision at once.
//!
//! The word packs weight, trip and epoch sequence, so that a request reads in one load which side it
//! may be drawn to and where its outcome will be counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use uplink::weight::EpochWeight;

use super::{Parts, lock};
use crate::observe::Role;
use crate::observe::evidence::{ArmEvidence, ArmState, KEPT_EPOCHS};

/// A split by name and Rollout UID.
#[derive(Debug)]
pub struct SplitState {
    name: String,
    rollout_uid: String,
    workers: usize,
    inner: Mutex<Inner>,
}

/// Guarded by [`SplitState::inner`]; the request path never takes it.
#[derive(Debug, Default)]
struct Inner {
    next_sequence: u64,
    /// Sequence and epoch of the newest epochs, in order of arrival.
    epochs: VecDeque<(u64, u64)>,
    canaries: Parts<String, CanaryState>,
    arms: Parts<(Role, String), ArmState>,
    in_force: Option<InForce>,
}

/// What the snapshot in force says about the split.
#[derive(Debug)]
struct InForce {
    canary: Arc<CanaryState>,
    has_canary: bool,
    stable_revision: String,
    max_weight: u32,
}

/// The weight and trip of one canary revision of a split.
#[derive(Debug)]
pub struct CanaryState {
    revision: String,
    word: AtomicU64,
    /// The weight last given, trip or not; `None` before the first.
    given: Mutex<Option<EpochWeight>>,
}

/// What a request reads in one load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightWord {
    /// Requests out of the split's `max_weight` that go to the canary; as given, trip or not.
    pub weight: u32,
    /// Whether the fuse has tripped: then nothing goes to the canary.
    pub tripped: bool,
    /// The epoch's sequence.
    pub(crate) sequence: u64,
}

/// A split in force: its settings, and the evidence of all its arms.
#[derive(Clone, Debug)]
pub struct SplitEvidence {
    /// The split's name.
    pub split: String,
    /// The Rollout's UID.
    pub rollout_uid: String,
    /// The revision of the stable cluster.
    pub stable_revision: String,
    /// The revision of the canary cluster, where the configuration has one.
    pub canary_revision: Option<String>,
    /// Weight and epoch that requests are split by (fuse not considered).
    pub weight: EpochWeight,
    /// The weight that means every request.
    pub max_weight: u32,
    /// Whether the fuse has tripped for this canary revision.
    pub tripped: bool,
    /// Every arm that is in force or left lately.
    pub arms: Vec<ArmEvidence>,
}

const TRIPPED: u64 = 1 << 63;
const WEIGHT_SHIFT: u32 = 32;
const WEIGHT_MASK: u64 = 0x7fff_ffff;
const SEQUENCE_MASK: u64 = 0xffff_ffff;

// === impl SplitState ===

impl SplitState {
    pub(super) fn new(name: &str, rollout_uid: &str, workers: usize) -> Self {
        Self {
            name: name.to_owned(),
            rollout_uid: rollout_uid.to_owned(),
            workers,
            inner: Mutex::default(),
        }
    }

    /// The split's name in the routing configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Rollout's UID.
    pub fn rollout_uid(&self) -> &str {
        &self.rollout_uid
    }

    /// Gives a canary revision its weight, unless what it has is newer. Above 0 for a revision that
    /// no snapshot has brought yet, it waits; 0 applies to every revision of the split.
    pub fn set_weight(&self, weight: EpochWeight, canary_revision: &str) {
        let mut inner = lock(&self.inner);
        let named = inner.canary(canary_revision);
        inner.give(&named, weight);
        if weight.weight == 0 {
            let all: Vec<_> = inner.canaries.values().collect();
            for canary in all {
                inner.give(&canary, weight);
            }
        }
    }

    /// Weight and epoch of the canary revision in force (fuse not considered).
    pub fn weight(&self) -> EpochWeight {
        let inner = lock(&self.inner);
        inner
            .in_force
            .as_ref()
            .map(|it| it.canary.given())
            .unwrap_or_default()
    }

    /// The highest epoch that this split was ever given. A file that names no epochs counts on from
    /// here when its weight changes.
    pub fn newest_epoch(&self) -> u64 {
        lock(&self.inner)
            .epochs
            .iter()
            .map(|(_, epoch)| *epoch)
            .max()
            .unwrap_or(0)
    }

    /// Takes the canary revision's share to zero until [`Self::reset`]. False where it had tripped.
    pub fn trip(&self, canary_revision: &str) -> bool {
        let canary = lock(&self.inner).canary(canary_revision);
        canary.word.fetch_or(TRIPPED, Ordering::Relaxed) & TRIPPED == 0
    }

    /// Clears a trip. False where there was none.
    pub fn reset(&self, canary_revision: &str) -> bool {
        let canary = lock(&self.inner).canary(canary_revision);
        canary.word.fetch_and(!TRIPPED, Ordering::Relaxed) & TRIPPED != 0
    }

    /// The weight word of a canary revision.
    pub(crate) fn canary(&self, revision: &str) -> Arc<CanaryState> {
        lock(&self.inner).canary(revision)
    }

    /// The evidence of a side's revision.
    pub(crate) fn arm(&self, role: Role, revision: &str) -> Arc<ArmState> {
        let key = (role, revision.to_owned());
        lock(&self.inner)
            .arms
            .get(key, || ArmState::new(role, revision, self.workers))
    }

    /// A snapshot with these settings comes into force.
    pub(crate) fn put_in_force(
        &self,
        canary: &Arc<CanaryState>,
        stable_revision: &str,
        has_canary: bool,
        weight: (EpochWeight, u32),
    ) {
        let mut inner = lock(&self.inner);
        inner.give(canary, weight.0);
        inner.in_force = Some(InForce {
            canary: Arc::clone(canary),
            has_canary,
            stable_revision: stable_revision.to_owned(),
            max_weight: weight.1,
        });
    }

    /// No snapshot names the split any more.
    pub(crate) fn leave_force(&self) {
        lock(&self.inner).in_force = None;
    }

    pub(super) fn collect(&self) -> Option<SplitEvidence> {
        let inner = lock(&self.inner);
        let in_force = inner.in_force.as_ref()?;
        let mut epochs: Vec<_> = inner.epochs.iter().copied().collect();
        epochs.sort_unstable_by_key(|(_, epoch)| *epoch);
        Some(SplitEvidence {
            split: self.name.clone(),
            rollout_uid: self.rollout_uid.clone(),
            stable_revision: in_force.stable_revision.clone(),
            canary_revision: in_force
                .has_canary
                .then(|| in_force.canary.revision.clone()),
            weight: in_force.canary.given(),
            max_weight: in_force.max_weight,
            tripped: in_force.canary.word().tripped,
            arms: inner
                .arms
                .values()
                .map(|arm| arm.collect(&epochs))
                .collect(),
        })
    }

    pub(super) fn sweep(&self, now: Instant) {
        let mut inner = lock(&self.inner);
        inner.canaries.sweep(now, |canary| !canary.word().tripped);
        inner.arms.sweep(now, |_| true);
    }

    /// A split that is in force or has tripped is never forgotten.
    pub(super) fn is_forgettable(&self) -> bool {
        let inner = lock(&self.inner);
        inner.in_force.is_none() && inner.canaries.values().all(|canary| !canary.word().tripped)
    }
}

// === impl Inner ===

impl Inner {
    fn canary(&mut self, revision: &str) -> Arc<CanaryState> {
        self.canaries
            .get(revision.to_owned(), || CanaryState::new(revision))
    }

    fn give(&mut self, canary: &CanaryState, weight: EpochWeight) {
        let mut given = lock(&canary.given);
        let newer = given.map_or(weight, |before| before.newer(weight));
        if *given == Some(newer) {
            return;
        }
        *given = Some(newer);
        let sequence = self.sequence(newer.epoch);
        canary.store(newer.weight, sequence);
    }

    /// The sequence of an epoch; a new one pushes the oldest out.
    fn sequence(&mut self, epoch: u64) -> u64 {
        if let Some((sequence, _)) = self.epochs.iter().find(|(_, known)| *known == epoch) {
            return *sequence;
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        if self.epochs.len() == KEPT_EPOCHS {
            self.epochs.pop_front();
        }
        self.epochs.push_back((sequence, epoch));
        sequence
    }
}

// === impl CanaryState ===

impl CanaryState {
    fn new(revision: &str) -> Self {
        Self {
            revision: revision.to_owned(),
            word: AtomicU64::new(0),
            given: Mutex::default(),
        }
    }

    /// The canary's revision; empty for a split without a canary.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Weight, trip and epoch, in one load.
    pub fn word(&self) -> WeightWord {
        let word = self.word.load(Ordering::Relaxed);
        WeightWord {
            weight: (word >> WEIGHT_SHIFT & WEIGHT_MASK) as u32,
            tripped: word & TRIPPED != 0,
            sequence: word & SEQUENCE_MASK,
        }
    }

    fn given(&self) -> EpochWeight {
        lock(&self.given).unwrap_or_default()
    }

    /// Stores weight and sequence and leaves the trip as it is.
    fn store(&self, weight: u32, sequence: u64) {
        let word = u64::from(weight) << WEIGHT_SHIFT | sequence & SEQUENCE_MASK;
        let _ = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                Some(before & TRIPPED | word & !TRIPPED)
            });
    }
}
