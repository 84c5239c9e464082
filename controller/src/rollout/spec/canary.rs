//! The checks of a canary's own settings, without its steps.

use crds::rollout::{AntiAffinity, CanaryStrategy, TrafficRouting};
use serde_json::{Value, json};

use super::{SpecError, build, pods};

const CANARY: &str = "spec.strategy.canary";

pub(super) fn check(canary: &CanaryStrategy, errors: &mut Vec<SpecError>) {
    let mut invalid = |field: &str, value: Value, text: &str| {
        errors.push(SpecError::invalid(format!("{CANARY}.{field}"), value, text));
    };
    if let Some(surge) = canary.max_surge.as_ref().filter(|_| pods::is_stuck(canary)) {
        let text = "MaxSurge and MaxUnavailable both can not be zero";
        invalid("maxSurge", json!(surge), text);
    }
    let services = (
        build::named(canary.stable_service.as_ref()),
        build::named(canary.canary_service.as_ref()),
    );
    if let (Some(stable), Some(other)) = services
        && stable == other
    {
        let text = "This rollout uses the same service for the stable and canary services, but two different \
                    services are required.";
        invalid("stableService", json!(stable), text);
    }
    check_ping_pong(canary, &mut invalid);
    let dynamic = canary.dynamic_stable_scale == Some(true);
    match (&canary.traffic_routing, canary.scale_down_delay_seconds) {
        (None, Some(delay)) => {
            let text = "Canary scaleDownDelaySeconds can only be used with traffic routing";
            invalid("scaleDownDelaySeconds", json!(delay), text);
        }
        (Some(_), Some(_)) if dynamic => {
            let text = "Canary dynamicStableScale cannot be used with scaleDownDelaySeconds";
            invalid("dynamicStableScale", json!(true), text);
        }
        _ => {}
    }
    if canary.traffic_routing.is_none() && dynamic {
        let text = "Canary dynamicStableScale can only be used with traffic routing";
        invalid("dynamicStableScale", json!(true), text);
    }
    check_max_weight(canary.traffic_routing.as_ref(), errors);
}

fn check_ping_pong(canary: &CanaryStrategy, invalid: &mut impl FnMut(&str, Value, &str)) {
    let Some(services) = &canary.ping_pong else {
        return;
    };
    if canary.traffic_routing.is_none() {
        // Argo takes it, and then no Service ever gets the canary's traffic.
        let text =
            "Ping-pong feature works with the ALB, Istio, and plugin-based traffic routers only";
        invalid("pingPong", json!(services), text);
    }
    let text = "Ping service and Pong service must to be set to use Ping-Pong feature";
    for (field, name) in [
        ("pingPong.pingService", &services.ping_service),
        ("pingPong.pongService", &services.pong_service),
    ] {
        if name.is_empty() {
            invalid(field, json!(name), text);
        }
    }
    if services.ping_service == services.pong_service {
        let text = "This rollout uses the same service for the ping and pong services, but two different services \
                    are required.";
        invalid("pingPong.pingService", json!(services.ping_service), text);
    }
}

fn check_max_weight(routing: Option<&TrafficRouting>, errors: &mut Vec<SpecError>) {
    let Some(routing) = routing else { return };
    let Some(max) = routing.max_traffic_weight else {
        return;
    };
    let path = format!("{CANARY}.trafficRouting.maxTrafficWeight");
    if routing.nginx.is_none() && routing.plugins.is_empty() {
        let text = "Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins";
        errors.push(SpecError::invalid(path, json!(max), text));
    } else if max < 1 {
        errors.push(SpecError::invalid(
            path,
            json!(max),
            "must be greater than 0",
        ));
    }
}

/// Exactly one way of keeping pods apart, with a weight that the scheduler takes.
pub(super) fn check_anti_affinity(
    way: &str,
    affinity: Option<&AntiAffinity>,
    errors: &mut Vec<SpecError>,
) {
    let Some(affinity) = affinity else { return };
    let preferred = affinity
        .preferred_during_scheduling_ignored_during_execution
        .as_ref();
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref();
    let path = format!("spec.strategy.{way}.antiAffinity");
    if preferred.is_some() == required.is_some() {
        let value = format!(
            "antiAffinity.PreferredDuringSchedulingIgnoredDuringExecution: {} \
             antiAffinity.RequiredDuringSchedulingIgnoredDuringExecution: {}",
            preferred.is_some(),
            required.is_some()
        );
        let text = "AntiAffinity must have exactly one strategy listed";
        errors.push(SpecError::invalid(path.as_str(), json!(value), text));
    }
    if let Some(preferred) = preferred.filter(|preferred| !(1..=100).contains(&preferred.weight)) {
        let text = "AntiAffinity weight must be between 1-100";
        errors.push(SpecError::invalid(
            format!("{path}.weight"),
            json!(preferred.weight),
            text,
        ));
    }
}
