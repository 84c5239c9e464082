//! What AnalysisRuns and their templates are, and what they measured last.

use std::sync::Arc;

use crds::analysis::metric::MetricProvider;
use crds::words::AnalysisPhase;
use crds::{AnalysisRun, AnalysisTemplate};

use super::Text;
use crate::caches::Caches;

pub(super) fn render(text: &mut Text, caches: &Caches) {
    let runs = caches.runs.all();
    let runs: Vec<&Arc<AnalysisRun>> = runs
        .iter()
        .filter_map(|run| run.object.as_ref().ok())
        .collect();
    render_info(text, &runs);
    render_metrics(text, &runs);
    render_values(text, &runs);
    let templates = caches.templates.all();
    let templates: Vec<&Arc<AnalysisTemplate>> = templates
        .iter()
        .filter_map(|template| template.object.as_ref().ok())
        .collect();
    render_templates(text, &templates);
}

fn render_info(text: &mut Text, runs: &[&Arc<AnalysisRun>]) {
    text.metric("analysis_run_info", "gauge", "What an AnalysisRun is.");
    for run in runs {
        let (namespace, name) = names(run.as_ref());
        let labels = [
            ("namespace", namespace.as_str()),
            ("name", &name),
            ("phase", phase(run)),
        ];
        text.sample("analysis_run_info", &labels, 1.0);
    }
    text.metric("analysis_run_phase", "gauge", "Use analysis_run_info.");
    for run in runs {
        let (namespace, name) = names(run.as_ref());
        for word in AnalysisPhase::WORDS {
            let labels = [
                ("namespace", namespace.as_str()),
                ("name", &name),
                ("phase", word),
            ];
            text.sample("analysis_run_phase", &labels, is(*word == phase(run)));
        }
    }
}

fn render_metrics(text: &mut Text, runs: &[&Arc<AnalysisRun>]) {
    text.metric(
        "analysis_run_metric_type",
        "gauge",
        "How a metric is measured.",
    );
    for run in runs {
        let (namespace, name) = names(run.as_ref());
        for metric in &run.spec.metrics {
            let labels = [
                ("namespace", namespace.as_str()),
                ("name", &name),
                ("metric", &metric.name),
                ("type", provider(&metric.provider)),
            ];
            text.sample("analysis_run_metric_type", &labels, 1.0);
        }
    }
    text.metric("analysis_run_metric_phase", "gauge", "How far a metric is.");
    for run in runs {
        let (namespace, name) = names(run.as_ref());
        for result in run.status.iter().flat_map(|status| &status.metric_results) {
            let dry = result.dry_run.unwrap_or_default().to_string();
            for word in AnalysisPhase::WORDS {
                let labels = [
                    ("namespace", namespace.as_str()),
                    ("name", &name),
                    ("metric", &result.name),
                    ("type", metric_type(run, &result.name)),
                    ("dry_run", &dry),
                    ("phase", word),
                ];
                let value = is(*word == result.phase.as_str());
                text.sample("analysis_run_metric_phase", &labels, value);
            }
        }
    }
}

/// Argo shows no measured values. Ours are those that are a single number; a run that ended keeps
/// its last one until it is deleted.
fn render_values(text: &mut Text, runs: &[&Arc<AnalysisRun>]) {
    let name = "sluice_analysis_value";
    text.metric(
        name,
        "gauge",
        "What a metric measured last, where that is a number.",
    );
    for run in runs {
        let (namespace, run_name) = names(run.as_ref());
        for result in run.status.iter().flat_map(|status| &status.metric_results) {
            let last = result.measurements.last();
            let value = last.and_then(|last| last.value.as_deref());
            let value = value.map(|value| value.trim_matches(['[', ']']));
            let Some(value) = value.and_then(|value| value.parse::<f64>().ok()) else {
                continue;
            };
            let labels = [
                ("namespace", namespace.as_str()),
                ("name", &run_name),
                ("metric", &result.name),
            ];
            text.sample(name, &labels, value);
        }
    }
}

fn render_templates(text: &mut Text, templates: &[&Arc<AnalysisTemplate>]) {
    text.metric("analysis_template_info", "gauge", "A template that exists.");
    for template in templates {
        let (namespace, name) = names(template.as_ref());
        let labels = [("namespace", namespace.as_str()), ("name", &name)];
        text.sample("analysis_template_info", &labels, 1.0);
    }
    let info = "analysis_template_metric_info";
    text.metric(info, "gauge", "A metric of a template.");
    for template in templates {
        let (namespace, name) = names(template.as_ref());
        for metric in &template.spec.metrics {
            let labels = [
                ("namespace", namespace.as_str()),
                ("name", &name),
                ("type", provider(&metric.provider)),
                ("metric", &metric.name),
            ];
            text.sample(info, &labels, 1.0);
        }
    }
}

fn names(object: &impl kube::ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn is(it: bool) -> f64 {
    f64::from(u8::from(it))
}

fn phase(run: &AnalysisRun) -> &str {
    let phase = run.status.as_ref().and_then(|status| status.phase.as_ref());
    phase.map_or("Pending", AnalysisPhase::as_str)
}

fn metric_type<'a>(run: &AnalysisRun, metric: &str) -> &'a str {
    let metric = run.spec.metrics.iter().find(|it| it.name == metric);
    metric.map_or("", |metric| provider(&metric.provider))
}

/// The kind of a provider, in Argo's words.
fn provider(provider: &MetricProvider) -> &'static str {
    let kinds = [
        (provider.prometheus.is_some(), "Prometheus"),
        (provider.job.is_some(), "Job"),
        (provider.kayenta.is_some(), "Kayenta"),
        (provider.web.is_some(), "WebMetric"),
        (provider.datadog.is_some(), "Datadog"),
        (provider.wavefront.is_some(), "Wavefront"),
        (provider.new_relic.is_some(), "NewRelic"),
        (provider.cloud_watch.is_some(), "CloudWatch"),
        (provider.graphite.is_some(), "Graphite"),
        (provider.influxdb.is_some(), "Influxdb"),
        (provider.skywalking.is_some(), "SkyWalking"),
        (!provider.plugin.is_empty(), "Plugin"),
    ];
    let found = kinds.into_iter().find(|(is_it, _)| *is_it);
    found.map_or("", |(_, name)| name)
}
