//! What the proxy knows about what it did: evidence for the verdicts, and counters for people.
//!
//! Every count has one writer. A worker adds to its own shard with plain loads and stores of relaxed
//! atomics; the control thread sums the shards when it reports, judges or is scraped. So counting
//! costs no lock, no bus-locked instruction and no shared cache line on the request path, and a sum
//! may lag by the instants that its reading takes.
//!
//! [`evidence`] is what the fuse and the controller judge: per arm and weight epoch. [`series`] is what
//! Prometheus shows: per route and arm, cumulative. [`open`] is the worker's own table of requests
//! that still wait for their answer, without which a canary that hangs would look healthy.

use std::sync::atomic::{AtomicU64, Ordering};

pub mod buckets;
pub mod evidence;
pub mod open;
pub mod series;

/// A count with one writer, the worker that owns its shard, and any number of readers.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// Which side of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The revision that was there before; also the one cluster of a route without a split.
    Stable,
    /// The revision that is judged.
    Canary,
}

/// Why a first attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// The upstream answered 500 to 599.
    Status5xx,
    /// No connection could be made to any endpoint tried.
    Connect,
    /// The connection broke before the response head was complete.
    Reset,
    /// The route's timeout passed without a response head.
    Timeout,
    /// The response body ended before it was complete.
    Truncated,
    /// Open beyond the age threshold without a response head.
    TooOld,
    /// The canary's turn, and the canary had no usable endpoint.
    NoEndpoints,
}

// === impl Counter ===

impl Counter {
    /// Adds `n`. Call it from the one writer only.
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes `n` away. Call it from the one writer only.
    pub fn sub(&self, n: u64) {
        self.0.store(self.get().wrapping_sub(n), Ordering::Relaxed);
    }

    /// Sets the value. Call it from the one writer only.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// As many zero counters as the array has places.
pub(crate) fn zeros<const N: usize>() -> [Counter; N] {
    std::array::from_fn(|_| Counter::default())
}

/// Adds each counter to the sum at its place.
pub(crate) fn add_all<const N: usize>(sums: &mut [u64; N], counters: &[Counter; N]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.get();
    }
}

// === impl Role ===

impl Role {
    /// Both roles.
    pub const ALL: [Self; 2] = [Self::Stable, Self::Canary];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

// === impl FailureClass ===

impl FailureClass {
    /// All classes, in the order of their index.
    pub const ALL: [Self; 7] = [
        Self::Status5xx,
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Truncated,
        Self::TooOld,
        Self::NoEndpoints,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status5xx => "status_5xx",
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Truncated => "truncated",
            Self::TooOld => "too_old",
            Self::NoEndpoints => "no_endpoints",
        }
    }
}
