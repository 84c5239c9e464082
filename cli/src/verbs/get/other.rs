//! Experiments and AnalysisRuns: one as a tree, or a table of all.

use std::fmt::Debug;

use crds::{AnalysisRun, Experiment, Rollout};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::one::{all, redraw};
use super::{GetArgs, Shown, none};
use crate::tree::tables::{self, Namespaces};
use crate::tree::{Look, TreeInput, experiment, run as tree_of_run};
use crate::verbs::cluster::Cluster;
use crate::verbs::console::Console;
use crate::verbs::failure::Failure;
use crate::verbs::follow::Followed;

const EXPERIMENT: &str = "experiment.argoproj.io";
const ANALYSIS_RUN: &str = "analysisrun.argoproj.io";

/// Shows one or all.
pub(super) async fn run(
    args: &GetArgs,
    look: Look,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    match (args.name.as_deref(), args.kind) {
        (None, _) if args.watch => Err(Failure::Usage(
            "-w follows Rollouts, or one Experiment or AnalysisRun; say which".to_owned(),
        )),
        (None, Shown::Experiments) => experiments(args.all_namespaces, cluster, console).await,
        (None, _) => analysis_runs(args.all_namespaces, cluster, console).await,
        (Some(name), Shown::Experiments) => {
            one_experiment(name, args.watch, look, cluster, console).await
        }
        (Some(name), _) => one_run(name, args.watch, look, cluster, console).await,
    }
}

/// The table of Experiments.
pub(in crate::verbs) async fn experiments(
    everywhere: bool,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let all: Vec<Experiment> = list(everywhere, cluster).await?;
    if all.is_empty() {
        none(everywhere, cluster, console);
        return Ok(());
    }
    let now = console.clock.now();
    console.print(&tables::experiments(&all, namespaces(everywhere), now))
}

async fn analysis_runs(
    everywhere: bool,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut all: Vec<AnalysisRun> = list(everywhere, cluster).await?;
    if all.is_empty() {
        none(everywhere, cluster, console);
        return Ok(());
    }
    all.sort_by_key(|run| run.metadata.creation_timestamp.clone());
    let now = console.clock.now();
    console.print(&tables::analysis_runs(&all, namespaces(everywhere), now))
}

pub(super) fn namespaces(everywhere: bool) -> Namespaces {
    if everywhere {
        Namespaces::Shown
    } else {
        Namespaces::Hidden
    }
}

/// All objects of a kind, of one namespace or of all.
pub(super) async fn list<K>(everywhere: bool, cluster: &Cluster) -> Result<Vec<K>, Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = if everywhere {
        Api::all(cluster.client.clone())
    } else {
        cluster.api()
    };
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(error) => Err(cluster.explain(error, "").await),
    }
}

async fn one_experiment(
    name: &str,
    watch: bool,
    look: Look,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let found = match cluster.api::<Experiment>().get(name).await {
        Ok(found) => found,
        Err(error) => return Err(cluster.explain_other(error, EXPERIMENT, name).await),
    };
    if watch {
        let followed = Followed::experiment(cluster, name);
        let draw = |followed: &Followed, look: Look, now| {
            let found = followed
                .the_experiment()
                .ok_or_else(|| gone("experiment", name))?;
            let around = followed.surroundings(Rollout::default());
            Ok(experiment::render(&around, &found, look, now))
        };
        return redraw(followed, look, draw, console).await;
    }
    let around = TreeInput {
        replica_sets: all::<ReplicaSet>(cluster).await,
        pods: all::<Pod>(cluster).await,
        analysis_runs: all::<AnalysisRun>(cluster).await,
        ..TreeInput::default()
    };
    let now = console.clock.now();
    console.print(&experiment::render(&around, &found, look, now))
}

async fn one_run(
    name: &str,
    watch: bool,
    look: Look,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let found = match cluster.api::<AnalysisRun>().get(name).await {
        Ok(found) => found,
        Err(error) => return Err(cluster.explain_other(error, ANALYSIS_RUN, name).await),
    };
    if watch {
        let followed = Followed::analysis_run(cluster, name);
        let draw = |followed: &Followed, look: Look, now| {
            let found = followed
                .the_analysis_run()
                .ok_or_else(|| gone("analysisrun", name))?;
            Ok(tree_of_run::render(&found, look, now))
        };
        return redraw(followed, look, draw, console).await;
    }
    console.print(&tree_of_run::render(&found, look, console.clock.now()))
}

fn gone(kind: &'static str, name: &str) -> Failure {
    Failure::Gone {
        kind,
        name: name.to_owned(),
    }
}
