//! The checks of what every Rollout has: numbers, selector, template.

use std::collections::BTreeMap;

use crds::percent::{self, Rounding};
use crds::rollout::CanaryStrategy;
use crds::{PodTemplate, Rollout};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::{PROGRESS_DEADLINE_SECONDS, SpecError};

pub(super) fn check(rollout: &Rollout, errors: &mut Vec<SpecError>) {
    let spec = &rollout.spec;
    check_natural("replicas", spec.replicas, errors);
    check_template(rollout, errors);
    check_natural("minReadySeconds", spec.min_ready_seconds, errors);
    check_natural("revisionHistoryLimit", spec.revision_history_limit, errors);
    check_natural(
        "progressDeadlineSeconds",
        spec.progress_deadline_seconds,
        errors,
    );
    let deadline = spec
        .progress_deadline_seconds
        .unwrap_or(PROGRESS_DEADLINE_SECONDS);
    if deadline <= spec.min_ready_seconds.unwrap_or(0) {
        errors.push(SpecError::invalid(
            "spec.progressDeadlineSeconds",
            json!(deadline),
            "must be greater than minReadySeconds",
        ));
    }
}

fn check_natural(field: &str, value: Option<i32>, errors: &mut Vec<SpecError>) {
    if let Some(value) = value.filter(|value| *value < 0) {
        errors.push(SpecError::invalid(
            format!("spec.{field}"),
            json!(value),
            "must be greater than or equal to 0",
        ));
    }
}

fn check_template(rollout: &Rollout, errors: &mut Vec<SpecError>) {
    let spec = &rollout.spec;
    if spec.workload_ref.is_some() && spec.template.is_none() {
        // Pods that are taken from elsewhere are checked once they are known.
        return;
    }
    let Some(selector) = &spec.selector else {
        errors.push(SpecError::required(
            "spec.selector",
            "Rollout has missing field '.spec.selector'",
        ));
        return;
    };
    if is_empty(selector) {
        let text = "empty selector is invalid for deployment";
        errors.push(SpecError::invalid("spec.selector", json!(selector), text));
    }
    let template = spec.template.clone().unwrap_or_default();
    if let Err(error) = serde_path_to_error::deserialize::<_, PodTemplateSpec>(template.to_value())
    {
        let path = format!("spec.template.{}", error.path());
        errors.push(SpecError::invalid(
            path,
            json!(null),
            error.inner().to_string(),
        ));
        return;
    }
    if !is_empty(selector) && !selects(selector, &template.labels()) {
        errors.push(SpecError::invalid(
            "spec.template.metadata.labels",
            json!(template.labels()),
            "`selector` does not match template `labels`",
        ));
    }
    check_containers(&template, errors);
}

fn check_containers(template: &PodTemplate, errors: &mut Vec<SpecError>) {
    let path = "spec.template.spec.containers";
    if template.containers().next().is_none() {
        errors.push(SpecError::required(path, ""));
    }
    let mut names: Vec<&str> = Vec::new();
    for (index, container) in template.containers().enumerate() {
        if container.name().is_empty() {
            errors.push(SpecError::required(format!("{path}[{index}].name"), ""));
        } else if names.contains(&container.name()) {
            let text = "each container needs a name of its own";
            errors.push(SpecError::invalid(
                format!("{path}[{index}].name"),
                json!(container.name()),
                text,
            ));
        }
        if container.image().is_none_or(str::is_empty) {
            errors.push(SpecError::required(format!("{path}[{index}].image"), ""));
        }
        names.push(container.name());
    }
}

fn is_empty(selector: &LabelSelector) -> bool {
    selector
        .match_labels
        .as_ref()
        .is_none_or(BTreeMap::is_empty)
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty)
}

/// Whether a selector selects something with these labels.
pub(in crate::rollout) fn selects(
    selector: &LabelSelector,
    labels: &BTreeMap<String, String>,
) -> bool {
    let exact = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    exact
        .into_iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && expressions
            .into_iter()
            .all(|requirement| holds(requirement, labels))
}

fn holds(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let listed = || {
        let values = requirement.values.as_deref().unwrap_or_default();
        value.is_some_and(|value| values.contains(value))
    };
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

fn share(value: Option<&IntOrString>, replicas: i32, rounding: Rounding) -> i32 {
    let default = IntOrString::String(percent::DEFAULT_PERCENT.to_owned());
    percent::resolve(value.unwrap_or(&default), replicas, rounding).unwrap_or_default()
}

pub(super) fn max_surge(canary: &CanaryStrategy, replicas: i32) -> i32 {
    share(canary.max_surge.as_ref(), replicas, Rounding::Up)
}

pub(super) fn max_unavailable_raw(canary: &CanaryStrategy, replicas: i32) -> i32 {
    share(canary.max_unavailable.as_ref(), replicas, Rounding::Down)
}

/// Whether neither a surge nor a gap is allowed, as Argo's validation reads them: any number, with
/// or without the sign.
pub(super) fn is_stuck(canary: &CanaryStrategy) -> bool {
    let number = |value: Option<&IntOrString>| match value {
        None => percent::DEFAULT_PERCENT.parse().unwrap_or_default(),
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => text.trim_end_matches('%').parse().unwrap_or_default(),
    };
    number(canary.max_surge.as_ref()) == 0 && number(canary.max_unavailable.as_ref()) == 0
}

/// Pods that may be missing: at least one where none may be too many, at most all. Blue-green has
/// no surge.
pub(super) fn max_unavailable(rollout: &Rollout, replicas: i32) -> i32 {
    let strategy = rollout.spec.strategy.clone().unwrap_or_default();
    let (pods, surge) = match (strategy.canary, strategy.blue_green) {
        (Some(canary), _) => (
            max_unavailable_raw(&canary, replicas),
            max_surge(&canary, replicas),
        ),
        (None, blue_green) => {
            let field = blue_green.and_then(|blue_green| blue_green.max_unavailable);
            (share(field.as_ref(), replicas, Rounding::Down), 0)
        }
    };
    let pods = if pods == 0 && surge == 0 { 1 } else { pods };
    pods.min(replicas)
}
