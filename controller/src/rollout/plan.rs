//! Plan: the next move of a release, as a pure function of what is and of the time.
//!
//! A look at a Rollout goes like this, in the order of the modules: find or make the **revision**;
//! is it to be **abort**ed; what **weight** may the canary have and what is the **traffic** told;
//! which **analysis** must run; how many **replicas** does each side need; is there a **pause**;
//! is the **step** done; what do the **conditions** and the **phase** say about it.
//!
//! Nothing here does I/O, reads a clock or draws a random number. The process may die between any
//! two of the [`Action`]s: the same plan made again from what is then there carries on.

use crds::rollout::RolloutStatus;
use crds::{AnalysisRun, PodTemplate, Rollout};
use jiff::Timestamp;
use serde_json::Value;

use super::merge;
use super::observe::{Claim, Observed};
use super::spec::{SpecError, Strategy, Way};
use crate::traffic::TrafficOrder;

mod scene;

mod abort;
mod revision;

mod affinity;
mod metadata;
mod restart;

mod blue_green;
mod canary;

mod analysis;
mod basic;
mod deadline;
mod pause;
mod replicas;
mod shrink;
mod steps;
mod traffic;
mod weight;
mod workload;

mod conditions;
mod phase;
mod refuse;
mod status;

#[cfg(test)]
mod tests;

pub(crate) use restart::is_due as restarts;
pub use revision::{newest, not_created};
pub use scene::Scene;
pub(crate) use status::selector_text;

/// What to do, in order, and what to write down after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do, in the order of [`Action::stage`].
    pub actions: Vec<Action>,
    /// The status to write after that; `None` where the actions end the pass.
    pub status: Option<RolloutStatus>,
    /// When to look again if nothing happens until then.
    pub requeue_at: Option<Timestamp>,
    /// What to tell people once the status is written.
    pub events: Vec<EventNote>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write `spec.replicas: 1`.
    SetDefaultReplicas,
    /// Write on the Rollout which generation of its workload it is about.
    ObserveWorkload(i64),
    /// Give the workload, a Deployment, another size.
    ScaleWorkload {
        /// Its name.
        name: String,
        /// Its version.
        resource_version: String,
        /// Pods that it should have.
        replicas: i32,
    },
    /// Write the number of the newest revision on the Rollout.
    NumberRollout(i64),
    /// Create the ReplicaSet of a revision, without pods.
    CreateReplicaSet(Box<NewReplicaSet>),
    /// Give a ReplicaSet another owner.
    Claim(Claim),
    /// Change the metadata of a pod.
    ChangePod(PodChange),
    /// Evict a pod, if its PodDisruptionBudget lets it go.
    EvictPod(String),
    /// Point a Service at a revision.
    SwitchService {
        /// The Service.
        service: String,
        /// Its version.
        resource_version: String,
        /// The revision.
        hash: String,
    },
    /// Forget that a revision's fuse tripped.
    ResetFuse(String),
    /// Stop managing the traffic.
    ForgetTraffic,
    /// Divide the traffic.
    OrderTraffic {
        /// How.
        order: TrafficOrder,
        /// Whether this takes traffic from the canary, which waits for nothing.
        lowers: bool,
    },
    /// Start an AnalysisRun, once the status names it.
    CreateRun(Box<AnalysisRun>),
    /// End an AnalysisRun early.
    TerminateRun(String),
    /// End an AnalysisRun as Failed, for a reason of ours.
    FailRun {
        /// Its name.
        name: String,
        /// Its version.
        resource_version: String,
        /// The reason.
        message: String,
    },
    /// Remove an AnalysisRun.
    DeleteRun(String),
    /// Change a ReplicaSet.
    ChangeReplicaSet(ReplicaSetChange),
    /// Remove a ReplicaSet.
    DeleteReplicaSet {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
}

/// A ReplicaSet to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewReplicaSet {
    /// Its name.
    pub name: String,
    /// Its hash.
    pub hash: String,
    /// Its number.
    pub revision: i64,
    /// Its pods.
    pub template: PodTemplate,
    /// What of their metadata they carry for a while only, as its annotation has it.
    pub ephemeral: Option<String>,
}

/// A change of a pod's metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct PodChange {
    /// Its name.
    pub name: String,
    /// Its version.
    pub resource_version: String,
    /// A merge patch of its metadata.
    pub metadata: Value,
}

/// A change of a ReplicaSet; what is `None` or absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaSetChange {
    /// Its name.
    pub name: String,
    /// Its version.
    pub resource_version: String,
    /// Pods that it should have.
    pub replicas: Option<i32>,
    /// Seconds that a pod is ready before it counts.
    pub min_ready_seconds: Option<i32>,
    /// Annotations; `None` removes one.
    pub annotations: Vec<(String, Option<String>)>,
    /// A merge patch of its pod template.
    pub template: Option<Value>,
}

/// Something to tell people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    /// Whether it is a warning.
    pub warning: bool,
    /// Why, in a word.
    pub reason: String,
    /// And in a sentence.
    pub message: String,
    /// The write that it is about: done, it is told, though the rest of the pass fail. Without one
    /// it is told with the status.
    pub of: Option<Written>,
}

/// What an action writes, as far as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The number of the newest revision.
    Number,
    /// The ReplicaSet of that name.
    ReplicaSet(String),
    /// The Service of that name.
    Service(String),
}

/// What the parts of a plan add to it.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) actions: Vec<Action>,
    pub(crate) requeue_at: Option<Timestamp>,
    pub(crate) events: Vec<EventNote>,
}

/// The next move of a Rollout whose spec is fine.
pub fn plan(rollout: &Rollout, strategy: &Strategy, observed: &Observed, now: Timestamp) -> Plan {
    let scene = Scene::new(rollout, strategy, observed, now);
    if rollout.spec.replicas.is_none() {
        return Plan {
            actions: vec![Action::SetDefaultReplicas],
            ..Plan::default()
        };
    }
    if let Some(plan) = workload::acknowledge(&scene) {
        return plan;
    }
    if !observed.claims.is_empty() {
        return revision::claim(&scene);
    }
    let Some(new) = scene.new else {
        return revision::create(&scene);
    };
    if let Some(plan) = revision::number(&scene, new) {
        return plan;
    }
    if let Some(plan) = conditions::acknowledge(&scene) {
        return plan;
    }
    let canary = match &strategy.way {
        Way::Canary(canary) => canary,
        Way::BlueGreen(way) if replicas::is_rescaled(&scene) => {
            return blue_green::rescale(&scene, way, new);
        }
        Way::BlueGreen(way) => return blue_green::release(&scene, way, new),
    };
    if scene.way_changed() {
        return revision::reset(&scene, new);
    }
    // A pause holds the sizes, and must not hold anything else.
    if replicas::is_rescaled(&scene) && !scene.is_halted() {
        return replicas::rescale(&scene);
    }
    canary::release(&scene, canary)
}

/// The next move of a Rollout whose spec is not: say so, and leave its pods alone.
pub fn refuse(
    rollout: &Rollout,
    errors: &[SpecError],
    observed: &Observed,
    now: Timestamp,
) -> Plan {
    refuse::plan(rollout, errors, observed, now)
}

/// One change for each ReplicaSet: a second one would rely on a version that the first replaced.
fn merged(actions: Vec<Action>) -> Vec<Action> {
    let mut merged: Vec<Action> = Vec::new();
    for action in actions {
        let Action::ChangeReplicaSet(change) = action else {
            merged.push(action);
            continue;
        };
        let earlier = merged.iter_mut().find_map(|earlier| match earlier {
            Action::ChangeReplicaSet(earlier) if earlier.name == change.name => Some(earlier),
            _ => None,
        });
        match earlier {
            Some(earlier) => {
                earlier.replicas = change.replicas.or(earlier.replicas);
                earlier.min_ready_seconds = change.min_ready_seconds.or(earlier.min_ready_seconds);
                earlier
                    .annotations
                    .retain(|(key, _)| change.annotations.iter().all(|(other, _)| other != key));
                earlier.annotations.extend(change.annotations);
                earlier.template = match (earlier.template.take(), change.template) {
                    (Some(mut both), Some(patch)) => {
                        merge::add(&mut both, patch);
                        Some(both)
                    }
                    (one, other) => other.or(one),
                };
            }
            None => merged.push(Action::ChangeReplicaSet(change)),
        }
    }
    merged
}

// === impl Action ===

impl Action {
    /// What it writes, where people are told of it.
    pub(crate) fn written(&self) -> Option<Written> {
        match self {
            Self::NumberRollout(_) => Some(Written::Number),
            Self::CreateReplicaSet(set) => Some(Written::ReplicaSet(set.name.clone())),
            Self::ChangeReplicaSet(set) => Some(Written::ReplicaSet(set.name.clone())),
            Self::SwitchService { service, .. } => Some(Written::Service(service.clone())),
            _ => None,
        }
    }

    /// Its place in a pass. A lowering goes first of all, because nothing that can fail may stand
    /// between a bad canary and its users; the rest is services, traffic, analysis, scaling, and new
    /// runs.
    pub fn stage(&self) -> u8 {
        match self {
            Self::OrderTraffic { lowers: true, .. } => 0,
            Self::SetDefaultReplicas
            | Self::ObserveWorkload(_)
            | Self::Claim(_)
            | Self::CreateReplicaSet(_)
            | Self::NumberRollout(_) => 1,
            Self::SwitchService { .. } => 2,
            Self::ResetFuse(_) | Self::ForgetTraffic => 3,
            Self::OrderTraffic { .. } => 4,
            Self::TerminateRun(_) | Self::FailRun { .. } | Self::DeleteRun(_) => 5,
            Self::ChangeReplicaSet(_)
            | Self::DeleteReplicaSet { .. }
            | Self::ScaleWorkload { .. } => 6,
            // New pods of a ReplicaSet are as it says, so it goes first.
            Self::ChangePod(_) | Self::EvictPod(_) => 7,
            Self::CreateRun(_) => 8,
        }
    }

    /// Whether it is done after the status is written. A run is named by the status before it is
    /// there: one that was created just before the process died, and has ended when the next one
    /// looks, would be taken for an earlier one, and begin again.
    pub fn follows_status(&self) -> bool {
        matches!(self, Self::CreateRun(_))
    }
}

// === impl EventNote ===

impl EventNote {
    /// News that is no warning.
    pub fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason: reason.to_owned(),
            message: message.into(),
            of: None,
        }
    }
}

// === impl Draft ===

impl Draft {
    /// Looks again at `at`, or before.
    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.requeue_at = Some(self.requeue_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether this pass gives any ReplicaSet another size.
    pub(crate) fn scales(&self) -> bool {
        let resized = |action: &Action| matches!(action, Action::ChangeReplicaSet(change) if change.replicas.is_some());
        self.actions.iter().any(resized)
    }

    pub(crate) fn event(&mut self, reason: &str, message: impl Into<String>) {
        self.events.push(EventNote::normal(reason, message));
    }

    /// Tells of a write, whatever becomes of those after it.
    pub(crate) fn event_of(&mut self, of: Written, reason: &str, message: impl Into<String>) {
        self.events.push(EventNote {
            of: Some(of),
            ..EventNote::normal(reason, message)
        });
    }

    pub(crate) fn warning(&mut self, reason: &str, message: impl Into<String>) {
        self.events.push(EventNote {
            warning: true,
            ..EventNote::normal(reason, message)
        });
    }

    pub(crate) fn into_plan(self, status: RolloutStatus) -> Plan {
        Plan {
            status: Some(status),
            ..self.into_actions()
        }
    }

    /// A plan that ends with its actions.
    pub(crate) fn into_actions(self) -> Plan {
        let mut actions = merged(self.actions);
        actions.sort_by_key(Action::stage);
        Plan {
            actions,
            status: None,
            requeue_at: self.requeue_at,
            events: self.events,
        }
    }
}
