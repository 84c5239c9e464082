//! A world that plans are made for and carried out in, without a cluster.

use std::collections::BTreeMap;

use crds::Rollout;
use crds::rollout::RolloutStatus;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::{Action, NewReplicaSet, Plan, ReplicaSetChange, Scene, plan};
use crate::rollout::names;
use crate::rollout::observe::{Observed, ReplicaSetView, ServiceView};
use crate::rollout::spec::{self, Canary, Strategy, Way};
use crate::traffic::TrafficView;

pub(super) struct World {
    pub(super) rollout: Rollout,
    pub(super) observed: Observed,
    pub(super) now: Timestamp,
}

impl World {
    /// A Rollout of ten pods with these steps, of which nothing is there yet.
    pub(super) fn new(steps: Value) -> Self {
        let rollout = json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u-1", "generation": 1, "resourceVersion": "1"},
            "spec": {
                "replicas": 10,
                "selector": {"matchLabels": {"app": "web"}},
                "template": template(1),
                "strategy": {"canary": {
                    "stableService": "stable",
                    "canaryService": "canary",
                    "trafficRouting": {
                        "plugins": {"sluice/proxy": {}},
                        "managedRoutes": [{"name": "beta"}],
                    },
                    "steps": steps,
                }},
            },
        });
        let service = ServiceView {
            selector: [("app".into(), "web".into())].into(),
            ..ServiceView::default()
        };
        let services =
            BTreeMap::from(["stable", "canary"].map(|name| (name.to_owned(), service.clone())));
        let mut observed = Observed {
            services,
            ..Observed::default()
        };
        observed.traffic.connected = 1;
        Self {
            rollout: serde_json::from_value(rollout).unwrap(),
            observed,
            now: "2026-11-23T12:00:00Z".parse().unwrap(),
        }
    }

    /// A blue-green Rollout of four pods with these settings, of which nothing is there yet.
    pub(super) fn blue_green(settings: Value) -> Self {
        let mut world = Self::new(json!([]));
        let mut way = json!({"activeService": "active", "previewService": "preview"});
        if let (Value::Object(way), Value::Object(settings)) = (&mut way, settings) {
            way.extend(settings);
        }
        let spec = &mut world.rollout.spec;
        spec.replicas = Some(4);
        spec.strategy = serde_json::from_value(json!({"blueGreen": way})).unwrap();
        let services = std::mem::take(&mut world.observed.services).into_values();
        world.observed.services = ["active", "preview"]
            .map(str::to_owned)
            .into_iter()
            .zip(services)
            .collect();
        world
    }

    /// The same without traffic routing, after its first deployment.
    pub(super) fn unrouted(settings: Value) -> Self {
        let mut world = Self::new(json!([]));
        world.set_canary(
            &json!({"stableService": null, "canaryService": null, "trafficRouting": null}),
        );
        world.set_canary(&settings);
        world.settle();
        world
    }

    /// Changes the settings of the canary.
    pub(super) fn set_canary(&mut self, settings: &Value) {
        let mut rollout = serde_json::to_value(&self.rollout).unwrap();
        json_patch::merge(&mut rollout["spec"]["strategy"]["canary"], settings);
        self.rollout = serde_json::from_value(rollout).unwrap();
    }

    /// Pods wanted of each revision.
    pub(super) fn sizes_of_all(&self) -> Vec<(i64, i32)> {
        let sets = self.observed.replica_sets.iter();
        let mut sizes: Vec<_> = sets.map(|set| (set.revision, set.desired)).collect();
        sizes.sort_unstable();
        sizes
    }

    /// The same after its first deployment.
    pub(super) fn deployed(steps: Value) -> Self {
        let mut world = Self::new(steps);
        world.settle();
        world
    }

    /// The same with another version begun.
    pub(super) fn updating(steps: Value) -> Self {
        let mut world = Self::deployed(steps);
        world.release(2);
        world.settle();
        world
    }

    pub(super) fn release(&mut self, version: u32) {
        let template = serde_json::from_value(template(version)).unwrap();
        self.rollout.spec.template = Some(template);
        self.rollout.metadata.generation = self
            .rollout
            .metadata
            .generation
            .map(|generation| generation + 1);
    }

    pub(super) fn strategy(&self) -> Strategy {
        spec::check(&self.rollout, &self.observed).unwrap()
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&self.rollout, &self.strategy(), &self.observed, self.now)
    }

    pub(super) fn scene<T>(&self, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let strategy = self.strategy();
        look(&Scene::new(
            &self.rollout,
            &strategy,
            &self.observed,
            self.now,
        ))
    }

    pub(super) fn status(&self) -> RolloutStatus {
        self.rollout.status.clone().unwrap_or_default()
    }

    pub(super) fn status_mut(&mut self) -> &mut RolloutStatus {
        self.rollout.status.get_or_insert_default()
    }

    /// The ReplicaSet of a revision.
    pub(super) fn set(&mut self, revision: i64) -> &mut ReplicaSetView {
        self.observed
            .replica_sets
            .iter_mut()
            .find(|set| set.revision == revision)
            .unwrap()
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Looks, acts, and lets pods and proxies follow, until nothing happens any more.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            let before = (self.rollout.clone(), self.observed.clone());
            self.step();
            self.follow();
            if before.0 == self.rollout && before.1.replica_sets == self.observed.replica_sets {
                return;
            }
        }
        panic!("it does not settle: {:#?}", self.plan());
    }

    /// One look, carried out.
    pub(super) fn step(&mut self) -> Plan {
        let plan = self.plan();
        self.carry_out(&plan, usize::MAX);
        plan
    }

    /// Makes the first `count` writes of a plan; the status is one of them.
    pub(super) fn carry_out(&mut self, plan: &Plan, count: usize) {
        let (last, first): (Vec<&Action>, Vec<&Action>) = plan
            .actions
            .iter()
            .partition(|action| action.follows_status());
        first.iter().take(count).for_each(|action| self.act(action));
        if let (Some(status), true) = (&plan.status, count > first.len()) {
            self.rollout.status = Some(status.clone());
        }
        let after = count.saturating_sub(first.len() + 1);
        last.iter().take(after).for_each(|action| self.act(action));
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::SetDefaultReplicas => self.rollout.spec.replicas = Some(1),
            Action::ObserveWorkload(generation) => {
                let annotations = self.rollout.metadata.annotations.get_or_insert_default();
                annotations.insert(
                    names::WORKLOAD_GENERATION.to_owned(),
                    generation.to_string(),
                );
            }
            Action::ScaleWorkload { replicas, .. } => {
                let workload = self.observed.workload.as_mut().unwrap();
                workload.replicas = Some(*replicas);
                workload.generation += 1;
            }
            Action::NumberRollout(revision) => {
                let annotations = self.rollout.metadata.annotations.get_or_insert_default();
                annotations.insert(names::REVISION.to_owned(), revision.to_string());
            }
            Action::CreateReplicaSet(set) => self.create(set),
            Action::Claim(claim) => self
                .observed
                .claims
                .retain(|other| other.name != claim.name),
            Action::EvictPod(name) => self.observed.pods.retain(|pod| pod.name != *name),
            Action::ForgetTraffic => self.observed.traffic = TrafficView::default(),
            Action::SwitchService { service, hash, .. } => {
                let service = self.observed.services.get_mut(service).unwrap();
                service
                    .selector
                    .insert(names::POD_TEMPLATE_HASH_LABEL.to_owned(), hash.clone());
                service.managed_by = Some("web".to_owned());
            }
            Action::ResetFuse(revision) => {
                self.observed.traffic.fuse = self
                    .observed
                    .traffic
                    .fuse
                    .take()
                    .filter(|fuse| fuse.revision != *revision);
            }
            Action::OrderTraffic { order, .. } => {
                if self.observed.traffic.ordered_weight != Some(order.weight) {
                    self.observed.traffic.verified = Some(false);
                }
                self.observed.traffic.ordered_weight = Some(order.weight);
            }
            Action::ChangeReplicaSet(change) => self.change(change),
            Action::DeleteReplicaSet { name, .. } => {
                self.observed.replica_sets.retain(|set| set.name != *name);
            }
            Action::CreateRun(run) => self.observed.runs.push((**run).clone()),
            Action::ChangePod(_)
            | Action::TerminateRun(_)
            | Action::FailRun { .. }
            | Action::DeleteRun(_) => {}
        }
    }

    fn change(&mut self, change: &ReplicaSetChange) {
        let set = self
            .observed
            .replica_sets
            .iter_mut()
            .find(|set| set.name == change.name)
            .unwrap();
        set.desired = change.replicas.unwrap_or(set.desired);
        set.min_ready_seconds = change.min_ready_seconds.unwrap_or(set.min_ready_seconds);
        for (key, value) in &change.annotations {
            match value {
                Some(value) => set.annotations.insert(key.clone(), value.clone()),
                None => set.annotations.remove(key),
            };
        }
        let revision = set.annotations.get(names::REVISION);
        set.revision = revision
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
    }

    fn create(&mut self, set: &NewReplicaSet) {
        let annotations = [
            (names::REVISION.to_owned(), set.revision.to_string()),
            (
                names::DESIRED_REPLICAS.to_owned(),
                self.rollout.spec.replicas.unwrap_or(1).to_string(),
            ),
        ];
        self.observed.replica_sets.push(ReplicaSetView {
            name: set.name.clone(),
            uid: set.name.clone(),
            hash: set.hash.clone(),
            revision: set.revision,
            created: self.now,
            annotations: annotations.into(),
            template: set.template.clone(),
            observed: true,
            ..ReplicaSetView::default()
        });
    }

    /// Pods come and go as wanted, and the proxies know and acknowledge it.
    pub(super) fn follow(&mut self) {
        for set in &mut self.observed.replica_sets {
            (set.current, set.ready, set.available) = (set.desired, set.desired, set.desired);
        }
        self.acknowledge();
    }

    pub(super) fn acknowledge(&mut self) {
        let traffic = &mut self.observed.traffic;
        let reachable = |set: &ReplicaSetView| (set.hash.clone(), set.available as usize);
        traffic.reachable = self.observed.replica_sets.iter().map(reachable).collect();
        traffic.verified = Some(true);
    }
}

/// The canary's settings, to be changed.
pub(super) fn canary_of(strategy: &mut Strategy) -> &mut Canary {
    match &mut strategy.way {
        Way::Canary(canary) => canary,
        Way::BlueGreen(_) => panic!("not a canary"),
    }
}

pub(super) fn template(version: u32) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": format!("web:{version}")}]},
    })
}
