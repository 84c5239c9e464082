//! The replicas: how many pods each side needs, with its traffic routed.
//!
//! Stable stays at full size. The canary has the pods for its weight, rounded up, unless a step
//! sizes it apart. A pass that changed one size stops there: what follows from it is for the next
//! look, when it has happened.

use super::abort::Abort;
use super::{Action, Draft, Plan, ReplicaSetChange, Scene, conditions, shrink, status, weight};
use crate::rollout::names;
use crate::rollout::observe::ReplicaSetView;
use crate::rollout::spec::{CanaryScale, Step};

/// Pods for each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Desired {
    pub(super) canary: i32,
    pub(super) stable: i32,
}

/// What the canary is sized by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Pods(i32),
    Weight(i32),
}

/// Pods that each side should have.
pub(super) fn desired(scene: &Scene<'_>, abort: &Abort) -> Desired {
    let replicas = scene.replicas();
    let canary = match size(scene, abort) {
        Size::Pods(pods) => pods,
        Size::Weight(weight) => for_weight(scene, weight),
    };
    Desired {
        canary,
        stable: replicas,
    }
}

/// Pods for a weight: its share of all, rounded up, and at least the floor if any.
pub(super) fn for_weight(scene: &Scene<'_>, weight: i32) -> i32 {
    let (replicas, max) = (
        i64::from(scene.replicas()),
        i64::from(scene.strategy.max_weight().max(1)),
    );
    let pods = (i64::from(weight) * replicas + max - 1) / max;
    let pods = pods as i32;
    match scene
        .strategy
        .routing()
        .and_then(|routing| routing.min_pods)
    {
        Some(floor) if pods > 0 => pods.max(floor.min(scene.replicas())),
        _ => pods,
    }
}

fn size(scene: &Scene<'_>, abort: &Abort) -> Size {
    let max = Size::Weight(scene.strategy.max_weight());
    if scene.is_initial() || scene.is_promoted() || scene.in_rollback_window() {
        return max;
    }
    let keeps_canary = scene.strategy.abort_scale_down_delay_seconds.is_none();
    if abort.aborted && !keeps_canary {
        return Size::Weight(0);
    }
    if scene.promote_full() {
        return max;
    }
    let steps = scene.strategy.steps();
    let Some(so_far) = steps.get(..=scene.index()) else {
        return max;
    };
    if let Some(size) = set_scale(so_far) {
        return size;
    }
    if abort.aborted {
        Size::Weight(0)
    } else {
        Size::Weight(weight::last_set(so_far).unwrap_or(0))
    }
}

/// The latest `setCanaryScale`, unless it gives way to the weight.
fn set_scale(steps: &[Step]) -> Option<Size> {
    let latest = steps.iter().rev().find_map(|step| match step {
        Step::SetCanaryScale(scale) => Some(*scale),
        _ => None,
    })?;
    match latest {
        CanaryScale::Replicas(pods) => Some(Size::Pods(pods)),
        CanaryScale::Weight(weight) => Some(Size::Weight(weight)),
        CanaryScale::MatchTrafficWeight => None,
    }
}

/// Both sides are as they should be: the canary available, stable created.
pub(super) fn at_desired(scene: &Scene<'_>, abort: &Abort) -> bool {
    let Some(new) = scene.new else { return false };
    let wanted = desired(scene, abort);
    let canary = match scene.strategy.threshold() {
        Some(threshold) => threshold.is_met(new.available, wanted.canary),
        None => new.desired == wanted.canary && new.available == wanted.canary,
    };
    let stable = scene.stable.is_none_or(|stable| {
        stable.name == new.name
            || (stable.desired == wanted.stable && stable.current == wanted.stable)
    });
    canary && stable
}

/// Whether `spec.replicas` is not what the ReplicaSets were last sized for.
pub(super) fn is_rescaled(scene: &Scene<'_>) -> bool {
    let sized = [scene.new, scene.stable]
        .into_iter()
        .flatten()
        .filter(|set| set.desired > 0);
    sized
        .into_iter()
        .any(|set| set.annotated_replicas() != Some(scene.replicas()))
}

/// Follows a new `spec.replicas`, and does nothing else in this pass.
pub(super) fn rescale(scene: &Scene<'_>) -> Plan {
    let mut draft = Draft::default();
    let abort = Abort {
        aborted: scene.was.abort == Some(true),
        ..Abort::default()
    };
    let wanted = desired(scene, &abort);
    if let Some(stable) = scene.stable {
        resize(scene, stable, wanted.stable, &mut draft);
    }
    let new = scene
        .new
        .filter(|new| scene.stable.is_none_or(|stable| stable.name != new.name));
    if let Some(new) = new {
        let keeps = abort.aborted && !scene.is_promoted();
        resize(
            scene,
            new,
            if keeps { new.desired } else { wanted.canary },
            &mut draft,
        );
    }
    let mut status = scene.was.clone();
    status::count(scene, &mut status);
    conditions::rescaled(scene, &mut status);
    status::finish(scene, &mut status);
    draft.into_plan(status)
}

/// Sizes everything; stops at the first change.
pub(super) fn scale(scene: &Scene<'_>, abort: &Abort, draft: &mut Draft) {
    let before = draft.actions.len();
    shrink::forget_deadlines(scene, abort, draft);
    let wanted = desired(scene, abort);
    let stable = scene
        .stable
        .filter(|stable| scene.new.is_none_or(|new| new.name != stable.name));
    if let Some(stable) = stable
        && resize(scene, stable, wanted.stable, draft)
    {
        return;
    }
    let changed = scene
        .new
        .is_some_and(|new| scale_new(scene, new, abort, draft));
    if !changed && draft.actions.len() == before {
        shrink::others(scene, draft);
    }
}

fn scale_new(scene: &Scene<'_>, new: &ReplicaSetView, abort: &Abort, draft: &mut Draft) -> bool {
    if abort.aborted {
        return shrink::aborted(scene, new, draft);
    }
    let wanted = desired(scene, abort).canary;
    // A canary that is to shrink while its weight is still higher waits for the weight.
    let routed = scene.current_weight();
    let needed = if scene.is_promoted() {
        wanted
    } else {
        wanted.max(for_weight(scene, routed).min(new.desired))
    };
    let explicit = matches!(size(scene, abort), Size::Pods(_));
    resize(scene, new, if explicit { wanted } else { needed }, draft)
}

/// Gives a ReplicaSet another size. False when it has it.
pub(super) fn resize(scene: &Scene<'_>, set: &ReplicaSetView, to: i32, draft: &mut Draft) -> bool {
    let replicas = scene.replicas();
    let annotated = set.annotated_replicas() == Some(replicas);
    if set.desired == to && annotated {
        return false;
    }
    let mut annotations = Vec::new();
    if !annotated {
        annotations.push((
            names::DESIRED_REPLICAS.to_owned(),
            Some(replicas.to_string()),
        ));
    }
    if to == 0 && set.has_deadline() {
        annotations.push((names::SCALE_DOWN_DEADLINE.to_owned(), None));
    }
    if set.desired != to {
        let way = if to > set.desired { "up" } else { "down" };
        let (name, revision, from) = (&set.name, set.revision, set.desired);
        let text =
            format!("Scaled {way} ReplicaSet {name} (revision {revision}) from {from} to {to}");
        draft.event("ScalingReplicaSet", text);
    }
    draft
        .actions
        .push(Action::ChangeReplicaSet(ReplicaSetChange {
            name: set.name.clone(),
            resource_version: set.resource_version.clone(),
            replicas: (set.desired != to).then_some(to),
            min_ready_seconds: None,
            annotations,
        }));
    true
}
