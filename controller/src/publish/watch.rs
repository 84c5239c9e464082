//! The caches, and the loop that plans again when one of them changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crds::Rollout;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{LastGood, Objects, Plan, Problem, plan};
use crate::caches::Caches;
use crate::caches::kept::{Keep, Kept};
use crate::caches::kinds::{Indexed, Parsed, Plain, RolloutIndex, service_names};
use crate::fleets::Fleets;
use crate::traffic::RolloutKey;

/// Changes come in bursts: how long after the first one the documents are made.
const DEBOUNCE: Duration = Duration::from_millis(10);

/// The caches that documents are made from, kept up to date until they are told to stop.
#[derive(Clone)]
pub struct Watches {
    caches: Arc<Caches>,
    changed: Arc<Notify>,
    recorder: Recorder,
    tasks: TaskTracker,
    stop: CancellationToken,
}

// === impl Watches ===

impl Watches {
    /// Documents are made from `caches`; the tasks belong to `tasks` and end with `stop`.
    pub fn new(
        caches: Arc<Caches>,
        client: &Client,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let reporter = Reporter {
            controller: "rollouts-controller".to_owned(),
            instance: None,
        };
        listen(&caches, &changed);
        Self {
            caches,
            recorder: Recorder::new(client.clone(), reporter),
            changed,
            tasks: tasks.clone(),
            stop: stop.clone(),
        }
    }

    /// Waits until every cache has been filled once. Before that nothing may be decided.
    pub async fn synced(&self) {
        self.caches.synced().await;
    }

    /// Makes documents whenever something changed, until it is told to stop. Call it after [`Self::synced`];
    /// `first` is called after the first documents.
    pub async fn publish(&self, fleets: &Fleets, first: impl FnOnce()) {
        let (mut last_good, mut told) = (LastGood::new(), BTreeMap::new());
        let (mut first, mut granted) = (Some(first), self.caches.granted());
        loop {
            // What a Rollout newly needs is read before documents are made of it.
            self.caches.settled().await;
            let plan = plan(&self.objects(fleets), &mut last_good);
            let problems = self.news(&plan, &mut told);
            fleets.install(plan);
            if let Some(first) = first.take() {
                first();
            }
            self.warn(problems);
            tokio::select! {
                () = self.changed.notified() => {}
                Ok(()) = granted.changed() => {}
                () = fleets.replan() => {}
                () = self.stop.cancelled() => return,
            }
            tokio::time::sleep(DEBOUNCE).await;
        }
    }

    /// Only what our proxies have to do with.
    fn objects(&self, fleets: &Fleets) -> Objects {
        let caches = &self.caches;
        let first = RolloutIndex::Routed(String::new());
        let routed = |index: &RolloutIndex| matches!(index, RolloutIndex::Routed(_));
        let namespaces = caches.rollouts.indexes(&first, routed);
        let rollouts = namespaces
            .iter()
            .flat_map(|index| caches.rollouts.by(index));
        let rollouts: Vec<_> = rollouts
            .filter_map(|rollout| rollout.object.as_ref().ok().cloned())
            .filter(|rollout| caches.has_pods(&rollout.namespace().unwrap_or_default()))
            .collect();
        let services = rollouts.iter().flat_map(|rollout| {
            let namespace = rollout.namespace().unwrap_or_default();
            let names = service_names(rollout).into_iter();
            names.filter_map(move |name| caches.services.get(&namespace, &name))
        });
        Objects {
            services: services.map(|service| service.0.clone()).collect(),
            rollouts,
            pods: plain(caches.pods()),
            secrets: plain(caches.secrets()),
            grants: caches.grants(),
            orders: fleets.orders(),
            refused_secrets: fleets.refused_secrets(),
        }
    }

    /// Problems that were not told yet, with their Rollouts.
    fn news(
        &self,
        plan: &Plan,
        told: &mut BTreeMap<RolloutKey, Problem>,
    ) -> Vec<(Arc<Rollout>, Problem)> {
        told.retain(|key, problem| plan.problems.get(key) == Some(problem));
        let mut news = Vec::new();
        for (key, problem) in &plan.problems {
            if told.contains_key(key) {
                continue;
            }
            told.insert(key.clone(), problem.clone());
            let rollout = self.caches.rollouts.get(&key.namespace, &key.name);
            let rollout = rollout.and_then(|rollout| rollout.object.as_ref().ok().cloned());
            news.extend(rollout.map(|rollout| (rollout, problem.clone())));
        }
        news
    }

    /// Writes events, while documents go on being made. An event that cannot be written is not worth
    /// stopping for.
    fn warn(&self, problems: Vec<(Arc<Rollout>, Problem)>) {
        for (rollout, problem) in problems {
            let (recorder, stop) = (self.recorder.clone(), self.stop.clone());
            self.tasks.spawn(async move {
                let name = rollout.name_any();
                tracing::warn!(
                    rollout = name,
                    reason = problem.reason,
                    message = problem.message,
                    "routing not as wanted"
                );
                let event = Event {
                    type_: EventType::Warning,
                    reason: problem.reason.to_owned(),
                    note: Some(problem.message),
                    action: "Publish".to_owned(),
                    secondary: None,
                };
                let about = rollout.object_ref(&());
                tokio::select! {
                    written = recorder.publish(&event, &about) => if let Err(error) = written {
                        tracing::warn!(rollout = name, %error, "event not written");
                    },
                    () = stop.cancelled() => {}
                }
            });
        }
    }
}

/// Wakes the publisher for what documents are made from, and for nothing else.
fn listen(caches: &Caches, changed: &Arc<Notify>) {
    let bell = changed.clone();
    caches.rollouts.listen(move |change| {
        if change.versions().any(is_routed) {
            bell.notify_one();
        }
    });
    let (bell, rollouts) = (changed.clone(), Arc::downgrade(&caches.rollouts));
    caches.services.listen(move |change| {
        let index = RolloutIndex::Service(change.key.namespace.clone(), change.key.name.clone());
        if rollouts
            .upgrade()
            .is_some_and(|rollouts| rollouts.has(&index))
        {
            bell.notify_one();
        }
    });
    let bell = changed.clone();
    caches.pods().listen(move |_| bell.notify_one());
    let bell = changed.clone();
    caches.secrets().listen(move |_| bell.notify_one());
}

fn is_routed(rollout: &Parsed<Rollout>) -> bool {
    let indexed = rollout.indexed();
    indexed
        .iter()
        .any(|index| matches!(index, RolloutIndex::Routed(_)))
}

fn plain<K: Resource + Indexed + Send + Sync + 'static>(kept: &Kept<Plain<K>>) -> Vec<Arc<K>> {
    kept.all().iter().map(|object| object.0.clone()).collect()
}
