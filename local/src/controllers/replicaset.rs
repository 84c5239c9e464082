//! ReplicaSets: as many active pods as `spec.replicas` says.
//!
//! Pods are created from the template, up to a burst at a time, and deleted in Kubernetes' order:
//! those that serve least first (`controller_utils.go`, ActivePodsWithRanks). A pod that ended is
//! replaced and left to be looked at. Adoption of pods without an owner is not done; what a deleted
//! ReplicaSet leaves behind is the garbage collector's.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ReplicaSet, ReplicaSetStatus},
    core::v1::Pod,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    core::Selector,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Context, ReconcileError, controlled_by,
    drive::{Controller, Looked},
    failed,
    pods::{is_active, is_controlled_by, is_ready, phase, ready_since, until_available},
};
use crate::clock::Clock;

#[cfg(test)]
mod tests;

/// The most pods that one look creates or deletes, as Kubernetes' BurstReplicas.
const BURST: usize = 500;

/// What one look decides.
#[derive(Debug, PartialEq)]
pub struct Plan<'a> {
    /// How many pods to create.
    pub create: usize,
    /// Which pods to delete, the first ones first.
    pub delete: Vec<&'a Pod>,
    /// The status as it is.
    pub status: ReplicaSetStatus,
    /// When a pod becomes available by the passing of time alone.
    pub again: Option<Duration>,
}

/// Runs the controller until `stop`.
pub async fn run(client: Client, clock: Clock, stop: CancellationToken) {
    let context = Context::new(client.clone(), clock);
    let sets = Api::<ReplicaSet>::all(client.clone());
    Controller::new(sets)
        .owns(Api::<Pod>::all(client))
        .run(reconcile, context, stop)
        .await;
}

async fn reconcile(seen: Arc<ReplicaSet>, context: Arc<Context>) -> Looked {
    let namespace = seen.namespace().unwrap_or_default();
    let sets: Api<ReplicaSet> = context.api(&namespace);
    let set = sets
        .get_opt(&seen.name_any())
        .await
        .map_err(failed("read the ReplicaSet"))?;
    let Some(set) = set.filter(|set| set.uid() == seen.uid()) else {
        return Ok(None);
    };
    let pods = owned_pods(&set, &context).await?;
    let plan = plan(&set, &pods, context.clock.now());
    // Status first: an error while scaling must not hide what is.
    write_status(&sets, &set, &plan.status).await?;
    for _ in 0..plan.create {
        let template = set
            .spec
            .as_ref()
            .and_then(|spec| spec.template.clone())
            .unwrap_or_default();
        let place = (
            namespace.as_str(),
            seen.metadata.name.as_deref().unwrap_or_default(),
        );
        context
            .create_pod(controlled_by(&set)?, &template, place)
            .await?;
    }
    for pod in &plan.delete {
        context.delete_pod(pod).await?;
    }
    Ok(plan.again)
}

async fn owned_pods(set: &ReplicaSet, context: &Context) -> Result<Vec<Pod>, ReconcileError> {
    let selector = set
        .spec
        .as_ref()
        .map(|spec| spec.selector.clone())
        .unwrap_or_default();
    let selector = Selector::try_from(selector)
        .map_err(|error| ReconcileError::Invalid(format!("spec.selector: {error}")))?;
    let params = ListParams::default().labels_from(&selector);
    let pods: Api<Pod> = context.api(&set.namespace().unwrap_or_default());
    let mut pods = pods.list(&params).await.map_err(failed("list pods"))?.items;
    let uid = set.uid().unwrap_or_default();
    pods.retain(|pod| is_controlled_by(pod, &uid));
    Ok(pods)
}

async fn write_status(
    sets: &Api<ReplicaSet>,
    set: &ReplicaSet,
    status: &ReplicaSetStatus,
) -> Result<(), ReconcileError> {
    if set.status.as_ref().map(with_zeros).as_ref() == Some(&with_zeros(status)) {
        return Ok(());
    }
    let patch = json!({"metadata": {"uid": set.uid()}, "status": {
        "replicas": status.replicas,
        "fullyLabeledReplicas": status.fully_labeled_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "terminatingReplicas": status.terminating_replicas,
        "observedGeneration": status.observed_generation,
    }});
    sets.patch_status(
        &set.name_any(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await
    .map_err(failed("write the ReplicaSet's status"))?;
    Ok(())
}

/// Decides what a ReplicaSet needs, from the pods that it controls.
pub fn plan<'a>(set: &ReplicaSet, pods: &'a [Pod], now: Timestamp) -> Plan<'a> {
    let wanted = set
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let wanted = usize::try_from(wanted).unwrap_or(0);
    let mut active: Vec<&Pod> = pods.iter().filter(|pod| is_active(pod)).collect();
    let (status, again) = status(set, pods, &active, now);
    if set.metadata.deletion_timestamp.is_some() {
        return Plan {
            create: 0,
            delete: Vec::new(),
            status,
            again,
        };
    }
    active.sort_by_key(|pod| usefulness(pod));
    let surplus = active.len().saturating_sub(wanted).min(BURST);
    let create = wanted.saturating_sub(active.len()).min(BURST);
    active.truncate(surplus);
    Plan {
        create,
        delete: active,
        status,
        again,
    }
}

/// The less useful a pod, the smaller: without a node, then pending, then not ready, then ready for
/// the shorter time, then restarted more often, then younger.
fn usefulness(pod: &Pod) -> impl Ord + use<> {
    let assigned = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .is_some();
    let phase = match phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let restarts = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
        .map(|container| container.restart_count)
        .max()
        .unwrap_or(0);
    let created = pod.creation_timestamp().map(|time| time.0);
    let ready = (is_ready(pod), Reverse(ready_since(pod)));
    (
        assigned,
        phase,
        ready,
        Reverse(restarts),
        Reverse(created),
        pod.name_any(),
    )
}

fn status(
    set: &ReplicaSet,
    pods: &[Pod],
    active: &[&Pod],
    now: Timestamp,
) -> (ReplicaSetStatus, Option<Duration>) {
    let spec = set.spec.clone().unwrap_or_default();
    let min_ready = u64::try_from(spec.min_ready_seconds.unwrap_or(0)).unwrap_or(0);
    let template_labels = spec
        .template
        .and_then(|template| template.metadata)
        .and_then(|meta| meta.labels)
        .unwrap_or_default();
    let labelled = active.iter().filter(|pod| {
        template_labels
            .iter()
            .all(|(key, value)| pod.labels().get(key) == Some(value))
    });
    let waits: Vec<Duration> = active
        .iter()
        .filter_map(|pod| until_available(pod, Duration::from_secs(min_ready), now))
        .collect();
    let terminating = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_some() && !super::pods::is_finished(pod));
    let old = set.status.as_ref();
    let status = ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: Some(count(labelled.count())),
        ready_replicas: Some(count(waits.len())),
        available_replicas: Some(count(waits.iter().filter(|wait| wait.is_zero()).count())),
        terminating_replicas: Some(count(terminating.count())),
        observed_generation: set.metadata.generation,
        conditions: old.and_then(|status| status.conditions.clone()),
    };
    (
        status,
        waits.into_iter().filter(|wait| !wait.is_zero()).min(),
    )
}

/// A real API server leaves out what is zero.
fn with_zeros(status: &ReplicaSetStatus) -> ReplicaSetStatus {
    ReplicaSetStatus {
        fully_labeled_replicas: Some(status.fully_labeled_replicas.unwrap_or(0)),
        ready_replicas: Some(status.ready_replicas.unwrap_or(0)),
        available_replicas: Some(status.available_replicas.unwrap_or(0)),
        terminating_replicas: Some(status.terminating_replicas.unwrap_or(0)),
        ..status.clone()
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
