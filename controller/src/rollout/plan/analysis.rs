//! The analysis: which AnalysisRuns must be there now.
//!
//! A run is created for an analysis step, and one beside the steps; both end with what they are
//! for. Their names are deterministic, and the status names a run before it is created, so that one
//! is neither lost nor made twice when the process dies.

use std::collections::BTreeMap;

use crds::rollout::status::RolloutAnalysisRunStatus;
use crds::rollout::steps::RolloutAnalysis;
use crds::words::{AnalysisPhase, PauseReason};
use crds::{AnalysisRun, AnalysisRunSpec};
use kube::{Resource as _, ResourceExt as _};

use super::abort::{self, Abort};
use super::{Action, Draft, Scene};
use crate::analysis::compose::{self, ComposeInput};
use crate::rollout::names;
use crate::rollout::spec::Step;

/// How often the name of a run may be taken before we give up.
const NAME_TRIES: usize = 100;

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The step with this index.
    Step(usize),
    /// Beside the steps.
    Background,
    /// Before blue-green's switch.
    PrePromotion,
    /// After it.
    PostPromotion,
}

/// The runs of this pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Runs {
    pub(super) step: Option<RolloutAnalysisRunStatus>,
    pub(super) background: Option<RolloutAnalysisRunStatus>,
    /// One of them ended neither well nor badly, and the Rollout has not paused for it yet.
    pub(super) inconclusive: bool,
}

pub(super) fn plan(scene: &Scene<'_>, abort: &Abort, draft: &mut Draft) -> Runs {
    let canary = scene.was.canary.clone().unwrap_or_default();
    let was = (
        canary.current_step_analysis_run_status,
        canary.current_background_analysis_run_status,
    );
    let over =
        abort.aborted || scene.promote_full() || scene.is_initial() || scene.in_rollback_window();
    if over {
        let runs = Runs {
            step: mirror(scene, was.0.as_ref()),
            background: mirror(scene, was.1.as_ref()),
            inconclusive: false,
        };
        cancel(scene, abort, &[], draft);
        collect(scene, &runs.shown(), draft);
        if abort.detail.is_none() {
            return Runs::default();
        }
        // What just aborted the update is still told and shown; after that no run is the current one.
        tell(&was, &runs, draft);
        return runs;
    }
    let mut runs = Runs::default();
    runs.step = step_run(scene, abort, was.0.as_ref(), draft);
    runs.background = background_run(scene, abort, was.1.as_ref(), draft);
    runs.inconclusive =
        pauses(scene, runs.step.as_ref(), true) || pauses(scene, runs.background.as_ref(), false);
    tell(&was, &runs, draft);
    cancel(scene, abort, &runs.shown(), draft);
    collect(scene, &runs.shown(), draft);
    runs
}

/// Tells people what became of the runs since the last pass.
fn tell(
    was: &(
        Option<RolloutAnalysisRunStatus>,
        Option<RolloutAnalysisRunStatus>,
    ),
    runs: &Runs,
    draft: &mut Draft,
) {
    let (step, background) = was;
    report("Step", step.as_ref(), runs.step.as_ref(), draft);
    let now = runs.background.as_ref();
    report("Background", background.as_ref(), now, draft);
}

/// The status of a run as it is now.
fn mirror(
    scene: &Scene<'_>,
    was: Option<&RolloutAnalysisRunStatus>,
) -> Option<RolloutAnalysisRunStatus> {
    let was = was?;
    let run = abort::current(scene, was);
    Some(run.map_or_else(|| was.clone(), in_brief))
}

pub(super) fn in_brief(run: &AnalysisRun) -> RolloutAnalysisRunStatus {
    let status = run.status.clone().unwrap_or_default();
    RolloutAnalysisRunStatus {
        name: run.name_any(),
        status: status.phase.unwrap_or_else(|| AnalysisPhase::from("")),
        message: status.message.filter(|message| !message.is_empty()),
        ..RolloutAnalysisRunStatus::default()
    }
}

fn step_run(
    scene: &Scene<'_>,
    abort: &Abort,
    was: Option<&RolloutAnalysisRunStatus>,
    draft: &mut Draft,
) -> Option<RolloutAnalysisRunStatus> {
    if !scene.was.pause_conditions.is_empty() {
        return mirror(scene, was);
    }
    let Some(Step::Analysis(analysis)) = scene.step() else {
        return None;
    };
    let index = scene.index();
    let run = was.and_then(|was| abort::current(scene, was));
    let of_this_step =
        |run: &&AnalysisRun| run.labels().get(names::STEP_INDEX) == Some(&index.to_string());
    keep_or_start(
        scene,
        abort,
        (was, run.filter(of_this_step)),
        (analysis, Purpose::Step(index)),
        draft,
    )
}

fn background_run(
    scene: &Scene<'_>,
    abort: &Abort,
    was: Option<&RolloutAnalysisRunStatus>,
    draft: &mut Draft,
) -> Option<RolloutAnalysisRunStatus> {
    let (analysis, starting_step) = scene.strategy.canary()?.background.as_ref()?;
    if scene.is_promoted() || scene.index() < *starting_step {
        return None;
    }
    if scene.pause(&PauseReason::InconclusiveAnalysisRun).is_some() {
        return mirror(scene, was);
    }
    let run = was.and_then(|was| abort::current(scene, was));
    let wanted = (analysis, Purpose::Background);
    keep_or_start(scene, abort, (was, run), wanted, draft)
}

fn keep_or_start(
    scene: &Scene<'_>,
    abort: &Abort,
    (was, run): (Option<&RolloutAnalysisRunStatus>, Option<&AnalysisRun>),
    wanted: (&RolloutAnalysis, Purpose),
    draft: &mut Draft,
) -> Option<RolloutAnalysisRunStatus> {
    // After an inconclusive run people looked and went on, and after an abort they try again.
    let again = |run: &AnalysisRun| {
        let resumed = scene.is_resumed(&PauseReason::InconclusiveAnalysisRun)
            && scene.pause(&PauseReason::CanaryPauseStep).is_none();
        abort.forgiven || (resumed && phase(run) == Some(&AnalysisPhase::Inconclusive))
    };
    if let Some(run) = run.filter(|run| !again(run)) {
        return Some(in_brief(run));
    }
    start(scene, wanted, was, draft)
}

pub(super) fn phase(run: &AnalysisRun) -> Option<&AnalysisPhase> {
    run.status.as_ref().and_then(|status| status.phase.as_ref())
}

fn is_completed(run: &AnalysisRun) -> bool {
    phase(run).is_some_and(AnalysisPhase::is_completed)
}

/// Starts a run: the one that the status names already, if it is not there, or a new one.
pub(super) fn start(
    scene: &Scene<'_>,
    (analysis, purpose): (&RolloutAnalysis, Purpose),
    was: Option<&RolloutAnalysisRunStatus>,
    draft: &mut Draft,
) -> Option<RolloutAnalysisRunStatus> {
    let input = ComposeInput {
        rollout: scene.rollout,
        analysis,
        templates: &scene.observed.templates,
        stable_hash: scene.stable_hash(),
        latest_hash: &scene.pod_hash,
    };
    let spec = match compose::run_for(&input) {
        Ok(spec) => spec,
        Err(error) => {
            draft.warning("ReconciliationError", error.to_string());
            return None;
        }
    };
    let infix = purpose.infix();
    let base = names::analysis_run(
        &scene.name(),
        &scene.pod_hash,
        scene.revision(),
        infix.as_deref(),
    );
    let announced = was.map(|was| was.name.clone());
    let announced = announced.filter(|name| is_announced(scene, &base, name));
    let further = (1..NAME_TRIES).map(|attempt| format!("{base}.{attempt}"));
    let names = std::iter::once(base.clone()).chain(further);
    for name in announced.into_iter().chain(names) {
        let taken = scene
            .observed
            .runs
            .iter()
            .find(|run| run.name_any() == name);
        match taken {
            None if scene.observed.foreign_runs.contains(&name) => {}
            None => {
                let run = manifest(scene, (analysis, purpose), name, spec);
                let brief = in_brief(&run);
                draft.actions.push(Action::CreateRun(Box::new(run)));
                return Some(brief);
            }
            Some(run) if !is_completed(run) && is_same(&run.spec, &spec) => {
                return Some(in_brief(run));
            }
            Some(_) => {}
        }
    }
    draft.warning(
        "ReconciliationError",
        format!("every name {base}.n of an AnalysisRun is taken"),
    );
    None
}

/// Whether a run of that name is still to be created, because the process died between the status and
/// the run.
fn is_announced(scene: &Scene<'_>, base: &str, name: &str) -> bool {
    let rest = name.strip_prefix(base);
    let fits = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let runs = &scene.observed.runs;
    fits && runs.iter().all(|run| run.name_any() != name)
}

fn is_same(a: &AnalysisRunSpec, b: &AnalysisRunSpec) -> bool {
    a.terminate != Some(true)
        && a.metrics == b.metrics
        && a.dry_run == b.dry_run
        && a.measurement_retention == b.measurement_retention
        && a.args == b.args
}

fn manifest(
    scene: &Scene<'_>,
    (analysis, purpose): (&RolloutAnalysis, Purpose),
    name: String,
    spec: AnalysisRunSpec,
) -> AnalysisRun {
    let metadata = analysis.analysis_run_metadata.clone().unwrap_or_default();
    let mut run = AnalysisRun::new(&name, spec);
    let mut labels = BTreeMap::new();
    labels.insert(
        names::POD_TEMPLATE_HASH_LABEL.to_owned(),
        scene.pod_hash.clone(),
    );
    labels.insert(names::ROLLOUT_TYPE.to_owned(), purpose.label().to_owned());
    if let Purpose::Step(index) = purpose {
        labels.insert(names::STEP_INDEX.to_owned(), index.to_string());
    }
    if let Some(instance) = scene.rollout.labels().get(names::INSTANCE_ID) {
        labels.insert(names::INSTANCE_ID.to_owned(), instance.clone());
    }
    labels.extend(metadata.labels);
    labels.extend(
        scene
            .strategy
            .selector
            .match_labels
            .clone()
            .unwrap_or_default(),
    );
    let mut annotations = BTreeMap::new();
    annotations.insert(names::REVISION.to_owned(), scene.revision().to_string());
    annotations.extend(metadata.annotations);
    run.metadata.namespace = scene.rollout.namespace();
    run.metadata.labels = Some(labels);
    run.metadata.annotations = Some(annotations);
    run.metadata.owner_references = scene
        .rollout
        .controller_owner_ref(&())
        .map(|owner| vec![owner]);
    run
}

/// Whether a run asks for a pause. A step's run is not looked at while the Rollout pauses.
fn pauses(scene: &Scene<'_>, run: Option<&RolloutAnalysisRunStatus>, in_step: bool) -> bool {
    let looks = if in_step {
        scene.was.pause_conditions.is_empty()
    } else {
        scene.pause(&PauseReason::InconclusiveAnalysisRun).is_none()
    };
    looks && run.is_some_and(|run| run.status == AnalysisPhase::Inconclusive)
}

/// Ends every run that is not one of `current`; with a reason of ours if a fuse tripped.
pub(super) fn cancel(
    scene: &Scene<'_>,
    abort: &Abort,
    current: &[&RolloutAnalysisRunStatus],
    draft: &mut Draft,
) {
    let kept = |run: &AnalysisRun| current.iter().any(|status| status.name == run.name_any());
    let fuse = scene
        .observed
        .traffic
        .fuse
        .as_ref()
        .filter(|_| abort.by_fuse);
    for run in scene
        .observed
        .runs
        .iter()
        .filter(|run| !is_completed(run) && !kept(run))
    {
        let ours = run.labels().get(names::POD_TEMPLATE_HASH_LABEL) == Some(&scene.pod_hash);
        match fuse.filter(|_| ours) {
            Some(trip) => draft.actions.push(Action::FailRun {
                name: run.name_any(),
                resource_version: run.resource_version().unwrap_or_default(),
                message: trip.reason.clone(),
            }),
            None if run.spec.terminate == Some(true) => {}
            None => draft.actions.push(Action::TerminateRun(run.name_any())),
        }
    }
}

/// Removes runs that nobody needs: those of revisions that are gone, and the oldest finished ones.
pub(super) fn collect(scene: &Scene<'_>, current: &[&RolloutAnalysisRunStatus], draft: &mut Draft) {
    let is_current = |run: &AnalysisRun| current.iter().any(|status| status.name == run.name_any());
    let going: Vec<_> = draft
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::DeleteReplicaSet { name, .. } => Some(name.clone()),
            _ => None,
        })
        .collect();
    let sets: Vec<_> = scene
        .observed
        .replica_sets
        .iter()
        .filter(|set| !going.contains(&set.name))
        .collect();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for run in scene
        .observed
        .runs
        .iter()
        .filter(|run| !is_current(run) && run.metadata.deletion_timestamp.is_none())
    {
        let hash = run.labels().get(names::POD_TEMPLATE_HASH_LABEL);
        match phase(run) {
            _ if !hash.is_some_and(|hash| sets.iter().any(|set| set.hash == *hash)) => {
                draft.actions.push(Action::DeleteRun(run.name_any()));
            }
            Some(AnalysisPhase::Successful) => good.push(run),
            Some(phase) if phase.is_completed() => bad.push(run),
            _ => {}
        }
    }
    let (keep_good, keep_bad) = scene.strategy.run_history;
    for (mut runs, keep) in [(good, keep_good), (bad, keep_bad)] {
        runs.sort_by_key(|run| {
            std::cmp::Reverse((run.creation_timestamp().map(|time| time.0), run.name_any()))
        });
        for run in runs.into_iter().skip(keep) {
            draft.actions.push(Action::DeleteRun(run.name_any()));
        }
    }
}

/// Tells people that a run has another phase.
pub(super) fn report(
    kind: &str,
    was: Option<&RolloutAnalysisRunStatus>,
    is: Option<&RolloutAnalysisRunStatus>,
    draft: &mut Draft,
) {
    let Some(is) = is.filter(|is| !is.status.as_str().is_empty()) else {
        return;
    };
    // Of a run that took the place of another one, Argo tells nothing until it is known by status.
    let previous = match was {
        None => "NoPreviousStatus",
        Some(was) if was.name == is.name && was.status != is.status => was.status.as_str(),
        Some(_) => return,
    };
    let reason = format!("AnalysisRun{}", is.status);
    let text = format!(
        "{kind} Analysis Run '{}' Status New: '{}' Previous: '{previous}'",
        is.name, is.status
    );
    match is.status {
        AnalysisPhase::Failed | AnalysisPhase::Error => draft.warning(&reason, text),
        _ => draft.event(&reason, text),
    }
}

// === impl Purpose ===

impl Purpose {
    /// What a run's label says.
    fn label(self) -> &'static str {
        match self {
            Self::Step(_) => "Step",
            Self::Background => "Background",
            Self::PrePromotion => "PrePromotion",
            Self::PostPromotion => "PostPromotion",
        }
    }

    /// What the name of a run ends with.
    fn infix(self) -> Option<String> {
        match self {
            Self::Step(index) => Some(index.to_string()),
            Self::Background => None,
            Self::PrePromotion => Some("pre".to_owned()),
            Self::PostPromotion => Some("post".to_owned()),
        }
    }
}

// === impl Runs ===

impl Runs {
    /// Those that the status shows.
    fn shown(&self) -> Vec<&RolloutAnalysisRunStatus> {
        self.step.iter().chain(&self.background).collect()
    }
}
