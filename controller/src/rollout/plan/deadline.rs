//! The progress deadline: too long without progress is worth a word, and perhaps an abort.

use crds::rollout::RolloutStatus;
use crds::rollout::status::RolloutCondition;
use jiff::Timestamp;

use super::{Scene, conditions};
use crate::rollout::spec::{Step, Way};

/// Whether it took too long since the progress that these conditions tell of.
pub(super) fn is_passed(scene: &Scene<'_>, known: &[RolloutCondition]) -> bool {
    if waits(scene) {
        return false;
    }
    let progressing = conditions::find(known, "Progressing");
    if progressing.is_some_and(|condition| condition.reason == "ProgressDeadlineExceeded") {
        return true;
    }
    end(scene, known).is_some_and(|end| scene.now > end)
}

/// Why the update is aborted for taking too long, if it is to be.
pub(super) fn abort(scene: &Scene<'_>, next: &RolloutStatus) -> Option<String> {
    let late = scene.strategy.progress_deadline_abort
        && !conditions::is_complete(next)
        && !is_progress(scene, next)
        && is_passed(scene, &scene.was.conditions);
    late.then(|| message(scene))
}

/// When to look again whether it took too long; nothing while nothing is expected to happen.
pub(super) fn at(scene: &Scene<'_>, next: &RolloutStatus) -> Option<Timestamp> {
    let paused = scene.strategy.paused || !next.pause_conditions.is_empty();
    if paused || next.abort == Some(true) || waits(scene) {
        return None;
    }
    // Just after it, because the comparison is strict.
    end(scene, &next.conditions).map(|end| Scene::after(end, 1))
}

/// Steps that take as long as they take, pauses, and old pods that are kept for a while.
fn waits(scene: &Scene<'_>) -> bool {
    matches!(scene.step(), Some(Step::Pause(_) | Step::Analysis(_)))
        || conditions::is_true(&scene.was.conditions, "Paused")
        || scene.others.iter().any(|set| set.has_deadline())
}

/// The last moment at which progress is in time.
fn end(scene: &Scene<'_>, known: &[RolloutCondition]) -> Option<Timestamp> {
    let progressing = conditions::find(known, "Progressing")?;
    let counts = !matches!(
        progressing.reason.as_str(),
        "RolloutAborted" | "RolloutPaused" | "ProgressDeadlineExceeded"
    );
    let seconds = i64::from(scene.strategy.progress_deadline_seconds);
    counts.then(|| Scene::after(progressing.last_update_time.0, seconds))
}

pub(super) fn message(scene: &Scene<'_>) -> String {
    match scene.new {
        Some(new) => format!("ReplicaSet \"{}\" has timed out progressing.", new.name),
        None => format!("Rollout \"{}\" has timed out progressing.", scene.name()),
    }
}

/// Whether the next status is further than the last one.
pub(super) fn is_progress(scene: &Scene<'_>, next: &RolloutStatus) -> bool {
    let was = scene.was;
    let count = |count: Option<i32>| count.unwrap_or_default();
    let old = |status: &RolloutStatus| count(status.replicas) - count(status.updated_replicas);
    count(next.updated_replicas) != count(was.updated_replicas)
        || old(next) < old(was)
        || count(next.ready_replicas) > count(was.ready_replicas)
        || count(next.available_replicas) > count(was.available_replicas)
        || way_moved(scene, next)
}

/// Whether what only the strategy has moved on.
fn way_moved(scene: &Scene<'_>, next: &RolloutStatus) -> bool {
    let was = scene.was;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match scene.strategy.way {
        Way::Canary(_) => {
            let stepped = next
                .current_step_index
                .zip(was.current_step_index)
                .is_some_and(|(next, was)| next != was);
            stepped
                || text(&next.stable_rs) != text(&was.stable_rs)
                || text(&next.current_step_hash) != text(&was.current_step_hash)
        }
        Way::BlueGreen(_) => {
            let (next, was) = (
                next.blue_green.clone().unwrap_or_default(),
                was.blue_green.clone().unwrap_or_default(),
            );
            text(&next.active_selector) != text(&was.active_selector)
                || text(&next.preview_selector) != text(&was.preview_selector)
        }
    }
}
