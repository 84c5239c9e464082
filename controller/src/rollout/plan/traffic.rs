//! The traffic: which Service selects which pods, and what the proxies are told.
//!
//! The order to the proxies is complete and the same on every pass: hashes, weight, and the header
//! routes of *all* steps up to the current one (Argo sets each route once, and loses it whenever
//! that one pass ends early). A weight counts as set when the proxies have acknowledged it.

use crds::rollout::RolloutStatus;
use crds::rollout::status::{TrafficWeights, WeightDestination};
use crds::words::{PingPongSide, RolloutPhase};
use kube::ResourceExt as _;
use uplink::document::HeaderRoute;

use super::abort::Abort;
use super::{Action, Draft, Scene, Written, weight};
use crate::rollout::observe::ReplicaSetView;
use crate::rollout::spec::{Canary, Step};
use crate::traffic::{RolloutKey, TrafficOrder};

/// How long until an unverified weight is looked at again, if no proxy says anything.
const VERIFY_SECONDS: i64 = 10;

/// The traffic as this pass sets it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Divided {
    /// For the status; none until stable has its pods for the first time.
    pub(super) weights: Option<TrafficWeights>,
    /// The proxies have it.
    pub(super) verified: bool,
    /// Why not, as far as known.
    pub(super) message: Option<String>,
}

/// Points the Services at their pods.
pub(super) fn services(scene: &Scene<'_>, canary: &Canary, abort: &Abort, draft: &mut Draft) {
    if let (Some(services), Some(new)) = (&canary.ping_pong, scene.new)
        && !scene.is_promoted()
    {
        // Only the canary's turns to other pods; what it carries next, nobody sees before its weight.
        let service = match stable_side(scene) {
            PingPongSide::Ping => &services.pong,
            _ => &services.ping,
        };
        ensure(scene, service, new, false, draft);
    }
    if let (Some(service), Some(stable)) = (&canary.stable_service, scene.stable) {
        ensure(scene, service, stable, true, draft);
    }
    let Some(service) = &canary.canary_service else {
        return;
    };
    let routed = canary.routing.is_some();
    match (abort.aborted, scene.stable, scene.new) {
        // Traffic that still goes back by and by finds its pods.
        (true, Some(_), _) if scene.is_dynamic() && weight::decide(scene, abort).weight > 0 => {}
        (true, Some(stable), _) => ensure(scene, service, stable, !routed, draft),
        _ if scene.rolls_back_from().is_some() => {}
        (_, _, Some(new)) => ensure(scene, service, new, true, draft),
        _ => {}
    }
}

/// Which of the two is stable's: pong before anybody said so.
fn stable_side(scene: &Scene<'_>) -> PingPongSide {
    let canary = scene.was.canary.as_ref();
    let side = canary.and_then(|canary| canary.stable_ping_pong.clone());
    side.unwrap_or(PingPongSide::Pong)
}

/// The two change places when the canary becomes stable.
pub(super) fn change_places(scene: &Scene<'_>, next: &mut RolloutStatus) {
    let turns = scene
        .strategy
        .canary()
        .and_then(|canary| canary.ping_pong.as_ref());
    if turns.is_some() {
        let side = match stable_side(scene) {
            PingPongSide::Ping => PingPongSide::Pong,
            _ => PingPongSide::Ping,
        };
        next.canary.get_or_insert_default().stable_ping_pong = Some(side);
    }
}

fn ensure(scene: &Scene<'_>, name: &str, set: &ReplicaSetView, checked: bool, draft: &mut Draft) {
    let Some(service) = scene.observed.services.get(name) else {
        return;
    };
    if service.hash() == Some(set.hash.as_str()) {
        return;
    }
    // A Service that served before we came must not lose pods by being adopted.
    let managed = service.managed_by.is_some();
    let complete = set.desired > 0 && set.available >= set.desired;
    if checked && (set.available == 0 || (!managed && !complete)) {
        return;
    }
    let from = service.hash().unwrap_or_default();
    let to = &set.hash;
    draft.event_of(
        Written::Service(name.to_owned()),
        "SwitchService",
        format!("Switched selector for service '{name}' from '{from}' to '{to}'"),
    );
    draft.actions.push(Action::SwitchService {
        service: name.to_owned(),
        resource_version: service.resource_version.clone(),
        hash: set.hash.clone(),
    });
}

/// Decides the weight and tells the proxies; nothing where traffic is not routed.
pub(super) fn divide(
    scene: &Scene<'_>,
    canary: &Canary,
    abort: &Abort,
    draft: &mut Draft,
) -> Option<Divided> {
    if canary.routing.is_none() {
        if scene.weights().is_some() {
            draft.actions.push(Action::ForgetTraffic);
        }
        return None;
    }
    let decision = weight::decide(scene, abort);
    let stable = if scene.is_initial() {
        scene.pod_hash.clone()
    } else {
        scene.stable_hash().to_owned()
    };
    if abort.forgiven {
        draft
            .actions
            .push(Action::ResetFuse(scene.pod_hash.clone()));
    }
    let order = TrafficOrder {
        rollout: RolloutKey {
            namespace: scene.rollout.namespace().unwrap_or_default(),
            name: scene.name(),
        },
        uid: scene.rollout.uid().unwrap_or_default(),
        canary: Some(decision.revision.clone()).filter(|revision| *revision != stable),
        stable: stable.clone(),
        weight: decision.weight.max(0) as u32,
        max_weight: scene.strategy.max_weight().max(0) as u32,
        header_routes: if decision.routes {
            header_routes(scene)
        } else {
            Vec::new()
        },
    };
    let before = scene.weights().map(|weights| weights.canary.weight);
    let lowers = before.is_none_or(|before| decision.weight < before) || decision.weight == 0;
    draft.actions.push(Action::OrderTraffic { order, lowers });
    Some(divided(scene, canary, (abort, decision, stable), draft))
}

fn divided(
    scene: &Scene<'_>,
    canary: &Canary,
    (abort, decision, stable): (&Abort, weight::Decision, String),
    draft: &mut Draft,
) -> Divided {
    let destination = |weight: i32, service: &Option<String>, hash: String| WeightDestination {
        weight,
        service_name: service.clone(),
        pod_template_hash: Some(hash),
        ..WeightDestination::default()
    };
    let weight = decision.weight;
    let rest = scene.strategy.max_weight() - weight;
    let mut weights = TrafficWeights {
        canary: destination(weight, &canary.canary_service, decision.revision),
        stable: destination(rest, &canary.stable_service, stable),
        ..TrafficWeights::default()
    };
    if !weight::is_carried(scene, abort, weight) {
        // As long as stable has not its pods, nothing is said to have changed.
        return Divided {
            weights: scene.weights().cloned(),
            verified: false,
            message: None,
        };
    }
    let (verified, message) = verification(scene, &weights);
    weights.verified = Some(verified);
    tell(scene, &weights, message.as_deref(), draft);
    let waits = matches!(scene.step(), Some(Step::SetWeight(_)) | None);
    if waits && !verified && !scene.is_promoted() {
        draft.wake(Scene::after(scene.now, VERIFY_SECONDS));
    }
    Divided {
        weights: Some(weights),
        verified,
        message,
    }
}

/// Whether the proxies have these weights in force. What they said before concerns other weights
/// if status has others, because status is written after the order.
fn verification(scene: &Scene<'_>, weights: &TrafficWeights) -> (bool, Option<String>) {
    let view = &scene.observed.traffic;
    let same = scene
        .weights()
        .filter(|was| was.canary == weights.canary && was.stable == weights.stable);
    let Some(was) = same else {
        return (false, None);
    };
    if scene.is_promoted() && was.verified == Some(true) {
        // Nothing waits for a proxy that comes or goes now: no reason to write.
        return (true, None);
    }
    let ordered = view.ordered_weight == u32::try_from(weights.canary.weight).ok();
    let verified = ordered && view.verified == Some(true);
    let message = if verified || view.ordered_weight.is_none() {
        None
    } else {
        view.message.clone()
    };
    (verified, message)
}

fn tell(scene: &Scene<'_>, weights: &TrafficWeights, message: Option<&str>, draft: &mut Draft) {
    let weight = weights.canary.weight;
    // Other pods with the same weight are told of in Argo's way, without a number.
    let change = match scene.weights() {
        None => Some(format!("to {weight}")),
        Some(was) if was.canary.weight != weight => {
            Some(format!("from {} to {weight}", was.canary.weight))
        }
        Some(was) => {
            (was.canary != weights.canary || was.stable != weights.stable).then(String::new)
        }
    };
    if let Some(change) = change {
        let text = format!("Traffic weight updated {change}");
        draft.event("TrafficWeightUpdated", text);
    }
    // Once, when it becomes the message.
    let shown = scene.was.phase == Some(RolloutPhase::Progressing);
    let is_new = |message: &&str| shown && scene.was.message.as_deref() != Some(*message);
    if let Some(message) = message.filter(is_new) {
        draft.warning("WeightVerifyError", message);
    }
}

/// The header routes of all steps up to the current one, in the order of `managedRoutes`.
fn header_routes(scene: &Scene<'_>) -> Vec<HeaderRoute> {
    let steps = scene.strategy.steps();
    let so_far = steps.get(..=scene.index()).unwrap_or(steps);
    let latest = |route: &String| {
        so_far.iter().rev().find_map(|step| match step {
            Step::SetHeaderRoute { name, matches } if name == route => {
                Some(matches.as_deref().unwrap_or_default())
            }
            _ => None,
        })
    };
    let managed = scene
        .strategy
        .routing()
        .map(|routing| routing.managed_routes.as_slice());
    let routes = managed
        .unwrap_or_default()
        .iter()
        .filter_map(|route| Some((route, latest(route)?)));
    routes
        .flat_map(|(route, matches)| {
            matches
                .iter()
                .enumerate()
                .map(move |(index, condition)| HeaderRoute {
                    // Any of the matches leads to the canary, so each is a route of its own.
                    name: if index == 0 {
                        route.clone()
                    } else {
                        format!("{route}-{}", index + 1)
                    },
                    headers: vec![condition.clone()],
                })
        })
        .collect()
}
