//! Plan: a run, what its providers saw and the time become its next status. Pure.
//!
//! First the arguments are filled in and the spec is checked; a run that cannot be carried out ends
//! as Error. Then each metric that is [`due`] takes its measurement from what was seen, and at last
//! [`decide`] says what the measurements make of the metrics, and the metrics of the run.
//!
//! What the proxies counted is judged here ([`measured`]); what a provider outside measured was
//! judged when it was taken ([`external`]), and which metrics are to be measured next is part of the
//! plan.
//!
//! A tripped fuse ends the run as Failed at once, whatever its metrics say: a proxy has proof.

mod count;
mod decide;
mod due;
mod external;
mod measured;

use std::collections::{BTreeMap, BTreeSet};

use crds::analysis::Metric;
use crds::analysis::run::{AnalysisRunStatus, Measurement};
use crds::words::AnalysisPhase;
use crds::{AnalysisRun, AnalysisRunSpec};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::arguments::{self, ArgumentError, SecretKey};
use super::providers::Look;
use super::providers::job::{JobKey, JobState};
use super::redact::Redactor;
use super::spec::{self, CheckedRun};

/// What is known of a run beside the run itself.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What each unfinished metric of the proxies sees right now, or why it cannot look.
    pub looks: BTreeMap<String, Result<Look, String>>,
    /// What providers outside measured since the last look, by metric.
    pub taken: BTreeMap<String, Taken>,
    /// The metrics that are being measured right now.
    pub measuring: BTreeSet<String>,
    /// How the Jobs of unfinished measurements are doing, by metric.
    pub jobs: BTreeMap<String, JobState>,
    /// Why a proxy's fuse tripped for this run's canary, where one did.
    pub fuse: Option<String>,
    /// The Secrets that the arguments refer to.
    pub secrets: BTreeMap<SecretKey, String>,
    /// Why a Secret could not be read.
    pub unreadable: Option<String>,
    /// Whether the run is one of a step: it is waited for, where a background run goes along.
    pub step: bool,
}

/// What a provider measured. Nothing in it is a Secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// The measurement; one that is Running goes on as a Job.
    pub measurement: Measurement,
    /// What the provider says of the metric.
    pub metadata: BTreeMap<String, String>,
}

/// What is to be done about a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Its next status.
    pub status: AnalysisRunStatus,
    /// Jobs to end before the status is written: nothing needs them any more.
    pub end_jobs: Vec<JobKey>,
    /// Metrics to measure now, once the status is written.
    pub measure: Vec<String>,
    /// What to tell people.
    pub notes: Vec<Note>,
    /// When to look again, at the latest.
    pub again: Option<Timestamp>,
    /// Whether a metric is running that the proxies' evidence may decide at any moment.
    pub watching: bool,
    /// Whether its time to live is over.
    pub delete: bool,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The reason: a word.
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// Whether it is a warning.
    pub warning: bool,
}

/// The checked spec of a run; the error is the message of a run that ends for it. Secrets stand as
/// they are given, or redacted.
pub fn checked(
    run: &AnalysisRunSpec,
    secrets: &BTreeMap<SecretKey, String>,
) -> Result<CheckedRun, String> {
    let unresolved = |error: ArgumentError| format!("Unable to resolve metric arguments: {error}");
    let metrics: Vec<Metric> = arguments::resolved(run, secrets).map_err(unresolved)?;
    spec::checked(run, &metrics).map_err(|reason| format!("Analysis spec invalid: {reason}"))
}

/// Whether the proxies' counts are to be judged now, so that the run's Secrets are needed.
pub fn is_due(run: &AnalysisRun, checked: &CheckedRun, now: Timestamp) -> bool {
    let status = run.status.clone().unwrap_or_default();
    let terminating = decide::is_terminating(&run.spec, &status);
    let by_proxies = checked
        .metrics
        .iter()
        .filter(|metric| metric.proxy().is_some());
    by_proxies
        .filter_map(|metric| due::at(metric, &status, terminating))
        .any(|at| at <= now)
}

/// What is to be done about a run.
pub fn plan(run: &AnalysisRun, observed: &Observed, now: Timestamp) -> Plan {
    let status = run.status.clone().unwrap_or_default();
    if status
        .phase
        .as_ref()
        .is_some_and(AnalysisPhase::is_completed)
    {
        return finished(run, status, now);
    }
    let ended = |phase, message| ended(status.clone(), phase, message, now);
    if let Some(reason) = &observed.fuse {
        return ended(AnalysisPhase::Failed, reason.clone());
    }
    if let Some(reason) = &observed.unreadable {
        let message = format!("Unable to resolve metric arguments: {reason}");
        return ended(AnalysisPhase::Error, message);
    }
    match checked(&run.spec, &observed.secrets) {
        Ok(checked) => carried_out(run, &checked, observed, now),
        Err(message) => {
            let redactor = Redactor::new(observed.secrets.values().map(String::as_str));
            ended(AnalysisPhase::Error, redactor.redact(&message))
        }
    }
}

fn carried_out(
    run: &AnalysisRun,
    checked: &CheckedRun,
    observed: &Observed,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan {
        status: run.status.clone().unwrap_or_default(),
        ..Plan::default()
    };
    let terminating = decide::is_terminating(&run.spec, &plan.status);
    let scene = external::Scene {
        run,
        observed,
        terminating,
        now,
    };
    for metric in &checked.metrics {
        match metric.proxy() {
            Some(proxy) => measured::take((metric, proxy), &mut plan.status, &scene),
            None => external::take(metric, &mut plan, &scene),
        }
    }
    plan.status.started_at.get_or_insert(Time(now));
    let mut outcome = decide::run(&run.spec, checked, &mut plan, terminating);
    // A metric that just went bad ends the others. Argo does that at its next look.
    if !terminating && decide::is_terminating(&run.spec, &plan.status) {
        for metric in &checked.metrics {
            external::end(metric, &mut plan, &scene);
        }
        outcome = decide::run(&run.spec, checked, &mut plan, true);
    }
    let (phase, message) = outcome;
    for metric in &checked.metrics {
        trim(&mut plan, run, &metric.name, metric.retention);
    }
    if phase.is_completed() {
        let (notes, end_jobs) = (plan.notes, plan.end_jobs);
        let mut end = ended(plan.status, phase, message, now);
        end.notes.splice(0..0, notes);
        end.end_jobs = end_jobs;
        return end;
    }
    plan.status.phase = Some(phase);
    again(checked, observed, plan)
}

/// When to look again: when the next metric is due that is not being measured.
fn again(checked: &CheckedRun, observed: &Observed, mut plan: Plan) -> Plan {
    let free = checked
        .metrics
        .iter()
        .filter(|metric| !observed.measuring.contains(&metric.name))
        .filter(|metric| !plan.measure.contains(&metric.name));
    let times = free.filter_map(|metric| due::at(metric, &plan.status, false));
    plan.again = times.min();
    plan.watching = checked
        .metrics
        .iter()
        .any(|metric| metric.proxy().is_some() && due::is_running(metric, &plan.status));
    plan
}

/// Keeps the newest measurements; the Jobs of the others end.
fn trim(plan: &mut Plan, run: &AnalysisRun, name: &str, retention: usize) {
    let results = &mut plan.status.metric_results;
    if let Some(result) = results.iter_mut().find(|result| result.name == name) {
        let surplus = result.measurements.len().saturating_sub(retention);
        for measurement in result.measurements.drain(..surplus) {
            plan.end_jobs
                .extend(external::job_of(run, &measurement.metadata));
        }
    }
}

fn ended(
    mut status: AnalysisRunStatus,
    phase: AnalysisPhase,
    message: String,
    now: Timestamp,
) -> Plan {
    let note = Note {
        reason: format!("AnalysisRun{phase}"),
        message: format!("Analysis Completed. Result: {phase}"),
        warning: matches!(phase, AnalysisPhase::Failed | AnalysisPhase::Error),
    };
    status.phase = Some(phase);
    status.message = (!message.is_empty()).then_some(message);
    // In Argo it is not a pointer, so it is always there.
    status.run_summary.get_or_insert_default();
    status.started_at.get_or_insert(Time(now));
    status.completed_at.get_or_insert(Time(now));
    // The next look is about the run's time to live.
    Plan {
        status,
        notes: vec![note],
        again: Some(now),
        ..Plan::default()
    }
}

/// A run that ended is changed no more; it may be deleted when its time is over.
fn finished(run: &AnalysisRun, status: AnalysisRunStatus, now: Timestamp) -> Plan {
    let over = time_to_live(run, &status).and_then(|seconds| {
        let ended = status.completed_at.as_ref()?.0;
        ended
            .checked_add(SignedDuration::from_secs(i64::from(seconds)))
            .ok()
    });
    Plan {
        delete: over.is_some_and(|over| over <= now),
        again: over.filter(|over| *over > now),
        status,
        ..Plan::default()
    }
}

fn time_to_live(run: &AnalysisRun, status: &AnalysisRunStatus) -> Option<i32> {
    let strategy = run.spec.ttl_strategy.as_ref()?;
    let special = match status.phase {
        Some(AnalysisPhase::Successful) => strategy.seconds_after_success,
        Some(AnalysisPhase::Failed) => strategy.seconds_after_failure,
        _ => None,
    };
    special.or(strategy.seconds_after_completion)
}

#[cfg(test)]
mod tests;
