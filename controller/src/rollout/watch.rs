//! Watch: what changes anywhere is brought to the Rollout that it concerns, and looked at.
//!
//! Nothing is polled. A Rollout is looked at when it, one of its ReplicaSets, Services, runs or
//! templates, or what its proxies say changes, and when a plan asked for it (the end of a pause, a
//! deadline). An idle one costs nothing.

mod bell;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crds::Rollout;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::apply::{ApplyError, Hands, release_service};
use super::caches::Caches;
use super::events::Teller;
use super::observe::{self, PodView};
use super::plan::{self, EventNote, Plan};
use super::spec;
use super::workload::{self, Unresolved, WorkloadKind};
use crate::caches::Key;
use crate::caches::kept::Keep as _;
use crate::caches::kinds::{RolloutIndex, service_names};
use crate::clock::Clock;
use crate::kit::Kit;
use crate::metrics::Kind;
use crate::queue::{Next, Queue};
use crate::traffic::{RolloutKey, Traffic};

use bell::{Bell, Gone, rollout_key};

struct Controller {
    kit: Kit,
    caches: Caches,
    queue: Arc<Queue<RolloutKey>>,
    teller: Teller,
    /// The version of each Rollout that was written last, so that no older one is acted on.
    written: Mutex<BTreeMap<RolloutKey, String>>,
    gone: Gone,
    /// Rollouts whose traffic router is not ours, and what was said about it.
    left: Mutex<BTreeMap<RolloutKey, String>>,
}

/// Takes Rollouts through their steps until `stop`, alone.
pub async fn run(client: Client, clock: Clock, traffic: Arc<dyn Traffic>, stop: CancellationToken) {
    let over = stop.child_token();
    work(Kit::alone(client, clock, traffic, &over), stop).await;
    over.cancel();
}

/// Takes Rollouts through their steps until `stop`.
pub async fn work(kit: Kit, stop: CancellationToken) {
    // Subscribed before anything is read, so that no change falls between.
    let news = kit.traffic.changed();
    let queue = Arc::<Queue<RolloutKey>>::default();
    let gone = Gone::default();
    Bell::hang(kit.clock, &queue, &gone, &kit.caches);
    let (workloads, workload_writers) = workload::shelves();
    let (teller, scribe) = Teller::new(kit.client.clone(), kit.clock);
    let controller = Controller {
        teller,
        caches: Caches {
            seen: kit.caches.clone(),
            workloads,
        },
        kit,
        queue,
        written: Mutex::default(),
        gone,
        left: Mutex::default(),
    };
    let everything = async {
        tokio::join!(
            controller.listen(news),
            controller.listen_to_grants(),
            controller.work(),
            scribe.write(),
            workload::follow(
                &controller.caches.workloads,
                workload_writers,
                (&controller.kit.client, controller.caches.seen.scope()),
                |kind, key| controller.workload_changed(kind, &key)
            ),
        );
    };
    stop.run_until_cancelled(everything).await;
}

// === impl Controller ===

impl Controller {
    async fn listen(&self, mut news: broadcast::Receiver<RolloutKey>) {
        loop {
            match news.recv().await {
                Ok(key) => self.queue.add(key, self.kit.clock.now()),
                // Too much happened to say what: look at all of them.
                Err(RecvError::Lagged(_)) => self.look_at_all(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// An empty name stands for all workloads of that kind.
    fn workload_changed(&self, kind: WorkloadKind, workload: &RolloutKey) {
        let rollouts = &self.caches.seen.rollouts;
        let index = |namespace: &str, name: &str| {
            RolloutIndex::Workload(
                namespace.to_owned(),
                kind.name().to_owned(),
                name.to_owned(),
            )
        };
        let indexes = if workload.name.is_empty() {
            let is_it = |index: &RolloutIndex| matches!(index, RolloutIndex::Workload(..));
            rollouts.indexes(
                &RolloutIndex::Workload(String::new(), String::new(), String::new()),
                is_it,
            )
        } else {
            vec![index(&workload.namespace, &workload.name)]
        };
        let now = self.kit.clock.now();
        for key in indexes.iter().flat_map(|index| rollouts.keys_by(index)) {
            self.queue.add(rollout_key(&key), now);
        }
    }

    /// A grant that came or went is about Rollouts that use a fleet of another namespace.
    async fn listen_to_grants(&self) {
        let mut granted = self.caches.seen.granted();
        let guests = |index: &RolloutIndex| matches!(index, RolloutIndex::Guest(_));
        while granted.changed().await.is_ok() {
            let (rollouts, now) = (&self.caches.seen.rollouts, self.kit.clock.now());
            for index in rollouts.indexes(&RolloutIndex::Guest(String::new()), guests) {
                let keys = rollouts.keys_by(&index).into_iter();
                keys.for_each(|key| self.queue.add(rollout_key(&key), now));
            }
        }
    }

    fn look_at_all(&self) {
        let now = self.kit.clock.now();
        for rollout in self.caches.seen.rollouts.all() {
            self.queue.add(rollout_key(&Key::of(rollout.meta())), now);
        }
    }

    /// Looks at what is due, once every cache has been filled.
    async fn work(&self) {
        self.caches.seen.synced().await;
        tracing::debug!("every watch has synced");
        self.look_at_all();
        let mut looks = FuturesUnordered::new();
        loop {
            let gate = &self.kit.gate;
            let now = || self.kit.clock.now();
            if looks.is_empty() && !gate.is_open(now()) {
                gate.opened(now).await;
            }
            let next = if looks.len() < self.kit.looks_at_once && gate.is_open(now()) {
                self.queue.next(self.kit.clock.now())
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
                biased; // The order is of no account, but always the same.
                Some(()) = looks.next() => {}
                () = self.queue.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn until(&self, at: jiff::Timestamp) -> Duration {
        // The timer of tokio counts milliseconds: one more, or it would fire too early.
        Duration::try_from(at.duration_since(self.kit.clock.now())).unwrap_or_default()
            + Duration::from_millis(1)
    }

    async fn look(&self, key: RolloutKey) {
        let began = self.kit.clock.now();
        let looked = self.reconcile(&key).await;
        self.count(&key, began, looked.is_err());
        match looked {
            Ok(at) => self.queue.done(&key, at),
            Err(error) => {
                if matches!(error, ApplyError::Conflict(_)) {
                    tracing::debug!(?key, %error, "looking again");
                } else {
                    tracing::warn!(?key, %error, source = source_of(&error), "trying again");
                }
                self.queue.failed(&key, self.kit.clock.now());
            }
        }
    }

    fn count(&self, key: &RolloutKey, began: jiff::Timestamp, failed: bool) {
        let key = Key {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        };
        let took = self.kit.clock.now().duration_since(began);
        let took = Duration::try_from(took).unwrap_or_default();
        self.kit.metrics.looked(Kind::Rollout, &key, took);
        if failed {
            self.kit.metrics.failed(Kind::Rollout, &key);
        }
    }

    async fn reconcile(&self, key: &RolloutKey) -> Result<Option<jiff::Timestamp>, ApplyError> {
        let Some(rollout) = self.caches.rollout(key) else {
            if !self.caches.has_rollout(key) {
                self.kit.traffic.forget(key);
                self.written().remove(key);
                self.queue.forget(key);
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
            self.leave(key, &rollout, &router);
            return Ok(None);
        }
        let now = self.kit.clock.now();
        let (rollout, plan) = match workload::resolve(&rollout, &self.caches.workloads) {
            Ok(resolved) => {
                let rollout = resolved.rollout;
                let mut observed = self.caches.observe(&rollout, self.kit.traffic.as_ref());
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
                let observed = self.caches.observe(&rollout, self.kit.traffic.as_ref());
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
        let message = format!("Rollout {}/{} is deleted.", key.name, key.namespace);
        let note = EventNote::normal("RolloutDeleted", message);
        self.tell(&gone, &[note]);
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
                release_service(&self.kit.client, &service).await?;
            }
        }
        Ok(())
    }

    /// Leaves a Rollout to whoever has its router, and says so once.
    fn leave(&self, key: &RolloutKey, rollout: &Rollout, router: &str) {
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
        let note = EventNote::normal("ForeignTrafficRouter", message);
        self.tell(rollout, &[note]);
    }

    async fn carry_out(
        &self,
        key: &RolloutKey,
        rollout: &Rollout,
        plan: Plan,
    ) -> Result<(), ApplyError> {
        let hands = Hands::new(
            &self.kit.client,
            self.kit.traffic.as_ref(),
            (self.kit.clock, self.queue.since(key)),
            rollout,
        );
        let mut written = Vec::new();
        let applied = hands.apply(&plan, &mut written).await;
        if applied.is_err() {
            // The next pass finds it done, and has nothing to tell of it.
            let of_a_write =
                |note: &&EventNote| note.of.as_ref().is_some_and(|of| written.contains(of));
            let done: Vec<EventNote> = plan.events.iter().filter(of_a_write).cloned().collect();
            self.tell(rollout, &done);
        }
        if let Some(version) = applied? {
            self.written().insert(key.clone(), version);
        }
        if rollout.status.is_none() && plan.status.is_some() {
            let message = format!(
                "Rollout resource added to informer: {}/{}",
                key.namespace, key.name
            );
            let added = EventNote::normal("RolloutAddedToInformer", message);
            self.tell(rollout, &[added]);
        }
        self.tell(rollout, &plan.events);
        Ok(())
    }

    /// The pods that a Rollout selects, asked for and not watched: few Rollouts need them, and rarely.
    async fn pods(&self, rollout: &Rollout) -> Result<Vec<PodView>, ApplyError> {
        let namespace = rollout.namespace().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.kit.client.clone(), &namespace);
        let selector = plan::selector_text(&rollout.spec.selector.clone().unwrap_or_default());
        let listed = pods.list(&ListParams::default().labels(&selector)).await;
        let listed = listed.map_err(|error| ApplyError::Api {
            action: "list the Pods",
            source: Box::new(error),
        })?;
        let seconds = rollout.spec.min_ready_seconds.unwrap_or_default();
        let now = self.kit.clock.now();
        let views = listed.items.iter();
        Ok(views.map(|pod| PodView::new(pod, seconds, now)).collect())
    }

    fn tell(&self, rollout: &Rollout, events: &[EventNote]) {
        let key = Key::of(&rollout.metadata);
        for event in events {
            self.kit.metrics.told(&key, event.warning, &event.reason);
        }
        self.teller.tell(rollout, events);
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

fn source_of(error: &ApplyError) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}
