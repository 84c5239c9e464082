//! Promote: to the next step, or to the end of all.
//!
//! What promoting means depends on what the Rollout waits for, and is Argo's to the letter: a user's
//! pause is lifted; else a pause is resumed by taking its conditions away; else, as in the middle of
//! an analysis, the step is skipped. Never both a pause and a step, except where an analysis was
//! inconclusive and would only pause again.
//!
//! One thing is stricter: a patch of the status carries the version of the Rollout that it was
//! made from. A step index that was computed from an older Rollout could otherwise set a release
//! back that went on by itself in between.

use clap::Args;
use crds::Rollout;
use crds::words::AnalysisPhase;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::cluster::{Cluster, ClusterArgs};
use super::console::Console;
use super::failure::{Failure, is_conflict, is_missing};
use crate::tree::weight::Progress;

/// How often a write is tried when somebody else writes at the same time.
pub(super) const ATTEMPTS: u32 = 5;

/// Which Rollout, and how far.
#[derive(Args, Clone, Debug)]
pub struct PromoteArgs {
    /// The Rollout
    pub name: String,
    /// Go to the end at once: no more analysis, pauses or steps
    #[arg(long, conflicts_with_all = ["skip_current_step", "skip_all_steps"])]
    pub full: bool,
    /// Old spelling of no flag at all
    #[arg(short = 'c', long, hide = true, conflicts_with = "skip_all_steps")]
    pub skip_current_step: bool,
    /// Old spelling of --full
    #[arg(short = 'a', long, hide = true)]
    pub skip_all_steps: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// How far to promote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    /// Past what it waits for now.
    Next,
    /// To the end, whatever happens.
    Full,
    /// Past the current step, paused or not.
    SkipStep,
    /// Past all steps.
    SkipSteps,
}

/// What to write. All are merge patches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patches {
    /// To the Rollout.
    pub spec: Option<Value>,
    /// To its status.
    pub status: Option<Value>,
    /// To the Rollout, in place of both, where there is no status subresource.
    pub unified: Option<Value>,
}

/// Promotes.
pub async fn run(
    args: &PromoteArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let promotion = match args {
        PromoteArgs { full: true, .. } => Promotion::Full,
        PromoteArgs {
            skip_current_step: true,
            ..
        } => Promotion::SkipStep,
        PromoteArgs {
            skip_all_steps: true,
            ..
        } => Promotion::SkipSteps,
        _ => Promotion::Next,
    };
    let mut rollout = cluster.rollout(&args.name).await?;
    check(&rollout, promotion)?;
    let begun_at = step(&rollout);
    for _ in 0..ATTEMPTS {
        match write(cluster, &rollout, promotion).await {
            Ok(()) => {
                let done = if args.full {
                    "fully promoted"
                } else {
                    "promoted"
                };
                return console.print(&format!("rollout '{}' {done}\n", rollout.name_any()));
            }
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(cluster.explain(error, &args.name).await),
        }
        rollout = cluster.rollout(&args.name).await?;
        let (before, after) = (begun_at, step(&rollout));
        if before != after {
            return Err(Failure::Moved {
                name: args.name.clone(),
                before,
                after,
            });
        }
    }
    Err(Failure::Busy {
        name: args.name.clone(),
        attempts: ATTEMPTS,
    })
}

/// What to write for a promotion of a Rollout as it is.
pub fn patches(rollout: &Rollout, promotion: Promotion) -> Patches {
    let progress = Progress::of(rollout);
    let to_step = |index: Option<i32>| {
        let status = index.map(|index| json!({"status": {"currentStepIndex": index}}));
        Patches {
            spec: None,
            unified: status.clone(),
            status,
        }
    };
    match promotion {
        Promotion::SkipStep => to_step(progress.and_then(Progress::next_index)),
        Promotion::SkipSteps => {
            to_step(progress.and_then(|progress| i32::try_from(progress.count()).ok()))
        }
        Promotion::Full => full(rollout),
        Promotion::Next => next(rollout, progress),
    }
}

fn full(rollout: &Rollout) -> Patches {
    let status = rollout.status.as_ref();
    let current = status.and_then(|status| status.current_pod_hash.as_deref());
    let stable = status.and_then(|status| status.stable_rs.as_deref());
    let is_under_way = current.unwrap_or_default() != stable.unwrap_or_default();
    Patches {
        spec: unpaused(rollout),
        status: is_under_way.then(|| json!({"status": {"promoteFull": true}})),
        unified: Some(json!({"spec": {"paused": false}, "status": {"promoteFull": true}})),
    }
}

fn next(rollout: &Rollout, progress: Option<Progress<'_>>) -> Patches {
    let mut patches = Patches {
        spec: unpaused(rollout),
        status: None,
        unified: Some(json!({"spec": {"paused": false}, "status": {"pauseConditions": null}})),
    };
    let status = rollout.status.as_ref();
    let is_paused = status.is_some_and(|status| !status.pause_conditions.is_empty());
    let by_controller = status.is_some_and(|status| status.controller_pause == Some(true));
    let index = progress.and_then(Progress::next_index);
    if is_inconclusive(rollout) && is_paused && by_controller {
        patches.status = index.map(|index| {
            json!({"status": {"pauseConditions": null, "controllerPause": false,
                              "currentStepIndex": index}})
        });
    } else if is_paused {
        patches.status = Some(json!({"status": {"pauseConditions": null}}));
    } else if let Some(index) = index {
        let status = json!({"pauseConditions": null, "currentStepIndex": index});
        patches.status = Some(json!({"status": status}));
        patches.unified = Some(json!({"spec": {"paused": false}, "status": status}));
    }
    patches
}

fn unpaused(rollout: &Rollout) -> Option<Value> {
    (rollout.spec.paused == Some(true)).then(|| json!({"spec": {"paused": false}}))
}

fn is_inconclusive(rollout: &Rollout) -> bool {
    let canary = rollout
        .status
        .as_ref()
        .and_then(|status| status.canary.as_ref());
    let run = canary.and_then(|canary| canary.current_step_analysis_run_status.as_ref());
    Progress::of(rollout).is_some()
        && run.is_some_and(|run| run.status == AnalysisPhase::Inconclusive)
}

fn check(rollout: &Rollout, promotion: Promotion) -> Result<(), Failure> {
    if !matches!(promotion, Promotion::SkipStep | Promotion::SkipSteps) {
        return Ok(());
    }
    match Progress::of(rollout) {
        Some(progress) if progress.count() > 0 => Ok(()),
        Some(_) => Err(Failure::Usage(
            "cannot skip steps of a rollout without steps".to_owned(),
        )),
        None => Err(Failure::Usage(
            "steps can only be skipped with the canary strategy; use --full".to_owned(),
        )),
    }
}

async fn write(
    cluster: &Cluster,
    rollout: &Rollout,
    promotion: Promotion,
) -> Result<(), kube::Error> {
    let (rollouts, params, name) = (
        cluster.rollouts(),
        PatchParams::default(),
        rollout.name_any(),
    );
    let Patches {
        mut spec,
        status,
        unified,
    } = patches(rollout, promotion);
    if let Some(mut status) = status {
        // What the patch relies on.
        status["metadata"] = json!({"resourceVersion": rollout.resource_version()});
        match rollouts
            .patch_status(&name, &params, &Patch::Merge(&status))
            .await
        {
            // A cluster whose definition has no status subresource takes it all in one.
            Err(error) if is_missing(&error) => spec = unified,
            settled => drop(settled?),
        }
    }
    if let Some(spec) = spec {
        rollouts.patch(&name, &params, &Patch::Merge(&spec)).await?;
    }
    Ok(())
}

fn step(rollout: &Rollout) -> i32 {
    Progress::of(rollout)
        .and_then(Progress::index)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
