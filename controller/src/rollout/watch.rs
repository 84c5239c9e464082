//! Watch: what changes anywhere is brought to the Rollout that it concerns, and looked at.
//!
//! Nothing is polled. A Rollout is looked at when it, one of its ReplicaSets, Services, runs or
//! templates, or what its proxies say changes, and when a plan asked for it (the end of a pause, a
//! deadline). An idle one costs nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crds::{AnalysisRun, Rollout};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::apply::{ApplyError, Hands, release_service};
use super::caches::{Caches, Guarded, service_names};
use super::events::Teller;
use super::names;
use super::observe::{self, PodView};
use super::plan::{self, EventNote, Plan};
use super::queue::{Next, Queue};
use super::spec;
use super::workload::{self, Unresolved, WorkloadKind};
use crate::clock::Clock;
use crate::traffic::{RolloutKey, Traffic};

/// Rollouts that are looked at at the same time.
const LOOKS_AT_ONCE: usize = 16;

struct Controller {
    client: Client,
    clock: Clock,
    traffic: Arc<dyn Traffic>,
    caches: Caches,
    queue: Queue,
    teller: Teller,
    /// The version of each Rollout that was written last, so that no older one is acted on.
    written: Mutex<BTreeMap<RolloutKey, String>>,
    /// Rollouts that were deleted, until somebody has been told.
    gone: Mutex<BTreeMap<RolloutKey, Rollout>>,
    /// Rollouts whose traffic router is not ours, and what was said about it.
    left: Mutex<BTreeMap<RolloutKey, String>>,
}

/// Takes Rollouts through their steps until `stop`.
pub async fn run(client: Client, clock: Clock, traffic: Arc<dyn Traffic>, stop: CancellationToken) {
    // Subscribed before anything is read, so that no change falls between.
    let news = traffic.changed();
    let (rollouts, rollouts_writer) = reflector::store();
    let (replica_sets, sets_writer) = reflector::store();
    let (services, services_writer) = reflector::store();
    let (runs, runs_writer) = reflector::store();
    let (templates, templates_writer) = reflector::store();
    let (cluster_templates, cluster_writer) = reflector::store();
    let (workloads, workload_writers) = workload::shelves();
    let controller = Controller {
        teller: Teller::new(client.clone(), clock),
        client,
        clock,
        traffic,
        caches: Caches {
            rollouts,
            replica_sets,
            services,
            runs,
            templates,
            cluster_templates,
            workloads,
        },
        queue: Queue::default(),
        written: Mutex::default(),
        left: Mutex::default(),
        gone: Mutex::default(),
    };
    let it = &controller;
    let everything = async {
        tokio::join!(
            it.watch(rollouts_writer, |rollout: &Guarded<Rollout>| it
                .rollout_changed(rollout)),
            it.watch(sets_writer, |set: &ReplicaSet| it.owned_changed(set)),
            it.watch(services_writer, |service: &Service| it
                .service_changed(service)),
            it.watch(runs_writer, |run: &Guarded<AnalysisRun>| it
                .owned_changed(run)),
            it.watch(templates_writer, |template| it.template_changed(template)),
            it.watch(cluster_writer, |template| it.template_changed(template)),
            workload::follow(
                &it.caches.workloads,
                workload_writers,
                &it.client,
                |kind, key| it.workload_changed(kind, &key)
            ),
            it.listen(news),
            it.work(),
        );
    };
    stop.run_until_cancelled(everything).await;
}

// === impl Controller ===

impl Controller {
    async fn watch<K>(&self, writer: reflector::store::Writer<K>, changed: impl Fn(&K))
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K::DynamicType: Default + Eq + Hash + Clone,
    {
        let all: Api<K> = Api::all(self.client.clone());
        let events = watcher(all, watcher::Config::default())
            .default_backoff()
            .reflect(writer);
        follow(events, changed).await;
    }

    fn soon(&self, key: RolloutKey) {
        self.queue.add(key, self.clock.now());
    }

    fn rollout_changed(&self, rollout: &Guarded<Rollout>) {
        let key = key_of(rollout);
        if let (false, Ok(gone)) = (self.caches.has_rollout(&key), &rollout.0) {
            let mut all = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(key.clone(), gone.clone());
        }
        // Whoever was refused because of this one may now be fine.
        for other in self.invalid_in(&key.namespace) {
            self.soon(other);
        }
        self.soon(key);
    }

    fn invalid_in(&self, namespace: &str) -> Vec<RolloutKey> {
        let rollouts = self.caches.rollouts.state();
        let here = rollouts
            .iter()
            .filter(|rollout| rollout.namespace().as_deref() == Some(namespace));
        let invalid = here.filter(|rollout| {
            let status = rollout
                .0
                .as_ref()
                .ok()
                .and_then(|rollout| rollout.status.as_ref());
            status.is_some_and(|status| {
                status
                    .conditions
                    .iter()
                    .any(|condition| condition.type_ == "InvalidSpec")
            })
        });
        invalid.map(|rollout| key_of(rollout.as_ref())).collect()
    }

    fn owned_changed(&self, object: &impl ResourceExt) {
        let owner = object
            .owner_references()
            .iter()
            .find(|owner| owner.kind == "Rollout");
        if let (Some(owner), Some(namespace)) = (owner, object.namespace()) {
            self.soon(RolloutKey {
                namespace,
                name: owner.name.clone(),
            });
        }
    }

    fn service_changed(&self, service: &Service) {
        let name = service.name_any();
        if let Some(owner) = service.annotations().get(names::MANAGED_BY) {
            // It may be gone, or have named this Service before.
            self.soon(RolloutKey {
                namespace: service.namespace().unwrap_or_default(),
                name: owner.clone(),
            });
        }
        for rollout in self.caches.rollouts.state() {
            let names_it = |rollout: &Rollout| service_names(rollout).contains(&name);
            if rollout.namespace() == service.namespace() && rollout.0.as_ref().is_ok_and(names_it)
            {
                self.soon(key_of(rollout.as_ref()));
            }
        }
    }

    /// An empty name stands for all workloads of that kind.
    fn workload_changed(&self, kind: WorkloadKind, workload: &RolloutKey) {
        for rollout in self.caches.rollouts.state() {
            let key = key_of(rollout.as_ref());
            let concerned = rollout.0.as_ref().is_ok_and(|rollout| {
                workload.name.is_empty() && rollout.spec.workload_ref.is_some()
                    || workload.namespace == key.namespace
                        && workload::refers_to(rollout, kind, &workload.name)
            });
            if concerned {
                self.soon(key);
            }
        }
    }

    /// A template without namespace is for all of them.
    fn template_changed(&self, template: &impl ResourceExt) {
        let namespace = template.namespace();
        for rollout in self.caches.rollouts.state() {
            if namespace.is_none() || rollout.namespace() == namespace {
                self.soon(key_of(rollout.as_ref()));
            }
        }
    }

    async fn listen(&self, mut news: broadcast::Receiver<RolloutKey>) {
        loop {
            match news.recv().await {
                Ok(key) => self.soon(key),
                // Too much happened to say what: look at all of them.
                Err(RecvError::Lagged(_)) => {
                    self.caches
                        .rollouts
                        .state()
                        .iter()
                        .for_each(|rollout| self.soon(key_of(rollout.as_ref())));
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Looks at what is due, once every cache has been filled.
    async fn work(&self) {
        let caches = &self.caches;
        let filled = tokio::join!(
            caches.rollouts.wait_until_ready(),
            caches.replica_sets.wait_until_ready(),
            caches.services.wait_until_ready(),
            caches.runs.wait_until_ready(),
            caches.templates.wait_until_ready(),
            caches.cluster_templates.wait_until_ready(),
        );
        tracing::debug!(?filled, "every watch has synced");
        let mut looks = FuturesUnordered::new();
        loop {
            let next = if looks.len() < LOOKS_AT_ONCE {
                self.queue.next(self.clock.now())
            } else {
                Next::Idle
            };
            let wait = match next {
                Next::Now(key) => {
                    looks.push(self.look(key));
                    continue;
                }
                Next::At(at) => self.until(at),
                Next::Idle => Duration::MAX,
            };
            tokio::select! {
                Some(()) = looks.next() => {}
                () = self.queue.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn until(&self, at: jiff::Timestamp) -> Duration {
        // The timer of tokio counts milliseconds: one more, or it would fire too early.
        Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default()
            + Duration::from_millis(1)
    }

    async fn look(&self, key: RolloutKey) {
        match self.reconcile(&key).await {
            Ok(at) => self.queue.done(key, at),
            Err(error) => {
                if matches!(error, ApplyError::Conflict(_)) {
                    tracing::debug!(?key, %error, "looking again");
                } else {
                    tracing::warn!(?key, %error, source = source_of(&error), "trying again");
                }
                self.queue.failed(key, self.clock.now());
            }
        }
    }

    async fn reconcile(&self, key: &RolloutKey) -> Result<Option<jiff::Timestamp>, ApplyError> {
        let Some(rollout) = self.caches.rollout(key) else {
            if !self.caches.has_rollout(key) {
                self.traffic.forget(key);
                self.written().remove(key);
                self.left
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(key);
                self.bury(key).await?;
            }
            return Ok(None);
        };
        if rollout.metadata.deletion_timestamp.is_some() || self.is_stale(key, &rollout) {
            return Ok(None);
        }
        if let Some(router) = spec::foreign_router(&rollout) {
            self.leave(key, &rollout, &router).await;
            return Ok(None);
        }
        let now = self.clock.now();
        let (rollout, plan) = match workload::resolve(&rollout, &self.caches.workloads) {
            Ok(resolved) => {
                let rollout = resolved.rollout;
                let mut observed = self.caches.observe(&rollout, self.traffic.as_ref());
                observed.workload = resolved.workload;
                if observe::wants_pods(&rollout, now) {
                    observed.pods = self.pods(&rollout).await?;
                }
                let plan = match spec::check(&rollout, &observed) {
                    Ok(strategy) => plan::plan(&rollout, &strategy, &observed, now),
                    Err(errors) => plan::refuse(&rollout, &errors, &observed, now),
                };
                (rollout, plan)
            }
            Err(Unresolved::Later) => return Ok(None),
            Err(Unresolved::Never(error)) => {
                let observed = self.caches.observe(&rollout, self.traffic.as_ref());
                let plan = plan::refuse(&rollout, &[*error], &observed, now);
                (rollout, plan)
            }
        };
        self.let_services_go(key, Some(&rollout)).await?;
        let requeue_at = plan.requeue_at;
        let Err(error) = self.carry_out(key, &rollout, plan).await else {
            return Ok(requeue_at);
        };
        if let ApplyError::NotCreated { name, source } = &error {
            let plan = plan::not_created(&rollout, name, &source.to_string(), now);
            self.carry_out(key, &rollout, plan).await?;
        }
        Err(error)
    }

    /// Lets go what a deleted Rollout managed, and says that it is gone.
    async fn bury(&self, key: &RolloutKey) -> Result<(), ApplyError> {
        self.let_services_go(key, None).await?;
        let gone = self
            .gone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        let Some(gone) = gone else { return Ok(()) };
        let note = EventNote {
            warning: false,
            reason: "RolloutDeleted".to_owned(),
            message: format!("Rollout {}/{} is deleted.", key.name, key.namespace),
        };
        self.teller.tell(&gone, &[note]).await;
        Ok(())
    }

    /// Takes the hash out of the selectors of Services that a Rollout managed and names no more.
    async fn let_services_go(
        &self,
        key: &RolloutKey,
        rollout: Option<&Rollout>,
    ) -> Result<(), ApplyError> {
        let named = rollout.map(service_names).unwrap_or_default();
        for service in self.caches.managed_by(key) {
            if !named.contains(&service.name_any()) {
                release_service(&self.client, &service).await?;
            }
        }
        Ok(())
    }

    /// Leaves a Rollout to whoever has its router, and says so once.
    async fn leave(&self, key: &RolloutKey, rollout: &Rollout, router: &str) {
        let said = format!("{}/{router}", rollout.uid().unwrap_or_default());
        {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            if left.insert(key.clone(), said.clone()) == Some(said) {
                return;
            }
        }
        let message = format!(
            "Sluice has no traffic router {router}: this Rollout is left to the controller that has"
        );
        tracing::warn!(?key, "{message}");
        let note = EventNote {
            warning: false,
            reason: "ForeignTrafficRouter".to_owned(),
            message,
        };
        self.teller.tell(rollout, &[note]).await;
    }

    async fn carry_out(
        &self,
        key: &RolloutKey,
        rollout: &Rollout,
        plan: Plan,
    ) -> Result<(), ApplyError> {
        let hands = Hands::new(&self.client, self.traffic.as_ref(), self.clock, rollout);
        if let Some(version) = hands.apply(&plan).await? {
            self.written().insert(key.clone(), version);
        }
        if rollout.status.is_none() && plan.status.is_some() {
            let added = EventNote {
                warning: false,
                reason: "RolloutAddedToInformer".to_owned(),
                message: format!(
                    "Rollout resource added to informer: {}/{}",
                    key.namespace, key.name
                ),
            };
            self.teller.tell(rollout, &[added]).await;
        }
        self.teller.tell(rollout, &plan.events).await;
        Ok(())
    }

    /// The pods that a Rollout selects, asked for and not watched: few Rollouts need them, and rarely.
    async fn pods(&self, rollout: &Rollout) -> Result<Vec<PodView>, ApplyError> {
        let namespace = rollout.namespace().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let selector = plan::selector_text(&rollout.spec.selector.clone().unwrap_or_default());
        let listed = pods.list(&ListParams::default().labels(&selector)).await;
        let listed = listed.map_err(|error| ApplyError::Api {
            action: "list the Pods",
            source: Box::new(error),
        })?;
        let seconds = rollout.spec.min_ready_seconds.unwrap_or_default();
        let now = self.clock.now();
        let views = listed.items.iter();
        Ok(views.map(|pod| PodView::new(pod, seconds, now)).collect())
    }

    /// Whether the cache has not yet seen what we wrote; it will, and that brings the next look.
    fn is_stale(&self, key: &RolloutKey, rollout: &Rollout) -> bool {
        let number = |text: &str| text.parse::<u64>().ok();
        let written = self.written().get(key).and_then(|version| number(version));
        let seen = rollout.resource_version().as_deref().and_then(number);
        matches!((written, seen), (Some(written), Some(seen)) if seen < written)
    }

    fn written(&self) -> std::sync::MutexGuard<'_, BTreeMap<RolloutKey, String>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    changed: impl Fn(&K),
) where
    K: Resource<DynamicType: Default>,
{
    events
        .for_each(async |event| match event {
            Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => {
                changed(&object);
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => {
                let kind = K::plural(&K::DynamicType::default()).into_owned();
                tracing::warn!(kind, %error, "a watch broke; it is started again");
            }
        })
        .await;
}

fn key_of(object: &impl ResourceExt) -> RolloutKey {
    RolloutKey {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

fn source_of(error: &ApplyError) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}
