//! The weight that the canary may have now.
//!
//! The cases are Argo's, in its order. Two rules are ours and bind all of them: a weight is lowered
//! at once, and it is raised only when the canary has the pods for it *and* the proxies can reach
//! them. No capacity check ever stands before an abort, unless people asked for a stable side that
//! shrinks (`dynamicStableScale`): then traffic goes back as fast as stable gets its pods back. A
//! tripped fuse waits for nobody.

use super::Scene;
use super::abort::Abort;
use super::replicas;
use crate::rollout::spec::Step;

/// The weight, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// Out of the maximal weight.
    pub(super) weight: i32,
    /// Whether the header routes of the steps so far hold.
    pub(super) routes: bool,
    /// The revision that has it.
    pub(super) revision: String,
}

pub(super) fn decide(scene: &Scene<'_>, abort: &Abort) -> Decision {
    let of_the_newest = |weight, routes| Decision {
        weight,
        routes,
        revision: scene.pod_hash.clone(),
    };
    if let Some(from) = scene.rolls_back_from() {
        return Decision {
            weight: on_the_way_back(scene, abort),
            routes: false,
            revision: from.to_owned(),
        };
    }
    if scene.is_initial() || scene.is_promoted() {
        return of_the_newest(0, false);
    }
    if abort.aborted {
        let gradually = scene.is_dynamic() && !abort.by_fuse;
        let weight = if gradually {
            on_the_way_back(scene, abort)
        } else {
            0
        };
        return of_the_newest(weight, false);
    }
    if let Some(held) = held(scene) {
        return held;
    }
    if scene.new.is_none_or(|new| new.available == 0) {
        return of_the_newest(0, false);
    }
    let wanted = wanted(scene, abort);
    let current = scene.current_weight();
    let may = if wanted > current {
        may_rise(scene, wanted, abort)
    } else {
        stable_can_take(scene, wanted)
    };
    of_the_newest(if may { wanted } else { current }, !scene.promote_full())
}

/// A revision that was given up for a newer one keeps its traffic while it has pods and stable has
/// not enough for it.
fn held(scene: &Scene<'_>) -> Option<Decision> {
    let canary = &scene.weights()?.canary;
    let revision = canary.pod_template_hash.clone()?;
    let given_up = canary.weight > 0 && revision != scene.pod_hash;
    let mut others = scene.others.iter();
    let serves = others.any(|set| set.hash == revision && set.available > 0);
    (given_up && serves && !stable_can_take(scene, 0)).then_some(Decision {
        weight: canary.weight,
        routes: false,
        revision,
    })
}

/// Cases e to h of Argo's table.
fn wanted(scene: &Scene<'_>, abort: &Abort) -> i32 {
    let steps = scene.strategy.steps();
    if scene.promote_full() {
        return if scene.is_dynamic() {
            // As fast as its pods come.
            let pods = scene
                .new
                .map_or(0, |new| new.available.min(scene.reachable(&new.hash)));
            for_pods(scene, pods).max(scene.current_weight())
        } else {
            scene.current_weight()
        };
    }
    let index = if scene.in_rollback_window() {
        steps.len()
    } else {
        scene.index()
    };
    let target = match steps.get(..=index) {
        Some(so_far) => last_set(so_far).unwrap_or(0),
        None => scene.strategy.max_weight(),
    };
    if replicas::at_desired(scene, abort, None) {
        return target;
    }
    // Until the pods are there, what the steps before this one set; but less at once.
    target.min(last_set(&steps[..index]).unwrap_or(0))
}

/// The weight that the canary is sized for.
pub(super) fn for_size(scene: &Scene<'_>, abort: &Abort) -> i32 {
    if abort.aborted {
        return step_down(scene);
    }
    so_far(scene)
}

/// What the steps up to the current one set; past the last one, everything.
fn so_far(scene: &Scene<'_>) -> i32 {
    match scene.strategy.steps().get(..=scene.index()) {
        Some(so_far) => last_set(so_far).unwrap_or(0),
        None => scene.strategy.max_weight(),
    }
}

/// After an abort: nothing. With a stable side that shrank, the steps backwards: the last one with
/// fewer pods than the canary has, or stable lacks.
fn step_down(scene: &Scene<'_>) -> i32 {
    let (Some(new), Some(stable), true) = (scene.new, scene.stable, scene.is_dynamic()) else {
        return 0;
    };
    let pods = (scene.replicas() - stable.available).max(new.available);
    let weights = scene
        .strategy
        .steps()
        .iter()
        .rev()
        .filter_map(|step| match step {
            Step::SetWeight(weight) => Some(*weight),
            _ => None,
        });
    let mut fewer = weights.filter(|weight| replicas::share(scene, *weight) < pods);
    fewer.next().unwrap_or(0)
}

/// The weight while stable gets its pods back: never more than before, and no less than stable
/// cannot take yet.
fn on_the_way_back(scene: &Scene<'_>, abort: &Abort) -> i32 {
    let (Some(_), Some(stable), true) = (scene.new, scene.stable, scene.replicas() > 0) else {
        return 0;
    };
    let goal = if abort.aborted {
        step_down(scene)
    } else {
        so_far(scene)
    };
    let max = scene.strategy.max_weight();
    let stable_weight = for_pods(scene, stable.available);
    let lacking = (max - stable_weight).max(0);
    let Some(weights) = scene.weights() else {
        return goal.max(lacking);
    };
    let current = weights.canary.weight;
    if goal <= 0 {
        lacking.min(current)
    } else if stable_weight < max - goal {
        current
    } else {
        goal.min(current)
    }
}

/// The weight that so many pods can take, rounded down.
fn for_pods(scene: &Scene<'_>, pods: i32) -> i32 {
    let max = i64::from(scene.strategy.max_weight());
    let weight = max * i64::from(pods) / i64::from(scene.replicas().max(1));
    weight.min(max) as i32
}

/// The last weight that the steps set.
pub(super) fn last_set(steps: &[Step]) -> Option<i32> {
    steps.iter().rev().find_map(|step| match step {
        Step::SetWeight(weight) => Some(*weight),
        _ => None,
    })
}

fn may_rise(scene: &Scene<'_>, weight: i32, abort: &Abort) -> bool {
    let Some(new) = scene.new else { return false };
    // More pods than the size in force asks for need not be there; fewer than one is nothing.
    let needed = replicas::desired(scene, abort, None)
        .canary
        .min(replicas::for_weight(scene, weight))
        .max(1);
    let reachable = scene.reachable(&new.hash);
    reachable > 0 && scene.enough(reachable, needed) && stable_can_take(scene, weight)
}

/// Whether stable carries what this weight leaves to it. After an abort it has to.
pub(super) fn is_carried(scene: &Scene<'_>, abort: &Abort, weight: i32) -> bool {
    let stable = if scene.is_initial() {
        None
    } else {
        scene.stable
    };
    abort.aborted || (stable.is_some() && stable_can_take(scene, weight))
}

/// Whether stable has the pods for what is left to it.
fn stable_can_take(scene: &Scene<'_>, weight: i32) -> bool {
    let Some(stable) = scene.stable else {
        return true;
    };
    let max = i64::from(scene.strategy.max_weight());
    let share = (max - i64::from(weight)) * i64::from(scene.replicas()) / max.max(1);
    scene.enough(stable.available, share as i32)
}
