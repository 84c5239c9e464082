//! What a provider saw becomes a measurement, and is counted.
//!
//! # A test that has decided
//!
//! The tests of `sluice/proxy` may be looked at at any moment, and their "worse" is final: the
//! chance of a false alarm was spent over the whole run, and no later look takes it back. Two
//! things follow. The measurement is taken when the test decides, without waiting for the interval.
//! And its failure counts beyond `failureLimit`, as if every measurement from now on had been
//! taken and had failed: tolerating some failures is for measurements that are noisy each for
//! itself. Only `failureLimit: -1` (failures never count) stands above that, and conditions: where
//! the user says what is good, the user's condition judges each measurement.

use std::collections::BTreeMap;

use crds::analysis::run::{AnalysisRunStatus, Measurement, MetricResult};
use crds::plugin::OnInsufficient;
use crds::words::AnalysisPhase;
use jiff::Timestamp;
use judgement::Decision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Observed, due};
use crate::analysis::arguments::redacted;
use crate::analysis::providers::Look;
use crate::analysis::spec::CheckedMetric;
use crate::conditions::{self, Value};

/// The key of a measurement's metadata that says what the test said.
const DECISION: &str = "decision";

/// Takes the metric's measurement, if it is due or just decided.
pub(super) fn take(
    metric: &CheckedMetric,
    status: &mut AnalysisRunStatus,
    observed: &Observed,
    terminating: bool,
    now: Timestamp,
) {
    let Some(look) = observed.looks.get(&metric.name) else {
        return;
    };
    let is_due = due::at(metric, status, terminating).is_some_and(|at| at <= now);
    let decided = !terminating && just_decided(metric, status, look);
    if !is_due && !decided {
        return;
    }
    let last = is_last(metric, status);
    let mut measurement = match look {
        Ok(look) => judged(metric, look, observed.step, last, now),
        Err(reason) => error(reason.clone()),
    };
    measurement.started_at = Some(Time(now));
    measurement.finished_at = Some(Time(now));
    measurement.message = measurement
        .message
        .map(|message| redacted(&message, &observed.secrets));
    let beyond = matches!(look, Ok(look) if look.verdict.is_worse()) && !has_conditions(metric);
    count(metric, status, measurement, beyond);
}

fn has_conditions(metric: &CheckedMetric) -> bool {
    metric.success_condition.is_some() || metric.failure_condition.is_some()
}

/// Whether the test has decided since the last measurement of a metric that was measured before.
fn just_decided(
    metric: &CheckedMetric,
    status: &AnalysisRunStatus,
    look: &Result<Look, String>,
) -> bool {
    let worse = matches!(look, Ok(look) if look.verdict.is_worse());
    let last = due::result(status, &metric.name).and_then(|result| result.measurements.last());
    let known = last.is_some_and(|last| {
        last.metadata
            .get(DECISION)
            .is_some_and(|decision| decision == "worse")
    });
    worse && due::is_running(metric, status) && !known
}

/// Whether no measurement follows this one.
fn is_last(metric: &CheckedMetric, status: &AnalysisRunStatus) -> bool {
    let taken = due::result(status, &metric.name).and_then(|result| result.count);
    metric
        .count
        .is_some_and(|count| i64::from(taken.unwrap_or_default()) + 1 >= count)
}

fn error(message: String) -> Measurement {
    Measurement {
        phase: AnalysisPhase::Error,
        message: Some(message),
        ..Measurement::default()
    }
}

fn judged(
    metric: &CheckedMetric,
    look: &Look,
    step: bool,
    last: bool,
    now: Timestamp,
) -> Measurement {
    let (phase, message) = match look.verdict.decision {
        Decision::Insufficient => (insufficient(metric, step, last), None),
        _ if has_conditions(metric) => match by_conditions(metric, look, now) {
            Ok(AnalysisPhase::Failed) => (AnalysisPhase::Failed, Some(look.verdict.to_string())),
            Ok(phase) => (phase, None),
            Err(message) => (AnalysisPhase::Error, Some(message)),
        },
        Decision::Worse => (AnalysisPhase::Failed, Some(look.verdict.to_string())),
        Decision::Undecided => (AnalysisPhase::Successful, None),
    };
    let value = match &look.silence {
        Some(silence) => format!("{}: {silence}", look.verdict),
        None => look.verdict.to_string(),
    };
    let ended_without = phase == AnalysisPhase::Inconclusive && message.is_none();
    Measurement {
        phase,
        message: message.or_else(|| ended_without.then(|| value.clone())),
        value: Some(value),
        metadata: metadata(look),
        ..Measurement::default()
    }
}

/// Too little evidence says nothing while more may come. At the end a run that a step waits for is
/// Inconclusive, and one in the background has found nothing.
fn insufficient(metric: &CheckedMetric, step: bool, last: bool) -> AnalysisPhase {
    let inconclusive = match metric.proxy.on_insufficient {
        Some(OnInsufficient::Inconclusive) => true,
        Some(OnInsufficient::Success) => false,
        None => step,
    };
    if inconclusive && last {
        AnalysisPhase::Inconclusive
    } else {
        AnalysisPhase::Successful
    }
}

/// What the user's conditions say of a look, by Argo's rules.
fn by_conditions(
    metric: &CheckedMetric,
    look: &Look,
    now: Timestamp,
) -> Result<AnalysisPhase, String> {
    let result = look.result();
    let holds = |kind: &str, condition: &Option<String>| -> Result<Option<bool>, String> {
        let Some(condition) = condition else {
            return Ok(None);
        };
        let answer = conditions::holds(condition, &result, now);
        answer
            .map(Some)
            .map_err(|error| failed(kind, condition, &result, &error.to_string()))
    };
    let success = holds("successCondition", &metric.success_condition)?;
    let failure = holds("failureCondition", &metric.failure_condition)?;
    Ok(match (success, failure) {
        (_, Some(true)) | (Some(false), None) => AnalysisPhase::Failed,
        (Some(true) | None, _) => AnalysisPhase::Successful,
        (Some(false), Some(false)) => AnalysisPhase::Inconclusive,
    })
}

fn failed(kind: &str, condition: &str, result: &Value, reason: &str) -> String {
    let reason = if result.is_nil_or_empty() {
        "metric result is nil or empty: no data returned from the metric provider"
    } else {
        reason
    };
    format!("could not evaluate {kind} \"{condition}\": {reason}")
}

fn metadata(look: &Look) -> BTreeMap<String, String> {
    let reasons = &look.verdict.reasons;
    let decision = match look.verdict.decision {
        Decision::Insufficient => "insufficient",
        Decision::Undecided => "undecided",
        Decision::Worse => "worse",
    };
    BTreeMap::from(
        [
            (DECISION, decision.to_owned()),
            ("errors", reasons.errors.to_string()),
            ("requests", reasons.requests.to_string()),
            ("rate", reasons.rate.to_string()),
            ("stableErrors", reasons.stable_errors.to_string()),
            ("stableRequests", reasons.stable_requests.to_string()),
            ("stableRate", reasons.stable_rate.to_string()),
            ("share", reasons.share.to_string()),
            ("e", reasons.e.to_string()),
            ("alpha", reasons.alpha.to_string()),
            ("threshold", reasons.threshold.to_string()),
            ("evidence", reasons.evidence.to_string()),
            ("needed", reasons.needed.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    )
}

fn bump(counter: &mut Option<i32>) {
    *counter = Some(counter.unwrap_or_default().saturating_add(1));
}

fn count(
    metric: &CheckedMetric,
    status: &mut AnalysisRunStatus,
    measurement: Measurement,
    beyond: bool,
) {
    let results = &mut status.metric_results;
    let index = results.iter().position(|result| result.name == metric.name);
    let index = index.unwrap_or_else(|| {
        results.push(MetricResult {
            name: metric.name.clone(),
            phase: AnalysisPhase::Running,
            dry_run: metric.dry_run.then_some(true),
            ..MetricResult::default()
        });
        results.len() - 1
    });
    let result = &mut results[index];
    tally(result, &measurement.phase);
    if beyond && let Some(limit) = metric.failure_limit {
        let least = i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX);
        result.failed = Some(result.failed.unwrap_or_default().max(least));
    }
    result.measurements.push(measurement);
}

fn tally(result: &mut MetricResult, phase: &AnalysisPhase) {
    match phase {
        AnalysisPhase::Successful => {
            bump(&mut result.successful);
            bump(&mut result.consecutive_success);
        }
        AnalysisPhase::Failed => bump(&mut result.failed),
        AnalysisPhase::Inconclusive => bump(&mut result.inconclusive),
        _ => {
            bump(&mut result.error);
            bump(&mut result.consecutive_error);
        }
    }
    if *phase == AnalysisPhase::Error {
        // An error is no measurement, so it is not counted as one.
        result.consecutive_success = None;
        return;
    }
    bump(&mut result.count);
    result.consecutive_error = None;
    if *phase != AnalysisPhase::Successful {
        result.consecutive_success = None;
    }
}
