//! The analysis before the switch and the one after it.
//!
//! Their runs stay in the status when they are over: they are why the new pods serve.

use crds::AnalysisRun;
use crds::rollout::status::RolloutAnalysisRunStatus;
use crds::rollout::steps::RolloutAnalysis;
use crds::words::{AnalysisPhase, PauseReason};

use super::super::Draft;
use super::super::abort::current;
use super::super::analysis::{self, Purpose, in_brief, phase};
use super::Look;
use super::traffic::Divided;

/// The runs of this pass.
pub(super) struct Runs {
    pub(super) pre: Option<RolloutAnalysisRunStatus>,
    pub(super) post: Option<RolloutAnalysisRunStatus>,
    /// One of them ended neither well nor badly.
    pub(super) inconclusive: bool,
}

/// One of the two, as this pass finds it.
struct Side<'a> {
    analysis: Option<&'a RolloutAnalysis>,
    was: Option<&'a RolloutAnalysisRunStatus>,
    purpose: Purpose,
    /// It is not its time, or no longer.
    skipped: bool,
}

pub(super) fn plan(look: &Look<'_>, divided: &Divided, draft: &mut Draft) -> Runs {
    let scene = look.scene;
    let (pre, post) = (before(look), after(look, divided));
    let over = scene.is_promoted()
        || scene.is_initial()
        || look.abort.aborted
        || scene.promote_full()
        || look.is_fast_rollback();
    let mut kept = Vec::new();
    let mut run = |side: &Side<'_>, draft: &mut Draft| {
        if over || side.skipped {
            let analysed = over || side.analysis.is_some();
            return side.was.filter(|_| analysed).map(|was| mirror(look, was));
        }
        let run = keep_or_start(look, side, draft)?;
        kept.push(run.clone());
        Some(run)
    };
    let runs = Runs {
        pre: run(&pre, draft),
        post: run(&post, draft),
        inconclusive: false,
    };
    let inconclusive = kept
        .iter()
        .any(|run| run.status == AnalysisPhase::Inconclusive);
    analysis::report("PostPromotion", post.was, runs.post.as_ref(), draft);
    analysis::report("PrePromotion", pre.was, runs.pre.as_ref(), draft);
    let kept: Vec<_> = kept.iter().collect();
    analysis::cancel(scene, &look.abort, &kept, draft);
    let shown: Vec<_> = runs.pre.iter().chain(&runs.post).collect();
    analysis::collect(scene, &shown, draft);
    Runs {
        inconclusive,
        ..runs
    }
}

/// Whether the analysis before the switch, if any, has succeeded.
pub(super) fn pre_is_done(look: &Look<'_>) -> bool {
    let status = look.was().pre_promotion_analysis_run_status.as_ref();
    look.way.pre.is_none() || succeeded(look, status)
}

/// Whether the analysis after the switch, if any, has succeeded.
pub(super) fn post_is_done(look: &Look<'_>) -> bool {
    let status = look.was().post_promotion_analysis_run_status.as_ref();
    look.way.post.is_none() || succeeded(look, status)
}

fn succeeded(look: &Look<'_>, status: Option<&RolloutAnalysisRunStatus>) -> bool {
    let run = status.and_then(|status| current(look.scene, status));
    run.and_then(phase) == Some(&AnalysisPhase::Successful)
}

fn before<'a>(look: &'a Look<'_>) -> Side<'a> {
    let was = look.was();
    let new = look.new;
    let active = was.active_selector.as_deref().unwrap_or_default();
    let is_up = match look.way.preview_replica_count {
        Some(few) => new.desired == few && new.available == few,
        None => look.is_saturated(),
    };
    let begun = was.pre_promotion_analysis_run_status.is_some();
    Side {
        analysis: look.way.pre.as_ref(),
        was: was.pre_promotion_analysis_run_status.as_ref(),
        purpose: Purpose::PrePromotion,
        // One that has begun is not ended because a pod comes or goes.
        skipped: active.is_empty() || active == new.hash || !(begun || is_up),
    }
}

fn after<'a>(look: &'a Look<'_>, divided: &Divided) -> Side<'a> {
    let was = look.was().post_promotion_analysis_run_status.as_ref();
    Side {
        analysis: look.way.post.as_ref(),
        was,
        purpose: Purpose::PostPromotion,
        skipped: skips_post(look) || (was.is_none() && !divided.verified),
    }
}

/// Whether it is not the time of the analysis after the switch.
pub(super) fn skips_post(look: &Look<'_>) -> bool {
    let was = look.was();
    let new = look.new.hash.as_str();
    let begun = was.post_promotion_analysis_run_status.is_some();
    look.scene.stable_hash() == new
        || was.active_selector.as_deref() != Some(new)
        || !(begun || look.is_saturated())
}

fn mirror(look: &Look<'_>, was: &RolloutAnalysisRunStatus) -> RolloutAnalysisRunStatus {
    current(look.scene, was).map_or_else(|| was.clone(), in_brief)
}

fn keep_or_start(
    look: &Look<'_>,
    side: &Side<'_>,
    draft: &mut Draft,
) -> Option<RolloutAnalysisRunStatus> {
    let analysis = side.analysis?;
    let run = side.was.and_then(|was| current(look.scene, was));
    if look
        .scene
        .pause(&PauseReason::InconclusiveAnalysisRun)
        .is_some()
    {
        return side.was.map(|was| mirror(look, was));
    }
    match run.filter(|run| !is_wanted_again(look, run)) {
        Some(run) => Some(in_brief(run)),
        // One that the cache has not seen yet is there all the same.
        None => analysis::start(look.scene, (analysis, side.purpose), side.was, draft),
    }
}

/// After an inconclusive run people looked and went on, and after an abort they try again.
fn is_wanted_again(look: &Look<'_>, run: &AnalysisRun) -> bool {
    let was = look.scene.was;
    if was.controller_pause == Some(true)
        && look.scene.pause(&PauseReason::BlueGreenPause).is_none()
    {
        return phase(run) == Some(&AnalysisPhase::Inconclusive);
    }
    look.abort.forgiven
}
