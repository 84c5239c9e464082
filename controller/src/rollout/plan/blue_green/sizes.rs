//! The sizes: stable and new at full size, old ones up for as long as the delay says.

use crds::words::{AnalysisPhase, PauseReason};

use super::super::replicas::resize;
use super::super::{Draft, shrink};
use super::{Look, analysis, selected};
use crate::rollout::observe::ReplicaSetView;

/// Sizes everything.
pub(super) fn scale(look: &Look<'_>, draft: &mut Draft) {
    let scene = look.scene;
    shrink::forget_deadlines(scene, &look.abort, draft);
    let stable = scene.stable.filter(|stable| stable.name != look.new.name);
    if let Some(stable) = stable {
        resize(scene, stable, scene.replicas(), draft);
    }
    if look.abort.aborted {
        aborted(look, draft);
    } else {
        resize(scene, look.new, look.wanted(), draft);
    }
    others(look, draft);
}

/// The new pods after an abort: kept for the delay, and for as long as they are the active ones.
fn aborted(look: &Look<'_>, draft: &mut Draft) {
    let scene = look.scene;
    if scene.strategy.abort_scale_down_delay_seconds.is_none() {
        resize(scene, look.new, look.wanted(), draft);
        return;
    }
    // A size that is held is still the answer to today's `spec.replicas`.
    resize(scene, look.new, look.new.desired, draft);
    if !look.is_active() {
        shrink::aborted(scene, look.new, draft);
    }
}

/// Revisions that are neither new nor stable.
fn others(look: &Look<'_>, draft: &mut Draft) {
    if is_held(look) {
        return;
    }
    let scene = look.scene;
    let mut delayed = 0;
    for set in scene.others.iter().filter(|set| set.desired > 0) {
        if is_referenced(look, set) {
            continue;
        }
        if shrink::goes(scene, set, Some(&mut delayed), draft) {
            resize(scene, set, 0, draft);
        } else if set.has_deadline() {
            // It may be asked to serve again at any moment, and then has to have the size of today.
            resize(scene, set, scene.replicas(), draft);
        }
    }
}

/// Whether old pods have to stay because the verdict on the new ones is still to come.
fn is_held(look: &Look<'_>) -> bool {
    if look
        .scene
        .pause(&PauseReason::InconclusiveAnalysisRun)
        .is_some()
    {
        return true;
    }
    let run = look.was().post_promotion_analysis_run_status.as_ref();
    look.way.post.is_some()
        && !look.way.has_own_delay
        && !analysis::skips_post(look)
        && run.is_none_or(|run| run.status != AnalysisPhase::Successful)
}

/// Whether status or a Service still points at it.
fn is_referenced(look: &Look<'_>, set: &ReplicaSetView) -> bool {
    let was = look.was();
    let preview = look.way.preview_service.as_deref();
    let preview = preview.and_then(|service| selected(look.scene, service));
    let hashes = [
        look.scene.was.current_pod_hash.as_deref(),
        was.active_selector.as_deref(),
        was.preview_selector.as_deref(),
        look.active,
        preview,
    ];
    hashes.into_iter().flatten().any(|hash| hash == set.hash)
}
