//! The scene: what is, sorted into the parts that ReplicaSets play.

use crds::Rollout;
use crds::rollout::RolloutStatus;
use crds::rollout::status::{PauseCondition, TrafficWeights};
use crds::words::PauseReason;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::revision;
use crate::rollout::hash;
use crate::rollout::names;
use crate::rollout::observe::{Observed, ReplicaSetView};
use crate::rollout::spec::{Step, Strategy};

/// What a plan looks at.
pub struct Scene<'a> {
    /// The Rollout.
    pub rollout: &'a Rollout,
    /// Its status as it was.
    pub was: &'a RolloutStatus,
    /// Its checked spec.
    pub strategy: &'a Strategy,
    /// What is.
    pub observed: &'a Observed,
    /// The time.
    pub now: Timestamp,
    /// The ReplicaSet of the current template.
    pub new: Option<&'a ReplicaSetView>,
    /// The ReplicaSet that was promoted last.
    pub stable: Option<&'a ReplicaSetView>,
    /// Every other one, the newest revision first.
    pub others: Vec<&'a ReplicaSetView>,
    /// The hash of the current template's pods.
    pub pod_hash: String,
}

static NO_STATUS: std::sync::LazyLock<RolloutStatus> =
    std::sync::LazyLock::new(RolloutStatus::default);

// === impl Scene ===

impl<'a> Scene<'a> {
    pub(crate) fn new(
        rollout: &'a Rollout,
        strategy: &'a Strategy,
        observed: &'a Observed,
        now: Timestamp,
    ) -> Self {
        let was = rollout.status.as_ref().unwrap_or_else(|| &NO_STATUS);
        let sets = &observed.replica_sets;
        let computed = hash::of_template(&strategy.template, was.collision_count);
        let new = revision::newest(sets, &strategy.template, &computed);
        let pod_hash = new.map_or(computed, |set| set.hash.clone());
        let stable_hash = was.stable_rs.as_deref().unwrap_or_default();
        let stable = sets
            .iter()
            .find(|set| !stable_hash.is_empty() && set.hash == stable_hash);
        let plays = |set: &ReplicaSetView| {
            [new, stable]
                .into_iter()
                .flatten()
                .any(|player| player.name == set.name)
        };
        let mut others: Vec<_> = sets.iter().filter(|set| !plays(set)).collect();
        others.sort_by_key(|set| std::cmp::Reverse((set.revision, set.created)));
        Self {
            rollout,
            was,
            strategy,
            observed,
            now,
            new,
            stable,
            others,
            pod_hash,
        }
    }

    /// The name of the Rollout.
    pub fn name(&self) -> String {
        self.rollout.name_any()
    }

    /// The time in whole seconds, as objects show it.
    pub fn second(&self) -> Timestamp {
        Timestamp::from_second(self.now.as_second()).unwrap_or(self.now)
    }

    /// Pods wanted.
    pub fn replicas(&self) -> i32 {
        self.strategy.replicas
    }

    /// The number of the newest revision, as the Rollout has it.
    pub fn revision(&self) -> i64 {
        let text = self.rollout.annotations().get(names::REVISION);
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// The hash of stable, or nothing before there is one.
    pub fn stable_hash(&self) -> &str {
        self.was.stable_rs.as_deref().unwrap_or_default()
    }

    /// Nothing was ever promoted.
    pub fn is_initial(&self) -> bool {
        self.stable_hash().is_empty()
    }

    /// The newest revision is stable.
    pub fn is_promoted(&self) -> bool {
        !self.is_initial() && self.was.stable_rs == self.was.current_pod_hash
    }

    /// Skip all that is left.
    pub fn promote_full(&self) -> bool {
        self.was.promote_full == Some(true) && !self.is_promoted()
    }

    /// The step that the Rollout is at; as many as there are steps means past the last one.
    pub fn index(&self) -> usize {
        let index = self.was.current_step_index.unwrap_or_default().max(0) as usize;
        index.min(self.strategy.step_count())
    }

    /// The step that the Rollout is at.
    pub fn step(&self) -> Option<&'a Step> {
        self.strategy.steps().get(self.index())
    }

    /// Whether the template or the steps are not those that the status is about.
    pub fn way_changed(&self) -> bool {
        self.was.current_pod_hash.as_deref() != Some(self.pod_hash.as_str())
            || self.was.current_step_hash.as_deref().unwrap_or_default()
                != self.strategy.step_hash()
    }

    /// Whether the template is not the one that the status is about, if it is about any.
    pub fn template_changed(&self) -> bool {
        let before = self.was.current_pod_hash.as_deref().unwrap_or_default();
        !before.is_empty() && before != self.pod_hash
    }

    /// The newest revision is an old one that came back, recent enough to skip the steps.
    pub fn in_rollback_window(&self) -> bool {
        let (Some(new), Some(stable)) = (self.new, self.stable) else {
            return false;
        };
        if self.strategy.rollback_window == 0 || new.created >= stable.created {
            return false;
        }
        let sets = &self.observed.replica_sets;
        let between = sets
            .iter()
            .filter(|set| set.created > new.created && set.created < stable.created)
            .count();
        between < self.strategy.rollback_window
    }

    /// The pause condition for that reason.
    pub fn pause(&self, reason: &PauseReason) -> Option<&'a PauseCondition> {
        self.was
            .pause_conditions
            .iter()
            .find(|condition| condition.reason == *reason)
    }

    /// The controller paused, and somebody took the pause for that reason away.
    pub fn is_resumed(&self, reason: &PauseReason) -> bool {
        self.was.controller_pause == Some(true) && self.pause(reason).is_none()
    }

    /// No scaling: the user paused, or an analysis is inconclusive.
    pub fn is_halted(&self) -> bool {
        self.strategy.paused || self.pause(&PauseReason::InconclusiveAnalysisRun).is_some()
    }

    /// The traffic as it was last set.
    pub fn weights(&self) -> Option<&'a TrafficWeights> {
        self.was
            .canary
            .as_ref()
            .and_then(|canary| canary.weights.as_ref())
    }

    /// The weight that the newest revision has as the canary.
    pub fn current_weight(&self) -> i32 {
        let canary = self.weights().map(|weights| &weights.canary);
        let ours = canary
            .filter(|canary| canary.pod_template_hash.as_deref() == Some(self.pod_hash.as_str()));
        ours.map_or(0, |canary| canary.weight)
    }

    /// The weight that any revision has as the canary.
    pub fn stored_weight(&self) -> i32 {
        self.weights().map_or(0, |weights| weights.canary.weight)
    }

    /// So many seconds after `start`.
    pub fn after(start: Timestamp, seconds: i64) -> Timestamp {
        start
            .saturating_add(SignedDuration::from_secs(seconds))
            .unwrap_or(Timestamp::MAX)
    }

    /// Whether `available` pods are as good as `desired`.
    pub fn enough(&self, available: i32, desired: i32) -> bool {
        let threshold = self.strategy.threshold();
        available >= desired
            || threshold.is_some_and(|threshold| threshold.is_met(available, desired))
    }

    /// Whether a ReplicaSet has its pods, or as many of them as are said to do.
    pub fn has_its_pods(&self, set: &ReplicaSetView, desired: i32) -> bool {
        match self.strategy.threshold() {
            Some(threshold) => threshold.is_met(set.available, desired),
            None => set.desired == desired && set.available == desired,
        }
    }

    /// The pods of both sides follow the traffic, stable's too.
    pub fn is_dynamic(&self) -> bool {
        let routing = self.strategy.routing();
        routing.is_some_and(|routing| routing.dynamic_stable_scale)
    }

    /// The stable ReplicaSet, where it is not the newest one.
    pub fn apart(&self) -> Option<&'a ReplicaSetView> {
        let stable = self.stable?;
        let same = self.new.is_some_and(|new| new.name == stable.name);
        (!same).then_some(stable)
    }

    /// People went back to stable in mid-release, and stable had shrunk for it: the revision that
    /// keeps its traffic until stable has its pods again.
    pub fn rolls_back_from(&self) -> Option<&'a str> {
        let from = self.weights()?.canary.pod_template_hash.as_deref()?;
        let new = self.new?;
        let shrunk = new.available < self.replicas();
        (self.is_dynamic() && self.is_promoted() && from != new.hash && shrunk).then_some(from)
    }

    /// Endpoints of a revision that the proxies have.
    pub fn reachable(&self, hash: &str) -> i32 {
        let count = self
            .observed
            .traffic
            .reachable
            .get(hash)
            .copied()
            .unwrap_or_default();
        i32::try_from(count).unwrap_or(i32::MAX)
    }
}
