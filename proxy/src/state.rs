//! What outlives snapshots: weights, trips, ejections, evidence and counters.
//!
//! A configuration is swapped as a whole and often; what was learned under the one before must not
//! be lost with it. So a [`State`] exists once per process and hands out the same part for the same
//! name: splits by name and Rollout UID, arms and canaries by revision, clusters by name and
//! revision, endpoints by address. A snapshot holds parts by `Arc` and the request path goes through
//! those; the locks in here are taken when a snapshot is built or the control thread looks.
//!
//! Nothing needs to be told that a revision left: a part that only the state itself holds is unused,
//! and [`State::sweep`] drops what has been unused for [`KEEP_UNUSED`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uplink::weight::EpochWeight;

use crate::observe::series::{
    PoolTotals, ProcessShard, ProcessTotals, Series, SeriesKey, SeriesTotals,
};

mod cluster;
mod split;

pub use cluster::{ClusterState, EndpointState, EndpointTotals};
pub use split::{CanaryState, SplitEvidence, SplitState, WeightWord};

/// How long a part that nothing uses is kept: its series stay visible for a few scrapes, and a
/// revision that comes back soon finds its pools, ejections and counts.
pub const KEEP_UNUSED: Duration = Duration::from_mins(10);

/// Everything that outlives snapshots; one per process.
#[derive(Debug)]
pub struct State {
    workers: usize,
    started: Instant,
    /// By name and Rollout UID.
    splits: Mutex<Parts<(String, String), SplitState>>,
    /// By name and revision.
    clusters: Mutex<Parts<(String, String), ClusterState>>,
    series: Mutex<Parts<SeriesKey, Series>>,
    process: Box<[ProcessShard]>,
}

/// Connections and endpoints of a cluster, summed over workers.
#[derive(Clone, Debug)]
pub struct ClusterTotals {
    /// The cluster's name.
    pub cluster: String,
    /// The revision that its endpoints run.
    pub revision: String,
    /// Its connections.
    pub pool: PoolTotals,
    /// Its endpoints, by address.
    pub endpoints: Vec<EndpointTotals>,
}

/// Parts by key, each with the time since which nothing else holds it.
#[derive(Debug)]
struct Parts<K, V>(BTreeMap<K, Part<V>>);

#[derive(Debug)]
struct Part<V> {
    value: Arc<V>,
    unused_since: Option<Instant>,
}

// === impl State ===

impl State {
    /// An empty state for this many workers.
    pub fn new(workers: usize, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            workers,
            started: now,
            splits: Mutex::default(),
            clusters: Mutex::default(),
            series: Mutex::default(),
            process: (0..workers).map(|_| ProcessShard::new()).collect(),
        })
    }

    /// How many workers have shards.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The split of this name and UID, made where it is new.
    pub fn split(&self, name: &str, rollout_uid: &str) -> Arc<SplitState> {
        let key = (name.to_owned(), rollout_uid.to_owned());
        lock(&self.splits).get(key, || SplitState::new(name, rollout_uid, self.workers))
    }

    /// The splits of this name: usually one, two while a Rollout of the same name is replaced.
    pub fn splits_named(&self, name: &str) -> Vec<Arc<SplitState>> {
        let splits = lock(&self.splits);
        splits
            .values()
            .filter(|split| split.name() == name)
            .collect()
    }

    /// Gives a split its new weight; see [`SplitState::set_weight`]. False where no configuration
    /// ever named the split.
    pub fn set_weight(&self, split: &str, weight: EpochWeight, canary_revision: &str) -> bool {
        let splits = self.splits_named(split);
        for split in &splits {
            split.set_weight(weight, canary_revision);
        }
        !splits.is_empty()
    }

    /// The cluster of this name and revision, made where it is new.
    pub fn cluster(&self, name: &str, revision: &str) -> Arc<ClusterState> {
        let key = (name.to_owned(), revision.to_owned());
        let make = || ClusterState::new(name, revision, self.workers, self.started);
        lock(&self.clusters).get(key, make)
    }

    /// The series of these labels, made (at zero) where it is new.
    pub fn series(&self, key: &SeriesKey) -> Arc<Series> {
        lock(&self.series).get(key.clone(), || Series::new(key.clone(), self.workers))
    }

    /// The evidence of every split that is in force, for fuse, reports and metrics.
    pub fn collect(&self) -> Vec<SplitEvidence> {
        let splits: Vec<_> = lock(&self.splits).values().collect();
        splits.iter().filter_map(|split| split.collect()).collect()
    }

    /// Every traffic series, by labels.
    pub fn series_totals(&self) -> Vec<SeriesTotals> {
        let series: Vec<_> = lock(&self.series).values().collect();
        series.iter().map(|series| series.collect()).collect()
    }

    /// Every cluster's connections and endpoints, by name.
    pub fn cluster_totals(&self, now: Instant) -> Vec<ClusterTotals> {
        let clusters: Vec<_> = lock(&self.clusters).values().collect();
        clusters
            .iter()
            .map(|cluster| cluster.collect(now))
            .collect()
    }

    /// What belongs to no route.
    pub fn process_totals(&self) -> ProcessTotals {
        let mut totals = ProcessTotals::default();
        for shard in &self.process {
            shard.add_to(&mut totals);
        }
        totals
    }

    /// Drops what nothing has used for [`KEEP_UNUSED`]. Call it every few seconds.
    pub fn sweep(&self, now: Instant) {
        lock(&self.series).sweep(now, |_| true);
        lock(&self.clusters).sweep(now, |_| true);
        for cluster in lock(&self.clusters).values() {
            cluster.sweep(now);
        }
        for split in lock(&self.splits).values() {
            split.sweep(now);
        }
        lock(&self.splits).sweep(now, SplitState::is_forgettable);
    }

    pub(crate) fn process(&self, worker: usize) -> &ProcessShard {
        &self.process[worker]
    }
}

// === impl Parts ===

impl<K, V> Default for Parts<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V> Parts<K, V> {
    fn get(&mut self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let part = self.0.entry(key);
        let part = part.or_insert_with(|| Part {
            value: Arc::new(make()),
            unused_since: None,
        });
        Arc::clone(&part.value)
    }

    fn values(&self) -> impl Iterator<Item = Arc<V>> {
        self.0.values().map(|part| Arc::clone(&part.value))
    }

    fn sweep(&mut self, now: Instant, forgettable: impl Fn(&V) -> bool) {
        self.0.retain(|_, part| {
            if Arc::strong_count(&part.value) > 1 || !forgettable(&part.value) {
                part.unused_since = None;
                return true;
            }
            let since = *part.unused_since.get_or_insert(now);
            now.saturating_duration_since(since) < KEEP_UNUSED
        });
    }
}

/// Locks; a panic elsewhere leaves counts at worst a little behind, so it does not spread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An endpoint's place among its cluster's.
type EndpointParts = Parts<SocketAddr, EndpointState>;

#[cfg(test)]
mod tests;
