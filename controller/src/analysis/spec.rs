//! Spec: a run's metrics are checked, with Argo's words for what is wrong, and become
//! [`CheckedMetric`]s whose numbers and durations are read.

use std::collections::{BTreeMap, BTreeSet};

use crds::AnalysisRunSpec;
use crds::analysis::Metric;
use crds::analysis::providers::{JobMetric, PrometheusMetric, WebMetric};
use crds::duration::GoDuration;
use crds::int_or_string::{IntOrString, count_or};
use crds::plugin::{PLUGIN_NAME, ProxyMetric};
use jiff::SignedDuration;
use regex::Regex;

use super::judge::Conditions;
use super::providers::web;

/// Measurements kept of a metric where no rule says otherwise.
pub const RETENTION: usize = 10;

/// Errors in a row that are tolerated where the metric does not say.
const CONSECUTIVE_ERRORS: i64 = 4;

/// A run's spec that can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedRun {
    /// Its metrics, in order.
    pub metrics: Vec<CheckedMetric>,
}

/// A metric that can be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedMetric {
    /// Its name.
    pub name: String,
    /// Time between the end of a measurement and the next.
    pub interval: Option<SignedDuration>,
    /// Time between the start of the run and the first measurement.
    pub initial_delay: Option<SignedDuration>,
    /// Measurements after which it is decided; `None` is without end.
    pub count: Option<i64>,
    /// Failures that are tolerated; `None` is any number.
    pub failure_limit: Option<i64>,
    /// Inconclusive measurements that are tolerated.
    pub inconclusive_limit: i64,
    /// Errors in a row that are tolerated.
    pub consecutive_error_limit: i64,
    /// Successes in a row that end it; `None` is off.
    pub consecutive_success_limit: Option<i64>,
    /// What must hold.
    pub success_condition: Option<String>,
    /// What must not hold.
    pub failure_condition: Option<String>,
    /// Whether its outcome does not count.
    pub dry_run: bool,
    /// How many measurements are kept.
    pub retention: usize,
    /// How it is measured.
    pub provider: Provider,
}

/// How a metric is measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Provider {
    /// By what the proxies counted.
    Proxy(ProxyMetric),
    /// By a query.
    Prometheus(PrometheusMetric),
    /// By a request.
    Web(WebMetric),
    /// By the end of a Job.
    Job(JobMetric),
}

// === impl CheckedMetric ===

impl CheckedMetric {
    /// Its conditions.
    pub fn conditions(&self) -> Conditions<'_> {
        Conditions {
            success: self.success_condition.as_deref(),
            failure: self.failure_condition.as_deref(),
        }
    }

    /// How it is measured, where the proxies do it.
    pub fn proxy(&self) -> Option<&ProxyMetric> {
        match &self.provider {
            Provider::Proxy(proxy) => Some(proxy),
            _ => None,
        }
    }
}

/// Why a metric cannot be measured here, in a sentence; `None` where it can.
pub fn unsupported_provider(metric: &Metric) -> Option<String> {
    let names = metric.provider.names();
    let plugin = metric.provider.plugin.keys().map(String::as_str);
    let plugin: Vec<&str> = plugin.collect();
    let known = |name: &&&str| {
        let is_plugin = plugin.contains(*name);
        (is_plugin && **name == PLUGIN_NAME) || (!is_plugin && PROVIDERS.contains(*name))
    };
    let foreign = names.iter().find(|name| !known(name))?;
    let name = &metric.name;
    let accepted = PROVIDERS.join(", ");
    Some(format!(
        "metric '{name}' uses the provider '{foreign}', which is not supported yet: {accepted} and the plugin '{PLUGIN_NAME}' are accepted"
    ))
}

/// The providers that are built in.
const PROVIDERS: [&str; 3] = ["prometheus", "web", "job"];

/// Checks a run whose metrics have their arguments. The error is what stands behind
/// `Analysis spec invalid: `.
pub fn checked(spec: &AnalysisRunSpec, metrics: &[Metric]) -> Result<CheckedRun, String> {
    if metrics.is_empty() {
        return Err("no metrics specified".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut checked = Vec::with_capacity(metrics.len());
    for (index, metric) in metrics.iter().enumerate() {
        if !names.insert(&metric.name) {
            return Err(format!(
                "metrics[{index}]: duplicate name '{}'",
                metric.name
            ));
        }
        checked.push(check(metric).map_err(|reason| format!("metrics[{index}]: {reason}"))?);
    }
    let rules = spec.dry_run.iter().map(|rule| &rule.metric_name);
    let dry = matching("dryRun", rules, metrics)?;
    let rules = spec.measurement_retention.iter();
    let rules = rules.map(|rule| &rule.metric_name);
    let kept = matching("measurementRetention", rules, metrics)?;
    for metric in &mut checked {
        metric.dry_run = dry.contains_key(metric.name.as_str());
        let rule = kept.get(metric.name.as_str());
        let rule = rule.and_then(|rule| spec.measurement_retention.get(*rule));
        let limit = rule.and_then(|rule| usize::try_from(rule.limit).ok());
        metric.retention = limit.filter(|limit| *limit > 0).unwrap_or(RETENTION);
    }
    Ok(CheckedRun { metrics: checked })
}

/// Which metrics the rules of one list are about, with the rule; each must be about one at least.
fn matching<'a>(
    list: &str,
    rules: impl Iterator<Item = &'a String>,
    metrics: &'a [Metric],
) -> Result<BTreeMap<&'a str, usize>, String> {
    let mut found = BTreeMap::new();
    for (index, rule) in rules.enumerate() {
        // A rule is a pattern; one that is no pattern matches nothing, as in Argo.
        let pattern = Regex::new(rule).ok();
        let matches = |name: &str| {
            pattern
                .as_ref()
                .is_some_and(|pattern| pattern.is_match(name))
        };
        let before = metrics.iter().filter(|metric| matches(&metric.name));
        let names: Vec<&str> = before.map(|metric| metric.name.as_str()).collect();
        if names.is_empty() {
            return Err(format!(
                "{list}[{index}]: Rule didn't match any metric name(s)"
            ));
        }
        found.extend(names.into_iter().map(|name| (name, index)));
    }
    Ok(found)
}

fn check(metric: &Metric) -> Result<CheckedMetric, String> {
    let number = |value: &Option<IntOrString>| count_or(value.as_ref(), 0);
    let count = number(&metric.count);
    let failures = number(&metric.failure_limit);
    let successes = number(&metric.consecutive_success_limit);
    let inconclusive = number(&metric.inconclusive_limit);
    let errors = count_or(metric.consecutive_error_limit.as_ref(), CONSECUTIVE_ERRORS);
    limits(successes, failures, inconclusive, errors)?;
    counts(count, successes, failures, inconclusive)?;
    let interval = text(metric.interval.as_ref());
    if count > 1 && interval.is_none() {
        return Err("interval must be specified when count > 1".to_owned());
    }
    let count = match (count, interval) {
        (0, None) => Some(1),
        (0, Some(_)) => None,
        (count, _) => Some(count),
    };
    Ok(CheckedMetric {
        name: metric.name.clone(),
        interval: duration("interval", interval)?,
        // The field's old name is Argo's.
        initial_delay: duration("startDelay", text(metric.initial_delay.as_ref()))?,
        count,
        failure_limit: (failures >= 0).then_some(failures),
        inconclusive_limit: inconclusive,
        consecutive_error_limit: errors,
        consecutive_success_limit: (successes > 0).then_some(successes),
        success_condition: text(metric.success_condition.as_ref()).map(str::to_owned),
        failure_condition: text(metric.failure_condition.as_ref()).map(str::to_owned),
        dry_run: false,
        retention: RETENTION,
        provider: provider(metric)?,
    })
}

/// The text of a field; an empty one is none.
fn text(field: Option<&String>) -> Option<&str> {
    field.map(String::as_str).filter(|text| !text.is_empty())
}

fn limits(successes: i64, failures: i64, inconclusive: i64, errors: i64) -> Result<(), String> {
    let wrong = if successes < 0 {
        "consecutiveSuccessLimit must be >= 0"
    } else if failures < -1 {
        "failureLimit must be >= 0, or -1 to be disabled"
    } else if successes == 0 && failures == -1 {
        "failureLimit and consecutiveSuccessLimit cannot both be disabled"
    } else if inconclusive < 0 {
        "inconclusiveLimit must be >= 0"
    } else if errors < 0 {
        "consecutiveErrorLimit must be >= 0"
    } else {
        return Ok(());
    };
    Err(wrong.to_owned())
}

/// A count below 0 is as good as 1, as in Argo.
fn counts(count: i64, successes: i64, failures: i64, inconclusive: i64) -> Result<(), String> {
    if count <= 0 {
        return Ok(());
    }
    if failures >= 0 && count < failures.saturating_add(successes) {
        return Err(format!(
            "count ({count}) must be >= failureLimit + consecutiveSuccessLimit ({failures} + {successes}) if both >= 0"
        ));
    }
    if failures < 0 && count < successes {
        return Err("count must be >= consecutiveSuccessLimit".to_owned());
    }
    if count < inconclusive {
        return Err("count must be >= inconclusiveLimit".to_owned());
    }
    Ok(())
}

fn duration(what: &str, text: Option<&str>) -> Result<Option<SignedDuration>, String> {
    let Some(text) = text else { return Ok(None) };
    match GoDuration::parse(text) {
        Ok(duration) => Ok(Some(SignedDuration::from_nanos(duration.nanoseconds()))),
        Err(error) => Err(format!("invalid {what} string: {}", error.in_go())),
    }
}

fn provider(metric: &Metric) -> Result<Provider, String> {
    let given = &metric.provider;
    match given.names().len() {
        0 => return Err("no provider specified".to_owned()),
        1 => {}
        _ => return Err("multiple providers specified".to_owned()),
    }
    if let Some(sentence) = unsupported_provider(metric) {
        return Err(sentence);
    }
    if let Some(prometheus) = &given.prometheus {
        let authentication = prometheus.authentication.as_ref();
        if authentication.is_some_and(|it| it.sigv4.is_some()) {
            return Err(unsupported("prometheus.authentication.sigv4"));
        }
        return Ok(Provider::Prometheus(prometheus.clone()));
    }
    if let Some(web) = &given.web {
        web::method(web)?;
        let authentication = web.authentication.as_ref();
        if authentication.is_some_and(|it| it.sigv4.is_some()) {
            return Err(unsupported("web.authentication.sigv4"));
        }
        return Ok(Provider::Web(web.clone()));
    }
    if let Some(job) = &given.job {
        return Ok(Provider::Job(job.clone()));
    }
    let block = given.sluice_proxy().ok_or("no provider specified")?;
    let path = format!("provider.plugin.{PLUGIN_NAME}");
    let parsed = ProxyMetric::parse(block, &path);
    parsed.map(Provider::Proxy).map_err(|errors| {
        let errors = errors.iter().map(ToString::to_string);
        errors.collect::<Vec<_>>().join("; ")
    })
}

fn unsupported(field: &str) -> String {
    format!("provider.{field} is not supported: basicAuth, oauth2 or headers are accepted")
}

#[cfg(test)]
mod tests;
