//! The promotion: are the new pods stable now, and what does the status say until then.

use crds::Unknown;
use crds::rollout::BlueGreenStrategy;
use crds::rollout::RolloutStatus;
use crds::rollout::status::{BlueGreenStatus, PauseCondition};
use crds::words::{PauseReason, RolloutPhase};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::pause::{self, up};
use super::super::{Draft, Plan, Scene, conditions, status, steps};
use super::analysis::{self, Runs};
use super::pause::{Pause, is_completed};
use super::traffic::Divided;
use super::{Look, is_saturated, selected};
use crate::rollout::names;
use crate::rollout::observe::ReplicaSetView;
use crate::rollout::spec::BlueGreen;

/// What the parts of a pass found.
pub(super) struct Outcome {
    pub(super) preview: Option<String>,
    pub(super) active: Option<String>,
    pub(super) pause: Pause,
    pub(super) divided: Divided,
    pub(super) runs: Runs,
}

/// The next status: promoted, aborted, or on the way.
pub(super) fn advance(look: &Look<'_>, outcome: &Outcome, draft: &mut Draft) -> RolloutStatus {
    let scene = look.scene;
    let mut next = status::base(scene);
    select(&mut next, outcome.preview.clone(), outcome.active.clone());
    let blue_green = next.blue_green.get_or_insert_default();
    blue_green
        .pre_promotion_analysis_run_status
        .clone_from(&outcome.runs.pre);
    blue_green
        .post_promotion_analysis_run_status
        .clone_from(&outcome.runs.post);
    blue_green.scale_up_preview_check_point = is_past_checkpoint(look, outcome).then_some(true);
    if let Some(reason) = reason(look, outcome) {
        steps::promote(scene, &mut next, reason, draft);
        if let Some(blue_green) = &mut next.blue_green {
            blue_green.scale_up_preview_check_point = None;
        }
    } else if look.abort.aborted {
        steps::abort(scene, &mut next, &look.abort);
    } else if !scene.promote_full() && !scene.in_rollback_window() {
        hold(look, outcome, &mut next);
    }
    count(scene, &mut next);
    // Whoever wrote that there is no abort finds it so.
    let none = scene.was.abort.filter(|abort| !abort);
    next.abort = next.abort.or(none);
    let aborted = next.abort == Some(true);
    if let Some(detail) = look.abort.detail.as_deref().filter(|_| look.abort.too_late) {
        draft.warning("RolloutAborted", detail);
    }
    conditions::update(scene, &mut next, aborted.then_some(&look.abort), draft);
    explain(look, outcome, &mut next);
    pause::tell(scene, &next, draft);
    if look.abort.detail.is_some() {
        // First why, then what came of it.
        draft
            .events
            .sort_by_key(|event| event.reason == "SwitchService");
    }
    next
}

/// A fresh start: the template is not the one that the status is about.
pub(super) fn reset(look: &Look<'_>, preview: Option<String>, mut draft: Draft) -> Plan {
    let scene = look.scene;
    let mut next = status::base(scene);
    select(&mut next, preview, look.active.map(str::to_owned));
    next.restarted_at.clone_from(&scene.rollout.spec.restart_at);
    count(scene, &mut next);
    conditions::update(scene, &mut next, None, &mut draft);
    pause::tell(scene, &next, &mut draft);
    // What follows can be looked at now.
    draft.wake(scene.now);
    draft.into_plan(next)
}

/// The status after a change of `spec.replicas` alone.
pub(super) fn rescaled(look: &Look<'_>, draft: &mut Draft) -> RolloutStatus {
    let scene = look.scene;
    let mut next = scene.was.clone();
    status::count(scene, &mut next);
    conditions::rescaled(scene, &mut next, &look.abort, draft);
    next
}

/// Why the new pods are to be stable now.
fn reason(look: &Look<'_>, outcome: &Outcome) -> Option<&'static str> {
    let scene = look.scene;
    // The active Service is only switched when the first pods are up, and stable is known before.
    if scene.stable.is_none() || outcome.active.is_none() {
        return Some("Initial deploy");
    }
    let is_active = outcome.active.as_deref() == Some(look.new.hash.as_str());
    if !is_active || !(outcome.divided.verified || scene.is_promoted()) {
        return None;
    }
    if scene.was.promote_full == Some(true) {
        return Some("Full promotion requested");
    }
    if look.is_fast_rollback() {
        let in_window = scene.in_rollback_window();
        return Some(if in_window {
            "Rollback within window"
        } else {
            "Fast rollback"
        });
    }
    let done = !look.abort.aborted && analysis::post_is_done(look);
    done.then_some("Completed blue-green update")
}

/// Whether the new pods, of which there were few to look at, may go to full size.
fn is_past_checkpoint(look: &Look<'_>, outcome: &Outcome) -> bool {
    let Some(few) = look.way.preview_replica_count else {
        return false;
    };
    let passed = look.was().scale_up_preview_check_point == Some(true);
    passed || (outcome.pause.is_over && look.new.available == few)
}

/// The pauses, and whether one of them is the controller's.
fn hold(look: &Look<'_>, outcome: &Outcome, next: &mut RolloutStatus) {
    let was = look.scene.was;
    next.pause_conditions.clone_from(&outcome.pause.conditions);
    let reason = PauseReason::InconclusiveAnalysisRun;
    if outcome.runs.inconclusive && look.scene.pause(&reason).is_none() {
        next.pause_conditions.push(PauseCondition {
            reason,
            start_time: Time(up(look.scene.now)),
            unknown: Unknown::new(),
        });
    }
    let added = next.pause_conditions.len() > was.pause_conditions.len();
    let holds = !next.pause_conditions.is_empty() && (added || was.controller_pause == Some(true));
    let switched = outcome.active.as_deref() == Some(look.new.hash.as_str());
    // So that a resume is not forgotten that could not be followed at once.
    let pending = outcome.pause.is_pending && !switched && is_completed(look);
    next.controller_pause = (holds || pending).then_some(true);
}

/// Traffic that the proxies have not confirmed is the best answer to "what does it wait for".
fn explain(look: &Look<'_>, outcome: &Outcome, next: &mut RolloutStatus) {
    let switched = outcome.active.as_deref() == Some(look.new.hash.as_str());
    let blocked = outcome.pause.is_over && look.is_saturated();
    let waits = next.phase == Some(RolloutPhase::Progressing)
        && next.current_pod_hash != next.stable_rs
        && (switched || blocked);
    if let Some(message) = outcome.divided.message.as_ref().filter(|_| waits) {
        next.message = Some(message.clone());
    }
}

fn select(next: &mut RolloutStatus, preview: Option<String>, active: Option<String>) {
    let blue_green = next.blue_green.get_or_insert_default();
    blue_green.preview_selector = preview;
    blue_green.active_selector = active;
}

/// What only blue-green has, as far as nothing else remembers it.
pub(in super::super) fn base(scene: &Scene<'_>, way: &BlueGreen, next: &mut RolloutStatus) {
    let preview = way.preview_service.as_deref();
    let preview = preview.and_then(|service| selected(scene, service));
    let active = selected(scene, &way.active_service);
    next.canary = None;
    next.blue_green = Some(BlueGreenStatus::default());
    select(next, preview.map(str::to_owned), active.map(str::to_owned));
}

/// Counts the active pods alone, where there are any: autoscalers look at those who serve.
pub(in super::super) fn count(scene: &Scene<'_>, next: &mut RolloutStatus) {
    let Some(active) = active_set(scene, next) else {
        return;
    };
    next.hpa_replicas = Some(active.current);
    next.ready_replicas = Some(active.ready);
    next.available_replicas = Some(active.available);
    let mut selector = scene.strategy.selector.clone();
    let labels = selector.match_labels.get_or_insert_default();
    labels.insert(
        names::POD_TEMPLATE_HASH_LABEL.to_owned(),
        active.hash.clone(),
    );
    next.selector = Some(status::selector_text(&selector));
}

fn active_set<'a>(scene: &'a Scene<'_>, next: &RolloutStatus) -> Option<&'a ReplicaSetView> {
    let active = next.blue_green.as_ref()?.active_selector.as_ref()?;
    let mut sets = scene.observed.replica_sets.iter();
    sets.find(|set| set.hash == *active)
}

/// Whether both Services select the new pods.
pub(in super::super) fn is_complete(way: &BlueGreen, next: &RolloutStatus) -> bool {
    let blue_green = next.blue_green.clone().unwrap_or_default();
    let current = &next.current_pod_hash;
    let previews = way.preview_service.is_none() || blue_green.preview_selector == *current;
    blue_green.active_selector == *current && previews
}

/// Whether those who serve are all there.
pub(in super::super) fn is_available(scene: &Scene<'_>, next: &RolloutStatus) -> bool {
    active_set(scene, next).is_some_and(|active| is_saturated(scene, active))
}

/// What the switch, or the promotion after it, waits for.
pub(in super::super) fn waits_for(
    raw: &BlueGreenStrategy,
    status: &RolloutStatus,
) -> Option<&'static str> {
    let blue_green = status.blue_green.clone().unwrap_or_default();
    let current = status.current_pod_hash.as_deref();
    let named = |hash: Option<&str>| hash.is_some_and(|hash| !hash.is_empty()) && hash == current;
    if !named(blue_green.active_selector.as_deref()) {
        return Some("active service cutover pending");
    }
    if named(status.stable_rs.as_deref()) {
        return None;
    }
    let run = blue_green.post_promotion_analysis_run_status;
    let analysed = run.is_some_and(|run| run.status.is_completed());
    Some(if raw.post_promotion_analysis.is_some() && !analysed {
        "waiting for analysis to complete"
    } else {
        "waiting for post-promotion verification to complete"
    })
}
