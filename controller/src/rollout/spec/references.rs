//! The second phase: the objects that a Rollout refers to exist and fit.

use std::collections::BTreeMap;

use crds::Rollout;
use crds::analysis::Metric;
use crds::int_or_string;
use crds::plugin::{self, ProxyRouting};
use crds::rollout::steps::RolloutAnalysis;
use kube::ResourceExt as _;
use serde_json::json;

use super::{SpecError, Step, Strategy, Way};
use crate::analysis::compose::{self, ComposeError, ComposeInput};
use crate::rollout::names;
use crate::rollout::observe::Observed;

pub(super) fn check(
    rollout: &Rollout,
    strategy: &Strategy,
    observed: &Observed,
    errors: &mut Vec<SpecError>,
) {
    for service in strategy.services() {
        check_presence(service, observed, errors);
    }
    for service in strategy.services() {
        check_service(service, rollout, strategy, observed, errors);
    }
    for (index, step) in strategy.steps().iter().enumerate() {
        if let Step::Analysis(analysis) = step {
            let path = format!("spec.strategy.canary.steps[{index}].analysis.templates");
            check_analysis((&path, analysis), true, rollout, observed, errors);
        }
    }
    let background = strategy
        .canary()
        .and_then(|canary| canary.background.as_ref());
    if let Some((analysis, _)) = background {
        let path = "spec.strategy.canary.analysis.templates";
        check_analysis((path, analysis), false, rollout, observed, errors);
    }
    if let Way::BlueGreen(way) = &strategy.way {
        let sides = [("pre", &way.pre), ("post", &way.post)];
        for (side, analysis) in sides {
            let path = format!("spec.strategy.blueGreen.{side}PromotionAnalysis.templates");
            if let Some(analysis) = analysis {
                check_analysis((&path, analysis), true, rollout, observed, errors);
            }
        }
    }
    check_grant(rollout, observed, errors);
    check_rival(rollout, observed, errors);
}

fn check_presence((field, name): (&str, &str), observed: &Observed, errors: &mut Vec<SpecError>) {
    if !observed.services.contains_key(name) {
        let text = format!("service \"{name}\" not found");
        let path = format!("spec.strategy.{field}");
        errors.push(SpecError::invalid(path, json!(name), text));
    }
}

fn check_service(
    (field, name): (&str, &str),
    rollout: &Rollout,
    strategy: &Strategy,
    observed: &Observed,
    errors: &mut Vec<SpecError>,
) {
    let path = format!("spec.strategy.{field}");
    let Some(service) = observed.services.get(name) else {
        return;
    };
    let labels: BTreeMap<String, String> = strategy.template.labels();
    for (key, value) in service
        .selector
        .iter()
        .filter(|(key, _)| *key != names::POD_TEMPLATE_HASH_LABEL)
    {
        if labels.get(key) != Some(value) {
            let text = format!("Service \"{name}\" has unmatch label \"{key}\" in rollout");
            errors.push(SpecError::invalid(path.as_str(), json!(name), text));
        }
    }
    if service
        .managed_by
        .as_ref()
        .is_some_and(|owner| *owner != rollout.name_any())
    {
        let text = format!("Service \"{name}\" is managed by another Rollout");
        errors.push(SpecError::invalid(path.as_str(), json!(name), text));
    }
}

/// `in_step`: a step must end, so its metrics may not go on for ever.
fn check_analysis(
    (path, analysis): (&str, &RolloutAnalysis),
    in_step: bool,
    rollout: &Rollout,
    observed: &Observed,
    errors: &mut Vec<SpecError>,
) {
    let names: Vec<_> = analysis
        .templates
        .iter()
        .filter_map(|reference| reference.template_name.as_deref())
        .collect();
    // As Go prints a list.
    let all = format!("templateNames: [{}]", names.join(" "));
    let names = names.join(", ");
    // Any hash will do: the question is whether the arguments can be resolved at all.
    let input = ComposeInput {
        rollout,
        analysis,
        templates: &observed.templates,
        stable_hash: "stable",
        latest_hash: "latest",
    };
    let spec = match compose::run_for(&input) {
        Ok(spec) => spec,
        Err(error) => {
            let value = match &error {
                ComposeError::NotFound { name, .. } => name.clone(),
                _ => all,
            };
            errors.push(SpecError::invalid(path, json!(value), error.to_string()));
            return;
        }
    };
    for metric in &spec.metrics {
        let unsupported = crate::analysis::unsupported_provider(metric);
        if let Some(text) = unsupported.or_else(|| incomparable(rollout, metric)) {
            errors.push(SpecError::invalid(path, json!(names), text));
        }
    }
    for metric in spec.metrics.iter().filter(|_| in_step) {
        let endless =
            metric.interval.is_some() && int_or_string::count_or(metric.count.as_ref(), 0) == 0;
        // An argument is only known when the run begins.
        let argument = metric
            .count
            .as_ref()
            .is_some_and(|count| !int_or_string::is_integer(count));
        if endless && !argument {
            let text = format!(
                "AnalysisTemplate {names} has metric {} which runs indefinitely. Invalid value for count: {}",
                metric.name,
                metric
                    .count
                    .as_ref()
                    .map_or_else(|| "<nil>".to_owned(), |count| json!(count).to_string())
            );
            errors.push(SpecError::invalid(path, json!(names), text));
        }
    }
}

/// What compares two versions that serve at the same time says nothing about blue-green.
fn incomparable(rollout: &Rollout, metric: &Metric) -> Option<String> {
    rollout.spec.strategy.as_ref()?.blue_green.as_ref()?;
    metric.provider.sluice_proxy()?.get("compare")?;
    Some(format!(
        "metric '{}' compares two versions that serve at the same time, which blueGreen never has; use successRate or \
         latency",
        metric.name
    ))
}

/// Where the routing block stands.
fn block(rollout: &Rollout) -> &'static str {
    match plugin::annotation(rollout) {
        Some(_) => plugin::ANNOTATION_PATH,
        None => plugin::CANARY_PATH,
    }
}

fn check_grant(rollout: &Rollout, observed: &Observed, errors: &mut Vec<SpecError>) {
    let Some(refusal) = &observed.ungranted else {
        return;
    };
    let fleet = ProxyRouting::of(rollout).and_then(|routing| routing.ok()?.fleet);
    let path = format!("{}.fleet", block(rollout));
    errors.push(SpecError::invalid(path, json!(fleet), refusal.clone()));
}

fn check_rival(rollout: &Rollout, observed: &Observed, errors: &mut Vec<SpecError>) {
    let Some(rival) = &observed.rival else { return };
    let path = format!("{}.hostnames", block(rollout));
    let text = match &rival.hostname {
        Some(hostname) => format!(
            "the Rollout {} has claimed {hostname} before",
            rival.rollout
        ),
        None => format!(
            "the Rollout {} has claimed every hostname of the fleet before",
            rival.rollout
        ),
    };
    errors.push(SpecError::invalid(path, json!(rival.hostname), text));
}
