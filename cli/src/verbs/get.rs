//! `get`: one Rollout with all that belongs to it, or a table of all; once, or as they change.

mod many;
mod one;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::cluster::{Cluster, ClusterArgs};
use super::console::{self, Console};
use super::failure::Failure;
use crate::tree::{Detail, Look};

/// What to show, and how.
#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    /// What they are
    pub kind: Shown,
    /// The Rollout; without it all are listed
    pub name: Option<String>,
    /// Show changes as they happen
    #[arg(short, long)]
    pub watch: bool,
    /// Show it as data, or show more of it
    #[arg(short, long)]
    pub output: Option<Output>,
    /// List the Rollouts of all namespaces
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
    match (args.name.as_deref(), data) {
        (Some(name), Some(output)) => one::data(name, output, cluster, console).await,
        (Some(name), None) if args.watch => {
            one::watch(name, Look { detail, paint }, cluster, console).await
        }
        (Some(name), None) => one::once(name, Look { detail, paint }, cluster, console).await,
        (None, Some(output)) => many::data(args.all_namespaces, output, cluster, console).await,
        (None, None) => many::table(args, detail, cluster, console).await,
    }
}

/// An object as a document. What the API server notes for itself about who wrote which field is
/// left out, as kubectl does.
fn document(mut object: Value, output: Output) -> Result<String, Failure> {
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
