//! Evidence: what the verdicts of fuse and controller rest on, per arm and weight epoch.
//!
//! Only first attempts whose side was *drawn* (hash or random) are evidence. An outcome belongs to
//! the epoch in which its request was routed, however late it comes. A request reaches its decision
//! when its response head comes, when it fails, or when it is older than the age threshold; a user
//! with a key is exposed once per epoch and bad once per epoch.
//!
//! Epochs are numbered by a *sequence* that counts up by one with every epoch of a split, so that
//! sequence modulo [`KEPT_EPOCHS`] is a place in each worker's ring. A worker that meets a newer
//! sequence at its place clears the place; an outcome older than the ring is dropped.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use judgement::{LATENCY_BUCKETS, bucket_of};
use uplink::limits::MAX_REPORTED_EPOCHS;

use super::buckets::{BucketBits, BucketSet};
use super::{Counter, FailureClass, Role, add_all, zeros};

/// The newest epochs of a split that evidence is kept for.
pub const KEPT_EPOCHS: usize = MAX_REPORTED_EPOCHS;

const CLASSES: usize = FailureClass::ALL.len();

/// Users or requests that reached their decision, and how many of them badly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered, failed, or open beyond the age threshold.
    pub exposed: u64,
    /// Those of them that failed.
    pub bad: u64,
}

/// One arm's evidence in one epoch, summed over workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpochCounts {
    /// The weight epoch.
    pub epoch: u64,
    /// First attempts that the split sent to this arm, overrides and header routes included.
    pub requests: u64,
    /// Those among them that failed, by [`FailureClass`].
    pub failures: [u64; CLASSES],
    /// Drawn first attempts, counted by request, with and without key.
    pub drawn: Counts,
    /// Drawn first attempts without a key.
    pub unkeyed: Counts,
    /// Distinct user buckets; what `exposed` and `bad` hold.
    pub keyed: Counts,
    /// The user buckets that were exposed.
    pub exposed: BucketSet,
    /// The user buckets that saw at least one failure.
    pub bad: BucketSet,
    /// Time to the response head, per bucket of `judgement::LATENCY_BOUNDS_US`.
    pub latency: LatencyCounts,
    /// Requests that still wait for their response head, by age, in the same buckets.
    pub waiting: LatencyCounts,
}

/// A histogram over `judgement::LATENCY_BOUNDS_US`, overflow last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyCounts(pub [u64; LATENCY_BUCKETS]);

/// One arm's evidence, summed over workers.
#[derive(Clone, Debug)]
pub struct ArmEvidence {
    /// Its side.
    pub role: Role,
    /// The revision that its endpoints run.
    pub revision: String,
    /// Requests open right now, whatever their epoch.
    pub in_flight: u64,
    /// The kept epochs that saw a request, rising.
    pub epochs: Vec<EpochCounts>,
}

/// An arm of a split: a side and a revision, with a shard per worker. Outlives snapshots.
#[derive(Debug)]
pub struct ArmState {
    role: Role,
    revision: String,
    shards: Box<[ArmShard]>,
}

/// One worker's part of an arm. Only that worker writes.
#[derive(Debug)]
pub(crate) struct ArmShard {
    pub(crate) in_flight: Counter,
    slots: [OnceLock<Box<Slot>>; KEPT_EPOCHS],
}

/// One worker's counts of an arm in one epoch.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The epoch's sequence. Readers look at it before and after, as the place may be cleared between.
    sequence: AtomicU64,
    pub(crate) requests: Counter,
    failures: [Counter; CLASSES],
    drawn: [Counter; 2],
    unkeyed: [Counter; 2],
    /// Routed here: only a user's first request of an epoch is latency evidence.
    seen: BucketBits,
    exposed: BucketBits,
    bad: BucketBits,
    latency: [Counter; LATENCY_BUCKETS],
    pub(crate) waiting: [Counter; LATENCY_BUCKETS],
}

/// What makes an attempt evidence, fixed when it is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// The request chose its side (override, header route), or is a retry: no evidence.
    Chosen,
    /// Drawn for itself.
    Unkeyed,
    /// Drawn by its user's bucket; `first` of that user in this epoch.
    Keyed {
        /// The user's bucket.
        bucket: u16,
        /// Whether this worker saw the user for the first time in the epoch.
        first: bool,
    },
}

const EXPOSED: usize = 0;
const BAD: usize = 1;

/// No epoch has this sequence: a slot that was never used.
const UNUSED: u64 = u64::MAX;

// === impl ArmState ===

impl ArmState {
    pub(crate) fn new(role: Role, revision: &str, workers: usize) -> Self {
        let shards = (0..workers).map(|_| ArmShard::new()).collect();
        Self {
            role,
            revision: revision.to_owned(),
            shards,
        }
    }

    /// Its side.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The revision that its endpoints run.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Requests open right now, over all workers.
    pub fn in_flight(&self) -> u64 {
        self.shards.iter().map(|shard| shard.in_flight.get()).sum()
    }

    pub(crate) fn shard(&self, worker: usize) -> &ArmShard {
        &self.shards[worker]
    }

    /// Sums the evidence of the given epochs: pairs of sequence and epoch, rising.
    pub(crate) fn collect(&self, epochs: &[(u64, u64)]) -> ArmEvidence {
        let epochs = epochs
            .iter()
            .filter_map(|&(sequence, epoch)| self.sum(sequence, epoch));
        ArmEvidence {
            role: self.role,
            revision: self.revision.clone(),
            in_flight: self.in_flight(),
            epochs: epochs.collect(),
        }
    }

    /// One epoch over all workers; `None` where no worker saw it.
    fn sum(&self, sequence: u64, epoch: u64) -> Option<EpochCounts> {
        let mut slots = self
            .shards
            .iter()
            .filter_map(|shard| shard.written(sequence))
            .peekable();
        slots.peek()?;
        let mut sum = EpochCounts {
            epoch,
            ..EpochCounts::default()
        };
        let whole = slots
            .map(|slot| slot.add_to(&mut sum, sequence))
            .fold(true, |a, b| a & b);
        sum.keyed = Counts {
            exposed: sum.exposed.count(),
            bad: sum.bad.count(),
        };
        whole.then_some(sum)
    }
}

// === impl ArmShard ===

impl ArmShard {
    fn new() -> Self {
        Self {
            in_flight: Counter::default(),
            slots: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// The slot to count an epoch in, cleared if it held an older one; `None` where the ring has
    /// moved on. Call it from the owning worker only.
    pub(crate) fn slot(&self, sequence: u64) -> Option<&Slot> {
        let slot = self.slots[place(sequence)].get_or_init(|| Box::new(Slot::new()));
        let held = slot.sequence.load(Ordering::Relaxed);
        if held == sequence {
            return Some(slot);
        }
        if held != UNUSED && held > sequence {
            return None;
        }
        slot.clear();
        slot.sequence.store(sequence, Ordering::Release);
        Some(slot)
    }

    fn written(&self, sequence: u64) -> Option<&Slot> {
        let slot = self.slots[place(sequence)].get()?;
        (slot.sequence.load(Ordering::Acquire) == sequence).then_some(slot.as_ref())
    }
}

fn place(sequence: u64) -> usize {
    sequence as usize % KEPT_EPOCHS
}

// === impl Slot ===

impl Slot {
    fn new() -> Self {
        Self {
            sequence: AtomicU64::new(UNUSED),
            requests: Counter::default(),
            failures: zeros(),
            drawn: zeros(),
            unkeyed: zeros(),
            seen: BucketBits::new(),
            exposed: BucketBits::new(),
            bad: BucketBits::new(),
            latency: zeros(),
            waiting: zeros(),
        }
    }

    /// Makes a user's draw: whether this is his first request here in this epoch.
    pub(crate) fn draw_keyed(&self, bucket: u16) -> Draw {
        Draw::Keyed {
            bucket,
            first: self.seen.insert(bucket),
        }
    }

    /// The attempt reached its decision: it was answered, or it failed.
    pub(crate) fn decide(&self, draw: Draw, failure: Option<FailureClass>) {
        if draw != Draw::Chosen {
            self.drawn[EXPOSED].add(1);
        }
        match draw {
            Draw::Chosen => {}
            Draw::Unkeyed => self.unkeyed[EXPOSED].add(1),
            Draw::Keyed { bucket, .. } => {
                self.exposed.insert(bucket);
            }
        }
        if let Some(class) = failure {
            self.fail(draw, class);
        }
    }

    /// An attempt that was decided before turned out bad after all (a truncated body), or is
    /// decided as bad now.
    pub(crate) fn fail(&self, draw: Draw, class: FailureClass) {
        self.failures[class as usize].add(1);
        if draw != Draw::Chosen {
            self.drawn[BAD].add(1);
        }
        match draw {
            Draw::Chosen => {}
            Draw::Unkeyed => self.unkeyed[BAD].add(1),
            Draw::Keyed { bucket, .. } => {
                self.bad.insert(bucket);
            }
        }
    }

    /// The attempt's response head came, or it broke off, after `us` microseconds.
    pub(crate) fn latency(&self, draw: Draw, us: u64) {
        if draw.is_latency_evidence() {
            self.latency[bucket_of(us)].add(1);
        }
    }

    fn clear(&self) {
        self.sequence.store(UNUSED, Ordering::Release);
        let single = [&self.requests].into_iter();
        let counters = single
            .chain(&self.failures)
            .chain(&self.drawn)
            .chain(&self.unkeyed);
        for counter in counters.chain(&self.latency).chain(&self.waiting) {
            counter.set(0);
        }
        for bits in [&self.seen, &self.exposed, &self.bad] {
            bits.clear();
        }
    }

    /// Adds this worker's counts; false where the epoch changed meanwhile.
    fn add_to(&self, sum: &mut EpochCounts, sequence: u64) -> bool {
        sum.requests += self.requests.get();
        add_all(&mut sum.failures, &self.failures);
        sum.drawn.add(&self.drawn);
        sum.unkeyed.add(&self.unkeyed);
        self.exposed.union_into(&mut sum.exposed);
        self.bad.union_into(&mut sum.bad);
        add_all(&mut sum.latency.0, &self.latency);
        add_all(&mut sum.waiting.0, &self.waiting);
        self.sequence.load(Ordering::Acquire) == sequence
    }
}

// === impl Draw ===

impl Draw {
    /// Whether its time to the response head is counted: a user's first request of the epoch.
    pub(crate) fn is_latency_evidence(self) -> bool {
        matches!(self, Self::Unkeyed | Self::Keyed { first: true, .. })
    }
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, counters: &[Counter; 2]) {
        self.exposed += counters[EXPOSED].get();
        self.bad += counters[BAD].get();
    }
}

// === impl EpochCounts ===

impl EpochCounts {
    /// Failures of any class.
    pub fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }
}

// === impl LatencyCounts ===

impl Default for LatencyCounts {
    fn default() -> Self {
        Self([0; LATENCY_BUCKETS])
    }
}

#[cfg(test)]
mod tests;
