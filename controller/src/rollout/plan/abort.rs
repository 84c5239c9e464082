//! Abort: somebody asked for it, a fuse tripped, an analysis failed, or it took too long.
//!
//! A tripped fuse beats everything, a full promotion included. The exception is what people ask for
//! *after* they saw the abort: a retry, or a full promotion. Both forgive the trip.

use crds::rollout::status::RolloutAnalysisRunStatus;
use crds::words::AnalysisPhase;
use crds::{AnalysisRun, words::PauseReason};
use kube::ResourceExt as _;

use super::Scene;
use crate::rollout::names;
use crate::rollout::spec::Step;

/// Whether the update is aborted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Abort {
    /// It is, by whomever.
    pub(super) aborted: bool,
    /// It is since this look, and this is why.
    pub(super) detail: Option<String>,
    /// The progress deadline is why.
    pub(super) too_late: bool,
    /// A fuse is why.
    pub(super) by_fuse: bool,
    /// People want to go on in spite of an earlier abort.
    pub(super) forgiven: bool,
}

pub(super) fn decide(scene: &Scene<'_>) -> Abort {
    let forgiven = is_forgiven(scene);
    let mut abort = Abort {
        forgiven,
        ..Abort::default()
    };
    if scene.is_promoted() || scene.is_initial() {
        return abort;
    }
    if let Some(detail) = tripped(scene).filter(|_| !forgiven) {
        let news = scene.was.abort != Some(true);
        return Abort {
            aborted: true,
            detail: news.then_some(detail),
            by_fuse: true,
            forgiven,
            ..abort
        };
    }
    if scene.promote_full() || scene.in_rollback_window() {
        return abort;
    }
    abort.aborted = scene.was.abort == Some(true);
    if !abort.aborted && !forgiven {
        abort.detail = failed_run(scene);
        abort.aborted = abort.detail.is_some();
    }
    abort
}

pub(super) fn is_forgiven(scene: &Scene<'_>) -> bool {
    scene.was.aborted_at.is_some() && (scene.was.abort != Some(true) || scene.promote_full())
}

fn tripped(scene: &Scene<'_>) -> Option<String> {
    let trip = scene.observed.traffic.fuse.as_ref()?;
    (trip.revision == scene.pod_hash).then(|| trip.reason.clone())
}

fn failed_run(scene: &Scene<'_>) -> Option<String> {
    let canary = scene.was.canary.as_ref()?;
    let background = canary.current_background_analysis_run_status.as_ref();
    let background = background.and_then(|status| current(scene, status));
    if let Some(run) =
        background.filter(|_| scene.pause(&PauseReason::InconclusiveAnalysisRun).is_none())
        && let Some(detail) = failure("Background", run)
    {
        return Some(detail);
    }
    if !scene.was.pause_conditions.is_empty() || !matches!(scene.step(), Some(Step::Analysis(_))) {
        return None;
    }
    let step = canary
        .current_step_analysis_run_status
        .as_ref()
        .and_then(|status| current(scene, status))?;
    let of_this_step = step
        .labels()
        .get(names::STEP_INDEX)
        .is_some_and(|index| *index == scene.index().to_string());
    of_this_step.then(|| failure("Step-based", step)).flatten()
}

/// The run that a status is about, unless it belongs to another revision.
pub(super) fn current<'a>(
    scene: &Scene<'a>,
    status: &RolloutAnalysisRunStatus,
) -> Option<&'a AnalysisRun> {
    let run = scene
        .observed
        .runs
        .iter()
        .find(|run| run.name_any() == status.name)?;
    let hash = run.labels().get(names::POD_TEMPLATE_HASH_LABEL);
    hash.is_none_or(|hash| *hash == scene.pod_hash)
        .then_some(run)
}

/// What a run that did not go well says.
pub(super) fn failure(kind: &str, run: &AnalysisRun) -> Option<String> {
    let status = run.status.as_ref()?;
    if !matches!(
        status.phase,
        Some(AnalysisPhase::Failed | AnalysisPhase::Error)
    ) {
        return None;
    }
    let message = status
        .message
        .as_deref()
        .filter(|message| !message.is_empty());
    Some(format!(
        "{kind} analysis phase error/failed{}",
        message.map_or_else(String::new, |message| format!(": {message}"))
    ))
}
