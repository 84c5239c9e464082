//! A fleet that is nothing but a promise, for releases in virtual time: it remembers orders,
//! acknowledges them at once (or not, as told), reaches the pods that it was told of, and trips when
//! asked to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;
use uplink::document::RoutingConfig;

use super::{Evidence, FuseTrip, RolloutKey, Traffic, TrafficOrder, TrafficView};

/// Changes that a slow listener may be behind before it is told to look at everything.
const NEWS: usize = 1024;

/// A pretended fleet that serves every Rollout.
#[derive(Debug)]
pub struct Pretended {
    /// Guards all of it; held for map operations only.
    state: Mutex<State>,
    news: broadcast::Sender<RolloutKey>,
}

#[derive(Debug, Default)]
struct State {
    /// Proxies that are connected.
    connected: usize,
    /// Why orders are not acknowledged; `None` where they are.
    refusal: Option<String>,
    orders: BTreeMap<RolloutKey, TrafficOrder>,
    /// Every order that was different from the one before.
    history: Vec<TrafficOrder>,
    endpoints: BTreeMap<String, usize>,
    in_flight: BTreeMap<String, u64>,
    trips: BTreeMap<RolloutKey, FuseTrip>,
    evidence: BTreeMap<RolloutKey, Evidence>,
    forgotten: BTreeSet<RolloutKey>,
}

// === impl Pretended ===

impl Pretended {
    /// A fleet of so many proxies, all connected.
    pub fn new(proxies: usize) -> Self {
        let state = State {
            connected: proxies,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            news: broadcast::Sender::new(NEWS),
        }
    }

    /// So many proxies are connected from now on.
    pub fn connect(&self, proxies: usize) {
        self.change(|state| state.connected = proxies);
    }

    /// Orders are not acknowledged from now on, for that reason; `None` ends it.
    pub fn refuse(&self, reason: Option<&str>) {
        self.change(|state| state.refusal = reason.map(str::to_owned));
    }

    /// The endpoints that the proxies have, by revision.
    pub fn reach(&self, endpoints: BTreeMap<String, usize>) {
        self.change(|state| state.endpoints = endpoints);
    }

    /// So many requests are in flight on a revision.
    pub fn in_flight(&self, revision: &str, requests: u64) {
        self.change(|state| {
            state.in_flight.insert(revision.to_owned(), requests);
        });
    }

    /// A fuse trips.
    pub fn trip(&self, rollout: &RolloutKey, trip: FuseTrip) {
        self.change(|state| {
            state.trips.insert(rollout.clone(), trip);
        });
    }

    /// What the proxies counted.
    pub fn count(&self, rollout: &RolloutKey, evidence: Evidence) {
        self.change(|state| {
            state.evidence.insert(rollout.clone(), evidence);
        });
    }

    /// The order in force.
    pub fn ordered(&self, rollout: &RolloutKey) -> Option<TrafficOrder> {
        self.state().orders.get(rollout).cloned()
    }

    /// Every order that was different from the one before it.
    pub fn history(&self) -> Vec<TrafficOrder> {
        self.state().history.clone()
    }

    /// Whether the routes of a Rollout were taken away.
    pub fn is_forgotten(&self, rollout: &RolloutKey) -> bool {
        self.state().forgotten.contains(rollout)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let rollouts: Vec<_> = {
            let mut state = self.state();
            change(&mut state);
            state.orders.keys().cloned().collect()
        };
        for rollout in rollouts {
            self.announce(rollout);
        }
    }

    fn announce(&self, rollout: RolloutKey) {
        // Nobody listens: nobody needs to know.
        let _ = self.news.send(rollout);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic for Pretended {
    fn order(&self, order: TrafficOrder) {
        let rollout = order.rollout.clone();
        let changed = {
            let mut state = self.state();
            let changed = state.orders.get(&rollout) != Some(&order);
            if changed {
                state.history.push(order.clone());
                state.orders.insert(rollout.clone(), order);
                state.forgotten.remove(&rollout);
            }
            changed
        };
        if changed {
            self.announce(rollout);
        }
    }

    fn forget(&self, rollout: &RolloutKey) {
        let mut state = self.state();
        state.orders.remove(rollout);
        state.forgotten.insert(rollout.clone());
    }

    fn view(&self, rollout: &RolloutKey, canary: &str) -> TrafficView {
        let state = self.state();
        let ordered = state.orders.get(rollout).map(|order| order.weight);
        let (verified, message) = match (&state.refusal, state.connected) {
            (_, 0) => (
                None,
                Some(format!("no proxy of fleet {} is connected", rollout.name)),
            ),
            (Some(reason), _) => (Some(false), Some(reason.clone())),
            (None, _) => (Some(ordered.is_some()), None),
        };
        TrafficView {
            ordered_weight: ordered,
            connected: state.connected,
            verified,
            message,
            reachable: if state.connected == 0 {
                BTreeMap::new()
            } else {
                state.endpoints.clone()
            },
            in_flight: state.in_flight.clone(),
            fuse: state
                .trips
                .get(rollout)
                .filter(|trip| trip.revision == canary)
                .cloned(),
        }
    }

    fn reset_fuse(&self, rollout: &RolloutKey, revision: &str) {
        let mut state = self.state();
        if state
            .trips
            .get(rollout)
            .is_some_and(|trip| trip.revision == revision)
        {
            state.trips.remove(rollout);
        }
    }

    fn evidence(&self, rollout: &RolloutKey, _: &str) -> Evidence {
        self.state()
            .evidence
            .get(rollout)
            .cloned()
            .unwrap_or_default()
    }

    fn changed(&self) -> broadcast::Receiver<RolloutKey> {
        self.news.subscribe()
    }

    /// Nothing: a pretended proxy has no routes.
    fn document(&self, _: &str) -> Option<RoutingConfig> {
        None
    }
}
