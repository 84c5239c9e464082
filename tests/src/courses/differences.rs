//! Differences that are deliberate, and scenarios that are not done yet.
//!
//! `tests/courses/differences.json` names each: which row of docs/argo-compatibility.md it is, and
//! where it shows. `tests/courses/open.txt` lists scenarios that differ for no good reason.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::compare::{Difference, How};

/// A deliberate difference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deliberate {
    /// The first cell of its row in docs/argo-compatibility.md.
    pub id: String,
    /// The scenarios in which it shows; a `*` at the end stands for any rest.
    pub scenarios: Vec<String>,
    /// The fields in which it shows; a `*` at the end stands for any rest.
    pub fields: Vec<String>,
    /// The values of which it is so; every value if there are none. A value that is missing, one
    /// that is too much, or ours in the end. A `*` at the end stands for any rest.
    #[serde(default)]
    pub values: Vec<String>,
}

// === impl Deliberate ===

impl Deliberate {
    /// All of them.
    ///
    /// # Panics
    ///
    /// When the file cannot be read.
    pub fn all() -> Vec<Self> {
        let file = super::directory().join("differences.json");
        let text = std::fs::read_to_string(file).expect("the deliberate differences");
        serde_json::from_str(&text).expect("deliberate differences")
    }

    /// Whether a difference of that scenario is this one.
    pub fn covers(&self, scenario: &str, difference: &Difference) -> bool {
        let value = match &difference.how {
            How::Missing(value) | How::Unexpected(value) | How::Ends { ours: value, .. } => value,
            How::Failed(_) => return false,
        };
        fits(&self.scenarios, scenario)
            && fits(&self.fields, &difference.field)
            && (self.values.is_empty() || fits(&self.values, value))
    }
}

fn fits(patterns: &[String], text: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(begin) => text.starts_with(begin),
            None => pattern == text,
        })
}

/// What is left when the deliberate differences are taken away.
pub fn undeliberate(
    deliberate: &[Deliberate],
    scenario: &str,
    differences: Vec<Difference>,
) -> Vec<Difference> {
    let covered = |difference: &Difference| {
        deliberate
            .iter()
            .any(|one| one.covers(scenario, difference))
    };
    differences
        .into_iter()
        .filter(|difference| !covered(difference))
        .collect()
}

/// Scenarios that are known to differ, by name.
pub fn open() -> BTreeSet<String> {
    let file = super::directory().join("open.txt");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}
