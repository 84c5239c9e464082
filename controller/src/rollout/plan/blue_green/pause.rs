//! The pause before the switch, by Argo's protocol: the controller writes a condition, and whoever
//! takes it away resumes.
//!
//! Argo forgets a resume that comes while a pod is missing, and one that comes before
//! `autoPromotionSeconds` are over, and pauses again. Here a resume holds until the switch.

use crds::Unknown;
use crds::rollout::status::PauseCondition;
use crds::words::PauseReason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::pause::{just_after, up};
use super::super::{Draft, Scene};
use super::{Look, analysis};
use crate::rollout::spec::Promotion;

const REASON: PauseReason = PauseReason::BlueGreenPause;

/// The pause after this pass.
pub(super) struct Pause {
    /// What the status says.
    pub(super) conditions: Vec<PauseCondition>,
    /// Nothing of it stands before the switch, nor the analysis before it.
    pub(super) is_over: bool,
    /// The controller paused, and the switch that this allowed is still to come.
    pub(super) is_pending: bool,
}

pub(super) fn plan(look: &Look<'_>, draft: &mut Draft) -> Pause {
    let was = look.scene.was;
    let mut conditions = was.pause_conditions.clone();
    let completed = is_completed(look);
    let mut added = false;
    let waits = look.abort.aborted || look.scene.is_halted() || !look.is_ready();
    let passed = look.was().scale_up_preview_check_point == Some(true);
    let unneeded = look.is_fast_tracked() || passed || look.way.promotion == Promotion::AtOnce;
    if waits {
    } else if unneeded || (completed && analysis::pre_is_done(look)) {
        conditions.retain(|condition| condition.reason != REASON);
    } else if analysis::pre_is_done(look) && !completed {
        added = hold(look, &mut conditions, draft);
    }
    let is_over = !added && completed && analysis::pre_is_done(look);
    let paused = was.controller_pause == Some(true);
    Pause {
        conditions,
        is_over,
        is_pending: paused && is_over && !passed && look.way.promotion != Promotion::AtOnce,
    }
}

/// Whether the pause, if any, is over: somebody resumed, or it took its time.
pub(super) fn is_completed(look: &Look<'_>) -> bool {
    if look.was().scale_up_preview_check_point == Some(true) {
        return true;
    }
    let resumed = look.scene.is_resumed(&REASON);
    match look.way.promotion {
        Promotion::AtOnce => true,
        Promotion::ByHand => resumed,
        Promotion::After(seconds) => {
            let pause = look.scene.pause(&REASON);
            resumed
                || pause
                    .is_some_and(|pause| look.scene.now > Scene::after(pause.start_time.0, seconds))
        }
    }
}

/// Pauses, or goes on pausing. True where the pause begins now.
fn hold(look: &Look<'_>, conditions: &mut Vec<PauseCondition>, draft: &mut Draft) -> bool {
    let before = look.scene.pause(&REASON);
    let start = before.map_or_else(|| up(look.scene.now), |pause| pause.start_time.0);
    if let Promotion::After(seconds) = look.way.promotion {
        draft.wake(just_after(Scene::after(start, seconds)));
    }
    if before.is_some() {
        return false;
    }
    conditions.push(PauseCondition {
        reason: REASON,
        start_time: Time(start),
        unknown: Unknown::new(),
    });
    true
}
