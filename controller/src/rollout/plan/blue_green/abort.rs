//! Abort: somebody asked for it, an analysis failed, or it took too long. There is no fuse: it would
//! compare two versions that serve at the same time, and here they never do.

use crds::rollout::status::RolloutAnalysisRunStatus;

use super::super::abort::{Abort, current, failure, is_forgiven};
use super::super::{deadline, status};
use super::Look;

pub(super) fn decide(look: &Look<'_>) -> Abort {
    let scene = look.scene;
    let mut abort = Abort {
        forgiven: is_forgiven(scene),
        ..Abort::default()
    };
    let moot = scene.is_promoted() || scene.is_initial() || scene.template_changed();
    if moot || scene.promote_full() || scene.in_rollback_window() {
        return abort;
    }
    abort.aborted = scene.was.abort == Some(true);
    if !abort.aborted && !abort.forgiven {
        abort.detail = failed_run(look);
        if abort.detail.is_none() {
            abort.detail = too_late(look);
            abort.too_late = abort.detail.is_some();
        }
        abort.aborted = abort.detail.is_some();
    }
    abort
}

fn failed_run(look: &Look<'_>) -> Option<String> {
    if look.is_fast_rollback() {
        return None;
    }
    let was = look.was();
    let failed = |kind: &str, status: &Option<RolloutAnalysisRunStatus>| {
        failure(kind, current(look.scene, status.as_ref()?)?)
    };
    let pre = || {
        failed(
            "Blue/green pre-promotion",
            &was.pre_promotion_analysis_run_status,
        )
    };
    let post = || {
        failed(
            "Blue/green post-promotion",
            &was.post_promotion_analysis_run_status,
        )
    };
    look.way
        .pre
        .as_ref()
        .and_then(|_| pre())
        .or_else(|| look.way.post.as_ref().and_then(|_| post()))
}

fn too_late(look: &Look<'_>) -> Option<String> {
    deadline::abort(look.scene, &status::base(look.scene))
}
