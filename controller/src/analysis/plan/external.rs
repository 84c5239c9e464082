//! Metrics that are measured outside: by a server, or by a Job.
//!
//! What a server said comes whole. A Job's measurement begins with the Job and is taken up again
//! with each look until the Job ends, or the run does.

use std::collections::BTreeMap;

use crds::AnalysisRun;
use crds::analysis::run::Measurement;
use crds::words::AnalysisPhase;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::{Observed, Plan, count, due};
use crate::analysis::providers::job::{self, JobKey, JobState};
use crate::analysis::spec::CheckedMetric;

/// The message of a measurement that the end of its run ended.
const TERMINATED: &str = "Metric Terminated";

/// What every metric of one look is looked at with.
pub(super) struct Scene<'a> {
    pub(super) run: &'a AnalysisRun,
    pub(super) observed: &'a Observed,
    /// Whether the run takes no new measurement.
    pub(super) terminating: bool,
    pub(super) now: Timestamp,
}

/// Takes up the metric's measurement, takes what was measured, or asks for a measurement.
pub(super) fn take(metric: &CheckedMetric, plan: &mut Plan, scene: &Scene<'_>) {
    if is_unfinished(metric, plan) {
        if scene.terminating {
            end(metric, plan, scene);
        } else {
            resume(metric, plan, scene);
        }
        return;
    }
    if let Some(taken) = scene.observed.taken.get(&metric.name) {
        let over = due::result(&plan.status, &metric.name)
            .is_some_and(|result| result.phase.is_completed());
        if scene.terminating || over {
            plan.end_jobs
                .extend(job_of(scene.run, &taken.measurement.metadata));
            return;
        }
        let result = count::result(metric, &mut plan.status);
        if result.measurements.is_empty() {
            result.metadata.clone_from(&taken.metadata);
        }
        if taken.measurement.phase.is_completed() {
            count::finish(result, taken.measurement.clone());
        } else {
            result.measurements.push(taken.measurement.clone());
        }
        return;
    }
    let at = due::at(metric, &plan.status, scene.terminating);
    let measuring = scene.observed.measuring.contains(&metric.name);
    if !measuring && at.is_some_and(|at| at <= scene.now) {
        plan.measure.push(metric.name.clone());
    }
}

fn is_unfinished(metric: &CheckedMetric, plan: &Plan) -> bool {
    let result = due::result(&plan.status, &metric.name);
    let last = result.and_then(|result| result.measurements.last());
    last.is_some_and(|last| !last.phase.is_completed())
}

/// Looks at the Job of an unfinished measurement.
fn resume(metric: &CheckedMetric, plan: &mut Plan, scene: &Scene<'_>) {
    let Some(state) = scene.observed.jobs.get(&metric.name) else {
        return;
    };
    let (phase, message) = match state {
        JobState::Running => return,
        JobState::Ended(phase) => (phase.clone(), None),
        JobState::Stuck(why) => (AnalysisPhase::Inconclusive, Some(why.clone())),
        JobState::Gone(why) => (AnalysisPhase::Error, Some(why.clone())),
    };
    finish(metric, plan, scene.now, (phase, message));
}

/// Ends the metric's unfinished measurement, and its Job, because the run ends.
pub(super) fn end(metric: &CheckedMetric, plan: &mut Plan, scene: &Scene<'_>) {
    plan.measure.retain(|name| *name != metric.name);
    if !is_unfinished(metric, plan) {
        return;
    }
    let result = due::result(&plan.status, &metric.name);
    let last = result.and_then(|result| result.measurements.last());
    let metadata = last.map(|last| last.metadata.clone()).unwrap_or_default();
    let outcome = match job_of(scene.run, &metadata) {
        Some(key) => {
            plan.end_jobs.push(key);
            (AnalysisPhase::Inconclusive, TERMINATED.to_owned())
        }
        None => (
            AnalysisPhase::Error,
            "job metadata reference missing".to_owned(),
        ),
    };
    finish(metric, plan, scene.now, (outcome.0, Some(outcome.1)));
}

fn finish(
    metric: &CheckedMetric,
    plan: &mut Plan,
    now: Timestamp,
    (phase, message): (AnalysisPhase, Option<String>),
) {
    let result = count::result(metric, &mut plan.status);
    let Some(last) = result.measurements.pop() else {
        return;
    };
    let ended = Measurement {
        phase,
        message,
        finished_at: Some(Time(now)),
        resume_at: None,
        ..last
    };
    count::finish(result, ended);
}

/// The Job of a measurement, where there is one.
pub(super) fn job_of(run: &AnalysisRun, metadata: &BTreeMap<String, String>) -> Option<JobKey> {
    job::of_measurement(metadata, &run.namespace().unwrap_or_default())
}
