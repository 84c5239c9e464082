//! What a Deployment needs next, from itself and its ReplicaSets.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{ResourceExt as _, api::ObjectMeta};
use sha2::{Digest as _, Sha256};

use super::conditions;
use crate::controllers::ALPHABET;

/// Counts the templates that a Deployment has had, on it and on its ReplicaSets.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// What the Deployment wanted when its ReplicaSet was last scaled: another number is a scaling.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";
/// The label that tells the pods of one template from those of another.
const HASH: &str = "pod-template-hash";
/// How many letters such a hash has.
const HASH_LENGTH: usize = 10;
/// How many old ReplicaSets stay where the Deployment does not say.
const HISTORY: i32 = 10;

/// What one look decides.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// A ReplicaSet to create; its owner is still to be named.
    pub create: Option<Box<ReplicaSet>>,
    /// ReplicaSets to change.
    pub change: Vec<Change>,
    /// Old ReplicaSets that history no longer keeps.
    pub delete: Vec<ReplicaSet>,
    /// The number of the template in force.
    pub revision: Option<String>,
    /// The status as it is.
    pub status: DeploymentStatus,
    /// When the deadline of progress is over.
    pub again: Option<Duration>,
}

/// How a ReplicaSet is to be, and which one it was when that was decided.
#[derive(Debug, PartialEq)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// How many pods.
    pub replicas: i32,
    /// Seconds until a ready pod is available.
    pub min_ready: Option<i32>,
    /// What it is to remember.
    pub annotations: BTreeMap<String, String>,
}

/// A Deployment and its ReplicaSets, taken apart.
pub(super) struct Sight<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) spec: DeploymentSpec,
    pub(super) new: Option<&'a ReplicaSet>,
    pub(super) old: Vec<&'a ReplicaSet>,
    pub(super) wanted: i32,
}

/// Decides what a Deployment needs, from the ReplicaSets that it controls.
pub fn plan(deployment: &Deployment, sets: &[ReplicaSet], now: Timestamp) -> Plan {
    let sight = Sight::of(deployment, sets);
    let revision = sight.revision();
    let (status, again) = conditions::status(&sight, now);
    let mut plan = Plan {
        create: None,
        change: Vec::new(),
        delete: Vec::new(),
        revision: sight.new.map(|_| revision.to_string()),
        status,
        again,
    };
    if deployment.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let sizes = sight.sizes();
    match sight.new {
        None if sight.may_begin() => {
            let new = sight.born(sizes.new, revision);
            plan.revision = Some(revision.to_string());
            plan.create = Some(Box::new(new));
        }
        None => {}
        Some(new) => plan
            .change
            .extend(sight.change(new, sizes.new, Some(revision))),
    }
    for (set, size) in sight.old.iter().zip(&sizes.old) {
        plan.change.extend(sight.change(set, *size, None));
    }
    plan.delete = sight.forgotten(&plan.status);
    plan
}

/// How many pods each ReplicaSet is to have.
struct Sizes {
    new: i32,
    old: Vec<i32>,
}

pub(super) fn size(set: &ReplicaSet) -> i32 {
    set.spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1)
}

pub(super) fn available(set: &ReplicaSet) -> i32 {
    let status = set.status.as_ref();
    status
        .and_then(|status| status.available_replicas)
        .unwrap_or(0)
}

fn number(set: &ReplicaSet) -> i64 {
    let annotated = set.annotations().get(REVISION);
    annotated.and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl<'a> Sight<'a> {
    fn of(deployment: &'a Deployment, sets: &'a [ReplicaSet]) -> Self {
        let spec = deployment.spec.clone().unwrap_or_default();
        let mut sets: Vec<&ReplicaSet> = sets.iter().collect();
        sets.sort_by_key(|set| (set.creation_timestamp().map(|time| time.0), set.name_any()));
        let is_new = |set: &&&ReplicaSet| {
            let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            template.map(without_hash) == Some(without_hash(&spec.template))
        };
        let new = sets.iter().find(is_new).copied();
        let old = sets
            .into_iter()
            .filter(|set| new.is_none_or(|new| new.uid() != set.uid()));
        Self {
            deployment,
            new,
            old: old.collect(),
            wanted: spec.replicas.unwrap_or(1),
            spec,
        }
    }

    fn is_recreate(&self) -> bool {
        let strategy = self.spec.strategy.as_ref();
        strategy.and_then(|one| one.type_.as_deref()) == Some("Recreate")
    }

    /// The number of the newest template.
    fn revision(&self) -> i64 {
        let newest = self.old.iter().map(|set| number(set)).max().unwrap_or(0);
        self.new.map_or(0, number).max(newest + 1)
    }

    /// How many pods there may be beyond those wanted, and how many of those wanted may be missing.
    pub(super) fn bounds(&self) -> (i32, i32) {
        if self.is_recreate() {
            return (0, 0);
        }
        let rolling = self
            .spec
            .strategy
            .as_ref()
            .and_then(|one| one.rolling_update.clone());
        let rolling = rolling.unwrap_or_default();
        let of = |share: &Option<IntOrString>, up: bool| match share {
            None => 0,
            Some(IntOrString::Int(number)) => *number,
            Some(IntOrString::String(text)) => {
                let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
                let share = percent * i64::from(self.wanted) + if up { 99 } else { 0 };
                i32::try_from(share / 100).unwrap_or(i32::MAX)
            }
        };
        match (
            of(&rolling.max_surge, true),
            of(&rolling.max_unavailable, false),
        ) {
            // Nothing could ever move.
            (0, 0) => (0, 1),
            bounds => bounds,
        }
    }

    /// A Deployment that is recreated waits until the old pods are gone; a paused one begins nothing.
    fn may_begin(&self) -> bool {
        let paused = self.spec.paused.unwrap_or(false);
        let status = |set: &&&ReplicaSet| set.status.as_ref().map_or(0, |status| status.replicas);
        let gone = self
            .old
            .iter()
            .all(|set| size(set) == 0 && status(&set) == 0);
        !paused && (!self.is_recreate() || gone)
    }

    fn sizes(&self) -> Sizes {
        let as_they_are = Sizes {
            new: self.new.map_or(0, size),
            old: self.old.iter().map(|set| size(set)).collect(),
        };
        let active: Vec<usize> = (0..self.old.len())
            .filter(|at| size(self.old[*at]) > 0)
            .collect();
        if self.spec.paused.unwrap_or(false) {
            return self.scaled(as_they_are, &active);
        }
        if self.is_recreate() {
            let new = if self.may_begin() {
                self.wanted
            } else {
                as_they_are.new
            };
            return Sizes {
                new,
                old: vec![0; self.old.len()],
            };
        }
        self.rolled(&as_they_are)
    }

    /// A paused Deployment follows its own size with the ReplicaSet that has its pods.
    fn scaled(&self, mut sizes: Sizes, active: &[usize]) -> Sizes {
        match (self.new, active) {
            (Some(_), []) => sizes.new = self.wanted,
            (None, [only]) => sizes.old[*only] = self.wanted,
            (Some(new), [only]) if size(new) == 0 => sizes.old[*only] = self.wanted,
            _ => {}
        }
        sizes
    }

    /// One step of a rolling update.
    fn rolled(&self, now: &Sizes) -> Sizes {
        let (surge, missing) = self.bounds();
        let total: i32 = now.new + now.old.iter().sum::<i32>();
        let room = (self.wanted + surge - total).max(0);
        let new = if now.new > self.wanted {
            self.wanted
        } else {
            now.new + room.min(self.wanted - now.new)
        };
        if self.new.is_some() && new != now.new {
            // One thing at a time: the others follow when that is done.
            let old = now.old.clone();
            return Sizes { new, old };
        }
        let unavailable = (now.new - self.new.map_or(0, available)).max(0);
        let mut spare = total - (self.wanted - missing).max(0) - unavailable;
        let mut old = now.old.clone();
        if spare <= 0 {
            return Sizes { new, old };
        }
        // Pods that serve nobody go first.
        for (at, set) in self.old.iter().enumerate() {
            let useless = (old[at] - available(set)).clamp(0, spare);
            old[at] -= useless;
            spare -= useless;
        }
        let serving: i32 =
            self.new.map_or(0, available) + self.old.iter().map(|set| available(set)).sum::<i32>();
        let mut spare = (serving - (self.wanted - missing).max(0)).max(0);
        for (at, set) in self.old.iter().enumerate() {
            let gone = old[at].min(available(set)).min(spare);
            old[at] -= gone;
            spare -= gone;
        }
        Sizes { new, old }
    }

    fn annotations(&self, revision: Option<i64>) -> BTreeMap<String, String> {
        let most = self.wanted + self.bounds().0;
        let mut annotations = BTreeMap::from([
            (DESIRED.to_owned(), self.wanted.to_string()),
            (MOST.to_owned(), most.to_string()),
        ]);
        annotations.extend(revision.map(|number| (REVISION.to_owned(), number.to_string())));
        annotations
    }

    fn change(&self, set: &ReplicaSet, replicas: i32, revision: Option<i64>) -> Option<Change> {
        let annotations = self.annotations(revision);
        let has = set.annotations();
        let known = revision.is_none()
            || annotations
                .iter()
                .all(|(key, value)| has.get(key) == Some(value));
        let min_ready = self.spec.min_ready_seconds;
        let waits = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        let same = revision.is_none() || waits.unwrap_or(0) == min_ready.unwrap_or(0);
        (size(set) != replicas || !known || !same).then(|| Change {
            name: set.name_any(),
            uid: set.uid(),
            version: set.resource_version(),
            replicas,
            min_ready: if revision.is_some() { min_ready } else { waits },
            annotations,
        })
    }

    fn born(&self, replicas: i32, revision: i64) -> ReplicaSet {
        let collisions = self
            .deployment
            .status
            .as_ref()
            .and_then(|status| status.collision_count);
        let hash = hash(&self.spec.template, collisions);
        let mut template = self.spec.template.clone();
        let labels = template
            .metadata
            .get_or_insert_default()
            .labels
            .get_or_insert_default();
        labels.insert(HASH.to_owned(), hash.clone());
        let labels = labels.clone();
        let mut selector = self.spec.selector.clone();
        selector
            .match_labels
            .get_or_insert_default()
            .insert(HASH.to_owned(), hash.clone());
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", self.deployment.name_any())),
                namespace: self.deployment.namespace(),
                labels: Some(labels),
                annotations: Some(self.annotations(Some(revision))),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(replicas),
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        }
    }

    /// Once the rollout is complete, old ReplicaSets without pods go, the oldest first.
    fn forgotten(&self, status: &DeploymentStatus) -> Vec<ReplicaSet> {
        let limit = self.spec.revision_history_limit.unwrap_or(HISTORY);
        if !conditions::is_complete(self, status) {
            return Vec::new();
        }
        let empty = |set: &&&ReplicaSet| {
            let pods = set.status.as_ref().map_or(0, |status| status.replicas);
            size(set) == 0 && pods == 0 && set.metadata.deletion_timestamp.is_none()
        };
        let mut old: Vec<&ReplicaSet> = self.old.iter().filter(empty).copied().collect();
        old.sort_by_key(|set| number(set));
        let surplus = old
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.into_iter().take(surplus).cloned().collect()
    }
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template
        .metadata
        .as_mut()
        .and_then(|meta| meta.labels.as_mut())
    {
        labels.remove(HASH);
    }
    template
}

/// A name for a template. Kubernetes hashes Go's memory layout; any hash tells templates apart.
fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let text = serde_json::to_string(template).unwrap_or_default();
    let digest = Sha256::digest(format!("{text}{}", collisions.unwrap_or(0)));
    let letters = digest.iter().take(HASH_LENGTH);
    letters
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}
