//! A Rollout and all that belongs to it, as people read it: some lines about the Rollout, then a
//! tree of its revisions, their ReplicaSets and Pods, Experiments and AnalysisRuns.
//!
//! The text is that of `kubectl argo rollouts get rollout`, so that eyes and scripts that know the
//! one know the other. Where a line ends in blanks there, it does not here. [`list`] is the table of
//! many Rollouts. An [`experiment`], a [`run`] and a [`template`] are shown alone as well, and many
//! of them in [`tables`].
//!
//! All of it is a pure function of the objects and the time.

pub mod experiment;
pub mod list;
pub mod phase;
pub mod run;
pub mod tables;
pub mod template;
pub mod weight;

mod age;
mod columns;
mod images;
mod node;
mod pods;
mod runs;
mod sets;
mod text;

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::{AnalysisRun, Experiment, Rollout};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt as _};

use node::{Node, State, annotation, created};
use phase::Phase;
use text::Text;
use weight::Progress;

pub use text::Paint;

/// The number of a revision.
const REVISION: &str = "rollout.argoproj.io/revision";

/// The width of the labels above the tree.
const LABEL: usize = 17;

/// What a tree is made from. Objects that do not belong to the Rollout are left out of it.
#[derive(Clone, Debug, Default)]
pub struct TreeInput {
    /// The Rollout.
    pub rollout: Rollout,
    /// ReplicaSets of its namespace.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// Pods of its namespace.
    pub pods: Vec<Arc<Pod>>,
    /// Experiments of its namespace.
    pub experiments: Vec<Arc<Experiment>>,
    /// AnalysisRuns of its namespace.
    pub analysis_runs: Vec<Arc<AnalysisRun>>,
}

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What Argo shows.
    Usual,
    /// And the metrics of AnalysisRuns, each with what it measured last.
    Wide,
}

/// How a tree is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// How much.
    pub detail: Detail,
    /// In which colours.
    pub paint: Paint,
}

/// The lines about the Rollout and its tree.
pub fn render(input: &TreeInput, look: Look, now: Timestamp) -> String {
    let mut rows = vec![heading()];
    rows.extend(root(input, look.detail, now).rows());
    let tree = columns::aligned(&rows, look.paint);
    format!("{}\n{tree}", head(input, look.paint))
}

fn head(input: &TreeInput, paint: Paint) -> String {
    let rollout = &input.rollout;
    let phase = Phase::of(rollout);
    let mut lines = vec![
        ("Name:", Text::plain(rollout.name_any())),
        (
            "Namespace:",
            Text::plain(rollout.namespace().unwrap_or_default()),
        ),
        ("Status:", State::new(phase.icon(), &phase.word).text()),
    ];
    if !phase.message.is_empty() {
        lines.push(("Message:", Text::plain(phase.message)));
    }
    lines.extend(strategy(input));
    let labels = std::iter::once("Images:").chain(std::iter::repeat(""));
    lines.extend(labels.zip(images::lines(input)));
    lines.push(("Replicas:", Text::default()));
    lines.extend(replicas(rollout).map(|(label, count)| (label, Text::plain(count.to_string()))));
    lines
        .into_iter()
        .map(|(label, text)| line(label, &text, LABEL, paint))
        .collect()
}

/// The headings of a tree.
fn heading() -> Vec<Text> {
    ["NAME", "KIND", "STATUS", "AGE", "INFO"]
        .map(Text::plain)
        .to_vec()
}

/// A line above a tree: a label and what it is about.
fn line(label: &str, text: &Text, width: usize, paint: Paint) -> String {
    let line = format!("{label:<width$}{}", text.painted(paint));
    format!("{}\n", line.trim_end())
}

fn strategy(input: &TreeInput) -> Vec<(&'static str, Text)> {
    let Some(progress) = Progress::of(&input.rollout) else {
        let strategy = input.rollout.spec.strategy.as_ref();
        let is_blue_green = strategy.is_some_and(|strategy| strategy.blue_green.is_some());
        let name = if is_blue_green { "BlueGreen" } else { "" };
        return vec![("Strategy:", Text::plain(name))];
    };
    let actual = progress.actual_weight(sets_of(input, &input.rollout));
    vec![
        ("Strategy:", Text::plain("Canary")),
        ("  Step:", Text::plain(progress.step().unwrap_or_default())),
        (
            "  SetWeight:",
            Text::plain(progress.set_weight().to_string()),
        ),
        ("  ActualWeight:", Text::plain(actual.to_string())),
    ]
}

fn replicas(rollout: &Rollout) -> [(&'static str, i32); 5] {
    let status = rollout.status.clone().unwrap_or_default();
    [
        ("  Desired:", rollout.spec.replicas.unwrap_or(1)),
        ("  Current:", status.replicas.unwrap_or_default()),
        ("  Updated:", status.updated_replicas.unwrap_or_default()),
        ("  Ready:", status.ready_replicas.unwrap_or_default()),
        (
            "  Available:",
            status.available_replicas.unwrap_or_default(),
        ),
    ]
}

fn root(input: &TreeInput, detail: Detail, now: Timestamp) -> Node {
    let rollout = &input.rollout;
    let phase = Phase::of(rollout);
    let of_sets = sets_of(input, rollout).map(revision);
    let of_experiments = experiments_of(input).into_iter().map(revision);
    let of_runs = runs_of(input, rollout).into_iter().map(revision);
    let revisions: BTreeSet<i64> = of_sets.chain(of_experiments).chain(of_runs).collect();
    let branch = |number: &i64| branch(input, *number, detail, now);
    Node {
        icon: "⟳",
        name: Text::plain(rollout.name_any()),
        kind: "Rollout",
        state: State::new(phase.icon(), phase.word),
        age: age::since(created(rollout), now),
        info: Text::default(),
        children: revisions.iter().rev().map(branch).collect(),
    }
}

/// A revision and what belongs to it.
fn branch(input: &TreeInput, number: i64, detail: Detail, now: Timestamp) -> Node {
    let mut sets: Vec<_> = sets_of(input, &input.rollout)
        .filter(|set| revision(*set) == number)
        .collect();
    sets.sort_by_key(|set| set.name_any());
    let experiments = experiments_of(input)
        .into_iter()
        .filter(|one| revision(*one) == number);
    let runs = runs_of(input, &input.rollout)
        .into_iter()
        .filter(|run| revision(*run) == number);
    let mut children: Vec<Node> = Vec::new();
    children.extend(
        sets.iter()
            .map(|set| sets::node(input, set, &sets::tags(input, set), now)),
    );
    children.extend(experiments.map(|one| experiment::node(input, one, detail, now)));
    children.extend(runs.map(|run| runs::node(run, detail, now)));
    Node {
        icon: "#",
        name: Text::plain(format!("revision:{number}")),
        kind: "",
        state: State::none(),
        age: String::new(),
        info: Text::default(),
        children,
    }
}

/// The ReplicaSets that an object owns.
fn sets_of<'a>(
    input: &'a TreeInput,
    owner: &'a impl Resource,
) -> impl Iterator<Item = &'a ReplicaSet> {
    let uid = owner.meta().uid.as_deref();
    let sets = input.replica_sets.iter().map(Arc::as_ref);
    sets.filter(move |set| owned_by(*set, uid))
}

/// The Rollout's Experiments, the oldest first.
fn experiments_of(input: &TreeInput) -> Vec<&Experiment> {
    let uid = input.rollout.metadata.uid.as_deref();
    let mut experiments: Vec<&Experiment> = input.experiments.iter().map(Arc::as_ref).collect();
    experiments.retain(|one| owned_by(*one, uid));
    experiments.sort_by_key(|one| (created(*one), one.name_any()));
    experiments
}

/// The AnalysisRuns that an object owns, the oldest first.
fn runs_of<'a>(input: &'a TreeInput, owner: &impl Resource) -> Vec<&'a AnalysisRun> {
    let uid = owner.meta().uid.as_deref();
    let mut runs: Vec<&AnalysisRun> = input.analysis_runs.iter().map(Arc::as_ref).collect();
    runs.retain(|run| owned_by(*run, uid));
    runs.sort_by_key(|run| (created(*run), std::cmp::Reverse(run.name_any())));
    runs
}

fn owned_by(object: &impl Resource, uid: Option<&str>) -> bool {
    let mut owners = object.meta().owner_references.iter().flatten();
    uid.is_some_and(|uid| owners.any(|owner| owner.uid == uid))
}

fn revision(object: &impl Resource) -> i64 {
    let number = annotation(object, REVISION).and_then(|text| text.parse().ok());
    number.unwrap_or_default()
}

#[cfg(test)]
mod tests;
