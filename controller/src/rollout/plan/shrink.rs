//! The way down: pods that lost their traffic go after a delay, and never while a proxy still
//! routes to them or has requests in flight on them.
//!
//! The delay stands as a deadline on the ReplicaSet, which survives a restart. Once it has passed,
//! draining may hold the pods for [`DRAIN_TIMEOUT_SECONDS`] more; then they go all the same, and an
//! event says so.

use jiff::Timestamp;

use super::abort::Abort;
use super::replicas::resize;
use super::{Action, Draft, ReplicaSetChange, Scene};
use crate::rollout::names;
use crate::rollout::observe::ReplicaSetView;
use crate::rollout::spec::Way;

/// How long requests in flight may hold pods that are to go.
pub(super) const DRAIN_TIMEOUT_SECONDS: i64 = 30;

/// How long until pods are looked at again that still drain.
const DRAIN_LOOK_SECONDS: i64 = 1;

/// Pods that are wanted again have no deadline.
pub(super) fn forget_deadlines(scene: &Scene<'_>, abort: &Abort, draft: &mut Draft) {
    let wanted = [
        scene.new.filter(|_| !delays_on_abort(scene, abort)),
        scene.apart(),
    ];
    for set in wanted.into_iter().flatten() {
        if set.has_deadline() {
            annotate(set, None, draft);
        }
    }
}

/// Whether the newest pods stay for a while after an abort, so that a retry is quick. Where stable
/// follows the traffic, only if the Rollout says so itself.
pub(super) fn delays_on_abort(scene: &Scene<'_>, abort: &Abort) -> bool {
    let strategy = scene.strategy;
    let unrouted = strategy.canary().is_some() && strategy.routing().is_none();
    abort.aborted
        && scene.stable.is_some()
        && !unrouted
        && strategy.abort_scale_down_delay_seconds.is_some()
        && (!scene.is_dynamic() || strategy.abort_delay_is_said)
}

/// The newest pods after an abort. True when their size changed.
pub(super) fn aborted(scene: &Scene<'_>, new: &ReplicaSetView, draft: &mut Draft) -> bool {
    let delay = scene.strategy.abort_scale_down_delay_seconds.unwrap_or(0);
    if new.desired == 0 {
        // Nothing is left to go; another size of the Rollout is noted all the same.
        return resize(scene, new, 0, draft);
    }
    let stable = scene.stable.map_or(0, |stable| stable.available);
    // It stays as large as it is, and knows for which size of the Rollout.
    resize(scene, new, new.desired, draft);
    if !new.has_deadline() {
        if stable >= scene.replicas() {
            let deadline = Scene::after(scene.now, i64::from(delay));
            draft.wake(deadline);
            annotate(new, Some(deadline), draft);
        }
        return false;
    }
    may_go(scene, new, draft) && resize(scene, new, 0, draft)
}

/// Revisions that are neither new nor stable. True when one of them was scaled.
pub(super) fn others(scene: &Scene<'_>, draft: &mut Draft) -> bool {
    let Some((sizes, mut scaled)) = without_useless(scene, draft) else {
        return false;
    };
    let sets = &scene.observed.replica_sets;
    let available: i32 = sets.iter().map(|set| set.available).sum();
    let mut budget = available - (scene.replicas() - scene.strategy.max_unavailable);
    let mut delayed = 0;
    let routed = scene.strategy.routing().is_some();
    for (set, size) in scene.others.iter().zip(sizes) {
        if size == 0 || (routed && is_referenced(scene, set)) {
            continue;
        }
        if budget <= 0 {
            break;
        }
        let to = if routed {
            routed_size(scene, (set, size), &mut delayed, draft)
        } else {
            // Its pods serve as long as they are there.
            (size - budget).max(0)
        };
        if to < size {
            resize(scene, set, to, draft);
            budget -= size - to;
            scaled = true;
        }
    }
    scaled
}

/// Pods that never became available serve nobody, and go first. The sizes after that, in the order
/// of the revisions, and whether any changed; nothing while a ReplicaSet has yet to follow its size.
fn without_useless(scene: &Scene<'_>, draft: &mut Draft) -> Option<(Vec<i32>, bool)> {
    let active = || scene.others.iter().filter(|set| set.desired > 0);
    if active().next().is_none() || active().any(|set| set.available > set.desired) {
        return None;
    }
    // Requests may still be in flight on pods that are not available any more.
    let size = |set: &ReplicaSetView| match set.available.min(set.desired) {
        0 if !is_drained(scene, set) => set.desired,
        size => size,
    };
    let mut scaled = false;
    for set in active().filter(|set| size(set) < set.desired) {
        scaled |= resize(scene, set, size(set), draft);
    }
    Some((scene.others.iter().map(|set| size(set)).collect(), scaled))
}

/// What remains of an old revision whose traffic is routed elsewhere.
fn routed_size(
    scene: &Scene<'_>,
    (set, size): (&ReplicaSetView, i32),
    delayed: &mut usize,
    draft: &mut Draft,
) -> i32 {
    // After a promotion it was stable; before one, it was given up for another update.
    let stays = scene.is_promoted() || set.has_deadline();
    let delayed = Some(delayed).filter(|_| stays && !scene.is_dynamic());
    if goes(scene, set, delayed, draft) {
        0
    } else {
        size
    }
}

/// Whether a revision may go to zero now; sets its deadline otherwise. `delayed` counts those that
/// the delay keeps up; without it there is no delay, because the update was given up for another.
pub(super) fn goes(
    scene: &Scene<'_>,
    set: &ReplicaSetView,
    delayed: Option<&mut usize>,
    draft: &mut Draft,
) -> bool {
    let limit = scene.strategy.scale_down_delay_revision_limit;
    let at_once = match delayed {
        None => true,
        Some(delayed) if limit.is_some_and(|limit| *delayed >= limit) => true,
        Some(delayed) => {
            *delayed += 1;
            false
        }
    };
    if at_once && is_drained(scene, set) {
        return true;
    }
    if set.has_deadline() {
        return may_go(scene, set, draft);
    }
    // Without a delay the deadline is now, from which on draining is timed.
    let delay = if at_once {
        0
    } else {
        i64::from(scene.strategy.scale_down_delay_seconds)
    };
    let deadline = Scene::after(scene.now, delay);
    draft.wake(deadline.max(Scene::after(scene.now, DRAIN_LOOK_SECONDS)));
    annotate(set, Some(deadline), draft);
    false
}

/// Whether the deadline has passed and nobody is being served.
fn may_go(scene: &Scene<'_>, set: &ReplicaSetView, draft: &mut Draft) -> bool {
    // A deadline that cannot be read is one that has passed.
    let deadline = set.deadline().unwrap_or(Timestamp::MIN);
    if scene.now < deadline {
        draft.wake(deadline);
        return false;
    }
    if is_drained(scene, set) {
        return true;
    }
    if is_over(scene, deadline) {
        let name = &set.name;
        let text = format!(
            "ReplicaSet {name} goes with requests in flight after {DRAIN_TIMEOUT_SECONDS} s of draining"
        );
        draft.warning("DrainTimeout", text);
        return true;
    }
    draft.wake(
        Scene::after(scene.now, DRAIN_LOOK_SECONDS)
            .min(Scene::after(deadline, DRAIN_TIMEOUT_SECONDS)),
    );
    false
}

fn is_over(scene: &Scene<'_>, deadline: Timestamp) -> bool {
    scene.now >= Scene::after(deadline, DRAIN_TIMEOUT_SECONDS)
}

/// No proxy routes to it, as far as any is there to ask, and none has a request on it.
fn is_drained(scene: &Scene<'_>, set: &ReplicaSetView) -> bool {
    let routed = match &scene.strategy.way {
        Way::Canary(canary) => canary.routing.is_some(),
        Way::BlueGreen(way) => way.routed,
    };
    if !routed {
        return true;
    }
    let view = &scene.observed.traffic;
    let in_flight = view.in_flight.get(&set.hash).copied().unwrap_or_default();
    view.verified != Some(false) && in_flight == 0
}

/// Whether status or a Service still points at it.
fn is_referenced(scene: &Scene<'_>, set: &ReplicaSetView) -> bool {
    let weights = scene.weights();
    let weights = weights
        .into_iter()
        .flat_map(|weights| [&weights.canary, &weights.stable]);
    // Of two that take turns, one leads to old pods until its next turn, and nobody uses it.
    let turns = |field: &str| field.starts_with("canary.pingPong");
    let services = scene.strategy.services().into_iter();
    let services = services
        .filter(|(field, _)| !turns(field))
        .filter_map(|(_, name)| scene.observed.services.get(name));
    let mut hashes = weights
        .filter_map(|destination| destination.pod_template_hash.as_deref())
        .chain(services.filter_map(|service| service.hash()));
    hashes.any(|hash| hash == set.hash)
}

fn annotate(set: &ReplicaSetView, deadline: Option<Timestamp>, draft: &mut Draft) {
    // Whole seconds, rounded up: never earlier than meant.
    let text = deadline.map(|deadline| {
        let second = deadline.as_second() + i64::from(deadline.subsec_nanosecond() > 0);
        Timestamp::from_second(second)
            .unwrap_or(deadline)
            .to_string()
    });
    draft
        .actions
        .push(Action::ChangeReplicaSet(ReplicaSetChange {
            name: set.name.clone(),
            resource_version: set.resource_version.clone(),
            annotations: vec![(names::SCALE_DOWN_DEADLINE.to_owned(), text)],
            ..ReplicaSetChange::default()
        }));
}
