//! Kubernetes becomes routing configurations: one document per fleet.
//!
//! Every Rollout with our plugin becomes a *form*: its route, its split and a cluster per revision.
//! What people wrote is read in [`shape`] (plugin block, Service, certificate), which pods run a
//! revision in [`pods`], what the controller ordered, or had ordered before it was restarted, in
//! [`ordered`], who has which hostnames in [`claims`]. [`plan`] puts the forms of a fleet together. A form that is wrong keeps its last
//! good shape and holds up nobody. All of that is pure; [`watch`] keeps the caches and plans again
//! a moment after anything changed.

pub mod claims;
mod ordered;
mod plan;
mod pods;
mod shape;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::Rollout;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};

use crate::fleets::Published;
use crate::grants::Grants;
use crate::traffic::{RolloutKey, TrafficOrder};

pub(crate) use ordered::from_status as order_of_status;
pub use plan::plan;
pub use shape::Shape;
pub use watch::Watches;

pub use crate::caches::Scope;

/// What documents are made from.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Rollouts.
    pub rollouts: Vec<Arc<Rollout>>,
    /// Services.
    pub services: Vec<Arc<Service>>,
    /// Pods.
    pub pods: Vec<Arc<Pod>>,
    /// Secrets.
    pub secrets: Vec<Arc<Secret>>,
    /// Orders that were given.
    pub orders: BTreeMap<RolloutKey, TrafficOrder>,
    /// Which fleets of other namespaces may be used.
    pub grants: Arc<Grants>,
    /// Certificates that a proxy refused, and why.
    pub refused_secrets: BTreeMap<String, String>,
}

/// What is to be.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// A configuration per fleet, by `namespace/name`. Weights in it are the fleets' to fill in.
    pub fleets: BTreeMap<String, Published>,
    /// The Rollouts in them.
    pub placed: BTreeMap<RolloutKey, Placed>,
    /// What is wrong, by Rollout.
    pub problems: BTreeMap<RolloutKey, Problem>,
}

/// Where a Rollout's traffic is.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The fleet, as `namespace/name`.
    pub fleet: String,
    /// The order that its part of the document was made by.
    pub order: TrafficOrder,
}

/// Something that is wrong with a Rollout's traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason of the event about it.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// The last good shape of each Rollout.
pub type LastGood = BTreeMap<RolloutKey, Shape>;
