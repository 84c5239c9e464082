//! `get`: one Rollout, Experiment, AnalysisRun or template with all that belongs to it, or a table of
//! all; once, or as they change.

mod many;
mod one;
mod other;
mod templates;

use clap::{Args, ValueEnum};
use crds::{AnalysisRun, Experiment, Rollout};
use kube::Resource;
use serde_json::Value;

use super::cluster::{Cluster, ClusterArgs};
use super::console::{self, Console};
use super::failure::Failure;
use crate::tree::{Detail, Look};

use many::none;
pub(super) use many::{Wanted, table};
pub(super) use other::experiments;

/// What to show, and how.
#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    /// What they are
    pub kind: Shown,
    /// Which one; without it all are listed
    pub name: Option<String>,
    /// Show changes as they happen
    #[arg(short, long)]
    pub watch: bool,
    /// Show it as data, or show more of it
    #[arg(short, long)]
    pub output: Option<Output>,
    /// List those of all namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub all_namespaces: bool,
    /// No colours; NO_COLOR in the environment does the same
    #[arg(long)]
    pub no_color: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shown {
    /// Rollouts
    #[value(aliases = ["rollout", "ro"])]
    Rollouts,
    /// Experiments
    #[value(aliases = ["experiment", "exp"])]
    Experiments,
    /// AnalysisRuns
    #[value(name = "analysisruns", aliases = ["analysisrun", "ar"])]
    AnalysisRuns,
    /// AnalysisTemplates and ClusterAnalysisTemplates
    #[value(aliases = ["template", "analysistemplates", "analysistemplate", "at",
                       "clusteranalysistemplates", "clusteranalysistemplate", "cat"])]
    Templates,
}

/// How it can be shown other than for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// As JSON
    Json,
    /// As YAML
    Yaml,
    /// With images and messages; with what analyses measured
    Wide,
}

/// Shows it.
pub async fn run(
    args: &GetArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let data = args.output.filter(|output| *output != Output::Wide);
    let detail = if args.output == Some(Output::Wide) {
        Detail::Wide
    } else {
        Detail::Usual
    };
    if data.is_some() && args.watch {
        let message = "-w shows changes for reading; leave it out with -o json and -o yaml";
        return Err(Failure::Usage(message.to_owned()));
    }
    let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
    let paint = console::paint(
        console.is_terminal,
        args.no_color,
        no_color.as_deref(),
        term.as_deref(),
    );
    let look = Look { detail, paint };
    match (args.kind, data) {
        (Shown::Rollouts, None) => rollouts(args, look, cluster, console).await,
        (Shown::Experiments | Shown::AnalysisRuns, None) => {
            other::run(args, look, cluster, console).await
        }
        (Shown::Templates, None) => templates::run(args, look, cluster, console).await,
        (Shown::Rollouts, Some(output)) => as_data::<Rollout>(args, output, cluster, console).await,
        (Shown::Experiments, Some(output)) => {
            as_data::<Experiment>(args, output, cluster, console).await
        }
        (Shown::AnalysisRuns, Some(output)) => {
            as_data::<AnalysisRun>(args, output, cluster, console).await
        }
        (Shown::Templates, Some(output)) => templates::data(args, output, cluster, console).await,
    }
}

async fn rollouts(
    args: &GetArgs,
    look: Look,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    match args.name.as_deref() {
        Some(name) if args.watch => one::watch(name, look, cluster, console).await,
        Some(name) => one::once(name, look, cluster, console).await,
        None => {
            let wanted = Wanted {
                everywhere: args.all_namespaces,
                watch: args.watch,
                detail: look.detail,
                ..Wanted::default()
            };
            many::table(&wanted, cluster, console).await
        }
    }
}

async fn as_data<K: Resource<DynamicType = ()>>(
    args: &GetArgs,
    output: Output,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    match args.name.as_deref() {
        Some(name) => one::data::<K>(name, output, cluster, console).await,
        None => many::data::<K>(args.all_namespaces, output, cluster, console).await,
    }
}

/// An object as a document. What the API server notes for itself about who wrote which field is
/// left out, as kubectl does.
pub(super) fn document(mut object: Value, output: Output) -> Result<String, Failure> {
    let items = object.get_mut("items").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        without_managers(item);
    }
    without_managers(&mut object);
    let strange = |error: String| Failure::Strange(error);
    match output {
        Output::Yaml => {
            serde_saphyr::to_string(&object).map_err(|error| strange(error.to_string()))
        }
        Output::Json | Output::Wide => {
            let mut json =
                serde_json::to_vec_pretty(&object).map_err(|error| strange(error.to_string()))?;
            json.push(b'\n');
            String::from_utf8(json).map_err(|error| strange(error.to_string()))
        }
    }
}

fn without_managers(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}
