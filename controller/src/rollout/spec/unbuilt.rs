//! What Argo can do and this version cannot: each is refused by its own sentence, never ignored.

use crds::Rollout;
use crds::plugin::{PLUGIN_NAME, ProxyRouting};
use crds::rollout::{CanaryStrategy, StepKind, TrafficRouting};
use serde_json::{Value, json};

use super::SpecError;

pub(super) fn check(canary: &CanaryStrategy, errors: &mut Vec<SpecError>) {
    let path = "spec.strategy.canary";
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
    }
}

/// The router of a canary that we do not have, if it names one. Such a Rollout is another
/// controller's: Argo's can have it.
pub fn foreign_router(rollout: &Rollout) -> Option<String> {
    let canary = rollout.spec.strategy.as_ref()?.canary.as_ref()?;
    let routing = canary.traffic_routing.as_ref()?;
    let plugins = routing.plugins.keys();
    let mut others = plugins.filter(|name| *name != PLUGIN_NAME);
    let built_in = built_in(routing).next().map(str::to_owned);
    built_in.or_else(|| others.next().cloned())
}

/// The routers that Argo has built in, as far as they are named.
fn built_in(routing: &TrafficRouting) -> impl Iterator<Item = &'static str> {
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
    let named = routers.into_iter().filter(|(_, named)| *named);
    named.map(|(name, _)| name)
}

fn check_routing(routing: &TrafficRouting, errors: &mut Vec<SpecError>) {
    let path = "spec.strategy.canary.trafficRouting";
    for name in built_in(routing) {
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
