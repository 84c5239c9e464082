//! The progress deadline: too long without progress is worth a word, and perhaps an abort.

use crds::rollout::RolloutStatus;
use jiff::Timestamp;

use super::{Scene, conditions, status};
use crate::rollout::spec::{Step, Way};

/// Whether it took too long since the last progress.
pub(super) fn is_passed(scene: &Scene<'_>) -> bool {
    let Some(at) = at(scene) else { return false };
    let progressing = conditions::find(&scene.was.conditions, "Progressing");
    let known = progressing.is_some_and(|condition| condition.reason == "ProgressDeadlineExceeded");
    (known || scene.now > at) && !is_progress(scene, &status::base(scene))
}

/// When it will have taken too long; `None` while nothing is expected to happen.
pub(super) fn at(scene: &Scene<'_>) -> Option<Timestamp> {
    let waits = matches!(scene.step(), Some(Step::Pause(_) | Step::Analysis(_)));
    let paused = scene.strategy.paused
        || !scene.was.pause_conditions.is_empty()
        || conditions::is_true(&scene.was.conditions, "Paused");
    let draining = scene.others.iter().any(|set| set.has_deadline());
    let completed = conditions::is_true(&scene.was.conditions, "Completed");
    let done = completed && conditions::is_true(&scene.was.conditions, "Healthy");
    if waits || paused || draining || done {
        return None;
    }
    let progressing = conditions::find(&scene.was.conditions, "Progressing")?;
    if matches!(
        progressing.reason.as_str(),
        "RolloutAborted" | "RolloutPaused" | "NewReplicaSetAvailable"
    ) {
        return None;
    }
    Some(Scene::after(
        progressing.last_update_time.0,
        i64::from(scene.strategy.progress_deadline_seconds),
    ))
}

pub(super) fn message(scene: &Scene<'_>) -> String {
    let name = scene.new.map(|set| set.name.clone()).unwrap_or_default();
    format!("ReplicaSet \"{name}\" has timed out progressing.")
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
            text(&next.stable_rs) != text(&was.stable_rs)
                || next.current_step_index != was.current_step_index
                || next.current_step_hash != was.current_step_hash
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
