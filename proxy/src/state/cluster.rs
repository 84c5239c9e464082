//! A cluster's endpoints as all workers know them: how busy, and whether ejected.
//!
//! These few numbers are shared, because an endpoint that is down is down for every worker. They are
//! relaxed atomics: a worker that sees them an instant late picks an endpoint an instant late.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use uplink::check::OutlierPolicy;

use super::{ClusterTotals, EndpointParts, lock};
use crate::observe::series::{PoolShard, PoolTotals};

/// How often an endpoint's ejection gets longer, at most.
pub(super) const MAX_EJECTION_FACTOR: u32 = 10;

/// A cluster by name and revision.
#[derive(Debug)]
pub struct ClusterState {
    name: String,
    revision: String,
    started: Instant,
    endpoints: Mutex<EndpointParts>,
    pools: Box<[PoolShard]>,
}

/// An endpoint of a cluster.
#[derive(Debug)]
pub struct EndpointState {
    address: SocketAddr,
    started: Instant,
    active: AtomicU32,
    consecutive_failures: AtomicU32,
    /// Ejections in a row: each makes the next one longer, a success forgives one.
    ejections: AtomicU32,
    total_ejections: AtomicU64,
    /// Milliseconds since the process started; 0 for not ejected.
    ejected_until: AtomicU64,
    /// Whether the newest configuration lists it.
    listed: AtomicBool,
    /// When it was listed after it had not been: milliseconds since the process started.
    ready_since: AtomicU64,
}

/// An endpoint, at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTotals {
    /// Where it is.
    pub address: SocketAddr,
    /// Requests that it is answering.
    pub active: u32,
    /// Its failures since its last success.
    pub consecutive_failures: u32,
    /// Whether it is left out now.
    pub ejected: bool,
    /// How often it was ever ejected.
    pub ejections: u64,
}

// === impl ClusterState ===

impl ClusterState {
    pub(super) fn new(name: &str, revision: &str, workers: usize, started: Instant) -> Self {
        Self {
            name: name.to_owned(),
            revision: revision.to_owned(),
            started,
            endpoints: Mutex::default(),
            pools: (0..workers).map(|_| PoolShard::default()).collect(),
        }
    }

    /// The endpoints at these addresses, which are all that are ready from now on. Those that were not
    /// ready before begin to warm up.
    pub fn list(&self, addresses: &[SocketAddr], now: Instant) -> Vec<Arc<EndpointState>> {
        for endpoint in lock(&self.endpoints).values() {
            if !addresses.contains(&endpoint.address) {
                endpoint.listed.store(false, Ordering::Relaxed);
            }
        }
        let endpoints = addresses.iter().map(|address| {
            let endpoint = self.endpoint(*address);
            if !endpoint.listed.swap(true, Ordering::Relaxed) {
                endpoint
                    .ready_since
                    .store(endpoint.ms(now), Ordering::Relaxed);
            }
            endpoint
        });
        endpoints.collect()
    }

    /// The endpoint at this address, made where it is new.
    pub fn endpoint(&self, address: SocketAddr) -> Arc<EndpointState> {
        lock(&self.endpoints).get(address, || EndpointState::new(address, self.started))
    }

    pub(crate) fn pool(&self, worker: usize) -> &PoolShard {
        &self.pools[worker]
    }

    pub(super) fn collect(&self, now: Instant) -> ClusterTotals {
        let mut pool = PoolTotals::default();
        for shard in &self.pools {
            shard.add_to(&mut pool);
        }
        let endpoints = lock(&self.endpoints);
        ClusterTotals {
            cluster: self.name.clone(),
            revision: self.revision.clone(),
            pool,
            endpoints: endpoints
                .values()
                .map(|endpoint| endpoint.collect(now))
                .collect(),
        }
    }

    pub(super) fn sweep(&self, now: Instant) {
        lock(&self.endpoints).sweep(now, |_| true);
    }
}

// === impl EndpointState ===

impl EndpointState {
    fn new(address: SocketAddr, started: Instant) -> Self {
        Self {
            address,
            started,
            active: AtomicU32::new(0),
            consecutive_failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            total_ejections: AtomicU64::new(0),
            ejected_until: AtomicU64::new(0),
            listed: AtomicBool::new(false),
            ready_since: AtomicU64::new(0),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it is answering, over all workers.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether it is left out now.
    pub fn is_ejected(&self, now: Instant) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until != 0 && self.ms(now) < until
    }

    /// Whether it has been ready for so long.
    pub fn is_warm(&self, now: Instant, warm_up: Duration) -> bool {
        let since = self.ready_since.load(Ordering::Relaxed);
        self.ms(now).saturating_sub(since) >= crate::clock::micros(warm_up) / 1_000
    }

    pub(crate) fn begin(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// It answered below 500: its failures are forgotten, and one of its past ejections.
    pub(crate) fn succeeded(&self) {
        if self.consecutive_failures.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.consecutive_failures.store(0, Ordering::Relaxed);
        let ejections = self.ejections.load(Ordering::Relaxed);
        self.ejections
            .store(ejections.saturating_sub(1), Ordering::Relaxed);
    }

    /// It failed. True where that is once too often in a row, so that it may be ejected.
    pub(crate) fn failed(&self, policy: &OutlierPolicy) -> bool {
        let failures = self.consecutive_failures.fetch_add(1, Ordering::Relaxed) + 1;
        failures >= policy.consecutive_failures
    }

    /// Leaves it out for a while, longer each time.
    pub(crate) fn eject(&self, policy: &OutlierPolicy, now: Instant) {
        let times = self.ejections.fetch_add(1, Ordering::Relaxed) + 1;
        let length = policy.base_time * times.min(MAX_EJECTION_FACTOR);
        self.total_ejections.fetch_add(1, Ordering::Relaxed);
        self.consecutive_failures.store(0, Ordering::Relaxed);
        self.ejected_until
            .store(self.ms(now + length), Ordering::Relaxed);
    }

    fn ms(&self, at: Instant) -> u64 {
        let since: Duration = at.saturating_duration_since(self.started);
        crate::clock::micros(since) / 1_000
    }

    fn collect(&self, now: Instant) -> EndpointTotals {
        EndpointTotals {
            address: self.address,
            active: self.active(),
            consecutive_failures: self.consecutive_failures.load(Ordering::Relaxed),
            ejected: self.is_ejected(now),
            ejections: self.total_ejections.load(Ordering::Relaxed),
        }
    }
}
