//! The proxies: what each fleet is to have in force, what each proxy has, and what they measured.
//!
//! The story, in the order of the modules: [`state`] takes every event (a proxy connects or goes,
//! an order is given, the publisher has a new document; [`orders`], [`heard`]: a proxy acknowledges, refuses or
//! reports) and says what to send to whom. It keeps each [`fleet`] with its [`proxy`] records, gets them from one
//! [`published`] configuration to the next, unites the [`evidence`] of all proxies, and knows which
//! trips of their [`fuses`] count. All of that is plain data under one short lock; [`Fleets`]
//! holds the lock, the streams' outboxes and the clock. [`traffic`] is the face that the planners see.

mod heard;
mod orders;
mod state;

mod fleet;
mod proxy;
mod published;

mod evidence;
mod fuses;

mod traffic;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use uplink::proto;
use uplink::proto::ControllerMessage;

use crate::clock::Clock;
use crate::leader::Gate;
use crate::publish::Plan;
use crate::traffic::{RolloutKey, TrafficOrder};

pub use proxy::ConnectionId;
pub use published::Published;
pub(crate) use state::split_name;

/// Changes that a listener may be behind before it is told that it missed some.
const CHANGES: usize = 1_024;

/// All fleets of this controller.
#[derive(Debug)]
pub struct Fleets {
    clock: Clock,
    /// Guards the state and the outboxes; held only while an event is taken.
    inner: Mutex<Inner>,
    changed: broadcast::Sender<RolloutKey>,
    /// Wakes the publisher.
    replan: Notify,
    /// Wakes the timer: a deadline may have come nearer.
    deadline: Notify,
    /// Whether orders and documents are taken now, and a proxy that heard a higher term is outranked.
    gate: Gate,
    /// Whose orders came while they were not; `None` while nothing came. Held for a moment.
    held: Mutex<Option<BTreeSet<RolloutKey>>>,
    /// Where fleets are.
    namespaces: watch::Sender<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Inner {
    state: state::State,
    outboxes: HashMap<ConnectionId, Outbox>,
    opened: ConnectionId,
}

/// The way to a connected proxy.
#[derive(Clone, Debug)]
pub struct Outbox {
    /// Bounded: a proxy that does not read is disconnected.
    pub messages: mpsc::Sender<ControllerMessage>,
    /// Ends the stream.
    pub close: CancellationToken,
}

// === impl Fleets ===

impl Fleets {
    /// Nobody is connected, nothing is ordered.
    pub fn new(clock: Clock) -> Self {
        Self::gated(clock, Gate::open())
    }

    /// The same, where orders and documents are only taken while `gate` is open. While it is not,
    /// streams are kept and served, new ones too, with what was ordered before: whoever cannot renew
    /// its lease changes nothing, and harms nobody who took it, for that one's versions are higher.
    pub fn gated(clock: Clock, gate: Gate) -> Self {
        Self {
            clock,
            gate,
            held: Mutex::default(),
            inner: Mutex::default(),
            changed: broadcast::Sender::new(CHANGES),
            replan: Notify::new(),
            deadline: Notify::new(),
            namespaces: watch::Sender::default(),
        }
    }

    /// From now on messages are numbered in this term (of the lease).
    pub fn begin_term(&self, term: u64) {
        self.inner().state.begin_term(term);
    }

    /// A proxy opened a stream. It is sent what it is to have. The error says why it may not join.
    pub fn connect(&self, hello: &proto::Hello, outbox: Outbox) -> Result<ConnectionId, String> {
        let (mut inner, now) = self.event();
        inner.opened += 1;
        let id = inner.opened;
        inner.outboxes.insert(id, outbox);
        match inner.state.hello(id, hello, now) {
            Ok(effects) => {
                self.perform(&mut inner, effects);
                Ok(id)
            }
            Err(reason) => {
                inner.outboxes.remove(&id);
                Err(reason)
            }
        }
    }

    /// A proxy said something on its stream.
    pub fn receive(&self, id: ConnectionId, message: proto::ProxyMessage) {
        // A newer proxy may say what this controller does not know yet.
        let Some(said) = message.kind else { return };
        self.with(|state, now| state.heard(id, said, now));
    }

    /// A stream ended.
    pub fn disconnect(&self, id: ConnectionId) {
        let now = self.clock.now();
        let mut inner = self.inner();
        inner.outboxes.remove(&id);
        let effects = inner.state.disconnect(id, now);
        self.perform(&mut inner, effects);
    }

    /// Takes what the publisher made of Kubernetes.
    pub fn install(&self, plan: Plan) {
        let fleets = plan.fleets.keys().filter_map(|name| name.split_once('/'));
        let namespaces: BTreeSet<_> = fleets.map(|(namespace, _)| namespace.to_owned()).collect();
        self.namespaces.send_if_modified(|before| {
            let changed = *before != namespaces;
            *before = namespaces;
            changed
        });
        self.ordered(None, |state, now| state.install(plan, now));
    }

    /// The namespaces of all fleets that have a document.
    pub fn namespaces(&self) -> watch::Receiver<BTreeSet<String>> {
        self.namespaces.subscribe()
    }

    /// The orders that were given, by which the publisher makes documents.
    pub fn orders(&self) -> BTreeMap<RolloutKey, TrafficOrder> {
        self.inner().state.orders()
    }

    /// Certificates that a proxy refused, and why.
    pub fn refused_secrets(&self) -> BTreeMap<String, String> {
        self.inner().state.refused_secrets.clone()
    }

    /// Why a Rollout's newest form is not what its proxies have.
    pub fn problem(&self, rollout: &RolloutKey) -> Option<String> {
        self.inner().state.problem(rollout)
    }

    /// Proxies connected, by fleet.
    pub fn connected(&self) -> BTreeMap<String, usize> {
        let inner = self.inner();
        inner
            .state
            .fleets
            .iter()
            .map(|(name, fleet)| (name.clone(), fleet.connected()))
            .collect()
    }

    /// Resolves when the publisher has to plan again. Cancel-safe.
    pub async fn replan(&self) {
        self.replan.notified().await;
    }

    /// Tells listeners when time alone has changed something (who lags, who is gone too long), until
    /// `stop`.
    pub async fn watch_deadlines(&self, stop: CancellationToken) {
        loop {
            let now = self.clock.now();
            let next = self.inner().state.next_deadline(now);
            let wait =
                next.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            let held = self.held().is_some();
            let sleep = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => self.announce_all(),
                () = self.deadline.notified() => {}
                () = self.gate.opened(|| self.clock.now()), if held => self.resume(),
                () = stop.cancelled() => return,
            }
        }
    }

    /// What came while the gate was shut is ordered again, by whoever wants it still.
    fn resume(&self) {
        for rollout in self.held().take().into_iter().flatten() {
            let _ = self.changed.send(rollout);
        }
        self.replan.notify_one();
        self.announce_all();
    }

    /// The gate that orders and documents pass.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    fn announce_all(&self) {
        for rollout in self.inner().state.rollouts() {
            let _ = self.changed.send(rollout);
        }
    }

    /// Something that changes what proxies are to have.
    fn ordered(
        &self,
        rollout: Option<&RolloutKey>,
        event: impl FnOnce(&mut state::State, jiff::Timestamp) -> state::Effects,
    ) {
        if self.gate.is_open(self.clock.now()) {
            return self.with(event);
        }
        let mut held = self.held();
        if held.is_none() {
            tracing::warn!("the lease is not renewed: proxies are served, and nothing is changed");
        }
        held.get_or_insert_default().extend(rollout.cloned());
        self.deadline.notify_one();
    }

    fn held(&self) -> MutexGuard<'_, Option<BTreeSet<RolloutKey>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, event: impl FnOnce(&mut state::State, jiff::Timestamp) -> state::Effects) {
        let (mut inner, now) = self.event();
        let effects = event(&mut inner.state, now);
        self.perform(&mut inner, effects);
    }

    /// Something happens, at this moment.
    fn event(&self) -> (MutexGuard<'_, Inner>, jiff::Timestamp) {
        let mut inner = self.inner();
        let now = self.clock.now();
        inner.state.fenced = !self.gate.is_open(now);
        (inner, now)
    }

    /// Sends under the lock, so that messages leave in the order of their versions; no send waits.
    fn perform(&self, inner: &mut Inner, effects: state::Effects) {
        for id in effects.close {
            if let Some(outbox) = inner.outboxes.remove(&id) {
                outbox.close.cancel();
            }
        }
        for (id, message) in effects.send {
            let Some(outbox) = inner.outboxes.get(&id) else {
                continue;
            };
            if outbox.messages.try_send(message).is_err() {
                // It reads too slowly; it connects again and gets everything.
                outbox.close.cancel();
            }
        }
        // Without listeners there is nobody to tell.
        for rollout in effects.changed {
            let _ = self.changed.send(rollout);
        }
        if effects.replan {
            self.replan.notify_one();
        }
        self.deadline.notify_one();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
