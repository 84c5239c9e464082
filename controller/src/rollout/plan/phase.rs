//! The phase: the state in a word and a sentence, which Argo CD and `kubectl argo rollouts status`
//! show and act on. The first row that fits wins, as in Argo.

use crds::Rollout;
use crds::rollout::RolloutStatus;
use crds::words::RolloutPhase;

use super::blue_green;

pub(super) fn of(rollout: &Rollout, status: &RolloutStatus) -> (RolloutPhase, String) {
    for condition in &status.conditions {
        if condition.type_ == "InvalidSpec" {
            return (
                RolloutPhase::Degraded,
                format!("InvalidSpec: {}", condition.message),
            );
        }
        if matches!(
            condition.reason.as_str(),
            "RolloutAborted" | "ProgressDeadlineExceeded"
        ) {
            return (
                RolloutPhase::Degraded,
                format!("{}: {}", condition.reason, condition.message),
            );
        }
    }
    if rollout.spec.paused == Some(true) {
        return (RolloutPhase::Paused, "manually paused".to_owned());
    }
    if let Some(pause) = status.pause_conditions.first() {
        return (RolloutPhase::Paused, pause.reason.to_string());
    }
    let restarted_at = status.restarted_at.as_ref();
    if rollout.spec.restart_at.is_some() && rollout.spec.restart_at.as_ref() != restarted_at {
        return (
            RolloutPhase::Progressing,
            "rollout is restarting".to_owned(),
        );
    }
    match waits_for(rollout, status) {
        Some(message) => (RolloutPhase::Progressing, message.to_owned()),
        None => (RolloutPhase::Healthy, String::new()),
    }
}

fn waits_for(rollout: &Rollout, status: &RolloutStatus) -> Option<&'static str> {
    let replicas = rollout.spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or_default();
    let stable = status.stable_rs.as_deref().unwrap_or_default();
    let strategy = rollout.spec.strategy.as_ref();
    let blue_green = strategy.and_then(|strategy| strategy.blue_green.as_ref());
    if updated < replicas {
        Some("more replicas need to be updated")
    } else if status.available_replicas.unwrap_or_default() < updated {
        Some("updated replicas are still becoming available")
    } else if let Some(way) = blue_green {
        blue_green::waits_for(way, status)
    } else if is_unrouted(rollout) && status.replicas.unwrap_or_default() > updated {
        Some("old replicas are pending termination")
    } else if stable.is_empty() || Some(stable) != status.current_pod_hash.as_deref() {
        Some("waiting for all steps to complete")
    } else {
        None
    }
}

/// A canary whose old pods serve as long as they are there.
fn is_unrouted(rollout: &Rollout) -> bool {
    let strategy = rollout.spec.strategy.as_ref();
    let canary = strategy.and_then(|strategy| strategy.canary.as_ref());
    canary.is_some_and(|canary| canary.traffic_routing.is_none())
}
