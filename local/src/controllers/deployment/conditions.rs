//! A Deployment's status: what is counted, and what is said about it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSetStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt as _;

use super::plan::{Sight, size};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const DONE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// The status, and when the deadline of progress is over.
pub(super) fn status(sight: &Sight<'_>, now: Timestamp) -> (DeploymentStatus, Option<Duration>) {
    let all = || sight.old.iter().copied().chain(sight.new);
    let sum = |of: fn(&ReplicaSetStatus) -> i32| -> i32 {
        all().filter_map(|set| set.status.as_ref()).map(of).sum()
    };
    let serving = sum(|status| status.available_replicas.unwrap_or(0));
    let total: i32 = all().map(size).sum();
    let updated = sight.new.and_then(|new| new.status.as_ref());
    let old = sight.deployment.status.clone().unwrap_or_default();
    let mut status = DeploymentStatus {
        available_replicas: Some(serving),
        collision_count: old.collision_count,
        conditions: None,
        observed_generation: sight.deployment.metadata.generation,
        ready_replicas: Some(sum(|status| status.ready_replicas.unwrap_or(0))),
        replicas: Some(sum(|status| status.replicas)),
        terminating_replicas: Some(sum(|status| status.terminating_replicas.unwrap_or(0))),
        unavailable_replicas: Some((total - serving).max(0)),
        updated_replicas: Some(updated.map_or(0, |status| status.replicas)),
    };
    let (progress, again) = progressing(sight, &status, now);
    let mut conditions = vec![availability(sight, serving, now)];
    conditions.extend(progress);
    status.conditions = Some(conditions);
    (status, again)
}

/// All pods are of the newest template, and serve.
pub(super) fn is_complete(sight: &Sight<'_>, status: &DeploymentStatus) -> bool {
    let wanted = Some(sight.wanted);
    sight.new.is_some()
        && status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
}

fn known<'a>(sight: &'a Sight<'_>, kind: &str) -> Option<&'a DeploymentCondition> {
    let status = sight.deployment.status.as_ref()?;
    status
        .conditions
        .iter()
        .flatten()
        .find(|one| one.type_ == kind)
}

/// The condition, with the times of the one before where that was the same.
fn condition(
    before: Option<&DeploymentCondition>,
    said: (&str, &str, &str, String),
    now: Timestamp,
) -> DeploymentCondition {
    let (kind, status, reason, message) = said;
    let now = Some(Time(now));
    let turned = before.filter(|one| one.status == status);
    let same = turned.filter(|one| one.reason.as_deref() == Some(reason));
    if let Some(same) = same {
        return same.clone();
    }
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: turned.map_or(now.clone(), |one| one.last_transition_time.clone()),
        last_update_time: now,
    }
}

fn availability(sight: &Sight<'_>, serving: i32, now: Timestamp) -> DeploymentCondition {
    let least = sight.wanted - sight.bounds().1.min(sight.wanted);
    let said = if serving >= least {
        let message = "Deployment has minimum availability.".to_owned();
        (AVAILABLE, "True", "MinimumReplicasAvailable", message)
    } else {
        let message = "Deployment does not have minimum availability.".to_owned();
        (AVAILABLE, "False", "MinimumReplicasUnavailable", message)
    };
    condition(known(sight, AVAILABLE), said, now)
}

fn progressing(
    sight: &Sight<'_>,
    status: &DeploymentStatus,
    now: Timestamp,
) -> (Option<DeploymentCondition>, Option<Duration>) {
    let Some(deadline) = sight
        .spec
        .progress_deadline_seconds
        .filter(|s| *s != i32::MAX)
    else {
        return (None, None);
    };
    let before = known(sight, PROGRESSING);
    let is = |reason: &str| before.and_then(|one| one.reason.as_deref()) == Some(reason);
    let name = sight.new.map_or_else(
        || format!("Deployment {:?}", sight.deployment.name_any()),
        |new| format!("ReplicaSet {:?}", new.name_any()),
    );
    // Complete once, it is asked again only when there is another rollout.
    if is(DONE) && status.replicas == status.updated_replicas && sight.new.is_some() {
        return (before.cloned(), None);
    }
    if is_complete(sight, status) {
        let message = format!("{name} has successfully progressed.");
        let said = (PROGRESSING, "True", DONE, message);
        return (Some(condition(before, said, now)), None);
    }
    let moved = before.is_none() || is(DONE) || has_moved(sight, status);
    if moved {
        let said = (
            PROGRESSING,
            "True",
            "ReplicaSetUpdated",
            format!("{name} is progressing."),
        );
        let mut one = condition(before, said, now);
        one.last_update_time = Some(Time(now));
        let again = Duration::from_secs(u64::try_from(deadline).unwrap_or(0));
        return (Some(one), Some(again));
    }
    if is(TIMED_OUT) {
        return (before.cloned(), None);
    }
    let since = before
        .and_then(|one| one.last_update_time.as_ref())
        .map_or(now, |time| time.0);
    let lasted = now
        .duration_since(since)
        .max(SignedDuration::ZERO)
        .unsigned_abs();
    let left = Duration::from_secs(u64::try_from(deadline).unwrap_or(0)).saturating_sub(lasted);
    if left.is_zero() {
        let message = format!("{name} has timed out progressing.");
        let said = (PROGRESSING, "False", TIMED_OUT, message);
        return (Some(condition(before, said, now)), None);
    }
    (before.cloned(), Some(left))
}

/// More new pods, fewer old ones, or more that serve than were counted last.
fn has_moved(sight: &Sight<'_>, status: &DeploymentStatus) -> bool {
    let old = sight.deployment.status.clone().unwrap_or_default();
    let count = |number: Option<i32>| number.unwrap_or(0);
    let olds = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(status.updated_replicas) > count(old.updated_replicas)
        || olds(status) < olds(&old)
        || count(status.ready_replicas) > count(old.ready_replicas)
        || count(status.available_replicas) > count(old.available_replicas)
}
