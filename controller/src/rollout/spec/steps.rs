//! The checks of the steps.

use crds::rollout::steps::{HeaderRoutingMatch, SetCanaryScale, SetHeaderRoute, StringMatch};
use crds::rollout::{CanaryStep, CanaryStrategy, StepKind, TrafficRouting};
use serde_json::json;
use uplink::document::HeaderMatch;

use super::{CanaryScale, SpecError, Step};

const NO_KEY: &str = "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause";

pub(super) fn check(canary: &CanaryStrategy, errors: &mut Vec<SpecError>) -> Vec<Step> {
    let routing = canary.traffic_routing.as_ref();
    let mut steps = Vec::new();
    for (index, step) in canary.steps.iter().flatten().enumerate() {
        let path = format!("spec.strategy.canary.steps[{index}]");
        if exclusive_keys(step) > 1 {
            errors.push(SpecError::invalid(path.as_str(), keys_text(step), NO_KEY));
        }
        let checked = match step.kind() {
            None => {
                errors.push(SpecError::invalid(path, json!(NOTHING), NO_KEY));
                None
            }
            Some(kind) => checked(kind, &path, routing, errors),
        };
        steps.extend(checked);
    }
    steps
}

/// What Argo shows of a step without any key.
const NOTHING: &str = "step.Experiment: true step.Pause: true step.SetWeight: true step.Analysis: true \
                       step.SetCanaryScale: true step.SetHeaderRoute: true step.SetMirrorRoute: true \
                       step.Plugin: true";

/// What Argo shows of a step with too many keys.
fn keys_text(step: &CanaryStep) -> serde_json::Value {
    json!(format!(
        "step.Experiment: {} step.Pause: {} step.SetWeight: {} step.Analysis: {}",
        step.experiment.is_some(),
        step.pause.is_some(),
        step.set_weight.is_some(),
        step.analysis.is_some()
    ))
}

fn exclusive_keys(step: &CanaryStep) -> usize {
    let keys = [
        step.set_weight.is_some(),
        step.pause.is_some(),
        step.experiment.is_some(),
        step.analysis.is_some(),
    ];
    keys.into_iter().filter(|set| *set).count()
}

fn checked(
    kind: StepKind<'_>,
    path: &str,
    routing: Option<&TrafficRouting>,
    errors: &mut Vec<SpecError>,
) -> Option<Step> {
    match kind {
        StepKind::SetWeight(weight) => {
            let max = routing.map_or(
                TrafficRouting::DEFAULT_MAX_WEIGHT,
                TrafficRouting::max_weight,
            );
            if !(0..=max).contains(&weight) {
                let text = format!("SetWeight needs to be between 0 and {max}");
                errors.push(SpecError::invalid(
                    format!("{path}.setWeight"),
                    json!(weight),
                    text,
                ));
            }
            Some(Step::SetWeight(weight))
        }
        StepKind::Pause(pause) => {
            let path = format!("{path}.pause.duration");
            let wrong = |seconds: i64| {
                SpecError::invalid(path, json!(seconds), "Duration needs to be greater than 0")
            };
            let seconds = match pause.seconds() {
                Ok(Some(seconds)) if seconds < 0 => Err(wrong(seconds)),
                Ok(seconds) => Ok(seconds),
                // What cannot be read is -1 to Argo.
                Err(error) => Err(wrong(-1).hinted(error.to_string())),
            };
            seconds
                .map_err(|error| errors.push(error))
                .ok()
                .map(Step::Pause)
        }
        StepKind::SetCanaryScale(scale) => {
            if routing.is_none() {
                let text = "SetCanaryScale requires TrafficRouting to be set";
                errors.push(SpecError::required(
                    "spec.strategy.canary.trafficRouting",
                    text,
                ));
            }
            Some(Step::SetCanaryScale(canary_scale(scale)))
        }
        StepKind::SetHeaderRoute(route) => Some(header_route(route, path, routing, errors)),
        StepKind::Analysis(analysis) => {
            check_field_refs(analysis.args.iter(), path, errors);
            Some(Step::Analysis(analysis.clone()))
        }
        // Refused by name elsewhere.
        StepKind::Experiment(_) | StepKind::SetMirrorRoute(_) | StepKind::Plugin(_) => None,
    }
}

fn canary_scale(scale: &SetCanaryScale) -> CanaryScale {
    match (scale.match_traffic_weight, scale.replicas, scale.weight) {
        (Some(true), _, _) | (_, None, None) => CanaryScale::MatchTrafficWeight,
        (_, Some(replicas), _) => CanaryScale::Replicas(replicas),
        (_, None, Some(weight)) => CanaryScale::Weight(weight),
    }
}

fn header_route(
    route: &SetHeaderRoute,
    path: &str,
    routing: Option<&TrafficRouting>,
    errors: &mut Vec<SpecError>,
) -> Step {
    let path = format!("{path}.setHeaderRoute");
    let name = route.name.clone().unwrap_or_default();
    let able = routing.is_some_and(|routing| {
        routing.istio.is_some()
            || routing.alb.is_some()
            || routing.apisix.is_some()
            || !routing.plugins.is_empty()
    });
    if !able {
        let text = "SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix";
        errors.push(SpecError::invalid(path.as_str(), json!(route), text));
    }
    let matches = route.match_.as_ref().map(|matches| {
        let checked = matches
            .iter()
            .enumerate()
            .map(|(index, item)| header_match(item, index, &path, errors));
        checked.collect()
    });
    if routing.is_some() {
        check_managed(&name, &path, routing, errors);
    }
    Step::SetHeaderRoute { name, matches }
}

fn check_managed(
    name: &str,
    path: &str,
    routing: Option<&TrafficRouting>,
    errors: &mut Vec<SpecError>,
) {
    let managed = routing
        .map(|routing| routing.managed_routes.as_slice())
        .unwrap_or_default();
    if managed.is_empty() {
        let text = "Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'";
        errors.push(SpecError::required(
            "spec.strategy.canary.trafficRouting.managedRoutes",
            text,
        ));
    } else if !managed.iter().any(|route| route.name == name) {
        let text = "Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes";
        errors.push(SpecError::invalid(path, json!(name), text));
    }
}

fn header_match(
    item: &HeaderRoutingMatch,
    index: usize,
    path: &str,
    errors: &mut Vec<SpecError>,
) -> HeaderMatch {
    let path = format!("{path}.match[{index}]");
    let StringMatch {
        exact,
        prefix,
        regex,
        ..
    } = &item.header_value;
    let set = [exact, prefix, regex]
        .into_iter()
        .filter(|text| text.is_some())
        .count();
    match set {
        0 => errors.push(SpecError::invalid(
            path,
            json!(item.header_value),
            "StringMatch value missed, match value must have one of the following: exact, regex, prefix",
        )),
        1 => {}
        _ => errors.push(SpecError::invalid(
            path,
            json!(item.header_value),
            "StringMatch match value must have exactly one of the following: exact, regex, prefix",
        )),
    }
    HeaderMatch {
        name: item.header_name.clone(),
        exact: exact.clone(),
        prefix: prefix.clone(),
        regex: regex.clone(),
    }
}

/// What the downward API can say about metadata.
pub(super) fn check_field_refs<'a>(
    args: impl Iterator<Item = &'a crds::rollout::steps::AnalysisRunArgument>,
    path: &str,
    errors: &mut Vec<SpecError>,
) {
    for arg in args {
        let reference = arg
            .value_from
            .as_ref()
            .and_then(|from| from.field_ref.as_ref());
        let Some(field) = reference.map(|reference| reference.field_path.as_str()) else {
            continue;
        };
        let fine = !field.starts_with("metadata")
            || [
                "metadata.name",
                "metadata.namespace",
                "metadata.uid",
                "metadata.labels",
                "metadata.annotations",
            ]
            .contains(&field)
            || ((field.starts_with("metadata.labels['")
                || field.starts_with("metadata.annotations['"))
                && field.ends_with("']"));
        if !fine {
            let text =
                "Analyses arguments must refer to valid object metadata supported by downwardAPI";
            errors.push(SpecError::invalid(
                format!("{path}.analyses"),
                json!(field),
                text,
            ));
        }
    }
}
