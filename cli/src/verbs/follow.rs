//! A Rollout and all that may belong to it, kept up to date by watches.

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
    /// The Rollout cannot be watched for now.
    Trouble(String),
}

/// A Rollout with its surroundings.
pub(super) struct Followed {
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
    pub(super) fn start(cluster: &Cluster, name: &str) -> Self {
        let all = watcher::Config::default;
        let (rollouts, first) = follow(cluster, all().fields(&format!("metadata.name={name}")));
        let (replica_sets, second) = follow(cluster, all());
        let (pods, third) = follow(cluster, all());
        let (experiments, fourth) = follow(cluster, all());
        let (analysis_runs, fifth) = follow(cluster, all());
        let streams = [first, second, third, fourth, fifth]
            .into_iter()
            .enumerate();
        let numbered =
            streams.map(|(kind, stream)| stream.map(move |report| (kind, report)).boxed());
        Self {
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
            Report::Failed(cause) if kind == 0 => return News::Trouble(cause),
            // What cannot be watched is left out: a cluster may have no Experiments, and a person
            // no right to see Pods. Only the Rollout itself is indispensable.
            Report::Settled | Report::Failed(_) => self.settled[kind] = true,
        }
        News::Changed
    }

    /// Whether everything has been seen once.
    pub(super) fn is_settled(&self) -> bool {
        self.settled.iter().all(|settled| *settled)
    }

    /// All of it; nothing when the Rollout is gone.
    pub(super) fn now(&self) -> Option<TreeInput> {
        Some(TreeInput {
            rollout: Arc::unwrap_or_clone(self.rollouts.state().into_iter().next()?),
            replica_sets: self.replica_sets.state(),
            pods: self.pods.state(),
            experiments: self.experiments.state(),
            analysis_runs: self.analysis_runs.state(),
        })
    }
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
