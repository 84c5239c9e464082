//! What the Rollout controller and analysis need of the proxies, and what they tell them.
//!
//! Two things implement [`Traffic`]: the uplink's fleets, with real proxies behind them, and a
//! pretended fleet for releases in virtual time.

pub mod pretended;

use std::collections::BTreeMap;

use judgement::{EpochEvidence, LatencyEvidence};
use uplink::document::{HeaderRoute, RoutingConfig};

/// Names a Rollout: its split in the routing configuration is `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RolloutKey {
    /// The Rollout's namespace.
    pub namespace: String,
    /// The Rollout's name.
    pub name: String,
}

/// How traffic is to be divided from now on. Orders are complete and idempotent: the same order
/// again changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficOrder {
    /// Whose traffic.
    pub rollout: RolloutKey,
    /// The Rollout's UID.
    pub uid: String,
    /// The stable pod-template hash; empty before there is one.
    pub stable: String,
    /// The canary pod-template hash, where there is a canary.
    pub canary: Option<String>,
    /// Requests out of `max_weight` for the canary.
    pub weight: u32,
    /// `trafficRouting.maxTrafficWeight`, or 100.
    pub max_weight: u32,
    /// Header routes of all `setHeaderRoute` steps up to the current one.
    pub header_routes: Vec<HeaderRoute>,
}

/// What the proxies of a Rollout's fleet say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficView {
    /// The order in force at the controller, as last given.
    pub ordered_weight: Option<u32>,
    /// Proxies connected to this controller.
    pub connected: usize,
    /// Every proxy that must acknowledge has the ordered weight (and the routes for it) in force.
    /// `None`: no proxy is connected, so nothing can be said.
    pub verified: Option<bool>,
    /// Why not verified, in a sentence that names proxies: `no proxy of fleet x is connected`,
    /// `proxy p-1 refused the configuration: …`, `proxy p-2 has not acknowledged for 12 s`.
    pub message: Option<String>,
    /// Revisions (pod-template hashes) whose endpoints every required proxy has in force, with how
    /// many endpoints.
    pub reachable: BTreeMap<String, usize>,
    /// Requests in flight by revision, over all proxies, as last reported.
    pub in_flight: BTreeMap<String, u64>,
    /// The first fuse that tripped for the current canary revision.
    pub fuse: Option<FuseTrip>,
}

/// A tripped fuse.
#[derive(Clone, Debug, PartialEq)]
pub struct FuseTrip {
    /// The proxy that tripped.
    pub proxy: String,
    /// The canary revision it is about.
    pub revision: String,
    /// A whole sentence, `fuse of proxy p tripped: …`, with counts, e-value and α.
    pub reason: String,
}

/// The evidence of one canary revision against stable, united over the fleet.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Errors, by weight epoch in ascending order.
    pub errors: Vec<EpochEvidence>,
    /// Latency, by weight epoch in ascending order.
    pub latency: Vec<LatencyEvidence>,
    /// Requests of the canary, all kinds.
    pub canary_requests: u64,
    /// First-attempt failures among them.
    pub canary_failures: u64,
    /// The canary's share of the maximal weight in force now, 0 to 1.
    pub share: f64,
}

/// What the controllers need of the proxies.
pub trait Traffic: Send + Sync + 'static {
    /// Divides traffic. A lower weight is on its way to the proxies when this returns; a raised
    /// one too (the planner decides when it may be raised).
    fn order(&self, order: TrafficOrder);

    /// Stops managing a Rollout's traffic: its routes leave the fleet.
    fn forget(&self, rollout: &RolloutKey);

    /// What the proxies say. `canary` is the revision whose fuse is of interest.
    fn view(&self, rollout: &RolloutKey, canary: &str) -> TrafficView;

    /// Clears a trip of that revision in every proxy (now, and when one connects).
    fn reset_fuse(&self, rollout: &RolloutKey, revision: &str);

    /// The evidence for that canary revision.
    fn evidence(&self, rollout: &RolloutKey, canary: &str) -> Evidence;

    /// Resolves when the view of that Rollout may have changed (acknowledgement, trip, connection).
    fn changed(&self) -> tokio::sync::broadcast::Receiver<RolloutKey>;

    /// The routing configuration of a fleet (`namespace/name`) as last made, for tests and people.
    fn document(&self, fleet: &str) -> Option<RoutingConfig>;
}
