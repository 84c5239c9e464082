//! What the measurements make of a metric, and the metrics of the run, by Argo's rules.

use crds::AnalysisRunSpec;
use crds::analysis::run::{AnalysisRunStatus, MetricResult, RunSummary};
use crds::words::AnalysisPhase;

use super::{Note, Plan};
use crate::analysis::spec::{CheckedMetric, CheckedRun};

/// Phases from best to worst.
const ORDER: [AnalysisPhase; 6] = [
    AnalysisPhase::Successful,
    AnalysisPhase::Running,
    AnalysisPhase::Pending,
    AnalysisPhase::Inconclusive,
    AnalysisPhase::Error,
    AnalysisPhase::Failed,
];

/// Whether no new measurement is taken: somebody ended the run, or a metric went bad.
pub(super) fn is_terminating(spec: &AnalysisRunSpec, status: &AnalysisRunStatus) -> bool {
    let bad = |result: &MetricResult| {
        let bad = matches!(
            result.phase,
            AnalysisPhase::Failed | AnalysisPhase::Error | AnalysisPhase::Inconclusive
        );
        bad && result.dry_run != Some(true)
    };
    spec.terminate == Some(true) || status.metric_results.iter().any(bad)
}

/// The phase of a metric after its last measurement.
pub(super) fn metric(
    metric: &CheckedMetric,
    result: &MetricResult,
    terminating: bool,
) -> AnalysisPhase {
    if result.phase.is_completed() {
        return result.phase.clone();
    }
    let stopped = |otherwise| {
        if terminating {
            AnalysisPhase::Successful
        } else {
            otherwise
        }
    };
    let Some(last) = result.measurements.last() else {
        return stopped(AnalysisPhase::Pending);
    };
    if !last.phase.is_completed() {
        return AnalysisPhase::Running;
    }
    if let Some((phase, _)) = limit_passed(metric, result) {
        return phase;
    }
    let in_a_row = i64::from(result.consecutive_success.unwrap_or_default());
    if metric
        .consecutive_success_limit
        .is_some_and(|limit| in_a_row >= limit)
    {
        return AnalysisPhase::Successful;
    }
    let taken = i64::from(result.count.unwrap_or_default());
    if metric.count.is_some_and(|count| taken >= count) {
        return match (metric.consecutive_success_limit, metric.failure_limit) {
            (Some(_), Some(_)) => AnalysisPhase::Inconclusive,
            (Some(_), None) => AnalysisPhase::Failed,
            (None, _) => AnalysisPhase::Successful,
        };
    }
    stopped(AnalysisPhase::Running)
}

/// Which limit was passed; of several the last of Argo's order.
fn limit_passed(metric: &CheckedMetric, result: &MetricResult) -> Option<(AnalysisPhase, String)> {
    let failed = i64::from(result.failed.unwrap_or_default());
    let inconclusive = i64::from(result.inconclusive.unwrap_or_default());
    let errors = i64::from(result.consecutive_error.unwrap_or_default());
    if errors > metric.consecutive_error_limit {
        let limit = metric.consecutive_error_limit;
        let message = format!("consecutiveErrors ({errors}) > consecutiveErrorLimit ({limit})");
        return Some((AnalysisPhase::Error, message));
    }
    if inconclusive > metric.inconclusive_limit {
        let limit = metric.inconclusive_limit;
        let message = format!("inconclusive ({inconclusive}) > inconclusiveLimit ({limit})");
        return Some((AnalysisPhase::Inconclusive, message));
    }
    let limit = metric.failure_limit.filter(|limit| failed > *limit)?;
    Some((
        AnalysisPhase::Failed,
        format!("failed ({failed}) > failureLimit ({limit})"),
    ))
}

/// Decides every metric, and with them the run: its phase and its message.
pub(super) fn run(
    spec: &AnalysisRunSpec,
    checked: &CheckedRun,
    plan: &mut Plan,
    terminating: bool,
) -> (AnalysisPhase, String) {
    let mut worst: Option<AnalysisPhase> = None;
    let mut message = String::new();
    if spec.terminate == Some(true) {
        message.push_str("Run Terminated");
    }
    let mut finished = true;
    let (mut counted, mut dry) = (Summary::default(), Summary::default());
    for metric in &checked.metrics {
        let summary = if metric.dry_run {
            &mut dry
        } else {
            &mut counted
        };
        summary.count += 1;
        let Some(result) = decided(metric, plan, terminating) else {
            finished = false;
            continue;
        };
        let passed = limit_passed(metric, result);
        summary.add(passed.as_ref().map(|(phase, _)| phase));
        if metric.dry_run {
            worst.get_or_insert(AnalysisPhase::Successful);
            if let Some((_, reason)) = passed {
                result.message = Some(format!("Metric assessed {} due to {reason}", result.phase));
            }
        } else if worst
            .as_ref()
            .is_none_or(|worst| rank(&result.phase) > rank(worst))
        {
            worst = Some(result.phase.clone());
            if let Some((_, reason)) = passed {
                message = assessed(result, &reason);
            }
        }
    }
    plan.status.run_summary = Some(counted.into());
    plan.status.dry_run_summary = Some(dry.into());
    match worst {
        Some(worst) if terminating || finished => (worst, message),
        None if terminating => (AnalysisPhase::Successful, message),
        _ => (AnalysisPhase::Running, String::new()),
    }
}

/// Brings a metric's phase up to date; the result, once it is decided.
fn decided<'a>(
    metric: &CheckedMetric,
    plan: &'a mut Plan,
    terminating: bool,
) -> Option<&'a mut MetricResult> {
    let results = &mut plan.status.metric_results;
    let result = results
        .iter_mut()
        .find(|result| result.name == metric.name)?;
    let phase = self::metric(metric, result, terminating);
    if phase != result.phase {
        if phase.is_completed() {
            plan.notes.push(Note {
                reason: format!("Metric{phase}"),
                message: format!("Metric '{}' Completed. Result: {phase}", metric.name),
                warning: matches!(phase, AnalysisPhase::Failed | AnalysisPhase::Error),
            });
        }
        result.message = result
            .measurements
            .last()
            .and_then(|last| last.message.clone());
        result.phase = phase;
    }
    result.phase.is_completed().then_some(result)
}

fn rank(phase: &AnalysisPhase) -> usize {
    ORDER
        .iter()
        .position(|other| other == phase)
        .unwrap_or_default()
}

fn assessed(result: &MetricResult, reason: &str) -> String {
    let message = format!(
        "Metric \"{}\" assessed {} due to {reason}",
        result.name, result.phase
    );
    match &result.message {
        Some(last) if !last.is_empty() => format!("{message}: \"Error Message: {last}\""),
        _ => message,
    }
}

/// How many metrics ended how.
#[derive(Default)]
struct Summary {
    count: i32,
    successful: i32,
    failed: i32,
    inconclusive: i32,
    error: i32,
}

impl Summary {
    /// A metric that ended without passing a limit is a successful one, as in Argo.
    fn add(&mut self, passed: Option<&AnalysisPhase>) {
        match passed {
            Some(AnalysisPhase::Failed) => self.failed += 1,
            Some(AnalysisPhase::Inconclusive) => self.inconclusive += 1,
            Some(AnalysisPhase::Error) => self.error += 1,
            _ => self.successful += 1,
        }
    }
}

impl From<Summary> for RunSummary {
    fn from(summary: Summary) -> Self {
        let shown = |count: i32| (count > 0).then_some(count);
        Self {
            count: shown(summary.count),
            successful: shown(summary.successful),
            failed: shown(summary.failed),
            inconclusive: shown(summary.inconclusive),
            error: shown(summary.error),
            ..Self::default()
        }
    }
}
