//! PodDisruptionBudgets: how many of a budget's pods may be evicted at this moment, kept in its
//! status, where the eviction subresource reads it (`pkg/controller/disruption`).
//!
//! The count that a percentage is of comes from the ReplicaSets and Deployments that control the
//! pods; a pod that nobody controls counts for itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::Pod,
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus},
    },
    apimachinery::pkg::{
        apis::meta::v1::{Condition, Time},
        util::intstr::IntOrString,
    },
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    core::{Selector, SelectorExt as _},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Context, ReconcileError,
    drive::{Controller, Looked, key_of},
    failed,
    pods::{is_active, is_ready},
};
use crate::clock::Clock;

#[cfg(test)]
mod tests;

/// How long an eviction counts although its pod is still there, as in Kubernetes.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(2);

/// What one look decides.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// The status as it is.
    pub status: PodDisruptionBudgetStatus,
    /// When an eviction that came to nothing stops counting.
    pub again: Option<Duration>,
}

/// Runs the controller until `stop`.
pub async fn run(client: Client, clock: Clock, stop: CancellationToken) {
    let context = Context::new(client.clone(), clock);
    let budgets = Api::<PodDisruptionBudget>::all(client.clone());
    let controller = Controller::new(budgets);
    let known = controller.known();
    controller
        .watches(Api::<Pod>::all(client), move |pod| {
            let covering = known.all().into_iter();
            covering
                .filter(|budget| covers(budget, pod))
                .map(|budget| key_of(&*budget))
                .collect()
        })
        .run(reconcile, context, stop)
        .await;
}

fn selector_of(budget: &PodDisruptionBudget) -> Option<Selector> {
    let selector = budget.spec.as_ref()?.selector.clone()?;
    Selector::try_from(selector).ok()
}

fn covers(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    budget.namespace() == pod.namespace()
        && selector_of(budget).is_some_and(|selector| selector.matches(pod.labels()))
}

async fn reconcile(seen: Arc<PodDisruptionBudget>, context: Arc<Context>) -> Looked {
    let namespace = seen.namespace().unwrap_or_default();
    let budgets: Api<PodDisruptionBudget> = context.api(&namespace);
    let budget = budgets
        .get_opt(&seen.name_any())
        .await
        .map_err(failed("read the PodDisruptionBudget"))?;
    let Some(budget) = budget.filter(|budget| budget.uid() == seen.uid()) else {
        return Ok(None);
    };
    let pods = match selector_of(&budget) {
        Some(selector) => {
            let pods: Api<Pod> = context.api(&namespace);
            let params = ListParams::default().labels_from(&selector);
            pods.list(&params).await.map_err(failed("list pods"))?.items
        }
        None => Vec::new(),
    };
    let expected = expected(&pods, &namespace, &context).await?;
    let plan = plan(&budget, &pods, expected, context.clock.now());
    if budget.status.as_ref() != Some(&plan.status) {
        // With the version that was read: an eviction in between must not be forgotten.
        let patch = json!({
            "metadata": {"uid": budget.uid(), "resourceVersion": budget.resource_version()},
            "status": replacing(&budget, &plan.status),
        });
        budgets
            .patch_status(
                &budget.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await
            .map_err(failed("write the PodDisruptionBudget's status"))?;
    }
    Ok(plan.again)
}

/// The status as a merge patch, which keeps what it does not mention.
fn replacing(
    budget: &PodDisruptionBudget,
    status: &PodDisruptionBudgetStatus,
) -> serde_json::Value {
    let mut patch = json!(status);
    let old = budget
        .status
        .iter()
        .flat_map(|status| &status.disrupted_pods);
    for name in old.flat_map(BTreeMap::keys) {
        if patch["disruptedPods"].get(name).is_none() {
            patch["disruptedPods"][name] = serde_json::Value::Null;
        }
    }
    patch
}

/// How many pods there should be, by whoever controls those that there are.
async fn expected(pods: &[Pod], namespace: &str, context: &Context) -> Result<i32, ReconcileError> {
    let sets: Api<ReplicaSet> = context.api(namespace);
    let deployments: Api<Deployment> = context.api(namespace);
    let mut counts: BTreeMap<String, i32> = BTreeMap::new();
    for pod in pods {
        let Some(owner) = controller_of(pod.owner_references(), "ReplicaSet") else {
            counts.insert(pod.uid().unwrap_or_default(), 1);
            continue;
        };
        if counts.contains_key(&owner.0) {
            continue;
        }
        let set = sets.get_opt(&owner.1).await;
        let Some(set) = set.map_err(failed("read a ReplicaSet"))? else {
            continue;
        };
        let Some(above) = controller_of(set.owner_references(), "Deployment") else {
            let replicas = set.spec.as_ref().and_then(|spec| spec.replicas);
            counts.insert(owner.0, replicas.unwrap_or(1));
            continue;
        };
        let deployment = deployments.get_opt(&above.1).await;
        if let Some(deployment) = deployment.map_err(failed("read a Deployment"))? {
            let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            counts.insert(above.0, replicas.unwrap_or(1));
        }
    }
    Ok(counts.values().sum())
}

/// Uid and name.
fn controller_of(
    owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference],
    kind: &str,
) -> Option<(String, String)> {
    let mut owners = owners.iter();
    let owner = owners.find(|owner| owner.controller == Some(true) && owner.kind == kind)?;
    Some((owner.uid.clone(), owner.name.clone()))
}

/// Decides what a budget allows, from the pods that it covers and how many there should be.
pub fn plan(budget: &PodDisruptionBudget, pods: &[Pod], expected: i32, now: Timestamp) -> Plan {
    let spec = budget.spec.clone().unwrap_or_default();
    let (expected, desired) = match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => (expected, (expected - share(most, expected)).max(0)),
        (None, Some(IntOrString::Int(least))) => (count(pods.len()), *least),
        (None, Some(least)) => (expected, share(least, expected)),
        (None, None) => (expected, expected),
    };
    let (disrupted, again) = still_disrupted(budget, pods, now);
    let healthy = pods
        .iter()
        .filter(|pod| is_active(pod) && is_ready(pod) && !disrupted.contains_key(&pod.name_any()));
    let healthy = count(healthy.count());
    let allowed = if expected <= 0 {
        0
    } else {
        (healthy - desired).max(0)
    };
    let status = PodDisruptionBudgetStatus {
        conditions: Some(vec![condition(budget, allowed > 0, now)]),
        current_healthy: healthy,
        desired_healthy: desired,
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        disruptions_allowed: allowed,
        expected_pods: expected,
        observed_generation: budget.metadata.generation,
    };
    Plan { status, again }
}

/// A number, or a percentage rounded up.
fn share(of: &IntOrString, total: i32) -> i32 {
    match of {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let share = (percent * i64::from(total) + 99).div_euclid(100);
            i32::try_from(share).unwrap_or(i32::MAX)
        }
    }
}

/// Evictions whose pods are still there and not yet on their way out.
fn still_disrupted(
    budget: &PodDisruptionBudget,
    pods: &[Pod],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Option<Duration>) {
    let known = budget.status.clone().unwrap_or_default().disrupted_pods;
    let mut disrupted = known.unwrap_or_default();
    let left = |since: &Time| {
        let lasted = now.duration_since(since.0).max(SignedDuration::ZERO);
        GIVEN_UP_AFTER.saturating_sub(lasted.unsigned_abs())
    };
    disrupted.retain(|name, since| {
        let waits = pods
            .iter()
            .any(|pod| pod.name_any() == *name && pod.metadata.deletion_timestamp.is_none());
        waits && !left(since).is_zero()
    });
    let again = disrupted.values().map(left).min();
    (disrupted, again)
}

fn condition(budget: &PodDisruptionBudget, allowed: bool, now: Timestamp) -> Condition {
    const KIND: &str = "DisruptionAllowed";
    let (status, reason) = if allowed {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    let old = budget.status.iter();
    let mut old = old.flat_map(|status| status.conditions.iter().flatten());
    let same = old.find(|one| one.type_ == KIND && one.status == status);
    Condition {
        type_: KIND.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        last_transition_time: same.map_or(Time(now), |one| one.last_transition_time.clone()),
        observed_generation: budget.metadata.generation,
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
