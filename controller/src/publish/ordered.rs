//! How a Rollout's traffic is divided before this controller ordered anything: as its status says.
//!
//! A controller that was restarted must not send a wrong weight in the moment before its planner
//! has looked at every Rollout. The status was written after the last order was given, so it may be
//! one order behind, never ahead.

use crds::Rollout;
use crds::rollout::steps::HeaderRoutingMatch;
use kube::ResourceExt as _;
use uplink::document::{HeaderMatch, HeaderRoute};

use crate::traffic::{RolloutKey, TrafficOrder};

/// Names a Rollout.
pub(super) fn key_of(rollout: &Rollout) -> RolloutKey {
    RolloutKey {
        namespace: rollout.namespace().unwrap_or_default(),
        name: rollout.name_any(),
    }
}

/// The order that the status stands for; none before there is any revision.
pub(crate) fn from_status(rollout: &Rollout) -> Option<TrafficOrder> {
    let status = rollout.status.as_ref()?;
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let current = filled(&status.current_pod_hash);
    let stable = filled(&status.stable_rs).or_else(|| current.clone())?;
    let canary = current.filter(|current| *current != stable);
    let weights = status
        .canary
        .as_ref()
        .and_then(|canary| canary.weights.as_ref());
    let strategy = rollout.spec.strategy.as_ref()?;
    if strategy.blue_green.is_some() {
        return Some(blue_green(rollout, stable, canary));
    }
    // A weight that was for another canary is not for this one.
    let weight = weights
        .map(|weights| &weights.canary)
        .filter(|destination| canary.is_some() && destination.pod_template_hash == canary)
        .map_or(0, |destination| {
            u32::try_from(destination.weight).unwrap_or_default()
        });
    let routing = strategy.canary.as_ref()?.traffic_routing.as_ref()?;
    let aborted = status.abort == Some(true);
    Some(TrafficOrder {
        rollout: key_of(rollout),
        uid: rollout.uid().unwrap_or_default(),
        stable,
        weight: if aborted { 0 } else { weight },
        max_weight: u32::try_from(routing.max_weight()).unwrap_or_default(),
        header_routes: if aborted || canary.is_none() {
            Vec::new()
        } else {
            header_routes(rollout)
        },
        canary,
    })
}

/// Blue-green has no weights in its status, but which pods are active.
fn blue_green(rollout: &Rollout, stable: String, canary: Option<String>) -> TrafficOrder {
    let status = rollout.status.as_ref();
    let active = status.and_then(|status| status.blue_green.as_ref()?.active_selector.clone());
    let active = active.filter(|active| !active.is_empty());
    let switched = canary.is_some() && active == canary;
    // Between two switches, what serves is neither the newest nor what an abort goes back to.
    let old = active.filter(|_| canary.is_some() && !switched);
    let old = old.unwrap_or(stable);
    TrafficOrder {
        rollout: key_of(rollout),
        uid: rollout.uid().unwrap_or_default(),
        canary: canary.filter(|canary| *canary != old),
        stable: old,
        weight: if switched { 100 } else { 0 },
        max_weight: 100,
        header_routes: Vec::new(),
    }
}

/// The routes that the steps up to the current one have set, in the order of `managedRoutes`.
fn header_routes(rollout: &Rollout) -> Vec<HeaderRoute> {
    let canary = rollout
        .spec
        .strategy
        .as_ref()
        .and_then(|strategy| strategy.canary.as_ref());
    let Some(canary) = canary else {
        return Vec::new();
    };
    let index = rollout
        .status
        .as_ref()
        .and_then(|status| status.current_step_index);
    let index = usize::try_from(index.unwrap_or_default()).unwrap_or_default();
    let steps = canary.steps.as_deref().unwrap_or_default();
    let so_far = steps.get(..=index).unwrap_or(&[]);
    let managed = canary
        .traffic_routing
        .iter()
        .flat_map(|routing| &routing.managed_routes);
    let latest = |route: &String| {
        let mut set = so_far
            .iter()
            .rev()
            .filter_map(|step| step.set_header_route.as_ref());
        set.find(|set| set.name.as_ref() == Some(route))?
            .match_
            .as_deref()
    };
    let routes = managed.filter_map(|route| Some((&route.name, latest(&route.name)?)));
    routes
        .flat_map(|(name, matches)| alternatives(name, matches))
        .collect()
}

/// Any of the matches leads to the canary, so each is a route of its own, named as the planner does.
fn alternatives(name: &str, matches: &[HeaderRoutingMatch]) -> Vec<HeaderRoute> {
    let routes = matches
        .iter()
        .enumerate()
        .map(|(index, condition)| HeaderRoute {
            name: if index == 0 {
                name.to_owned()
            } else {
                format!("{name}-{}", index + 1)
            },
            headers: vec![header(condition)],
        });
    routes.collect()
}

fn header(wanted: &HeaderRoutingMatch) -> HeaderMatch {
    HeaderMatch {
        name: wanted.header_name.clone(),
        exact: wanted.header_value.exact.clone(),
        prefix: wanted.header_value.prefix.clone(),
        regex: wanted.header_value.regex.clone(),
    }
}
