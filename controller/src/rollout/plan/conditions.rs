//! The conditions: the state in detail, by Argo's types, reasons and sentences.
//!
//! A condition is replaced when its status or reason changes, and its transition time moves only
//! with its status. `Progressing` is special: it is written anew on every progress, because its
//! update time is what the progress deadline is counted from.

use crds::Unknown;
use crds::rollout::RolloutStatus;
use crds::rollout::status::RolloutCondition;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::abort::Abort;
use super::{Draft, EventNote, Plan, Scene, blue_green, deadline, status};
use crate::rollout::spec::Way;

const PROGRESSING: &str = "Progressing";
const HEALTHY: &str = "Healthy";
const PAUSED: &str = "Paused";
const COMPLETED: &str = "Completed";

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    True,
    False,
    Unknown,
}

/// A condition without times.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    type_: &'static str,
    verdict: Verdict,
    reason: String,
    message: String,
}

pub(super) fn new(type_: &'static str, verdict: Verdict, reason: &str, message: &str) -> Statement {
    Statement {
        type_,
        verdict,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

pub(super) fn find<'a>(
    conditions: &'a [RolloutCondition],
    type_: &str,
) -> Option<&'a RolloutCondition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

pub(super) fn is_true(conditions: &[RolloutCondition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Writes a condition if its status or reason is new. True if so.
pub(super) fn set(
    conditions: &mut Vec<RolloutCondition>,
    statement: Statement,
    now: Timestamp,
) -> bool {
    let before = find(conditions, statement.type_);
    let verdict = statement.verdict.as_str();
    if before.is_some_and(|before| before.status == verdict && before.reason == statement.reason) {
        return false;
    }
    let since = before
        .filter(|before| before.status == verdict)
        .map(|before| before.last_transition_time.clone());
    put(conditions, statement, since, now);
    true
}

fn put(
    conditions: &mut Vec<RolloutCondition>,
    statement: Statement,
    since: Option<Time>,
    now: Timestamp,
) {
    let condition = RolloutCondition {
        type_: statement.type_.to_owned(),
        status: statement.verdict.as_str().to_owned(),
        last_update_time: now.into(),
        last_transition_time: since.unwrap_or_else(|| now.into()),
        reason: statement.reason,
        message: statement.message,
        unknown: Unknown::new(),
    };
    conditions.retain(|condition| condition.type_ != statement.type_);
    conditions.push(condition);
}

/// Pauses, resumes and retries by people are acknowledged in a pass of their own.
pub(super) fn acknowledge(scene: &Scene<'_>) -> Option<Plan> {
    let was = scene.was;
    let paused = scene.strategy.paused || !was.pause_conditions.is_empty();
    let reason = find(&was.conditions, PROGRESSING).map(|condition| condition.reason.as_str());
    let aborted = reason == Some("RolloutAborted");
    let mut statements = Vec::new();
    if !aborted && paused != (reason == Some("RolloutPaused")) && !is_complete(was) {
        let (reason, message) = if paused {
            ("RolloutPaused", "Rollout is paused")
        } else {
            ("RolloutResumed", "Rollout is resumed")
        };
        statements.push(new(PROGRESSING, Verdict::Unknown, reason, message));
    }
    if aborted && was.abort != Some(true) {
        statements.push(new(
            PROGRESSING,
            Verdict::Unknown,
            "RolloutRetry",
            "Retrying Rollout after abort",
        ));
    }
    if !aborted && paused != is_true(&was.conditions, PAUSED) {
        let verdict = if paused {
            Verdict::True
        } else {
            Verdict::False
        };
        statements.push(new(PAUSED, verdict, "RolloutPaused", "Rollout is paused"));
    }
    let mut next = was.clone();
    let mut changed = false;
    for statement in statements {
        changed |= set(&mut next.conditions, statement, scene.second());
    }
    if !changed {
        return None;
    }
    next.observed_generation = Some(status::generation(scene));
    status::finish(scene, &mut next);
    let mut draft = Draft::default();
    // The pass itself follows at once.
    draft.wake(scene.now);
    Some(draft.into_plan(next))
}

/// All conditions of the next status, and its phase. `abort` is there when the update is aborted.
pub(super) fn update(
    scene: &Scene<'_>,
    next: &mut RolloutStatus,
    abort: Option<&Abort>,
    draft: &mut Draft,
) {
    next.conditions
        .retain(|condition| condition.type_ != "InvalidSpec");
    let lost_health = health(scene, next);
    match abort {
        Some(abort) => aborted(scene, next, abort.detail.as_deref(), draft),
        None => progress(scene, next, lost_health, draft),
    }
    availability(scene, next);
    failure(scene, next);
    completion(scene, next, draft);
    status::finish(scene, next);
}

/// The conditions after a change of `spec.replicas` alone.
pub(super) fn rescaled(
    scene: &Scene<'_>,
    next: &mut RolloutStatus,
    abort: &Abort,
    draft: &mut Draft,
) {
    if scene.is_promoted() {
        // What is stable cannot be aborted.
        (next.abort, next.aborted_at) = (None, None);
    } else if abort.aborted && next.aborted_at.is_none() {
        next.aborted_at = Some(scene.second().into());
    }
    update(
        scene,
        next,
        Some(abort).filter(|abort| abort.aborted),
        draft,
    );
}

/// Whether the newest revision is the stable one.
pub(super) fn is_complete(status: &RolloutStatus) -> bool {
    let stable = status.stable_rs.as_deref().unwrap_or_default();
    !stable.is_empty() && Some(stable) == status.current_pod_hash.as_deref()
}

fn is_healthy(scene: &Scene<'_>, next: &RolloutStatus) -> bool {
    let replicas = scene.replicas();
    let are = |pods: Option<i32>| pods.unwrap_or_default() == replicas;
    let index = next.current_step_index.map(|index| index as usize);
    let way = match &scene.strategy.way {
        Way::Canary(canary) => {
            index.is_none_or(|index| index == canary.steps.len())
                && is_complete(next)
                && are(next.replicas)
        }
        Way::BlueGreen(way) => blue_green::is_complete(way, next),
    };
    are(next.updated_replicas)
        && are(next.available_replicas)
        && scene.was.observed_generation.as_deref() == Some(status::generation(scene).as_str())
        && way
}

fn health(scene: &Scene<'_>, next: &mut RolloutStatus) -> bool {
    let paused = scene.strategy.paused || !next.pause_conditions.is_empty();
    if !paused && is_healthy(scene, next) {
        let healthy = new(
            HEALTHY,
            Verdict::True,
            "RolloutHealthy",
            "Rollout is healthy",
        );
        set(&mut next.conditions, healthy, scene.second());
        return false;
    }
    let known = find(&scene.was.conditions, HEALTHY).is_some();
    let unhealthy = new(
        HEALTHY,
        Verdict::False,
        "RolloutHealthy",
        "Rollout is not healthy",
    );
    known && set(&mut next.conditions, unhealthy, scene.second())
}

fn aborted(scene: &Scene<'_>, next: &mut RolloutStatus, detail: Option<&str>, draft: &mut Draft) {
    let mut message = format!("Rollout aborted update to revision {}", scene.revision());
    if let Some(detail) = detail {
        message = format!("{message}: {detail}");
    }
    if set(
        &mut next.conditions,
        new(PROGRESSING, Verdict::False, "RolloutAborted", &message),
        scene.second(),
    ) {
        draft.warning("RolloutAborted", message);
        // Where we abort, Argo scales in its next pass. Ours does not wait for that, and tells it in
        // the same order.
        let scaled = |event: &EventNote| detail.is_some() && event.reason == "ScalingReplicaSet";
        if let Some(first) = draft.events.iter().position(scaled) {
            draft.events[first..].rotate_right(1);
        }
    }
}

fn progress(scene: &Scene<'_>, next: &mut RolloutStatus, lost_health: bool, draft: &mut Draft) {
    let name = scene.new.map(|set| set.name.clone()).unwrap_or_default();
    // Blue-green may pause, by people, between the switch and the promotion; it says so.
    let paused = scene.strategy.paused && next.stable_rs != next.current_pod_hash;
    if is_healthy(scene, next) && !paused {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        let available = new(
            PROGRESSING,
            Verdict::True,
            "NewReplicaSetAvailable",
            &message,
        );
        set(&mut next.conditions, available, scene.second());
        return;
    }
    if deadline::is_progress(scene, next) || lost_health {
        let (reason, message) = if lost_health && next.stable_rs == next.current_pod_hash {
            (
                "ReplicaSetNotAvailable",
                "Rollout does not have minimum availability".to_owned(),
            )
        } else {
            (
                "ReplicaSetUpdated",
                format!("ReplicaSet \"{name}\" is progressing."),
            )
        };
        let since = find(&scene.was.conditions, PROGRESSING)
            .filter(|before| before.status == "True")
            .map(|before| before.last_transition_time.clone());
        put(
            &mut next.conditions,
            new(PROGRESSING, Verdict::True, reason, &message),
            since,
            scene.second(),
        );
    } else if deadline::is_passed(scene, &next.conditions) {
        let message = deadline::message(scene);
        let late = new(
            PROGRESSING,
            Verdict::False,
            "ProgressDeadlineExceeded",
            &message,
        );
        set(&mut next.conditions, late, scene.second());
    }
    if let Some(at) = deadline::at(scene, next).filter(|at| *at > scene.now) {
        draft.wake(at);
    }
}

fn availability(scene: &Scene<'_>, next: &mut RolloutStatus) {
    let available = match scene.strategy.way {
        Way::Canary(_) => next.available_replicas.unwrap_or_default() >= scene.replicas(),
        Way::BlueGreen(_) => blue_green::is_available(scene, next),
    };
    let statement = if available {
        new(
            "Available",
            Verdict::True,
            "AvailableReason",
            "Rollout has minimum availability",
        )
    } else {
        new(
            "Available",
            Verdict::False,
            "AvailableReason",
            "Rollout does not have minimum availability",
        )
    };
    set(&mut next.conditions, statement, scene.second());
}

fn failure(scene: &Scene<'_>, next: &mut RolloutStatus) {
    let sets = scene.new.into_iter().chain(&scene.observed.replica_sets);
    let failure = sets.into_iter().find_map(|set| set.failure.as_ref());
    match failure {
        Some((reason, message)) => {
            let statement = new("ReplicaFailure", Verdict::True, reason, message);
            set(&mut next.conditions, statement, scene.second());
        }
        None => next
            .conditions
            .retain(|condition| condition.type_ != "ReplicaFailure"),
    }
}

fn completion(scene: &Scene<'_>, next: &mut RolloutStatus, draft: &mut Draft) {
    let completed = is_complete(next);
    let verdict = if completed {
        Verdict::True
    } else {
        Verdict::False
    };
    let changed = set(
        &mut next.conditions,
        new(COMPLETED, verdict, "RolloutCompleted", "RolloutCompleted"),
        scene.second(),
    );
    if changed && !completed {
        let revision = scene.revision();
        let hash = next.current_pod_hash.clone().unwrap_or_default();
        let text = format!("Rollout not completed, started update to revision {revision} ({hash})");
        draft.event("RolloutNotCompleted", text);
    }
}

// === impl Verdict ===

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}
