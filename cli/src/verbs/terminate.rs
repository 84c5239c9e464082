//! `terminate`: an AnalysisRun or an Experiment ends early.

use std::fmt::Debug;

use clap::{Args, ValueEnum};
use crds::{AnalysisRun, Experiment};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::cluster::{Cluster, ClusterArgs};
use super::console::Console;
use super::failure::Failure;

/// What to end.
#[derive(Args, Clone, Debug)]
pub struct TerminateArgs {
    /// What they are
    pub kind: Ended,
    /// Their names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What can be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ended {
    /// An AnalysisRun
    #[value(name = "analysisrun", aliases = ["analysisruns", "ar"])]
    AnalysisRun,
    /// An Experiment
    #[value(aliases = ["experiments", "exp"])]
    Experiment,
}

/// Ends them.
pub async fn run(
    args: &TerminateArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    for name in &args.names {
        let word = match args.kind {
            Ended::AnalysisRun => {
                end(
                    &cluster.api::<AnalysisRun>(),
                    "analysisrun.argoproj.io",
                    name,
                    cluster,
                )
                .await?;
                "analysisRun"
            }
            Ended::Experiment => {
                end(
                    &cluster.api::<Experiment>(),
                    "experiment.argoproj.io",
                    name,
                    cluster,
                )
                .await?;
                "experiment"
            }
        };
        console.print(&format!("{word} '{name}' terminated\n"))?;
    }
    Ok(())
}

async fn end<K>(
    api: &Api<K>,
    kind: &'static str,
    name: &str,
    cluster: &Cluster,
) -> Result<(), Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let patch = Patch::Merge(json!({"spec": {"terminate": true}}));
    let patched = api
        .patch_metadata(name, &PatchParams::default(), &patch)
        .await;
    match patched {
        Ok(_) => Ok(()),
        Err(error) => Err(cluster.explain_other(error, kind, name).await),
    }
}
