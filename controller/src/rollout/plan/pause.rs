//! The pause: Argo's protocol, by which people resume a Rollout with an edit of its status.
//!
//! To pause, the controller writes a pause condition and `controllerPause`. Whoever takes the
//! condition away resumes: "I paused, and the pause is gone" is how the controller reads it.

use crds::Unknown;
use crds::rollout::RolloutStatus;
use crds::rollout::status::PauseCondition;
use crds::words::PauseReason;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::abort::Abort;
use super::analysis::Runs;
use super::{Draft, Scene};
use crate::rollout::spec::Step;

/// The pauses after this pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pauses {
    /// What the status says.
    pub(super) conditions: Vec<PauseCondition>,
    /// Whether one of them is ours.
    pub(super) controller: bool,
    /// The pause of the current step is over.
    pub(super) step_done: bool,
}

pub(super) fn plan(scene: &Scene<'_>, abort: &Abort, runs: &Runs, draft: &mut Draft) -> Pauses {
    let cleared =
        abort.aborted || scene.promote_full() || scene.in_rollback_window() || scene.is_promoted();
    if cleared {
        return Pauses::default();
    }
    let mut pauses = Pauses {
        conditions: scene.was.pause_conditions.clone(),
        controller: scene.was.controller_pause == Some(true),
        step_done: false,
    };
    if runs.inconclusive {
        add(
            scene,
            PauseReason::InconclusiveAnalysisRun,
            &mut pauses,
            draft,
        );
    } else if !scene.is_halted()
        && let Some(Step::Pause(seconds)) = scene.step()
    {
        step(scene, *seconds, &mut pauses, draft);
    }
    pauses.controller &= !pauses.conditions.is_empty();
    pauses
}

fn step(scene: &Scene<'_>, seconds: Option<i64>, pauses: &mut Pauses, draft: &mut Draft) {
    let reason = PauseReason::CanaryPauseStep;
    if scene.is_resumed(&reason) {
        pauses.step_done = true;
        return;
    }
    let Some(condition) = scene.pause(&reason) else {
        // What was scaled just now is to be there before people are asked to look.
        if !draft.scales() {
            add(scene, reason, pauses, draft);
        }
        return;
    };
    let Some(seconds) = seconds else { return };
    let end = Scene::after(condition.start_time.0, seconds);
    if scene.now > end {
        pauses.step_done = true;
        pauses
            .conditions
            .retain(|condition| condition.reason != reason);
    } else {
        draft.wake(just_after(end));
    }
}

fn add(scene: &Scene<'_>, reason: PauseReason, pauses: &mut Pauses, draft: &mut Draft) {
    if pauses
        .conditions
        .iter()
        .any(|condition| condition.reason == reason)
    {
        return;
    }
    if let (PauseReason::CanaryPauseStep, Some(Step::Pause(Some(seconds)))) =
        (&reason, scene.step())
    {
        draft.wake(just_after(Scene::after(up(scene.now), *seconds)));
    }
    // Objects hold whole seconds; rounded up, no pause is shorter than it was asked to be.
    let start_time = Time(up(scene.now));
    pauses.conditions.push(PauseCondition {
        reason,
        start_time,
        unknown: Unknown::new(),
    });
    pauses.controller = true;
}

/// Tells people that pauses begin, or that the last one ended by itself. Who resumes knows.
pub(super) fn tell(scene: &Scene<'_>, next: &RolloutStatus, draft: &mut Draft) {
    let before = !scene.was.pause_conditions.is_empty();
    match next.pause_conditions.first() {
        Some(pause) if !before => {
            draft.event(
                "RolloutPaused",
                format!("Rollout is paused ({})", pause.reason),
            );
        }
        None if before && next.aborted_at.is_none() => {
            draft.event("RolloutResumed", "Rollout is resumed");
        }
        _ => {}
    }
}

pub(super) fn up(time: Timestamp) -> Timestamp {
    let second = time.as_second() + i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(second).unwrap_or(time)
}

/// The comparison is strict, so the look at the very end would be one too early.
pub(super) fn just_after(time: Timestamp) -> Timestamp {
    time.saturating_add(jiff::SignedDuration::from_millis(1))
        .unwrap_or(time)
}
