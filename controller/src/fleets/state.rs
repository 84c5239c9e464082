//! The state of all fleets, as plain data: every event goes in with its time, and out comes what to
//! send to whom. Nothing here waits, locks or reads a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use uplink::document::RoutingConfig;
use uplink::proto;
use uplink::proto::ControllerMessage;
use uplink::version::Version;

use super::evidence;
use super::fleet::{Asked, Fleet};
use super::fuses;
use super::proxy::{ConnectionId, Next, Proxy};
use super::published::{Published, canary_revision};
use crate::publish::{Placed, Plan};
use crate::traffic::{Evidence, RolloutKey, TrafficOrder, TrafficView};

/// Fleets of one namespace whose proxies may wait for a Rollout that names them.
const MAX_UNKNOWN_FLEETS: usize = 64;

/// All fleets and all Rollouts that they serve.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    version: Version,
    /// The highest weight epoch that was given, but for Rollouts whose proxies had heard of a higher one.
    pub(super) epoch: u64,
    pub(super) fleets: BTreeMap<String, Fleet>,
    pub(super) releases: BTreeMap<RolloutKey, Release>,
    pub(super) connections: BTreeMap<ConnectionId, (String, String)>,
    /// Whether the lease may be somebody else's at this moment.
    pub(super) fenced: bool,
    /// Streams of proxies that had heard a higher term while that was so: they refuse what they are sent.
    pub(super) deaf: BTreeSet<ConnectionId>,
    /// Certificate references that a proxy refused, and why.
    pub(super) refused_secrets: BTreeMap<String, String>,
}

/// What is known of one Rollout's traffic.
#[derive(Clone, Debug, Default)]
pub(super) struct Release {
    /// The order in force: as given, or as its status says before there is one.
    pub(super) order: Option<TrafficOrder>,
    /// Whether it was given.
    pub(super) given: bool,
    pub(super) epoch: u64,
    pub(super) since: Timestamp,
    /// Where the publisher put it, and by which order.
    pub(super) placed: Option<Placed>,
    pub(super) problem: Option<String>,
    pub(super) evidence: evidence::Book,
    pub(super) fuses: fuses::Book,
}

/// What an event leads to.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) send: Vec<(ConnectionId, ControllerMessage)>,
    pub(super) close: Vec<ConnectionId>,
    pub(super) changed: BTreeSet<RolloutKey>,
    pub(super) replan: bool,
}

// === impl State ===

impl State {
    /// Messages are numbered from (term, 0) from now on.
    pub(super) fn begin_term(&mut self, term: u64) {
        self.version = self.version.max(Version { term, counter: 0 });
        self.epoch = self.epoch.max(term << 32);
    }

    /// A proxy says who it is.
    pub(super) fn hello(
        &mut self,
        id: ConnectionId,
        hello: &proto::Hello,
        now: Timestamp,
    ) -> Result<Effects, String> {
        let mut effects = Effects::default();
        self.admit(hello)?;
        self.outrank(id, hello);
        let fleet = self.fleets.entry(hello.fleet.clone()).or_default();
        let replaced = fleet.connect(&hello.proxy, hello.process_id.clone(), id, now);
        let evicted = fleet.evict();
        let has_old_routes = fleet.wanted.is_none() && hello.in_force.is_some();
        if has_old_routes {
            // Its Rollouts went while nobody was here to tell.
            let document = RoutingConfig {
                fleet: Some(hello.fleet.clone()),
                ..RoutingConfig::default()
            };
            fleet.wanted = Some(Arc::new(Published {
                document,
                at: now,
                ..Published::default()
            }));
        }
        if let Some(replaced) = replaced {
            self.connections.remove(&replaced);
            self.deaf.remove(&replaced);
            effects.close.push(replaced);
        }
        self.connections
            .insert(id, (hello.fleet.clone(), hello.proxy.clone()));
        for release in self.releases.values_mut() {
            for name in &evicted {
                release.evidence.retire(name);
            }
        }
        self.pump(&hello.fleet, now, &mut effects);
        self.restate_weights(&hello.fleet, id, &mut effects);
        self.touch_fleet(&hello.fleet, &mut effects);
        Ok(effects)
    }

    /// A stream ended.
    pub(super) fn disconnect(&mut self, id: ConnectionId, now: Timestamp) -> Effects {
        let mut effects = Effects::default();
        self.deaf.remove(&id);
        let Some((fleet, proxy)) = self.connections.remove(&id) else {
            return effects;
        };
        if let Some(proxy) = self
            .fleets
            .get_mut(&fleet)
            .and_then(|it| it.proxies.get_mut(&proxy))
        {
            proxy.disconnect(now);
        }
        self.touch_fleet(&fleet, &mut effects);
        effects
    }

    /// Takes what the publisher made of Kubernetes.
    pub(super) fn install(&mut self, plan: Plan, now: Timestamp) -> Effects {
        let mut effects = Effects::default();
        for (key, problem) in &plan.problems {
            let release = self.releases.entry(key.clone()).or_default();
            release.problem = Some(problem.message.clone());
        }
        for (key, release) in &mut self.releases {
            if release.problem.is_some() && !plan.problems.contains_key(key) {
                release.problem = None;
            }
            release.placed = plan.placed.get(key).cloned();
        }
        for (key, placed) in plan.placed {
            self.place(&key, placed, now, &mut effects);
        }
        // Orders of Rollouts that are gone are the planner's to forget; what was only assumed goes.
        self.releases
            .retain(|_, it| it.given || it.placed.is_some() || it.problem.is_some());
        let mut documents = plan.fleets;
        let emptied = self
            .fleets
            .iter()
            .filter(|(_, fleet)| fleet.wanted.is_some());
        let emptied: Vec<String> = emptied.map(|(name, _)| name.clone()).collect();
        for name in emptied {
            documents.entry(name.clone()).or_insert_with(|| Published {
                document: RoutingConfig {
                    fleet: Some(name),
                    ..RoutingConfig::default()
                },
                ..Published::default()
            });
        }
        for (name, published) in documents {
            self.publish(&name, published, now, &mut effects);
        }
        effects
    }

    /// What is known of a Rollout, for the planner.
    pub(super) fn view(&self, rollout: &RolloutKey, canary: &str, now: Timestamp) -> TrafficView {
        let Some(release) = self.releases.get(rollout) else {
            return TrafficView::default();
        };
        let order = release.order.as_ref();
        let mut view = TrafficView {
            ordered_weight: order.filter(|_| release.given).map(|order| order.weight),
            fuse: release.fuses.trip(canary).cloned(),
            ..TrafficView::default()
        };
        let Some(placed) = &release.placed else {
            view.verified = Some(false);
            view.message = release.problem.clone();
            return view;
        };
        let Some(fleet) = self.fleets.get(&placed.fleet) else {
            return view;
        };
        let split = split_name(rollout);
        let asked = Asked {
            fleet: placed.fleet.rsplit('/').next().unwrap_or_default(),
            split: &split,
            epoch: release.epoch,
            since: release.since,
        };
        let answered = fleet.answered(asked, now);
        let planned = order.is_some_and(|order| same_routes(order, &placed.order));
        view.connected = fleet.connected();
        view.verified = answered.verified.map(|verified| verified && planned);
        view.message = answered.message;
        view.reachable = answered.reachable;
        view.in_flight = release
            .evidence
            .in_flight(|proxy| fleet.must_acknowledge(proxy, now));
        view
    }

    /// The evidence for a canary.
    pub(super) fn evidence(&self, rollout: &RolloutKey, canary: &str) -> Evidence {
        let Some(release) = self.releases.get(rollout) else {
            return Evidence::default();
        };
        let Some(order) = &release.order else {
            return Evidence::default();
        };
        let share = f64::from(order.weight) / f64::from(order.max_weight.max(1));
        let share = if order.canary.as_deref() == Some(canary) {
            share.min(1.0)
        } else {
            0.0
        };
        release.evidence.evidence(canary, &order.stable, share)
    }

    /// The orders by which the publisher makes documents: those that were given.
    pub(super) fn orders(&self) -> BTreeMap<RolloutKey, TrafficOrder> {
        let given = self.releases.iter().filter(|(_, release)| release.given);
        given
            .filter_map(|(key, release)| Some((key.clone(), release.order.clone()?)))
            .collect()
    }

    /// What is wrong with a Rollout.
    pub(super) fn problem(&self, rollout: &RolloutKey) -> Option<String> {
        self.releases.get(rollout)?.problem.clone()
    }

    /// The next moment at which time alone changes a view, and whose.
    pub(super) fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let deadlines = self.fleets.iter().filter_map(|(name, fleet)| {
            let of_fleet =
                |release: &&Release| release.placed.as_ref().is_some_and(|it| it.fleet == *name);
            let ordered: Vec<_> = self
                .releases
                .values()
                .filter(of_fleet)
                .map(|it| it.since)
                .collect();
            fleet.next_deadline(&ordered, now)
        });
        deadlines.min()
    }

    /// All Rollouts, for when time alone has changed something.
    pub(super) fn rollouts(&self) -> Vec<RolloutKey> {
        self.releases.keys().cloned().collect()
    }

    /// The error says what there is too much of.
    fn admit(&mut self, hello: &proto::Hello) -> Result<(), String> {
        if let Some(fleet) = self.fleets.get(&hello.fleet) {
            let room = fleet.has_room_for(&hello.proxy);
            return room
                .then_some(())
                .ok_or_else(|| format!("fleet {} has too many proxies", hello.fleet));
        }
        let namespace = hello.fleet.split('/').next().unwrap_or_default();
        let prefix = format!("{namespace}/");
        let unknown = |name: &str, fleet: &Fleet| name.starts_with(&prefix) && fleet.is_unknown();
        let count = |fleets: &BTreeMap<String, Fleet>| {
            let here = fleets.range(prefix.clone()..);
            let here = here.take_while(|(name, _)| name.starts_with(&prefix));
            here.filter(|(_, fleet)| fleet.is_unknown()).count()
        };
        if count(&self.fleets) >= MAX_UNKNOWN_FLEETS {
            self.fleets
                .retain(|name, fleet| !unknown(name, fleet) || fleet.connected() > 0);
        }
        if count(&self.fleets) >= MAX_UNKNOWN_FLEETS {
            return Err(format!(
                "proxies of {MAX_UNKNOWN_FLEETS} fleets of namespace {namespace} wait for a Rollout \
                 already, and no Rollout names fleet {}",
                hello.fleet
            ));
        }
        Ok(())
    }

    /// Who connected before may have heard a higher term than ours. If we hold the lease, it was deleted or
    /// reset, and what we say must count; but only this fleet's proxies are believed about it. If we may
    /// not hold it any more, a later leader spoke, and the proxy is right to refuse what we say.
    fn outrank(&mut self, id: ConnectionId, hello: &proto::Hello) {
        let heard = hello.in_force.map(Version::from).unwrap_or_default();
        let ours = self.version;
        let fleet = self.fleets.entry(hello.fleet.clone()).or_default();
        if heard.term <= fleet.term.max(ours.term) {
            return;
        }
        if self.fenced {
            tracing::warn!(fleet = hello.fleet, proxy = hello.proxy, %heard, %ours,
                           "a proxy heard a higher term, and the lease may be somebody else's");
            self.deaf.insert(id);
            return;
        }
        tracing::warn!(fleet = hello.fleet, proxy = hello.proxy, %heard, %ours,
                       "a proxy heard a higher term, the lease was deleted or reset; going above it");
        fleet.term = heard.term.saturating_add(1);
    }

    /// The next version for what is said to a fleet.
    pub(super) fn next_version(&mut self, fleet: &str) -> Version {
        self.version.counter += 1;
        let term = self.fleets.get(fleet).map_or(0, |fleet| fleet.term);
        Version {
            term: self.version.term.max(term),
            ..self.version
        }
    }

    /// A Rollout is in its fleet's document: by the order that was given, or by an assumed one.
    fn place(&mut self, key: &RolloutKey, placed: Placed, now: Timestamp, effects: &mut Effects) {
        let release = self.releases.entry(key.clone()).or_default();
        let moved = release
            .placed
            .as_ref()
            .is_none_or(|before| before.fleet != placed.fleet);
        let assumed = placed.order.clone();
        release.placed = Some(placed);
        let changed = !release.given && release.order.as_ref() != Some(&assumed);
        if changed {
            release.order = Some(assumed);
        }
        if changed || moved || release.epoch == 0 {
            self.reissue(key, now, effects);
        }
    }

    fn publish(
        &mut self,
        name: &str,
        mut published: Published,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        weigh(&mut published.document, &self.releases);
        let fleet = self.fleets.entry(name.to_owned()).or_default();
        let before = fleet.wanted.as_ref();
        let same = before.is_some_and(|before| {
            before.document == published.document && before.key_pairs == published.key_pairs
        });
        if same {
            return;
        }
        published.at = now;
        fleet.wanted = Some(Arc::new(published));
        self.pump(name, now, effects);
        self.touch_fleet(name, effects);
    }

    /// Sends every proxy of a fleet what it lacks.
    pub(super) fn pump(&mut self, name: &str, now: Timestamp, effects: &mut Effects) {
        let Some(fleet) = self.fleets.get_mut(name) else {
            return;
        };
        let Some(wanted) = fleet.wanted.clone() else {
            return;
        };
        let size = fleet.told_size();
        let mut version = self.version;
        version.term = version.term.max(fleet.term);
        for proxy in fleet.proxies.values_mut() {
            let Some(id) = proxy.connection() else {
                continue;
            };
            if let Next::Send { kind, result } = proxy.next(&wanted, size) {
                version.counter += 1;
                effects
                    .send
                    .push((id, proxy.sent(version, kind, result, now)));
            }
        }
        self.version.counter = version.counter;
    }

    pub(super) fn touch_fleet(&self, fleet: &str, effects: &mut Effects) {
        effects.changed.extend(self.keys_of(fleet));
    }

    pub(super) fn keys_of(&self, fleet: &str) -> Vec<RolloutKey> {
        let placed =
            |release: &Release| release.placed.as_ref().is_some_and(|it| it.fleet == fleet);
        self.releases
            .iter()
            .filter(|(_, it)| placed(it))
            .map(|(key, _)| key.clone())
            .collect()
    }

    pub(super) fn connections_of(&self, fleet: &str) -> Vec<ConnectionId> {
        let fleet = self.fleets.get(fleet);
        fleet
            .into_iter()
            .flat_map(|it| it.proxies.values())
            .filter_map(Proxy::connection)
            .collect()
    }

    pub(super) fn key_of(&self, split: &str) -> Option<RolloutKey> {
        let (namespace, name) = split.split_once('/')?;
        let key = RolloutKey {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.releases.contains_key(&key).then_some(key)
    }
}

/// The name of a Rollout's split.
pub(crate) fn split_name(rollout: &RolloutKey) -> String {
    format!("{}/{}", rollout.namespace, rollout.name)
}

/// Without a canary there is nobody to have a weight.
pub(super) fn effective_weight(order: &TrafficOrder) -> u32 {
    if order.canary.is_some() {
        order.weight.min(order.max_weight)
    } else {
        0
    }
}

fn same_routes(a: &TrafficOrder, b: &TrafficOrder) -> bool {
    TrafficOrder {
        weight: 0,
        ..a.clone()
    } == TrafficOrder {
        weight: 0,
        ..b.clone()
    }
}

/// A weight is for one canary. A document that still has another one gets it only where it is 0,
/// and else an epoch that never wins.
pub(super) fn weigh(document: &mut RoutingConfig, releases: &BTreeMap<RolloutKey, Release>) {
    for (key, release) in releases {
        let name = split_name(key);
        let Some(order) = &release.order else {
            continue;
        };
        let Some(split) = document.splits.get(&name) else {
            continue;
        };
        let weight = effective_weight(order);
        let same = canary_revision(document, split) == order.canary.as_deref()
            && split.max_weight == order.max_weight;
        let (weight, epoch) = if same || weight == 0 {
            (weight, release.epoch)
        } else {
            (0, 0)
        };
        if let Some(split) = document.splits.get_mut(&name) {
            (split.weight, split.epoch) = (weight, epoch);
        }
    }
}

#[cfg(test)]
mod tests;
