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

use crds::analysis::run::{AnalysisRunStatus, Measurement};
use crds::plugin::{OnInsufficient, ProxyMetric};
use crds::words::AnalysisPhase;
use jiff::Timestamp;
use judgement::Decision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::external::Scene;
use super::{count, due};
use crate::analysis::providers::Look;
use crate::analysis::redact::Redactor;
use crate::analysis::spec::CheckedMetric;

/// The key of a measurement's metadata that says what the test said.
const DECISION: &str = "decision";

/// Takes the metric's measurement, if it is due or just decided.
pub(super) fn take(
    (metric, proxy): (&CheckedMetric, &ProxyMetric),
    status: &mut AnalysisRunStatus,
    scene: &Scene<'_>,
) {
    let (observed, now) = (scene.observed, scene.now);
    let Some(look) = observed.looks.get(&metric.name) else {
        return;
    };
    let is_due = due::at(metric, status, scene.terminating).is_some_and(|at| at <= now);
    let decided = !scene.terminating && just_decided(metric, status, look);
    if !is_due && !decided {
        return;
    }
    let ending = Ending {
        step: observed.step,
        last: is_last(metric, status),
    };
    let mut measurement = match look {
        Ok(look) => judged((metric, proxy), look, ending, now),
        Err(reason) => error(reason.clone()),
    };
    measurement.started_at = Some(Time(now));
    measurement.finished_at = Some(Time(now));
    let redactor = Redactor::new(observed.secrets.values().map(String::as_str));
    let message = measurement.message;
    measurement.message = message.map(|message| redactor.redact(&message));
    let worse = matches!(look, Ok(look) if look.verdict.is_worse());
    let beyond = worse && metric.conditions().is_empty();
    let result = count::result(metric, status);
    count::finish(result, measurement);
    if beyond && let Some(limit) = metric.failure_limit {
        let least = i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX);
        result.failed = Some(result.failed.unwrap_or_default().max(least));
    }
}

/// What too little evidence depends on.
#[derive(Clone, Copy)]
struct Ending {
    /// Whether a step waits for the run.
    step: bool,
    /// Whether this is the last measurement.
    last: bool,
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
    (metric, proxy): (&CheckedMetric, &ProxyMetric),
    look: &Look,
    ending: Ending,
    now: Timestamp,
) -> Measurement {
    let conditions = metric.conditions();
    let (phase, message) = match look.verdict.decision {
        Decision::Insufficient => (insufficient(proxy, ending), None),
        _ if !conditions.is_empty() => match conditions.judge(&look.result(), now) {
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
fn insufficient(proxy: &ProxyMetric, ending: Ending) -> AnalysisPhase {
    let inconclusive = match proxy.on_insufficient {
        Some(OnInsufficient::Inconclusive) => true,
        Some(OnInsufficient::Success) => false,
        None => ending.step,
    };
    if inconclusive && ending.last {
        AnalysisPhase::Inconclusive
    } else {
        AnalysisPhase::Successful
    }
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
