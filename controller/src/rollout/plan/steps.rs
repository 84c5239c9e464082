//! The steps: is the current one done, and is the whole update.

use crds::rollout::{CanaryStep, RolloutStatus};
use crds::words::AnalysisPhase;

use super::abort::Abort;
use super::analysis::Runs;
use super::pause::{self, Pauses};
use super::traffic::Divided;
use super::{Draft, Scene, conditions, deadline, replicas, status, traffic, workload};
use crate::rollout::spec::Step;

/// What the parts of a pass found.
pub(super) struct Outcome {
    pub(super) abort: Abort,
    /// The traffic, where it is routed.
    pub(super) weights: Option<Divided>,
    pub(super) runs: Runs,
    pub(super) pauses: Pauses,
    /// No pod is older than the restart that was asked for.
    pub(super) restarted: bool,
}

/// The next status: promoted, aborted, one step further, or the same.
pub(super) fn advance(scene: &Scene<'_>, mut outcome: Outcome, draft: &mut Draft) -> RolloutStatus {
    let mut next = base(scene, &outcome);
    let steps = scene.strategy.step_count();
    let index = if (scene.promote_full() && !outcome.abort.aborted) || scene.in_rollback_window() {
        steps
    } else {
        scene.index()
    };
    next.current_step_index = scene.strategy.step_index(index);
    if let Some(reason) = promotion(scene, &outcome) {
        promote(scene, &mut next, &reason, draft);
    } else if outcome.abort.aborted {
        abort(scene, &mut next, &outcome.abort);
    } else if index < steps && is_done(scene, &outcome) {
        go_on(scene, &mut next, index, draft);
    }
    if let Some(detail) = deadline::abort(scene, &next).filter(|_| !outcome.abort.aborted) {
        draft.warning("RolloutAborted", detail.as_str());
        outcome.abort.aborted = true;
        outcome.abort.detail = Some(detail);
        abort(scene, &mut next, &outcome.abort);
    }
    pause::tell(scene, &next, draft);
    let aborted = outcome.abort.aborted.then_some(&outcome.abort);
    conditions::update(scene, &mut next, aborted, draft);
    if let Some(weights) = &outcome.weights {
        status::explain(&mut next, weights);
    }
    next
}

fn base(scene: &Scene<'_>, outcome: &Outcome) -> RolloutStatus {
    let mut next = status::base(scene);
    let canary = next.canary.get_or_insert_default();
    canary.weights = outcome
        .weights
        .as_ref()
        .and_then(|divided| divided.weights.clone());
    canary
        .current_step_analysis_run_status
        .clone_from(&outcome.runs.step);
    canary
        .current_background_analysis_run_status
        .clone_from(&outcome.runs.background);
    next.pause_conditions.clone_from(&outcome.pauses.conditions);
    next.controller_pause = outcome.pauses.controller.then_some(true);
    if outcome.restarted {
        next.restarted_at.clone_from(&scene.rollout.spec.restart_at);
    }
    next
}

/// Why the newest revision is to be stable now.
fn promotion(scene: &Scene<'_>, outcome: &Outcome) -> Option<String> {
    let new = scene.new?;
    if scene.stable.is_none() && !outcome.abort.aborted {
        return Some("Initial deploy".to_owned());
    }
    if outcome.abort.aborted || !scene.enough(new.available, scene.replicas()) {
        return None;
    }
    let reachable = outcome.weights.is_none()
        || scene.observed.traffic.connected == 0
        || scene.enough(scene.reachable(&new.hash), scene.replicas());
    if scene.promote_full() {
        return reachable.then(|| "Full promotion requested".to_owned());
    }
    if scene.in_rollback_window() {
        return reachable.then(|| "Rollback within window".to_owned());
    }
    if scene.is_promoted() {
        return Some("Fast rollback".to_owned());
    }
    let steps = scene.strategy.step_count();
    let has_all = has_weight(scene, outcome, scene.strategy.max_weight());
    (scene.index() == steps && has_all).then(|| format!("Completed all {steps} canary steps"))
}

/// Whether the canary has that weight in force, as far as traffic is routed and there is any.
fn has_weight(scene: &Scene<'_>, outcome: &Outcome, weight: i32) -> bool {
    let Some(divided) = outcome.weights.as_ref().filter(|_| scene.replicas() > 0) else {
        return true;
    };
    let set = divided.weights.as_ref();
    set.is_some_and(|set| set.canary.weight == weight) && divided.verified
}

pub(super) fn promote(
    scene: &Scene<'_>,
    next: &mut RolloutStatus,
    reason: &str,
    draft: &mut Draft,
) {
    let steps = scene.strategy.step_count();
    next.pause_conditions.clear();
    next.controller_pause = None;
    // The false of a retry stays, as with Argo's controller: a zero is never taken away.
    next.abort = next.abort.filter(|abort| !abort);
    next.aborted_at = None;
    next.promote_full = None;
    next.current_step_index = scene.strategy.step_index(steps);
    workload::on_success(scene, draft);
    if next.stable_rs != next.current_pod_hash {
        let hash = &scene.pod_hash;
        let text = format!(
            "Rollout completed update to revision {} ({hash}): {reason}",
            scene.revision()
        );
        draft.event("RolloutCompleted", text);
        traffic::change_places(scene, next);
        next.stable_rs.clone_from(&next.current_pod_hash);
    }
}

pub(super) fn abort(scene: &Scene<'_>, next: &mut RolloutStatus, abort: &Abort) {
    next.abort = Some(true);
    let since = scene.was.aborted_at.clone().filter(|_| !abort.forgiven);
    next.aborted_at = Some(since.unwrap_or_else(|| scene.now.into()));
    next.promote_full = None;
    next.pause_conditions.clear();
    next.controller_pause = None;
    next.current_step_index = scene.strategy.step_index(0);
}

fn is_done(scene: &Scene<'_>, outcome: &Outcome) -> bool {
    if scene.is_halted() || outcome.runs.inconclusive {
        return false;
    }
    match scene.step() {
        None => false,
        // A Rollout of no pods has no traffic to move.
        Some(Step::SetWeight(weight)) => {
            has_weight(scene, outcome, *weight) && at_desired(scene, outcome)
        }
        Some(Step::SetCanaryScale(_)) => at_desired(scene, outcome),
        Some(Step::Pause(_)) => outcome.pauses.step_done,
        Some(Step::SetHeaderRoute { .. }) => true,
        Some(Step::Analysis(_)) => outcome
            .runs
            .step
            .as_ref()
            .is_some_and(|run| run.status == AnalysisPhase::Successful),
    }
}

fn at_desired(scene: &Scene<'_>, outcome: &Outcome) -> bool {
    let divided = outcome.weights.as_ref();
    let weights = divided.and_then(|divided| divided.weights.as_ref());
    replicas::at_desired(scene, &outcome.abort, weights)
}

fn go_on(scene: &Scene<'_>, next: &mut RolloutStatus, index: usize, draft: &mut Draft) {
    let steps = scene.strategy.step_count();
    let text = step_text(scene, index);
    draft.event(
        "RolloutStepCompleted",
        format!("Rollout step {}/{steps} completed ({text})", index + 1),
    );
    next.current_step_index = scene.strategy.step_index(index + 1);
    if let Some(canary) = &mut next.canary {
        canary.current_step_analysis_run_status = None;
    }
    // What follows this step can be looked at now.
    draft.wake(scene.now);
}

fn step_text(scene: &Scene<'_>, index: usize) -> String {
    let strategy = scene.rollout.spec.strategy.as_ref();
    let canary = strategy.and_then(|strategy| strategy.canary.as_ref());
    let step = canary.and_then(|canary| canary.steps.as_ref()?.get(index));
    step.map(CanaryStep::to_string).unwrap_or_default()
}
