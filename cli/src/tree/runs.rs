//! AnalysisRuns with their Jobs and, where asked for, what they measured.

use crds::AnalysisRun;
use crds::analysis::run::{Measurement, MetricResult};
use crds::words::AnalysisPhase;
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::node::{Node, State, created};
use super::text::{Colour, Text};
use super::{Detail, age};

/// Where the Job provider notes the name of its Job.
const JOB_NAME: &str = "job-name";

/// The longest value or message of a measurement that is shown, in characters.
const LONGEST_VALUE: usize = 100;

/// An AnalysisRun.
pub(super) fn node(run: &AnalysisRun, detail: Detail, now: Timestamp) -> Node {
    let status = run.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_ref());
    let results = status
        .map(|status| status.metric_results.as_slice())
        .unwrap_or_default();
    let word = phase.map_or("", AnalysisPhase::as_str);
    let measurements = results.iter().flat_map(|result| &result.measurements);
    let mut children: Vec<Node> = measurements.filter_map(|one| job(one, now)).collect();
    if detail == Detail::Wide {
        children.extend(results.iter().map(|result| metric(result, now)));
    }
    Node {
        icon: "α",
        name: Text::coloured(run.name_any(), Colour::of(word)),
        kind: "AnalysisRun",
        state: state(phase),
        age: age::since(created(run), now),
        info: counts(results),
        children,
    }
}

/// The state of an analysis, a measurement or an Experiment.
pub(super) fn state(phase: Option<&AnalysisPhase>) -> State {
    let icon = match phase {
        Some(AnalysisPhase::Successful) => "✔",
        Some(AnalysisPhase::Inconclusive) => "?",
        Some(AnalysisPhase::Failed) => "✖",
        Some(AnalysisPhase::Error) => "⚠",
        Some(AnalysisPhase::Running) => "◌",
        Some(AnalysisPhase::Pending) => "◷",
        Some(AnalysisPhase::Other(_)) | None => " ",
    };
    State::new(icon, phase.map_or("", AnalysisPhase::as_str))
}

/// `✔ 4,✖ 1`: how many measurements ended how.
pub(super) fn counts(results: &[MetricResult]) -> Text {
    let sum =
        |count: fn(&MetricResult) -> Option<i32>| -> i32 { results.iter().filter_map(count).sum() };
    let counts = [
        ("✔", sum(|result| result.successful)),
        ("✖", sum(|result| result.failed)),
        ("?", sum(|result| result.inconclusive)),
        ("⚠", sum(|result| result.error)),
    ];
    let shown = counts.into_iter().filter(|(_, count)| *count > 0);
    let texts = shown.map(|(icon, count)| Text::word(icon).then(Text::plain(format!(" {count}"))));
    Text::joined(texts, ",")
}

fn job(measurement: &Measurement, now: Timestamp) -> Option<Node> {
    let name = measurement.metadata.get(JOB_NAME)?;
    let phase = &measurement.phase;
    Some(Node {
        icon: "⊞",
        name: Text::coloured(name, Colour::of(phase.as_str())),
        kind: "Job",
        state: state(Some(phase)),
        age: age::since(measurement.started_at.as_ref().map(|time| time.0), now),
        info: Text::default(),
        children: Vec::new(),
    })
}

/// A metric with its newest measurement.
fn metric(result: &MetricResult, now: Timestamp) -> Node {
    let newest = result.measurements.last();
    let measured = newest.and_then(|one| one.message.as_ref().or(one.value.as_ref()));
    let shown: String = result
        .message
        .as_ref()
        .or(measured)
        .cloned()
        .unwrap_or_default();
    let line = shown.lines().next().unwrap_or_default();
    Node {
        icon: "≈",
        name: Text::plain(&result.name),
        kind: "Metric",
        state: state(Some(&result.phase)),
        age: age::since(
            newest
                .and_then(|one| one.started_at.as_ref())
                .map(|time| time.0),
            now,
        ),
        info: Text::plain(line.chars().take(LONGEST_VALUE).collect::<String>()),
        children: Vec::new(),
    }
}
