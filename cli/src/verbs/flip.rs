//! The verbs that set one field: abort, retry (a Rollout or an Experiment), pause.

use clap::{Args, ValueEnum};
use crds::Experiment;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::cluster::{Cluster, ClusterArgs};
use super::console::Console;
use super::failure::{Failure, is_missing};

/// Some Rollouts.
#[derive(Args, Clone, Debug)]
pub struct NamesArgs {
    /// The Rollouts
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What to try again.
#[derive(Args, Clone, Debug)]
pub struct RetryArgs {
    /// What they are
    pub kind: Retried,
    /// Their names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Retried {
    /// An aborted Rollout
    #[value(aliases = ["rollouts", "ro"])]
    Rollout,
    /// An Experiment that has ended
    #[value(aliases = ["experiments", "exp"])]
    Experiment,
}

/// A field and what it becomes.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    patch: fn() -> Value,
    /// What is printed that it was.
    done: &'static str,
    in_status: bool,
}

/// Back to stable.
pub const ABORT: Flip = Flip {
    patch: || json!({"status": {"abort": true}}),
    done: "aborted",
    in_status: true,
};

/// Once more from the first step.
pub const RETRY: Flip = Flip {
    patch: || json!({"status": {"abort": false}}),
    done: "retried",
    in_status: true,
};

/// No further.
pub const PAUSE: Flip = Flip {
    patch: || json!({"spec": {"paused": true}}),
    done: "paused",
    in_status: false,
};

/// Tries again.
pub async fn retry(
    args: &RetryArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    match args.kind {
        Retried::Rollout => run(RETRY, &args.names, cluster, console).await,
        Retried::Experiment => retry_experiments(&args.names, cluster, console).await,
    }
}

/// Without a status an Experiment begins anew; it has no status subresource.
async fn retry_experiments(
    names: &[String],
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    for name in names {
        let patch = Patch::Merge(json!({"status": null}));
        let patched = cluster
            .api::<Experiment>()
            .patch_metadata(name, &PatchParams::default(), &patch)
            .await;
        if let Err(error) = patched {
            let kind = "experiment.argoproj.io";
            return Err(cluster.explain_other(error, kind, name).await);
        }
        console.print(&format!("experiment '{name}' retried\n"))?;
    }
    Ok(())
}

/// Does it to each of the Rollouts.
pub async fn run(
    flip: Flip,
    names: &[String],
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    for name in names {
        let patched = write(&cluster.rollouts(), name, flip).await;
        let rollout = match patched {
            Ok(rollout) => rollout,
            Err(error) => return Err(cluster.explain(error, name).await),
        };
        console.print(&format!("rollout '{}' {}\n", rollout.name_any(), flip.done))?;
    }
    Ok(())
}

async fn write(
    rollouts: &Api<crds::Rollout>,
    name: &str,
    flip: Flip,
) -> Result<crds::Rollout, kube::Error> {
    let (params, patch) = (PatchParams::default(), (flip.patch)());
    if flip.in_status {
        let patched = rollouts
            .patch_status(name, &params, &Patch::Merge(&patch))
            .await;
        // A cluster whose definition has no status subresource takes it all in one.
        match patched {
            Err(error) if is_missing(&error) => {}
            settled => return settled,
        }
    }
    rollouts.patch(name, &params, &Patch::Merge(&patch)).await
}
