//! The restart: every pod that is older than `spec.restartAt` is evicted, a few at a time.
//!
//! Evictions respect PodDisruptionBudgets. A pass that evicted anything ends there, because what it
//! knows of available pods is no longer true.

use jiff::Timestamp;

use super::{Action, Draft, Scene};
use crate::rollout::observe::PodView;

/// How long until pods are looked at again that could not be evicted yet.
const AGAIN_SECONDS: i64 = 30;

/// What became of the restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// There is none to do.
    Idle,
    /// Pods are being evicted in this pass.
    Evicting,
    /// Pods are left that may not go yet.
    Waiting,
    /// All pods are new enough.
    Done,
}

/// Whether a restart is due.
pub(crate) fn is_due(
    restart_at: Option<Timestamp>,
    restarted_at: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    restart_at.is_some_and(|at| restarted_at != Some(at) && now > at)
}

pub(super) fn plan(scene: &Scene<'_>, draft: &mut Draft) -> Restart {
    let Some(at) = scene.strategy.restart_at else {
        return Restart::Idle;
    };
    let restarted_at = scene.was.restarted_at.as_ref().map(|time| time.0);
    if !is_due(Some(at), restarted_at, scene.now) {
        if restarted_at != Some(at) {
            // Just after it: the comparison is strict.
            draft.wake(Scene::after(at, 1));
        }
        return Restart::Idle;
    }
    let old = in_order(scene)
        .into_iter()
        .filter(|pod| pod.created < at)
        .collect::<Vec<_>>();
    if old.is_empty() {
        return Restart::Done;
    }
    draft.wake(Scene::after(scene.now, AGAIN_SECONDS));
    let going: Vec<_> = old
        .iter()
        .filter(|pod| !pod.terminating)
        .take(room(scene))
        .collect();
    for pod in &going {
        draft.actions.push(Action::EvictPod(pod.name.clone()));
    }
    if going.is_empty() {
        Restart::Waiting
    } else {
        Restart::Evicting
    }
}

/// How many pods may go now.
fn room(scene: &Scene<'_>) -> usize {
    let sets = &scene.observed.replica_sets;
    let total: i32 = sets.iter().map(|set| set.desired).sum();
    let pods = scene.observed.pods.iter();
    let available = pods.filter(|pod| pod.available && !pod.terminating).count();
    let least = scene.replicas().max(total) - scene.strategy.max_unavailable.max(1);
    let available = i32::try_from(available).unwrap_or(i32::MAX);
    available.saturating_sub(least).max(0) as usize
}

/// Stable's pods, then the newest revision's, then the others', the oldest ReplicaSet first.
fn in_order<'a>(scene: &Scene<'a>) -> Vec<&'a PodView> {
    let mut sets: Vec<_> = scene.observed.replica_sets.iter().collect();
    let is = |set: &str, other: Option<&str>| other == Some(set);
    sets.sort_by_key(|set| {
        let stable = is(&set.name, scene.stable.map(|stable| stable.name.as_str()));
        let new = is(&set.name, scene.new.map(|new| new.name.as_str()));
        (!stable, !new, set.created)
    });
    let pods = &scene.observed.pods;
    sets.into_iter()
        .flat_map(|set| pods.iter().filter(|pod| pod.owner == set.uid))
        .collect()
}
