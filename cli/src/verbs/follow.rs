//! A Rollout, an Experiment or an AnalysisRun and all that may belong to it, kept up to date by
//! watches.

use std::sync::Arc;

use crds::{AnalysisRun, Experiment, Rollout};
use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll, select_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};

use super::cluster::Cluster;
use super::failure::chain;
use crate::tree::TreeInput;

/// How many kinds are followed.
const KINDS: usize = 5;
/// The place of Rollouts among them.
const ROLLOUT: usize = 0;
/// The place of Experiments among them.
const EXPERIMENT: usize = 3;
/// The place of AnalysisRuns among them.
const ANALYSIS_RUN: usize = 4;

/// What a watch reports.
#[derive(Debug)]
enum Report {
    /// Something changed.
    Changed,
    /// All that there is has been seen once.
    Settled,
    /// The watch failed and will be tried again.
    Failed(String),
}

/// What a round of following found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// There may be something new to show.
    Changed,
    /// The object itself cannot be watched for now.
    Trouble(String),
}

/// An object with its surroundings.
pub(super) struct Followed {
    name: String,
    /// Which of the kinds the object is of.
    subject: usize,
    rollouts: Store<Rollout>,
    replica_sets: Store<ReplicaSet>,
    pods: Store<Pod>,
    experiments: Store<Experiment>,
    analysis_runs: Store<AnalysisRun>,
    reports: SelectAll<BoxStream<'static, (usize, Report)>>,
    /// Which kinds have been seen once, or cannot be.
    settled: [bool; KINDS],
}

// === impl Followed ===

impl Followed {
    /// Begins to follow a Rollout.
    pub(super) fn rollout(cluster: &Cluster, name: &str) -> Self {
        Self::start(cluster, name, ROLLOUT)
    }

    /// Begins to follow an Experiment.
    pub(super) fn experiment(cluster: &Cluster, name: &str) -> Self {
        Self::start(cluster, name, EXPERIMENT)
    }

    /// Begins to follow an AnalysisRun.
    pub(super) fn analysis_run(cluster: &Cluster, name: &str) -> Self {
        Self::start(cluster, name, ANALYSIS_RUN)
    }

    fn start(cluster: &Cluster, name: &str, subject: usize) -> Self {
        let named = || watcher::Config::default().fields(&format!("metadata.name={name}"));
        let all = |kind: usize| {
            if kind == subject {
                named()
            } else {
                watcher::Config::default()
            }
        };
        let (rollouts, first) = follow(cluster, all(ROLLOUT));
        let (replica_sets, second) = follow(cluster, all(1));
        let (pods, third) = follow(cluster, all(2));
        let (experiments, fourth) = follow(cluster, all(EXPERIMENT));
        let (analysis_runs, fifth) = follow(cluster, all(ANALYSIS_RUN));
        let streams = [first, second, third, fourth, fifth]
            .into_iter()
            .enumerate();
        let numbered =
            streams.map(|(kind, stream)| stream.map(move |report| (kind, report)).boxed());
        Self {
            name: name.to_owned(),
            subject,
            rollouts,
            replica_sets,
            pods,
            experiments,
            analysis_runs,
            reports: select_all(numbered),
            settled: [false; KINDS],
        }
    }

    /// Waits for the next change.
    pub(super) async fn next(&mut self) -> News {
        let Some((kind, report)) = self.reports.next().await else {
            // Watches never end.
            return std::future::pending().await;
        };
        match report {
            Report::Changed => {}
            Report::Failed(cause) if kind == self.subject => return News::Trouble(cause),
            // What cannot be watched is left out: a cluster may have no Experiments, and a person
            // no right to see Pods. Only the object itself is indispensable.
            Report::Settled | Report::Failed(_) => self.settled[kind] = true,
        }
        News::Changed
    }

    /// Whether everything has been seen once.
    pub(super) fn is_settled(&self) -> bool {
        self.settled.iter().all(|settled| *settled)
    }

    /// The Rollout that is followed; nothing when it is gone.
    pub(super) fn the_rollout(&self) -> Option<Rollout> {
        find(&self.rollouts, &self.name)
    }

    /// The Experiment that is followed; nothing when it is gone.
    pub(super) fn the_experiment(&self) -> Option<Experiment> {
        find(&self.experiments, &self.name)
    }

    /// The AnalysisRun that is followed; nothing when it is gone.
    pub(super) fn the_analysis_run(&self) -> Option<AnalysisRun> {
        find(&self.analysis_runs, &self.name)
    }

    /// A Rollout, or none in particular, with all that is around it.
    pub(super) fn surroundings(&self, rollout: Rollout) -> TreeInput {
        TreeInput {
            rollout,
            replica_sets: self.replica_sets.state(),
            pods: self.pods.state(),
            experiments: self.experiments.state(),
            analysis_runs: self.analysis_runs.state(),
        }
    }
}

fn find<K>(store: &Store<K>, name: &str) -> Option<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let object = store.find(|object| object.meta().name.as_deref() == Some(name))?;
    Some(Arc::unwrap_or_clone(object))
}

fn follow<K>(cluster: &Cluster, config: watcher::Config) -> (Store<K>, BoxStream<'static, Report>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let api: Api<K> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let events = watcher(api, config).default_backoff().reflect(writer);
    let reports = events.map(|event| match event {
        Ok(watcher::Event::InitDone) => Report::Settled,
        Ok(_) => Report::Changed,
        Err(error) => Report::Failed(chain(&error)),
    });
    (reader, reports.boxed())
}
