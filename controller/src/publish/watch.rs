//! The caches, and the loop that plans again when one of them changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crds::Rollout;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::core::NamespaceResourceScope;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{LastGood, Objects, Plan, Problem, plan};
use crate::fleets::Fleets;
use crate::grants::{self, Grants};
use crate::traffic::RolloutKey;

/// Changes come in bursts: how long after the first one the documents are made.
const DEBOUNCE: Duration = Duration::from_millis(10);

/// Which namespaces are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    #[default]
    Cluster,
    /// This one.
    Namespace(String),
}

/// The caches that documents are made from, kept up to date until they are told to stop.
#[derive(Clone)]
pub struct Watches {
    rollouts: Store<Rollout>,
    services: Store<Service>,
    pods: Store<Pod>,
    secrets: Store<Secret>,
    grants: watch::Receiver<Option<Arc<Grants>>>,
    changed: Arc<Notify>,
    recorder: Recorder,
    tasks: TaskTracker,
    stop: CancellationToken,
}

// === impl Watches ===

impl Watches {
    /// Begins to watch; the tasks belong to `tasks` and end with `stop`.
    pub fn start(
        client: &Client,
        scope: &Scope,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let watch = Watch {
            client,
            scope,
            tasks,
            stop,
            changed: &changed,
        };
        let reporter = Reporter {
            controller: "rollouts-controller".to_owned(),
            instance: None,
        };
        Self {
            rollouts: watch.start(),
            services: watch.start(),
            pods: watch.start(),
            secrets: watch.start(),
            grants: watch.grants(),
            recorder: Recorder::new(client.clone(), reporter),
            changed,
            tasks: tasks.clone(),
            stop: stop.clone(),
        }
    }

    /// Waits until every cache has been filled once. Before that nothing may be decided.
    pub async fn synced(&self) {
        // A watch that ended was stopped, and so is whoever waits here.
        let _ = tokio::join!(
            self.rollouts.wait_until_ready(),
            self.services.wait_until_ready(),
            self.pods.wait_until_ready(),
            self.secrets.wait_until_ready(),
        );
        let _ = self.grants.clone().wait_for(Option::is_some).await;
    }

    /// Makes documents whenever something changed, until it is told to stop. Call it after [`Self::synced`];
    /// `first` is called after the first documents.
    pub async fn publish(&self, fleets: &Fleets, first: impl FnOnce()) {
        let (mut last_good, mut told) = (LastGood::new(), BTreeMap::new());
        let mut first = Some(first);
        loop {
            let plan = plan(&self.objects(fleets), &mut last_good);
            let problems = self.news(&plan, &mut told);
            fleets.install(plan);
            if let Some(first) = first.take() {
                first();
            }
            self.warn(problems);
            tokio::select! {
                () = self.changed.notified() => {}
                () = fleets.replan() => {}
                () = self.stop.cancelled() => return,
            }
            tokio::time::sleep(DEBOUNCE).await;
        }
    }

    fn objects(&self, fleets: &Fleets) -> Objects {
        Objects {
            rollouts: self.rollouts.state(),
            services: self.services.state(),
            pods: self.pods.state(),
            secrets: self.secrets.state(),
            grants: self.grants.borrow().clone().unwrap_or_default(),
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
            let named = reflector::ObjectRef::new(&key.name).within(&key.namespace);
            news.extend(
                self.rollouts
                    .get(&named)
                    .map(|rollout| (rollout, problem.clone())),
            );
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

struct Watch<'a> {
    client: &'a Client,
    scope: &'a Scope,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
    changed: &'a Arc<Notify>,
}

// === impl Watch ===

impl Watch<'_> {
    fn grants(&self) -> watch::Receiver<Option<Arc<Grants>>> {
        let (told, known) = watch::channel(None);
        let client = (*self.scope == Scope::Cluster).then(|| self.client.clone());
        self.tasks
            .spawn(grants::follow(client, told, self.stop.clone()));
        let (mut news, changed, stop) = (known.clone(), self.changed.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(news.changed()).await {
                changed.notify_one();
            }
        });
        known
    }

    fn start<K>(&self) -> Store<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let api: Api<K> = match self.scope {
            Scope::Cluster => Api::all(self.client.clone()),
            Scope::Namespace(namespace) => Api::namespaced(self.client.clone(), namespace),
        };
        let (store, writer) = reflector::store();
        let (changed, stop) = (self.changed.clone(), self.stop.clone());
        let events = watcher(api, watcher::Config::default())
            .default_backoff()
            .reflect(writer);
        self.tasks.spawn(async move {
            let told = events.for_each(|event| {
                match event {
                    Ok(_) => changed.notify_one(),
                    Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "watch broke off, trying again"),
                }
                std::future::ready(())
            });
            tokio::select! {
                () = told => {}
                () = stop.cancelled() => {}
            }
        });
        store
    }
}
