//! What Argo can do and this version cannot: each is refused by its own sentence, never ignored.

use crds::Rollout;
use crds::plugin::{PLUGIN_NAME, ProxyRouting};
use crds::rollout::{BlueGreenStrategy, CanaryStrategy, StepKind, TrafficRouting};
use serde_json::{Value, json};

use super::SpecError;

/// What every Rollout may have.
fn check_common(rollout: &Rollout, errors: &mut Vec<SpecError>) {
    if let Some(at) = &rollout.spec.restart_at {
        errors.push(refused("spec.restartAt", json!(at), "restartAt"));
    }
}

/// What only blue-green has.
pub(super) fn check_blue_green(
    rollout: &Rollout,
    raw: &BlueGreenStrategy,
    errors: &mut Vec<SpecError>,
) {
    check_common(rollout, errors);
    let settings = [
        ("antiAffinity", raw.anti_affinity.is_some()),
        ("previewMetadata", raw.preview_metadata.is_some()),
        ("activeMetadata", raw.active_metadata.is_some()),
    ];
    for (name, _) in settings.into_iter().filter(|(_, set)| *set) {
        let path = format!("spec.strategy.blueGreen.{name}");
        errors.push(refused(path, json!(true), name));
    }
}

pub(super) fn check(rollout: &Rollout, canary: &CanaryStrategy, errors: &mut Vec<SpecError>) {
    let path = "spec.strategy.canary";
    check_common(rollout, errors);
    let settings = [
        ("antiAffinity", canary.anti_affinity.is_some()),
        ("pingPong", canary.ping_pong.is_some()),
        (
            "dynamicStableScale",
            canary.dynamic_stable_scale == Some(true),
        ),
        ("canaryMetadata", canary.canary_metadata.is_some()),
        ("stableMetadata", canary.stable_metadata.is_some()),
    ];
    for (name, _) in settings.into_iter().filter(|(_, set)| *set) {
        errors.push(refused(format!("{path}.{name}"), json!(true), name));
    }
    for (index, step) in canary.steps.iter().flatten().enumerate() {
        let name = match step.kind() {
            Some(StepKind::Experiment(_)) => "experiment",
            Some(StepKind::SetMirrorRoute(_)) => "setMirrorRoute",
            Some(StepKind::Plugin(_)) => "plugin",
            _ => continue,
        };
        errors.push(refused(
            format!("{path}.steps[{index}].{name}"),
            json!(step.to_string()),
            format!("the {name} step"),
        ));
    }
    if let Some(routing) = &canary.traffic_routing {
        check_routing(routing, errors);
        return;
    }
    let text = format!(
        "a canary without traffic routing is not supported by this version of Sluice; \
         name the plugin {PLUGIN_NAME}"
    );
    errors.push(SpecError::required(format!("{path}.trafficRouting"), text));
}

fn check_routing(routing: &TrafficRouting, errors: &mut Vec<SpecError>) {
    let path = "spec.strategy.canary.trafficRouting";
    let routers = [
        ("istio", routing.istio.is_some()),
        ("nginx", routing.nginx.is_some()),
        ("alb", routing.alb.is_some()),
        ("smi", routing.smi.is_some()),
        ("ambassador", routing.ambassador.is_some()),
        ("appMesh", routing.app_mesh.is_some()),
        ("traefik", routing.traefik.is_some()),
        ("apisix", routing.apisix.is_some()),
    ];
    for (name, _) in routers.into_iter().filter(|(_, set)| *set) {
        errors.push(refused(
            format!("{path}.{name}"),
            json!({}),
            format!("the {name} traffic router"),
        ));
    }
    for (name, block) in routing
        .plugins
        .iter()
        .filter(|(name, _)| *name != PLUGIN_NAME)
    {
        let what = format!("the traffic router plugin {name}");
        errors.push(refused(
            format!("{path}.plugins.{name}"),
            block.clone(),
            what,
        ));
    }
    let Some(block) = routing.sluice_proxy() else {
        let text = format!(
            "no traffic router is named that this version of Sluice has; name the plugin {PLUGIN_NAME}"
        );
        errors.push(SpecError::required(format!("{path}.plugins"), text));
        return;
    };
    if let Err(wrong) = ProxyRouting::parse(block, &format!("{path}.plugins.{PLUGIN_NAME}")) {
        errors.extend(
            wrong
                .into_iter()
                .map(|wrong| SpecError::invalid(wrong.path, wrong.value, wrong.message)),
        );
    }
}

fn refused(path: impl Into<String>, value: Value, what: impl std::fmt::Display) -> SpecError {
    SpecError::invalid(
        path,
        value,
        format!("{what} is not supported by this version of Sluice"),
    )
}
