//! The replicas: how many pods each side needs.
//!
//! With its traffic routed, stable stays at full size (or follows the traffic, where that is asked
//! for), and the canary has the pods for its weight, rounded up, unless a step sizes it apart.
//! Without routing the share of pods is the share of traffic ([`super::basic`]). A pass that changed
//! one size stops there: what follows from it is for the next look, when it has happened.

use crds::rollout::status::TrafficWeights;

use super::abort::Abort;
use super::basic::{self, Desired};
use super::{
    Action, Draft, Plan, ReplicaSetChange, Scene, Written, conditions, shrink, status, weight,
};
use crate::rollout::names;
use crate::rollout::observe::ReplicaSetView;
use crate::rollout::spec::{CanaryScale, Routing, Step};

/// What the canary is sized by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Pods(i32),
    Weight(i32),
}

/// Pods that each side should have. Where stable follows the traffic, `weights` is the traffic as
/// it is: no side shrinks before its traffic has gone.
pub(super) fn desired(
    scene: &Scene<'_>,
    abort: &Abort,
    weights: Option<&TrafficWeights>,
) -> Desired {
    match scene.strategy.routing() {
        Some(routing) => routed(scene, routing, abort, weights),
        None => unrouted(scene, abort),
    }
}

fn routed(
    scene: &Scene<'_>,
    routing: &Routing,
    abort: &Abort,
    weights: Option<&TrafficWeights>,
) -> Desired {
    let size = size(scene, abort);
    let mut canary = match size {
        Size::Pods(pods) => pods,
        Size::Weight(weight) => for_weight(scene, weight),
    };
    if !routing.dynamic_stable_scale {
        return Desired {
            canary,
            stable: scene.replicas(),
        };
    }
    let weight = match size {
        Size::Pods(_) => 0,
        Size::Weight(weight) => weight,
    };
    let mut stable = share(scene, scene.strategy.max_weight() - weight);
    if let Some(weights) = weights {
        stable = stable.max(share(scene, weights.stable.weight));
        if abort.aborted {
            canary = canary.max(share(scene, weights.canary.weight));
        }
    }
    Desired {
        canary: at_least(scene, canary),
        stable: at_least(scene, stable),
    }
}

fn unrouted(scene: &Scene<'_>, abort: &Abort) -> Desired {
    let weight = match size(scene, abort) {
        // Without routing no step sizes the canary apart.
        Size::Pods(_) => 0,
        Size::Weight(weight) => weight,
    };
    let side = |set: &ReplicaSetView| basic::Side {
        desired: set.desired,
        available: set.available,
    };
    let surge = scene.strategy.canary().map_or(0, |canary| canary.max_surge);
    basic::sizes(&basic::Pods {
        replicas: scene.replicas(),
        weight,
        max_weight: scene.strategy.max_weight(),
        max_surge: surge,
        max_unavailable: scene.strategy.max_unavailable,
        new: scene.new.map(side),
        stable: scene.stable.map(side),
        apart: scene.apart().is_some(),
        others: scene.others.iter().map(|set| set.desired).sum(),
    })
}

/// Pods for a weight: its share of all, rounded up, and at least the floor if any.
pub(super) fn for_weight(scene: &Scene<'_>, weight: i32) -> i32 {
    at_least(scene, share(scene, weight))
}

/// A weight's share of all pods, rounded up.
pub(super) fn share(scene: &Scene<'_>, weight: i32) -> i32 {
    let (replicas, max) = (
        i64::from(scene.replicas()),
        i64::from(scene.strategy.max_weight().max(1)),
    );
    ((i64::from(weight) * replicas + max - 1) / max) as i32
}

/// The floor of any size that is not nothing.
fn at_least(scene: &Scene<'_>, pods: i32) -> i32 {
    let floor = scene
        .strategy
        .routing()
        .and_then(|routing| routing.min_pods);
    match floor {
        Some(floor) if pods > 0 => pods.max(floor.min(scene.replicas())),
        _ => pods,
    }
}

fn size(scene: &Scene<'_>, abort: &Abort) -> Size {
    let max = Size::Weight(scene.strategy.max_weight());
    let skips = scene.promote_full() && !abort.aborted;
    if skips || scene.is_initial() || scene.is_promoted() || scene.in_rollback_window() {
        return max;
    }
    let so_far = scene.strategy.steps().get(..=scene.index());
    let keeps_canary = scene.strategy.abort_scale_down_delay_seconds.is_none();
    let apart = scene.strategy.routing().is_some() && (!abort.aborted || keeps_canary);
    if let Some(size) = so_far.filter(|_| apart).and_then(set_scale) {
        return size;
    }
    Size::Weight(weight::for_size(scene, abort))
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

/// Both sides are as they should be: the canary available, stable created. Without routing, no
/// other revision may serve either.
pub(super) fn at_desired(
    scene: &Scene<'_>,
    abort: &Abort,
    weights: Option<&TrafficWeights>,
) -> bool {
    let Some(new) = scene.new else { return false };
    let wanted = desired(scene, abort, weights);
    let stable = scene.is_dynamic()
        || scene.apart().is_none_or(|stable| {
            stable.desired == wanted.stable && stable.current == wanted.stable
        });
    let alone =
        scene.strategy.routing().is_some() || scene.others.iter().all(|set| set.available == 0);
    scene.has_its_pods(new, wanted.canary) && stable && alone
}

/// Whether `spec.replicas` is not what the ReplicaSets were last sized for.
pub(super) fn is_rescaled(scene: &Scene<'_>) -> bool {
    let sized = [scene.new, scene.stable]
        .into_iter()
        .flatten()
        .filter(|set| set.desired > 0);
    sized
        .into_iter()
        .filter_map(ReplicaSetView::annotated_replicas)
        .any(|replicas| replicas != scene.replicas())
}

/// Follows a new `spec.replicas`, and does nothing else in this pass.
pub(super) fn rescale(scene: &Scene<'_>) -> Plan {
    let mut draft = Draft::default();
    let abort = Abort {
        aborted: scene.was.abort == Some(true) && !scene.is_promoted(),
        ..Abort::default()
    };
    if !scene.is_halted() {
        scale(scene, &abort, scene.weights(), &mut draft);
    }
    let mut status = scene.was.clone();
    status::recount(scene, &mut status);
    conditions::rescaled(scene, &mut status, &abort, &mut draft);
    draft.into_plan(status)
}

/// Sizes everything; stops at the first change, and says whether there was one. `weights` is the
/// traffic as this pass sets it.
pub(super) fn scale(
    scene: &Scene<'_>,
    abort: &Abort,
    weights: Option<&TrafficWeights>,
    draft: &mut Draft,
) -> bool {
    shrink::forget_deadlines(scene, abort, draft);
    if let Some(stable) = scene.apart()
        && resize(scene, stable, stable_size(scene, stable, abort), draft)
    {
        return true;
    }
    let scaled = scene
        .new
        .is_some_and(|new| scale_new(scene, new, (abort, weights), draft));
    scaled || shrink::others(scene, draft)
}

/// The traffic as it was, because pods go one pass after it has; and where it is routed, only once
/// the proxies have confirmed that.
fn stable_size(scene: &Scene<'_>, stable: &ReplicaSetView, abort: &Abort) -> i32 {
    let wanted = desired(scene, abort, scene.weights()).stable;
    let confirmed = scene
        .weights()
        .is_some_and(|weights| weights.verified == Some(true));
    if scene.is_dynamic() && !confirmed {
        return wanted.max(stable.desired);
    }
    wanted
}

fn scale_new(
    scene: &Scene<'_>,
    new: &ReplicaSetView,
    (abort, weights): (&Abort, Option<&TrafficWeights>),
    draft: &mut Draft,
) -> bool {
    if shrink::delays_on_abort(scene, abort) {
        return shrink::aborted(scene, new, draft);
    }
    let wanted = desired(scene, abort, weights).canary;
    if scene.strategy.routing().is_none() || matches!(size(scene, abort), Size::Pods(_)) {
        return resize(scene, new, wanted, draft);
    }
    // A canary that is to shrink while its weight is still higher waits for the weight.
    let routed = for_weight(scene, scene.current_weight());
    let needed = if scene.is_promoted() {
        wanted
    } else {
        wanted.max(routed.min(new.desired))
    };
    resize(scene, new, needed, draft)
}

/// Gives a ReplicaSet another size, and notes for which size of the Rollout. False when it has that
/// size.
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
    // What goes after an abort keeps its deadline, so that it gets no other one.
    let is_new = scene.new.is_some_and(|new| new.name == set.name);
    let stays = is_new && scene.was.abort == Some(true) && !scene.is_promoted();
    if to == 0 && set.has_deadline() && !stays {
        annotations.push((names::SCALE_DOWN_DEADLINE.to_owned(), None));
    }
    if set.desired != to {
        let way = if to > set.desired { "up" } else { "down" };
        let (name, revision, from) = (&set.name, set.revision, set.desired);
        let text =
            format!("Scaled {way} ReplicaSet {name} (revision {revision}) from {from} to {to}");
        draft.event_of(Written::ReplicaSet(name.clone()), "ScalingReplicaSet", text);
    }
    draft
        .actions
        .push(Action::ChangeReplicaSet(ReplicaSetChange {
            name: set.name.clone(),
            resource_version: set.resource_version.clone(),
            replicas: (set.desired != to).then_some(to),
            min_ready_seconds: None,
            annotations,
            template: None,
        }));
    set.desired != to
}
