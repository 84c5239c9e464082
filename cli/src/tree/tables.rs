//! Many Experiments, AnalysisRuns or templates, a line each.

use crds::duration::GoDuration;
use crds::{AnalysisRun, Experiment};
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::node::created;
use super::template::Template;
use super::text::{Paint, Text};
use super::{age, columns, runs};

/// Whether a table says the namespace of each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// All lines are of one namespace.
    Hidden,
    /// They stand first.
    Shown,
}

/// The table of `kubectl argo rollouts list experiments`.
pub fn experiments(all: &[Experiment], namespaces: Namespaces, now: Timestamp) -> String {
    let headings = [
        ("NAME", 10),
        ("STATUS", 6),
        ("DURATION", 8),
        ("REMAINING", 9),
        ("AGE", 3),
    ];
    let rows = all.iter().map(|one| {
        let status = one.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_ref());
        let duration = one.spec.duration.as_deref().and_then(seconds);
        let cells = vec![
            one.name_any(),
            phase.map_or_else(String::new, |phase| phase.as_str().to_owned()),
            duration.map_or_else(dash, age::human),
            duration
                .and_then(|duration| remaining(one, duration, now))
                .map_or_else(dash, age::human),
            age::since(created(one), now),
        ];
        (one.namespace(), cells)
    });
    table(&headings, rows, namespaces)
}

/// AnalysisRuns, the newest last.
pub fn analysis_runs(all: &[AnalysisRun], namespaces: Namespaces, now: Timestamp) -> String {
    let headings = [
        ("NAME", 10),
        ("STATUS", 12),
        ("METRICS", 7),
        ("STARTED-BY", 10),
        ("AGE", 3),
    ];
    let rows = all.iter().map(|run| {
        let status = run.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_ref());
        let owner = run.owner_references().first();
        let cells = vec![
            run.name_any(),
            phase.map_or_else(String::new, |phase| phase.as_str().to_owned()),
            runs::counts(status.map_or(&[], |status| &status.metric_results)).painted(Paint::Plain),
            owner.map_or_else(dash, |owner| format!("{}/{}", owner.kind, owner.name)),
            age::since(created(run), now),
        ];
        (run.namespace(), cells)
    });
    table(&headings, rows, namespaces)
}

/// AnalysisTemplates and ClusterAnalysisTemplates.
pub fn templates(all: &[Template], namespaces: Namespaces, now: Timestamp) -> String {
    let headings = [
        ("NAME", 10),
        ("KIND", 16),
        ("METRICS", 7),
        ("ARGS", 4),
        ("AGE", 3),
    ];
    let rows = all.iter().map(|template| {
        let names = |names: Vec<&str>| {
            if names.is_empty() {
                dash()
            } else {
                names.join(",")
            }
        };
        let spec = &template.spec;
        let cells = vec![
            template.name.clone(),
            template.kind.to_owned(),
            names(
                spec.metrics
                    .iter()
                    .map(|metric| metric.name.as_str())
                    .collect(),
            ),
            names(
                spec.args
                    .iter()
                    .map(|argument| argument.name.as_str())
                    .collect(),
            ),
            age::since(template.created, now),
        ];
        (template.namespace.clone(), cells)
    });
    table(&headings, rows, namespaces)
}

/// Each column with its heading and its least width, as Argo pads its cells.
fn table(
    headings: &[(&str, usize)],
    lines: impl Iterator<Item = (Option<String>, Vec<String>)>,
    namespaces: Namespaces,
) -> String {
    let with_namespace = |namespace: String, cells: Vec<Text>| match namespaces {
        Namespaces::Hidden => cells,
        Namespaces::Shown => std::iter::once(Text::plain(namespace))
            .chain(cells)
            .collect(),
    };
    let titles = headings
        .iter()
        .map(|(title, _)| Text::plain(*title))
        .collect();
    let mut rows = vec![with_namespace("NAMESPACE".to_owned(), titles)];
    for (namespace, cells) in lines {
        let padded = cells
            .into_iter()
            .zip(headings)
            .map(|(cell, (_, width))| Text::plain(format!("{cell:<width$}")))
            .collect();
        let namespace = namespace.unwrap_or_else(dash);
        rows.push(with_namespace(format!("{namespace:<9}"), padded));
    }
    columns::aligned(&rows, Paint::Plain)
}

fn seconds(text: &str) -> Option<i64> {
    let duration = GoDuration::parse(text).ok()?.to_std()?;
    i64::try_from(duration.as_secs()).ok()
}

/// What is left of an Experiment that runs.
fn remaining(one: &Experiment, duration: i64, now: Timestamp) -> Option<i64> {
    let status = one.status.as_ref()?;
    let is_over = status
        .phase
        .as_ref()
        .is_some_and(crds::words::AnalysisPhase::is_completed);
    let began = status.available_at.as_ref().filter(|_| !is_over)?.0;
    let left = duration - now.duration_since(began).as_secs();
    (left > 0).then_some(left)
}

fn dash() -> String {
    "-".to_owned()
}
