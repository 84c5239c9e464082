//! An AnalysisTemplate or ClusterAnalysisTemplate alone: what it measures, and what decides.

use crds::AnalysisTemplateSpec;
use crds::analysis::{Argument, Metric};
use serde_json::{Value, json};

use super::text::{Paint, Text};
use super::{LABEL, columns, line};

/// A template of either kind.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace; none for one of the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Option<jiff::Timestamp>,
    /// What it says.
    pub spec: AnalysisTemplateSpec,
}

/// The lines about a template and the table of its metrics.
pub fn render(template: &Template, paint: Paint) -> String {
    let spec = &template.spec;
    let mut lines = vec![
        ("Name:", template.name.clone()),
        ("Kind:", template.kind.to_owned()),
    ];
    lines.extend(
        template
            .namespace
            .clone()
            .map(|namespace| ("Namespace:", namespace)),
    );
    let labels = std::iter::once("Arguments:").chain(std::iter::repeat(""));
    lines.extend(labels.zip(spec.args.iter().map(argument)));
    let others = spec
        .templates
        .iter()
        .filter_map(|one| one.template_name.clone());
    let labels = std::iter::once("Includes:").chain(std::iter::repeat(""));
    lines.extend(labels.zip(others));
    let head: String = lines
        .into_iter()
        .map(|(label, text)| line(label, &Text::plain(text), LABEL, paint))
        .collect();
    let headings = [
        "METRIC",
        "PROVIDER",
        "INTERVAL",
        "COUNT",
        "LIMITS",
        "CONDITION",
    ];
    let mut rows = vec![headings.map(Text::plain).to_vec()];
    rows.extend(spec.metrics.iter().map(metric));
    format!("{head}\n{}", columns::aligned(&rows, paint))
}

fn argument(argument: &Argument) -> String {
    match (&argument.value, &argument.value_from) {
        (Some(value), _) => format!("{} (default {value})", argument.name),
        (None, Some(_)) => format!("{} (from elsewhere)", argument.name),
        (None, None) => format!("{} (required)", argument.name),
    }
}

fn metric(metric: &Metric) -> Vec<Text> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cells = [
        metric.name.clone(),
        provider(metric),
        or_dash(metric.interval.clone()),
        or_dash(metric.count.as_ref().map(|count| bare(&json!(count)))),
        or_dash(limits(metric)),
        or_dash(condition(metric)),
    ];
    cells.map(Text::plain).to_vec()
}

/// The provider's key, with the plugin's name where it is one.
fn provider(metric: &Metric) -> String {
    let value = json!(metric.provider);
    let keys = |value: &Value| -> Vec<String> {
        let object = value.as_object();
        object
            .into_iter()
            .flat_map(|object| object.keys().cloned())
            .collect()
    };
    match keys(&value).first().map(String::as_str) {
        Some("plugin") => keys(&value["plugin"]).join(","),
        Some(name) => name.to_owned(),
        None => "-".to_owned(),
    }
}

fn limits(metric: &Metric) -> Option<String> {
    let limits = [
        ("failure", &metric.failure_limit),
        ("inconclusive", &metric.inconclusive_limit),
        ("error", &metric.consecutive_error_limit),
        ("success", &metric.consecutive_success_limit),
    ];
    let set: Vec<_> = limits
        .into_iter()
        .filter_map(|(name, limit)| Some(format!("{name} {}", bare(&json!(limit.as_ref()?)))))
        .collect();
    (!set.is_empty()).then(|| set.join(", "))
}

fn condition(metric: &Metric) -> Option<String> {
    let conditions = [
        metric
            .success_condition
            .as_ref()
            .map(|text| format!("ok if {text}")),
        metric
            .failure_condition
            .as_ref()
            .map(|text| format!("bad if {text}")),
    ];
    let set: Vec<_> = conditions.into_iter().flatten().collect();
    (!set.is_empty()).then(|| set.join("; "))
}

/// A number or a text without quotes.
fn bare(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
