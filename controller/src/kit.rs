//! What the parts of a controller work with.

use std::sync::Arc;

use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caches::{Caches, Reach};
use crate::clock::Clock;
use crate::leader::Gate;
use crate::metrics::Metrics;
use crate::traffic::Traffic;

/// What the parts of a controller work with.
#[derive(Clone)]
pub struct Kit {
    /// The way to the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// The proxies.
    pub traffic: Arc<dyn Traffic>,
    /// What is seen of the cluster.
    pub caches: Arc<Caches>,
    /// Whether anything may be written now. The client refuses what is written in spite of it.
    pub gate: Gate,
    /// What happened.
    pub metrics: Arc<Metrics>,
    /// How many objects of a kind are looked at at the same time.
    pub looks_at_once: usize,
}

// === impl Kit ===

impl Kit {
    /// For a part that works alone: caches of its own, which end with `stop`, and no lease.
    pub fn alone(
        client: Client,
        clock: Clock,
        traffic: Arc<dyn Traffic>,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            caches: Caches::start(&client, &Reach::default(), &TaskTracker::new(), stop),
            client,
            clock,
            traffic,
            gate: Gate::open(),
            metrics: Arc::default(),
            looks_at_once: Self::LOOKS_AT_ONCE,
        }
    }

    /// Argo's `--rollout-threads`, and a half more: a look here is no thread.
    pub const LOOKS_AT_ONCE: usize = 16;
}
