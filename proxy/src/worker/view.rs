//! A worker's own view of the snapshot, in `Rc`s: what a request holds costs no shared count.
//!
//! It is built when the generation changes, and takes over from the view before it what must survive:
//! the connections to every endpoint that is still named.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use uplink::document::Protocol;

use crate::cluster::LocalCluster;
use crate::observe::Role;
use crate::observe::evidence::ArmState;
use crate::observe::series::{Series, SeriesShard};
use crate::snapshot::{CompiledArm, CompiledCluster, CompiledRoute, CompiledSplit, Snapshot};
use crate::upstream::LocalEndpoint;

/// The age threshold of routes without a split, which nothing judges.
const UNJUDGED_AGE: Duration = Duration::from_hours(1);

/// A snapshot as one worker uses it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) generation: u64,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) routes: Vec<Rc<LocalRoute>>,
    pub(crate) clusters: Vec<Rc<LocalCluster>>,
}

/// A route as one worker uses it.
#[derive(Debug)]
pub(crate) struct LocalRoute {
    pub(crate) name: Arc<str>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) split: Option<Arc<CompiledSplit>>,
    pub(crate) stable: Rc<LocalArm>,
    pub(crate) canary: Option<Rc<LocalArm>>,
}

/// One side of a route as one worker uses it.
#[derive(Debug)]
pub(crate) struct LocalArm {
    pub(crate) role: Role,
    pub(crate) cluster: Rc<LocalCluster>,
    pub(crate) series: Arc<Series>,
    pub(crate) evidence: Option<Arc<ArmState>>,
    pub(crate) age_threshold: Duration,
    pub(crate) warm_up: Duration,
}

/// What makes an endpoint the same one after a swap.
type EndpointKey = (String, String, SocketAddr, Protocol);

// === impl View ===

impl View {
    pub(crate) fn new(generation: u64, snapshot: Arc<Snapshot>, before: Option<&Self>) -> Self {
        let mut kept = before.map(Self::endpoints).unwrap_or_default();
        let clusters: Vec<_> = snapshot
            .clusters
            .iter()
            .map(|cluster| Rc::new(local(cluster, &mut kept)))
            .collect();
        let routes = snapshot
            .routes
            .iter()
            .map(|route| Rc::new(LocalRoute::new(route, &clusters)));
        Self {
            generation,
            routes: routes.collect(),
            clusters,
            snapshot,
        }
    }

    fn endpoints(&self) -> HashMap<EndpointKey, Rc<LocalEndpoint>> {
        let of_cluster = |cluster: &LocalCluster| {
            let key = (cluster.name.clone(), cluster.revision.clone());
            let endpoints = cluster.endpoints.iter().map(move |it| {
                let at = it.state.address();
                (
                    (key.0.clone(), key.1.clone(), at, it.protocol),
                    Rc::clone(it),
                )
            });
            endpoints.collect::<Vec<_>>()
        };
        self.clusters
            .iter()
            .flat_map(|cluster| of_cluster(cluster))
            .collect()
    }
}

fn local(
    cluster: &CompiledCluster,
    kept: &mut HashMap<EndpointKey, Rc<LocalEndpoint>>,
) -> LocalCluster {
    let config = &cluster.config;
    let endpoints = cluster.endpoints.iter().map(|state| {
        let key = (
            cluster.name.clone(),
            config.revision.clone(),
            state.address(),
            config.protocol,
        );
        let make = || Rc::new(LocalEndpoint::new(Arc::clone(state), config.protocol));
        kept.remove(&key).unwrap_or_else(make)
    });
    LocalCluster {
        endpoints: endpoints.collect(),
        name: cluster.name.clone(),
        revision: config.revision.clone(),
        protocol: config.protocol,
        state: Arc::clone(&cluster.state),
        connect_timeout: config.connect_timeout,
        outlier: config.outlier,
    }
}

// === impl LocalRoute ===

impl LocalRoute {
    fn new(route: &CompiledRoute, clusters: &[Rc<LocalCluster>]) -> Self {
        let split = route.split.as_ref();
        let limits = split.map_or((UNJUDGED_AGE, Duration::ZERO), |split| {
            (split.age_threshold, split.warm_up)
        });
        let arm = |arm: &CompiledArm| Rc::new(LocalArm::new(arm, clusters, limits));
        Self {
            name: Arc::clone(&route.name),
            timeout: route.timeout,
            split: route.split.clone(),
            stable: arm(&route.stable),
            canary: route.canary.as_ref().map(arm),
        }
    }
}

// === impl LocalArm ===

impl LocalArm {
    fn new(
        arm: &CompiledArm,
        clusters: &[Rc<LocalCluster>],
        (age_threshold, warm_up): (Duration, Duration),
    ) -> Self {
        Self {
            role: arm.role,
            cluster: Rc::clone(&clusters[arm.cluster]),
            series: Arc::clone(&arm.series),
            evidence: arm.evidence.clone(),
            age_threshold,
            warm_up,
        }
    }

    pub(crate) fn series_shard(&self, worker: usize) -> &SeriesShard {
        self.series.shard(worker)
    }
}
