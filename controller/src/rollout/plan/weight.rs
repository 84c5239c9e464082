//! The weight that the canary may have now.
//!
//! The cases are Argo's (a, dynamic rollback, aside), in its order. Two rules are ours and bind all
//! of them: a weight is lowered at once, and it is raised only when the canary has the pods for it
//! *and* the proxies can reach them. No capacity check ever stands before an abort.

use super::Scene;
use super::abort::Abort;
use super::replicas;
use crate::rollout::spec::Step;

/// The weight, and whether header routes are in force with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// Out of the maximal weight.
    pub(super) weight: i32,
    /// Whether the header routes of the steps so far hold.
    pub(super) routes: bool,
}

pub(super) fn decide(scene: &Scene<'_>, abort: &Abort) -> Decision {
    let none = Decision {
        weight: 0,
        routes: false,
    };
    let available = scene.new.map_or(0, |set| set.available);
    if scene.is_initial() || scene.is_promoted() || abort.aborted || available == 0 {
        return none;
    }
    let wanted = wanted(scene, abort);
    let current = scene.current_weight();
    let weight = if wanted > current && !may_rise(scene, wanted, abort) {
        current
    } else {
        wanted
    };
    let weight = if weight < current && !stable_can_take(scene, weight) {
        current
    } else {
        weight
    };
    Decision {
        weight,
        routes: !scene.promote_full(),
    }
}

/// Cases e to h of Argo's table.
fn wanted(scene: &Scene<'_>, abort: &Abort) -> i32 {
    let steps = scene.strategy.steps();
    if scene.promote_full() {
        return scene.current_weight();
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
    if replicas::at_desired(scene, abort) {
        return target;
    }
    // Until the pods are there, what the steps before this one set; but less at once.
    target.min(last_set(&steps[..index]).unwrap_or(0))
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
    let needed = replicas::desired(scene, abort)
        .canary
        .min(replicas::for_weight(scene, weight))
        .max(1);
    let reachable = scene.reachable(&new.hash);
    reachable > 0 && scene.enough(reachable, needed) && stable_can_take(scene, weight)
}

/// Whether stable has the pods for what is left to it.
fn stable_can_take(scene: &Scene<'_>, weight: i32) -> bool {
    let Some(stable) = scene.stable else {
        return true;
    };
    let max = i64::from(scene.strategy.max_weight());
    let share = (max - i64::from(weight)) * i64::from(scene.replicas()) / max.max(1);
    let available = i64::from(stable.available);
    available >= share
        || (scene.strategy.threshold().is_some()
            && scene.enough(stable.available, scene.replicas()))
}
