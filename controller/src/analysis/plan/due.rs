//! When a metric is measured next.

use crds::analysis::run::{AnalysisRunStatus, MetricResult};
use crds::words::AnalysisPhase;
use jiff::{SignedDuration, Timestamp};

use crate::analysis::spec::CheckedMetric;

/// The wait after an error, whatever the interval.
const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// What was measured of a metric so far.
pub(super) fn result<'a>(status: &'a AnalysisRunStatus, name: &str) -> Option<&'a MetricResult> {
    status
        .metric_results
        .iter()
        .find(|result| result.name == name)
}

/// When the metric is due; `None` where it is not measured any more. A past time is now.
pub(super) fn at(
    metric: &CheckedMetric,
    status: &AnalysisRunStatus,
    terminating: bool,
) -> Option<Timestamp> {
    if terminating {
        return None;
    }
    let result = result(status, &metric.name);
    let Some(last) = result.and_then(|result| result.measurements.last()) else {
        return first(metric, status);
    };
    let result = result.filter(|result| !result.phase.is_completed())?;
    if !last.phase.is_completed() {
        return None;
    }
    let count = i64::from(result.count.unwrap_or_default());
    if metric.count.is_some_and(|most| count >= most) {
        return None;
    }
    let interval = match last.phase {
        AnalysisPhase::Error => RETRY,
        _ => metric.interval.unwrap_or(RETRY),
    };
    let finished = last.finished_at.as_ref().or(last.started_at.as_ref())?.0;
    finished.saturating_add(interval).ok()
}

/// The first measurement is at once, or when the delay after the start is over. The start is noted
/// at the end of the first look, so a run with a delay is never measured in that look.
fn first(metric: &CheckedMetric, status: &AnalysisRunStatus) -> Option<Timestamp> {
    let Some(delay) = metric.initial_delay else {
        return Some(Timestamp::MIN);
    };
    let Some(started) = &status.started_at else {
        return Some(Timestamp::MAX);
    };
    started.0.saturating_add(delay).ok()
}

/// Whether the metric was measured before and is not decided.
pub(super) fn is_running(metric: &CheckedMetric, status: &AnalysisRunStatus) -> bool {
    result(status, &metric.name)
        .is_some_and(|result| !result.phase.is_completed() && !result.measurements.is_empty())
}
