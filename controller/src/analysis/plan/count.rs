//! A measurement is counted, by Argo's rules.

use crds::analysis::run::{AnalysisRunStatus, Measurement, MetricResult};
use crds::words::AnalysisPhase;

use crate::analysis::spec::CheckedMetric;

/// The result of a metric; it begins with the first measurement.
pub(super) fn result<'a>(
    metric: &CheckedMetric,
    status: &'a mut AnalysisRunStatus,
) -> &'a mut MetricResult {
    let results = &mut status.metric_results;
    let known = results.iter().position(|result| result.name == metric.name);
    let index = known.unwrap_or_else(|| {
        results.push(MetricResult {
            name: metric.name.clone(),
            phase: AnalysisPhase::Running,
            dry_run: metric.dry_run.then_some(true),
            ..MetricResult::default()
        });
        results.len() - 1
    });
    &mut results[index]
}

/// Adds a measurement that is over.
pub(super) fn finish(result: &mut MetricResult, measurement: Measurement) {
    tally(result, &measurement.phase);
    result.measurements.push(measurement);
}

/// Counts a measurement that is over.
pub(super) fn tally(result: &mut MetricResult, phase: &AnalysisPhase) {
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

fn bump(counter: &mut Option<i32>) {
    *counter = Some(counter.unwrap_or_default().saturating_add(1));
}
