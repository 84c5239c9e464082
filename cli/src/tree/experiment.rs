//! An Experiment: as a branch of its Rollout's tree, and alone with some lines about it.

use crds::Experiment;
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::node::{Node, created};
use super::text::{Colour, Text};
use super::{
    Detail, LABEL, Look, TreeInput, age, columns, images, line, runs, runs_of, sets, sets_of,
};
use super::{heading, revision};

/// The Experiment with its ReplicaSets, Pods and AnalysisRuns.
pub(super) fn node(input: &TreeInput, one: &Experiment, detail: Detail, now: Timestamp) -> Node {
    let state = runs::state(one.status.as_ref().and_then(|status| status.phase.as_ref()));
    let mut sets: Vec<_> = sets_of(input, one).collect();
    sets.sort_by_key(|set| (std::cmp::Reverse(revision(*set)), set.name_any()));
    let runs = runs_of(input, one);
    let sets = sets.iter().map(|set| sets::node(input, set, &[], now));
    Node {
        icon: "Σ",
        name: Text::coloured(one.name_any(), Colour::of(&state.word)),
        kind: "Experiment",
        age: age::since(created(one), now),
        info: Text::default(),
        children: sets
            .chain(runs.iter().map(|run| runs::node(run, detail, now)))
            .collect(),
        state,
    }
}

/// The lines about an Experiment and its tree, as `kubectl argo rollouts get experiment`.
pub fn render(input: &TreeInput, one: &Experiment, look: Look, now: Timestamp) -> String {
    let status = one.status.as_ref();
    let state = runs::state(status.and_then(|status| status.phase.as_ref()));
    let mut lines = vec![
        ("Name:", Text::plain(one.name_any())),
        (
            "Namespace:",
            Text::plain(one.namespace().unwrap_or_default()),
        ),
        ("Status:", state.text()),
    ];
    let message = status.and_then(|status| status.message.as_ref());
    lines.extend(message.map(|message| ("Message:", Text::plain(message))));
    let labels = std::iter::once("Images:").chain(std::iter::repeat(""));
    lines.extend(labels.zip(images::of_experiment(input, one)));
    let head: String = lines
        .into_iter()
        .map(|(label, text)| line(label, &text, LABEL, look.paint))
        .collect();
    let mut rows = vec![heading()];
    rows.extend(node(input, one, look.detail, now).rows());
    format!("{head}\n{}", columns::aligned(&rows, look.paint))
}
