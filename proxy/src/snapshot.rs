//! The snapshot: a checked configuration, compiled for the request path.
//!
//! Names are resolved, hosts and paths are in the shape that the search wants, every metric child
//! exists. It is immutable; a new configuration makes a new snapshot, and [`Shared::install`] swaps
//! it in for all workers at once. What must survive the swap is in [`State`], and the snapshot only
//! points there. Workers notice the new generation with one load per request.
//!
//! [`Shared::install`]: crate::worker::Shared::install

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uplink::check::{
    Backend, CheckedCluster, CheckedConfig, CheckedHeaderRoute, CheckedOverride, CheckedRoute,
    CheckedSplit, CheckedSticky, Salt,
};
use uplink::weight::EpochWeight;

use crate::observe::Role;
use crate::observe::evidence::ArmState;
use crate::observe::series::{Series, SeriesKey};
use crate::route::Table;
use crate::state::{CanaryState, ClusterState, EndpointState, SplitState, State};
use crate::tls::TlsSetup;

/// A configuration in the form that requests are routed by.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) table: Table,
    pub(crate) routes: Vec<CompiledRoute>,
    pub(crate) splits: Vec<Arc<CompiledSplit>>,
    pub(crate) clusters: Vec<Arc<CompiledCluster>>,
    pub(crate) tls: TlsSetup,
}

/// A route, its conditions aside: those are in the table.
#[derive(Debug)]
pub(crate) struct CompiledRoute {
    pub(crate) name: Arc<str>,
    /// From the request head to the response head.
    pub(crate) timeout: Option<Duration>,
    pub(crate) stable: CompiledArm,
    pub(crate) canary: Option<CompiledArm>,
    pub(crate) split: Option<Arc<CompiledSplit>>,
}

/// One side of a route.
#[derive(Clone, Debug)]
pub(crate) struct CompiledArm {
    pub(crate) role: Role,
    /// Its cluster's place in the snapshot.
    pub(crate) cluster: usize,
    pub(crate) series: Arc<Series>,
    /// Where evidence is counted; `None` for a route without a split.
    pub(crate) evidence: Option<Arc<ArmState>>,
}

/// A split's settings.
#[derive(Debug)]
pub(crate) struct CompiledSplit {
    pub(crate) state: Arc<SplitState>,
    pub(crate) canary: Arc<CanaryState>,
    pub(crate) has_canary: bool,
    pub(crate) stable_revision: String,
    pub(crate) document_weight: EpochWeight,
    pub(crate) max_weight: u32,
    pub(crate) sticky: Option<CheckedSticky>,
    pub(crate) salt: Salt,
    pub(crate) override_: Option<CheckedOverride>,
    pub(crate) header_routes: Vec<CheckedHeaderRoute>,
    pub(crate) fallback_to_stable: bool,
    pub(crate) age_threshold: Duration,
    pub(crate) warm_up: Duration,
}

/// A cluster and its endpoints.
#[derive(Debug)]
pub(crate) struct CompiledCluster {
    pub(crate) name: String,
    pub(crate) state: Arc<ClusterState>,
    pub(crate) config: CheckedCluster,
    pub(crate) endpoints: Vec<Arc<EndpointState>>,
}

/// What compiling goes through: places of splits and clusters by name.
struct Compiler<'a> {
    config: &'a CheckedConfig,
    state: &'a State,
    splits: BTreeMap<&'a str, Arc<CompiledSplit>>,
    clusters: BTreeMap<&'a str, usize>,
}

/// Compiles a checked configuration with its rehearsed certificates. Nothing is in force before the
/// snapshot is installed; only series appear, at zero.
pub fn compile(
    config: &CheckedConfig,
    tls: TlsSetup,
    state: &Arc<State>,
    now: Instant,
) -> Snapshot {
    let clusters = config
        .clusters
        .keys()
        .enumerate()
        .map(|(place, name)| (name.as_str(), place));
    let splits = config.splits.iter().map(|(name, split)| {
        (
            name.as_str(),
            Arc::new(compile_split(config, name, split, state)),
        )
    });
    let compiler = Compiler {
        config,
        state,
        splits: splits.collect(),
        clusters: clusters.collect(),
    };
    Snapshot {
        table: Table::new(&config.routes),
        routes: config
            .routes
            .iter()
            .map(|route| compiler.route(route))
            .collect(),
        clusters: config
            .clusters
            .iter()
            .map(|(name, cluster)| Arc::new(compile_cluster(name, cluster, state, now)))
            .collect(),
        splits: compiler.splits.into_values().collect(),
        tls,
    }
}

fn compile_split(
    config: &CheckedConfig,
    name: &str,
    split: &CheckedSplit,
    state: &State,
) -> CompiledSplit {
    let revision = |cluster: &str| config.clusters.get(cluster).map(|it| it.revision.clone());
    let canary_revision = split
        .canary
        .as_deref()
        .and_then(revision)
        .unwrap_or_default();
    let split_state = state.split(name, &split.rollout_uid);
    CompiledSplit {
        canary: split_state.canary(&canary_revision),
        has_canary: split.canary.is_some(),
        stable_revision: revision(&split.stable).unwrap_or_default(),
        state: split_state,
        document_weight: split.weight,
        max_weight: split.max_weight,
        sticky: split.sticky.clone(),
        salt: split.salt,
        override_: split.override_.clone(),
        header_routes: split.header_routes.clone(),
        fallback_to_stable: split.fallback_to_stable,
        age_threshold: split.age_threshold,
        warm_up: split.warm_up,
    }
}

fn compile_cluster(
    name: &str,
    cluster: &CheckedCluster,
    state: &State,
    now: Instant,
) -> CompiledCluster {
    let cluster_state = state.cluster(name, &cluster.revision);
    CompiledCluster {
        name: name.to_owned(),
        endpoints: cluster_state.list(&cluster.endpoints, now),
        state: cluster_state,
        config: cluster.clone(),
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// What is in force before the first configuration: no route.
    pub fn empty() -> Self {
        Self {
            table: Table::new(&[]),
            routes: Vec::new(),
            splits: Vec::new(),
            clusters: Vec::new(),
            tls: TlsSetup::default(),
        }
    }

    /// Its certificates, for `/config`.
    pub fn tls(&self) -> &TlsSetup {
        &self.tls
    }
}

// === impl Compiler ===

impl Compiler<'_> {
    fn route(&self, route: &CheckedRoute) -> CompiledRoute {
        let split = match &route.backend {
            Backend::Split(name) => self.splits.get(name.as_str()).map(|split| (name, split)),
            Backend::Cluster(_) => None,
        };
        let arm = |role, cluster: &str| self.arm(&route.name, split, role, cluster);
        let (stable, canary) = match &route.backend {
            Backend::Cluster(cluster) => (arm(Role::Stable, cluster), None),
            Backend::Split(name) => {
                let config = &self.config.splits[name];
                let canary = config
                    .canary
                    .as_deref()
                    .map(|cluster| arm(Role::Canary, cluster));
                (arm(Role::Stable, &config.stable), canary)
            }
        };
        CompiledRoute {
            name: route.name.as_str().into(),
            timeout: route.timeout,
            stable,
            canary,
            split: split.map(|(_, split)| Arc::clone(split)),
        }
    }

    fn arm(
        &self,
        route: &str,
        split: Option<(&String, &Arc<CompiledSplit>)>,
        role: Role,
        cluster: &str,
    ) -> CompiledArm {
        let revision = &self.config.clusters[cluster].revision;
        let key = SeriesKey {
            route: route.to_owned(),
            split: split.map(|(name, _)| name.clone()).unwrap_or_default(),
            role,
            revision: revision.clone(),
        };
        CompiledArm {
            role,
            cluster: self.clusters[cluster],
            series: self.state.series(&key),
            evidence: split.map(|(_, split)| split.state.arm(role, revision)),
        }
    }
}
