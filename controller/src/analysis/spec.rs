//! Spec: a run's metrics are checked, with Argo's words for what is wrong, and become
//! [`CheckedMetric`]s whose numbers and durations are read.

use std::collections::{BTreeMap, BTreeSet};

use crds::AnalysisRunSpec;
use crds::analysis::Metric;
use crds::duration::GoDuration;
use crds::int_or_string::{IntOrString, count_or};
use crds::plugin::{PLUGIN_NAME, ProxyMetric};
use jiff::SignedDuration;
use regex::Regex;

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
    pub proxy: ProxyMetric,
}

/// Why a metric cannot be measured here, in a sentence; `None` where it can.
pub fn unsupported_provider(metric: &Metric) -> Option<String> {
    let names = metric.provider.names();
    let foreign = names.iter().find(|name| **name != PLUGIN_NAME)?;
    let name = &metric.name;
    Some(format!(
        "metric '{name}' uses the provider '{foreign}', which is not supported yet; use the plugin '{PLUGIN_NAME}'"
    ))
}

/// Checks a run whose metrics have their arguments. The error is what stands behind
/// `Analysis spec invalid: `.
pub fn checked(spec: &AnalysisRunSpec, metrics: &[Metric]) -> Result<CheckedRun, String> {
    let dry = matching(
        "dryRun",
        spec.dry_run.iter().map(|rule| &rule.metric_name),
        metrics,
    )?;
    let rules = spec.measurement_retention.iter();
    let kept = matching(
        "measurementRetention",
        rules.map(|rule| &rule.metric_name),
        metrics,
    )?;
    if metrics.is_empty() {
        return Err("no metrics specified".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut checked = Vec::with_capacity(metrics.len());
    for (index, metric) in metrics.iter().enumerate() {
        if !names.insert(&metric.name) {
            // The missing quote is Argo's.
            return Err(format!("metrics[{index}]: duplicate name '{}", metric.name));
        }
        let mut one = check(metric).map_err(|reason| format!("metrics[{index}]: {reason}"))?;
        one.dry_run = dry.contains_key(metric.name.as_str());
        let rule = kept
            .get(metric.name.as_str())
            .map(|rule| &spec.measurement_retention[*rule]);
        let limit = rule.and_then(|rule| usize::try_from(rule.limit).ok());
        one.retention = limit.filter(|limit| *limit > 0).unwrap_or(RETENTION);
        checked.push(one);
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
    if count > 1 && metric.interval.is_none() {
        return Err("interval must be specified when count > 1".to_owned());
    }
    let count = match (count, &metric.interval) {
        (0, None) => Some(1),
        (0, Some(_)) => None,
        (count, _) => Some(count),
    };
    Ok(CheckedMetric {
        name: metric.name.clone(),
        interval: duration("interval", metric.interval.as_deref())?,
        initial_delay: duration("startDelay", metric.initial_delay.as_deref())?,
        count,
        failure_limit: (failures >= 0).then_some(failures),
        inconclusive_limit: inconclusive,
        consecutive_error_limit: errors,
        consecutive_success_limit: (successes > 0).then_some(successes),
        success_condition: metric
            .success_condition
            .clone()
            .filter(|text| !text.is_empty()),
        failure_condition: metric
            .failure_condition
            .clone()
            .filter(|text| !text.is_empty()),
        dry_run: false,
        retention: RETENTION,
        proxy: provider(metric)?,
    })
}

fn limits(successes: i64, failures: i64, inconclusive: i64, errors: i64) -> Result<(), String> {
    let wrong = if successes < 0 {
        "consecutiveSuccessLimit must be >= 0"
    } else if failures < -1 {
        "failureLimit must be >= -1"
    } else if successes == 0 && failures == -1 {
        "failureLimit and consecutiveSuccessLimit must not both be disabled"
    } else if inconclusive < 0 {
        "inconclusiveLimit must be >= 0"
    } else if errors < 0 {
        "consecutiveErrorLimit must be >= 0"
    } else {
        return Ok(());
    };
    Err(wrong.to_owned())
}

fn counts(count: i64, successes: i64, failures: i64, inconclusive: i64) -> Result<(), String> {
    let least = failures.max(0).saturating_add(successes);
    let wrong = if count < 0 {
        "count must be >= 0"
    } else if count > 0 && count < least {
        match (successes, failures) {
            (0, _) => "count must be >= failureLimit",
            (_, -1) => "count must be >= consecutiveSuccessLimit",
            _ => "count must be >= failureLimit + consecutiveSuccessLimit",
        }
    } else if count > 0 && count < inconclusive {
        "count must be >= inconclusiveLimit"
    } else {
        return Ok(());
    };
    Err(wrong.to_owned())
}

fn duration(what: &str, text: Option<&str>) -> Result<Option<SignedDuration>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match GoDuration::parse(text) {
        Ok(duration) => Ok(Some(SignedDuration::from_nanos(duration.nanoseconds()))),
        Err(error) => Err(format!("invalid {what} string: {error}")),
    }
}

fn provider(metric: &Metric) -> Result<ProxyMetric, String> {
    match metric.provider.names().len() {
        0 => return Err("no provider specified".to_owned()),
        1 => {}
        _ => return Err("multiple providers specified".to_owned()),
    }
    if let Some(sentence) = unsupported_provider(metric) {
        return Err(sentence);
    }
    let block = metric
        .provider
        .sluice_proxy()
        .ok_or("no provider specified")?;
    let path = format!("provider.plugin.{PLUGIN_NAME}");
    ProxyMetric::parse(block, &path).map_err(|errors| {
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    })
}

#[cfg(test)]
mod tests;
