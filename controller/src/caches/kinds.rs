//! What is kept of each kind, and what it is found by.

use std::sync::Arc;

use crds::plugin::ProxyRouting;
use crds::rollout::CanaryStrategy;
use crds::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, PodTemplate, Rollout};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt as _};

use super::kept::Keep;
use crate::publish::claims;
use crate::rollout::names;
use crate::rollout::observe::{ReplicaSetView, controls};

/// An object of ours, or why it cannot be read.
#[derive(Debug)]
pub struct Parsed<K> {
    meta: ObjectMeta,
    /// The object, or why it cannot be read.
    pub object: Result<Arc<K>, String>,
}

/// An object as the API server's types have it.
#[derive(Debug)]
pub struct Plain<K>(pub Arc<K>);

/// A ReplicaSet.
#[derive(Debug)]
pub struct KeptSet {
    meta: ObjectMeta,
    /// What matters of it.
    pub view: ReplicaSetView,
}

/// What a ReplicaSet is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetIndex {
    /// The UID of its controller.
    Owner(String),
    /// It has none; its namespace.
    Orphan(String),
}

/// What an object is found by.
pub trait Indexed {
    /// What that is.
    type Index: Clone + Ord + Send + Sync + 'static;

    /// All that it is found by.
    fn indexed(&self) -> Vec<Self::Index>;
}

/// What a Rollout is found by. The first text is its namespace, or the fleet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RolloutIndex {
    /// It names that Service.
    Service(String, String),
    /// It has the condition InvalidSpec.
    Invalid(String),
    /// It names templates of analysis.
    Analysed(String),
    /// It takes its pods from that workload: kind and name.
    Workload(String, String, String),
    /// Of that fleet (`namespace/name`) it claims that: a hostname, or every request.
    Claim(String, String),
    /// It uses that fleet, which is of another namespace.
    Guest(String),
    /// Our proxies route its traffic.
    Routed(String),
    /// Our proxies need that Secret for it.
    Secret(String, String),
}

// === impl Parsed ===

impl<K> Parsed<K> {
    /// `meta` tells objects apart; the object has its own.
    pub(crate) fn new(meta: ObjectMeta, object: Result<K, String>) -> Self {
        Self {
            meta,
            object: object.map(Arc::new),
        }
    }
}

impl<K: Indexed + Send + Sync + 'static> Keep for Parsed<K> {
    type Index = K::Index;

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn indexed(&self) -> Vec<K::Index> {
        self.object
            .as_ref()
            .map(|object| object.indexed())
            .unwrap_or_default()
    }
}

// === impl Plain ===

impl<K: Resource + Indexed + Send + Sync + 'static> Keep for Plain<K> {
    type Index = K::Index;

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn indexed(&self) -> Vec<K::Index> {
        self.0.indexed()
    }
}

// === impl KeptSet ===

impl KeptSet {
    /// `template` is the pod template as it came, known to us or not.
    pub(super) fn new(mut set: ReplicaSet, template: Option<PodTemplate>) -> Self {
        let mut view = ReplicaSetView::from(&set);
        view.template = template.unwrap_or_default();
        // The view has them.
        set.metadata.annotations = None;
        Self {
            meta: set.metadata,
            view,
        }
    }

    /// Whether `owner` controls it.
    pub fn is_controlled_by(&self, owner: &Rollout) -> bool {
        controls(owner, &self.meta)
    }

    /// The name of the Rollout that it belongs to.
    pub fn owner(&self) -> Option<&str> {
        owner_of(&self.meta)
    }

    /// Whether it is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }
}

impl Keep for KeptSet {
    type Index = SetIndex;

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn indexed(&self) -> Vec<SetIndex> {
        let owners: Vec<_> = controller_uid(&self.meta)
            .into_iter()
            .map(SetIndex::Owner)
            .collect();
        if owners.is_empty() {
            let namespace = self.meta.namespace.clone().unwrap_or_default();
            return vec![SetIndex::Orphan(namespace)];
        }
        owners
    }
}

/// The UID of an object's controller, where it has one.
fn controller_uid(meta: &ObjectMeta) -> Vec<String> {
    let owners = meta.owner_references.iter().flatten();
    let controllers = owners.filter(|owner| owner.controller == Some(true));
    controllers.map(|owner| owner.uid.clone()).collect()
}

/// The name of the Rollout that an object belongs to, whether it still exists or not.
pub fn owner_of(meta: &ObjectMeta) -> Option<&str> {
    let mut owners = meta.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.kind == "Rollout");
    owner.map(|owner| owner.name.as_str())
}

impl Indexed for AnalysisRun {
    /// The UID of its controller.
    type Index = String;

    fn indexed(&self) -> Vec<String> {
        controller_uid(&self.metadata)
    }
}

impl Indexed for AnalysisTemplate {
    /// Its namespace.
    type Index = String;

    fn indexed(&self) -> Vec<String> {
        self.metadata.namespace.iter().cloned().collect()
    }
}

impl Indexed for ClusterAnalysisTemplate {
    type Index = ();

    fn indexed(&self) -> Vec<()> {
        vec![()]
    }
}

impl Indexed for Service {
    /// The namespace and the name of the Rollout that manages it.
    type Index = (String, String);

    fn indexed(&self) -> Vec<(String, String)> {
        let manager = self.annotations().get(names::MANAGED_BY).cloned();
        let namespace = self.namespace().unwrap_or_default();
        manager.map(|name| (namespace, name)).into_iter().collect()
    }
}

impl Indexed for Pod {
    /// Its namespace.
    type Index = String;

    fn indexed(&self) -> Vec<String> {
        self.metadata.namespace.iter().cloned().collect()
    }
}

impl Indexed for Secret {
    type Index = ();

    fn indexed(&self) -> Vec<()> {
        Vec::new()
    }
}

impl Indexed for Rollout {
    type Index = RolloutIndex;

    fn indexed(&self) -> Vec<RolloutIndex> {
        let namespace = self.namespace().unwrap_or_default();
        let mut found = Vec::new();
        let services = service_names(self).into_iter();
        found.extend(services.map(|name| RolloutIndex::Service(namespace.clone(), name)));
        if is_invalid(self) {
            found.push(RolloutIndex::Invalid(namespace.clone()));
        }
        if is_analysed(self) {
            found.push(RolloutIndex::Analysed(namespace.clone()));
        }
        if let Some(workload) = &self.spec.workload_ref {
            found.push(RolloutIndex::Workload(
                namespace.clone(),
                workload.kind.clone().unwrap_or_default(),
                workload.name.clone().unwrap_or_default(),
            ));
        }
        if let Some(block) = ProxyRouting::of(self) {
            found.push(RolloutIndex::Routed(namespace.clone()));
            if let Ok(routing) = block {
                let fleet = routing.fleet_of(&namespace, &self.name_any());
                let claims = claims::claims(&routing.hostnames).into_iter();
                found.extend(claims.map(|claim| RolloutIndex::Claim(fleet.clone(), claim)));
                if !fleet.starts_with(&format!("{namespace}/")) {
                    found.push(RolloutIndex::Guest(fleet));
                }
                let secret = routing.tls_secret.into_iter();
                found.extend(secret.map(|name| RolloutIndex::Secret(namespace.clone(), name)));
            }
        }
        found
    }
}

fn is_invalid(rollout: &Rollout) -> bool {
    let conditions = rollout.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "InvalidSpec")
}

/// Whether anything of a Rollout is decided by analysis.
pub fn is_analysed(rollout: &Rollout) -> bool {
    let Some(strategy) = &rollout.spec.strategy else {
        return false;
    };
    let by_canary = strategy
        .canary
        .as_ref()
        .is_some_and(|canary: &CanaryStrategy| {
            canary.analysis.is_some()
                || canary
                    .steps
                    .iter()
                    .flatten()
                    .any(|step| step.analysis.is_some() || step.experiment.is_some())
        });
    let by_blue_green = strategy.blue_green.as_ref().is_some_and(|way| {
        way.pre_promotion_analysis.is_some() || way.post_promotion_analysis.is_some()
    });
    by_canary || by_blue_green
}

/// The Services that a Rollout names.
pub fn service_names(rollout: &Rollout) -> Vec<String> {
    let Some(strategy) = &rollout.spec.strategy else {
        return Vec::new();
    };
    let mut names = Vec::new();
    if let Some(canary) = &strategy.canary {
        names.extend([
            canary.stable_service.as_ref(),
            canary.canary_service.as_ref(),
        ]);
        let pair = canary.ping_pong.iter();
        names.extend(pair.flat_map(|pair| [Some(&pair.ping_service), Some(&pair.pong_service)]));
    }
    if let Some(way) = &strategy.blue_green {
        names.extend([Some(&way.active_service), way.preview_service.as_ref()]);
    }
    let names = names.into_iter().flatten();
    names.filter(|name| !name.is_empty()).cloned().collect()
}

/// Only what is read of a Service: selector, ports, who manages it.
pub(super) fn trim_service(service: &mut Service) {
    service.status = None;
    service.metadata.labels = None;
    service.metadata.owner_references = None;
    if let Some(spec) = &mut service.spec {
        spec.cluster_ips = None;
        spec.external_ips = None;
        spec.load_balancer_source_ranges = None;
    }
}

/// Only what is read of a pod: whose it is, where it is, whether it is ready, its ports' names.
pub(super) fn trim_pod(pod: &mut Pod) {
    pod.metadata.annotations = None;
    if let Some(spec) = &mut pod.spec {
        let containers = std::mem::take(&mut spec.containers);
        let ports = containers
            .into_iter()
            .map(|container| k8s_openapi::api::core::v1::Container {
                name: container.name,
                ports: container.ports,
                ..Default::default()
            });
        *spec = k8s_openapi::api::core::v1::PodSpec {
            containers: ports.collect(),
            ..Default::default()
        };
    }
    if let Some(status) = &mut pod.status {
        let mut conditions = std::mem::take(&mut status.conditions);
        if let Some(all) = &mut conditions {
            all.retain(|condition| condition.type_ == "Ready");
        }
        *status = k8s_openapi::api::core::v1::PodStatus {
            conditions,
            phase: status.phase.take(),
            pod_ip: status.pod_ip.take(),
            ..Default::default()
        };
    }
}
