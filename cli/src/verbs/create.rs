//! `create`: objects of our kinds from files, and AnalysisRuns from templates.

mod analysis_run;

use clap::{Args, Subcommand};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::Value;

use super::cluster::{Cluster, ClusterArgs};
use super::console::Console;
use super::failure::Failure;
use super::get::{self, GetArgs, Shown};
use super::manifest::Document;
use super::{fields, manifest};

pub use analysis_run::AnalysisRunArgs;

/// What to create.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CreateArgs {
    /// An object of its own making.
    #[command(subcommand)]
    pub made: Option<Made>,
    /// Files with Rollouts, Experiments, AnalysisRuns and templates; `-` is the standard input
    #[arg(short, long, required = true, value_name = "FILE")]
    pub filename: Vec<String>,
    /// Follow it after that, where it is one Rollout or Experiment
    #[arg(short, long)]
    pub watch: bool,
    /// No colours; NO_COLOR in the environment does the same
    #[arg(long)]
    pub no_color: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What can be created without a file.
#[derive(Clone, Debug, Subcommand)]
pub enum Made {
    /// An AnalysisRun from an AnalysisTemplate or a ClusterAnalysisTemplate
    #[command(name = "analysisrun", alias = "ar")]
    AnalysisRun(AnalysisRunArgs),
}

// === impl CreateArgs ===

impl CreateArgs {
    /// Which cluster.
    pub fn cluster(&self) -> &ClusterArgs {
        match &self.made {
            Some(Made::AnalysisRun(made)) => &made.cluster,
            None => &self.cluster,
        }
    }
}

/// Creates.
pub async fn run(
    args: &CreateArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    if let Some(Made::AnalysisRun(made)) = &args.made {
        return analysis_run::run(made, cluster, console).await;
    }
    let mut documents = Vec::new();
    for file in &args.filename {
        documents.extend(manifest::read(file)?);
    }
    if args.watch && documents.len() > 1 {
        return Err(Failure::Usage("Cannot watch multiple resources".to_owned()));
    }
    // All of them are read before the first is created: half of a file helps nobody.
    let objects: Vec<(&Document, DynamicObject)> = documents
        .iter()
        .map(|document| Ok((document, checked(document)?)))
        .collect::<Result<_, Failure>>()?;
    for (document, object) in &objects {
        create(document, object, cluster, console).await?;
    }
    match objects.first() {
        Some((document, _)) if args.watch => watch(document, args, cluster, console).await,
        Some(_) => Ok(()),
        None => Err(Failure::File {
            file: args.filename.join(", "),
            cause: "there is no object in it".to_owned(),
        }),
    }
}

/// The object, if it is of our kinds and has no field that would be dropped.
fn checked(document: &Document) -> Result<DynamicObject, Failure> {
    let kind = document.text("/kind");
    let (group, _) = document
        .text("/apiVersion")
        .split_once('/')
        .unwrap_or_default();
    let known = crds::all();
    let wrong = |path: &str, cause: String| Failure::File {
        file: format!("{}:{}", document.file, document.line(path)),
        cause,
    };
    if group != crds::GROUP || known.iter().all(|crd| crd.spec.names.kind != kind) {
        let kinds: Vec<_> = known
            .iter()
            .map(|crd| crd.spec.names.kind.as_str())
            .collect();
        let cause = format!(
            "creates of {group}/{kind} unsupported; of {} there are {}. For others: kubectl create -f",
            crds::GROUP,
            kinds.join(", ")
        );
        return Err(wrong("kind", cause));
    }
    if let Some(field) = fields::unknown(&document.value).into_iter().next() {
        let near = field.near.map(|near| format!("; did you mean {near}?"));
        let cause = format!("unknown field {:?}{}", field.path, near.unwrap_or_default());
        return Err(wrong(&field.path, cause));
    }
    serde_json::from_value(document.value.clone())
        .map_err(|error| wrong("metadata", error.to_string()))
}

async fn create(
    document: &Document,
    object: &DynamicObject,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let kind = document.text("/kind");
    let named = GroupVersionKind::gvk(crds::GROUP, crds::VERSION, kind);
    let resource = ApiResource::from_gvk(&named);
    let is_cluster_wide = kind == "ClusterAnalysisTemplate";
    let namespace = match document.text("/metadata/namespace") {
        "" => cluster.namespace.as_str(),
        namespace => namespace,
    };
    let api: Api<DynamicObject> = if is_cluster_wide {
        Api::all_with(cluster.client.clone(), &resource)
    } else {
        Api::namespaced_with(cluster.client.clone(), namespace, &resource)
    };
    let created = match api.create(&PostParams::default(), object).await {
        Ok(created) => created,
        Err(error) => return Err(cluster.explain(error, "").await),
    };
    // Argo says analysistemplate of both kinds of template.
    let word = if is_cluster_wide {
        "analysistemplate".to_owned()
    } else {
        kind.to_lowercase()
    };
    let name = created.metadata.name.unwrap_or_default();
    console.print(&format!("{word}.{}/{name} created\n", crds::GROUP))
}

async fn watch(
    document: &Document,
    args: &CreateArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let kind = match document.text("/kind") {
        "Rollout" => Shown::Rollouts,
        "Experiment" => Shown::Experiments,
        _ => {
            let message = "Can only watch resources of type Rollout or Experiment";
            return Err(Failure::Usage(message.to_owned()));
        }
    };
    let get = GetArgs {
        kind,
        name: Some(document.text("/metadata/name").to_owned()),
        watch: true,
        output: None,
        all_namespaces: false,
        no_color: args.no_color,
        cluster: args.cluster.clone(),
    };
    let cluster = Cluster {
        namespace: match document.text("/metadata/namespace") {
            "" => cluster.namespace.clone(),
            namespace => namespace.to_owned(),
        },
        ..cluster.clone()
    };
    get::run(&get, &cluster, console).await
}

/// A template as JSON, from a file.
fn template_of(file: &str, kind: &str) -> Result<Value, Failure> {
    let documents = manifest::read(file)?;
    let found = documents
        .into_iter()
        .find(|document| document.text("/kind") == kind);
    let document = found.ok_or_else(|| Failure::File {
        file: file.to_owned(),
        cause: format!("there is no {kind} in it"),
    })?;
    checked(&document)?;
    Ok(document.value)
}
