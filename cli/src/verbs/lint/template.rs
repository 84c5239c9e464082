//! Templates and runs: each metric's provider, durations and conditions.

use controller::conditions;
use crds::AnalysisTemplateSpec;
use crds::analysis::Metric;
use crds::duration::GoDuration;

use super::Problem;
use crate::verbs::manifest::Document;

/// What stands for an argument whose value is not known yet.
const OPEN: &str = "{{";

pub(super) fn check(document: &Document, spec: &AnalysisTemplateSpec, problems: &mut Vec<Problem>) {
    if spec.metrics.is_empty() && spec.templates.is_empty() {
        problems.push(Problem {
            suggestion: Some("give spec.metrics one, or name others in spec.templates".to_owned()),
            ..Problem::at(document, "spec", "no metrics specified")
        });
    }
    check_metrics(document, &spec.metrics, problems);
}

pub(super) fn check_metrics(document: &Document, metrics: &[Metric], problems: &mut Vec<Problem>) {
    for (index, metric) in metrics.iter().enumerate() {
        let path = format!("spec.metrics[{index}]");
        let is_twice = metrics[..index]
            .iter()
            .any(|other| other.name == metric.name);
        if is_twice {
            let message = format!("{path}: duplicate name '{}'", metric.name);
            problems.push(Problem::at(document, &format!("{path}.name"), message));
        }
        check_conditions(document, &path, metric, problems);
        check_durations(document, &path, metric, problems);
        if let Some(message) = controller::analysis::unsupported_provider(metric) {
            let place = format!("{path}.provider");
            problems.push(Problem::at(document, &place, format!("{place}: {message}")));
        }
        if metric.provider.names().is_empty() {
            let place = format!("{path}.provider");
            let message = format!("{place}: no provider specified");
            problems.push(Problem::at(document, &place, message));
        }
    }
}

fn check_conditions(document: &Document, path: &str, metric: &Metric, problems: &mut Vec<Problem>) {
    let all = [
        ("successCondition", &metric.success_condition),
        ("failureCondition", &metric.failure_condition),
    ];
    for (name, condition) in all {
        let Some(condition) = condition.as_ref().filter(|text| !text.contains(OPEN)) else {
            continue;
        };
        if let Err(error) = conditions::check(condition) {
            let place = format!("{path}.{name}");
            let message = format!("{place}: Invalid value: {condition:?}: {error}");
            problems.push(Problem::at(document, &place, message));
        }
    }
}

fn check_durations(document: &Document, path: &str, metric: &Metric, problems: &mut Vec<Problem>) {
    let all = [
        ("interval", &metric.interval),
        ("initialDelay", &metric.initial_delay),
    ];
    for (name, text) in all {
        let Some(text) = text.as_ref().filter(|text| !text.contains(OPEN)) else {
            continue;
        };
        if let Err(error) = GoDuration::parse(text) {
            let place = format!("{path}.{name}");
            let message = format!("{place}: Invalid value: {text:?}: {error}");
            problems.push(Problem {
                suggestion: Some("a duration is such as 30s, 5m or 1h30m".to_owned()),
                ..Problem::at(document, &place, message)
            });
        }
    }
}
