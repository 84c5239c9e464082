//! Observe: what is, as plain data. Read from the watch caches and from the proxies; everything
//! after this works on [`Observed`] alone.

use std::collections::{BTreeMap, BTreeSet};

use crds::{AnalysisRun, PodTemplate, Rollout};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::{Resource as _, ResourceExt as _};

use super::workload::WorkloadView;
use super::{names, plan, spec};
use crate::analysis::compose::Templates;
use crate::traffic::TrafficView;

/// All that a plan is made from, beside the Rollout itself.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The ReplicaSets that the Rollout controls.
    pub replica_sets: Vec<ReplicaSetView>,
    /// ReplicaSets without a controller that it selects, and those of its own that it selects no
    /// more.
    pub claims: Vec<Claim>,
    /// Its pods, where a plan needs them ([`wants_pods`]).
    pub pods: Vec<PodView>,
    /// The Services that it names and that exist, by name.
    pub services: BTreeMap<String, ServiceView>,
    /// The AnalysisRuns that it controls.
    pub runs: Vec<AnalysisRun>,
    /// Names of AnalysisRuns of its namespace that it does not control.
    pub foreign_runs: BTreeSet<String>,
    /// The templates that it may refer to.
    pub templates: Templates,
    /// What the proxies say, about the newest revision.
    pub traffic: TrafficView,
    /// Why it may not use the fleet that it names, which is of another namespace.
    pub ungranted: Option<String>,
    /// An older Rollout that has one of its hostnames of the same fleet.
    pub rival: Option<Rival>,
    /// The workload that its pods are taken from.
    pub workload: Option<WorkloadView>,
}

/// A Rollout that was first to claim a hostname.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its `namespace/name`.
    pub rollout: String,
    /// The hostname, or none where both claim every request.
    pub hostname: Option<String>,
}

/// A ReplicaSet whose owner is to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// The version that the write relies on.
    pub resource_version: String,
    /// Its owners after that.
    pub owners: Vec<OwnerReference>,
}

/// What matters of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// The version that writes rely on.
    pub resource_version: String,
    /// The UID of its ReplicaSet.
    pub owner: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// Whether it was ready for long enough.
    pub available: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What matters of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaSetView {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version that writes rely on.
    pub resource_version: String,
    /// Its pod-template hash.
    pub hash: String,
    /// The number of its revision; 0 when it has none yet.
    pub revision: i64,
    /// When it was created.
    pub created: Timestamp,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its pods.
    pub template: PodTemplate,
    /// Seconds that a pod is ready before it counts.
    pub min_ready_seconds: i32,
    /// Pods that it should have.
    pub desired: i32,
    /// Pods that it has.
    pub current: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that are available.
    pub available: i32,
    /// Whether its status is about its newest spec.
    pub observed: bool,
    /// Why it cannot create pods, where that is so: reason and message.
    pub failure: Option<(String, String)>,
}

/// What matters of a Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceView {
    /// The version that writes rely on.
    pub resource_version: String,
    /// Its selector.
    pub selector: BTreeMap<String, String>,
    /// Which Rollout manages it.
    pub managed_by: Option<String>,
}

/// Whether a plan for this Rollout needs to see its pods: for metadata that they carry for a while,
/// and for a restart.
pub fn wants_pods(rollout: &Rollout, now: Timestamp) -> bool {
    let spec = &rollout.spec;
    let time = |time: &Time| time.0;
    let restarted_at = rollout
        .status
        .as_ref()
        .and_then(|status| status.restarted_at.as_ref());
    let restarts = plan::restarts(
        spec.restart_at.as_ref().map(time),
        restarted_at.map(time),
        now,
    );
    let strategy = spec.strategy.as_ref();
    let canary = strategy.and_then(|strategy| strategy.canary.as_ref());
    let blue_green = strategy.and_then(|strategy| strategy.blue_green.as_ref());
    restarts
        || canary.is_some_and(|canary| {
            canary.canary_metadata.is_some() || canary.stable_metadata.is_some()
        })
        || blue_green.is_some_and(|blue_green| {
            blue_green.preview_metadata.is_some() || blue_green.active_metadata.is_some()
        })
}

/// What is to become of a ReplicaSet's owner, if anything: one that nobody controls and that the
/// Rollout selects is taken, one of its own that it selects no more is let go.
pub fn claim(rollout: &Rollout, set: &ObjectMeta) -> Option<Claim> {
    let ours = rollout.controller_owner_ref(&())?;
    let selector = rollout.spec.selector.as_ref()?;
    let labels = set.labels.clone().unwrap_or_default();
    let selects = spec::selects(selector, &labels);
    let mut owners = set.owner_references.clone().unwrap_or_default();
    let controller = owners
        .iter()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid == ours.uid);
    match (controller, selects) {
        (None, true) => {
            // Only what a Rollout made has its label.
            labels.get(names::POD_TEMPLATE_HASH_LABEL)?;
            owners.retain(|owner| owner.uid != ours.uid);
            owners.push(ours);
        }
        (Some(true), false) => owners.retain(|owner| owner.uid != ours.uid),
        _ => return None,
    }
    Some(Claim {
        name: set.name.clone()?,
        resource_version: set.resource_version.clone()?,
        owners,
    })
}

// === impl PodView ===

impl PodView {
    /// A pod as it is at `now`, where a pod must be ready for so many seconds to count.
    pub fn new(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> Self {
        let owners = pod.owner_references().iter();
        let mut controller = owners.filter(|owner| owner.controller == Some(true));
        Self {
            name: pod.name_any(),
            resource_version: pod.resource_version().unwrap_or_default(),
            owner: controller
                .next()
                .map(|owner| owner.uid.clone())
                .unwrap_or_default(),
            created: pod
                .creation_timestamp()
                .map(|time| time.0)
                .unwrap_or_default(),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            available: is_available(pod, min_ready_seconds, now),
            labels: pod.labels().clone(),
            annotations: pod.annotations().clone(),
        }
    }
}

fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready.is_some_and(|ready| {
        let since = ready.last_transition_time.as_ref().map(|time| time.0);
        let wait = SignedDuration::from_secs(i64::from(min_ready_seconds));
        min_ready_seconds <= 0
            || since
                .and_then(|since| since.saturating_add(wait).ok())
                .is_some_and(|at| at <= now)
    })
}

// === impl ReplicaSetView ===

impl ReplicaSetView {
    /// When it may go to zero, if that is set.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.annotations
            .get(names::SCALE_DOWN_DEADLINE)?
            .parse()
            .ok()
    }

    /// Whether somebody set a deadline, readable or not.
    pub fn has_deadline(&self) -> bool {
        self.annotations.contains_key(names::SCALE_DOWN_DEADLINE)
    }

    /// The Rollout's size when this was last sized.
    pub fn annotated_replicas(&self) -> Option<i32> {
        self.annotations.get(names::DESIRED_REPLICAS)?.parse().ok()
    }
}

impl From<&ReplicaSet> for ReplicaSetView {
    fn from(set: &ReplicaSet) -> Self {
        let spec = set.spec.as_ref();
        let status = set.status.as_ref();
        let count = |count: Option<i32>| count.unwrap_or_default();
        let annotations = set.annotations().clone();
        let template = spec.and_then(|spec| spec.template.as_ref());
        let failure = status
            .and_then(|status| status.conditions.as_ref())
            .and_then(|conditions| {
                conditions.iter().find(|condition| {
                    condition.type_ == "ReplicaFailure" && condition.status == "True"
                })
            });
        Self {
            name: set.name_any(),
            uid: set.uid().unwrap_or_default(),
            resource_version: set.resource_version().unwrap_or_default(),
            hash: set
                .labels()
                .get(names::POD_TEMPLATE_HASH_LABEL)
                .cloned()
                .unwrap_or_default(),
            revision: annotations
                .get(names::REVISION)
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
            created: set
                .creation_timestamp()
                .map(|time| time.0)
                .unwrap_or_default(),
            template: template
                .and_then(|template| serde_json::to_value(template).ok())
                .and_then(PodTemplate::from_value)
                .unwrap_or_default(),
            annotations,
            min_ready_seconds: count(spec.and_then(|spec| spec.min_ready_seconds)),
            desired: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            current: status.map(|status| status.replicas).unwrap_or_default(),
            ready: count(status.and_then(|status| status.ready_replicas)),
            available: count(status.and_then(|status| status.available_replicas)),
            observed: status.and_then(|status| status.observed_generation) >= set.meta().generation,
            failure: failure.map(|condition| {
                (
                    condition.reason.clone().unwrap_or_default(),
                    condition.message.clone().unwrap_or_default(),
                )
            }),
        }
    }
}

// === impl ServiceView ===

impl ServiceView {
    /// The hash that it selects.
    pub fn hash(&self) -> Option<&str> {
        self.selector
            .get(names::POD_TEMPLATE_HASH_LABEL)
            .map(String::as_str)
    }
}

impl From<&Service> for ServiceView {
    fn from(service: &Service) -> Self {
        Self {
            resource_version: service.resource_version().unwrap_or_default(),
            selector: service
                .spec
                .as_ref()
                .and_then(|spec| spec.selector.clone())
                .unwrap_or_default(),
            managed_by: service.annotations().get(names::MANAGED_BY).cloned(),
        }
    }
}

/// Whether `owner` controls an object.
pub fn is_controlled_by<K: kube::Resource>(object: &K, owner: &Rollout) -> bool {
    controls(owner, object.meta())
}

/// Whether `owner` controls the object with that metadata.
pub fn controls(owner: &Rollout, meta: &ObjectMeta) -> bool {
    let Some(uid) = owner.metadata.uid.as_deref() else {
        return false;
    };
    let references = meta.owner_references.as_deref().unwrap_or_default();
    references
        .iter()
        .any(|reference| reference.controller == Some(true) && reference.uid == uid)
}
