//! What several recordings of one scenario have in common, and what they do not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::course::Course;
use super::scenario::Scenario;

/// What is expected of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The digest of the scenario that was played.
    pub scenario: String,
    /// How often it was recorded.
    pub recordings: usize,
    /// What is expected of each field.
    pub fields: BTreeMap<String, Field>,
}

/// What is expected of a field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Values that came in this order in every recording.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Other values that came in some recording.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed: BTreeSet<String>,
    /// The value in the end, where all recordings agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Whether the field is one of those that are compared at the end only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end_only: bool,
}

// === impl Expected ===

impl Expected {
    /// Unites recordings.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn of(scenario: &Scenario, courses: &[Course]) -> Self {
        assert!(!courses.is_empty(), "no recordings of {}", scenario.name);
        let followed = courses.iter().flat_map(|course| course.sequences.keys());
        let ends = courses.iter().flat_map(|course| course.end.keys());
        let names: BTreeSet<&String> = followed.chain(ends).collect();
        let fields = names
            .into_iter()
            .map(|name| (name.clone(), Field::of(name, courses)));
        Self {
            scenario: scenario.digest.clone(),
            recordings: courses.len(),
            fields: fields.collect(),
        }
    }

    /// What was recorded of a scenario.
    pub fn load(scenario: &Scenario) -> Option<Self> {
        let text = std::fs::read_to_string(file(scenario)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes it down.
    ///
    /// # Panics
    ///
    /// When that cannot be done.
    pub fn save(&self, scenario: &Scenario) {
        // One line for each field, so that a change can be read in a diff.
        let lines: Vec<String> = self
            .fields
            .iter()
            .map(|(name, field)| {
                let field = serde_json::to_string(field).expect("JSON");
                format!("{}:{field}", serde_json::json!(name))
            })
            .collect();
        let lines = format!(
            "{{\"scenario\":\"{}\",\"recordings\":{},\"fields\":{{\n{}\n}}}}\n",
            self.scenario,
            self.recordings,
            lines.join(",\n"),
        );
        std::fs::write(file(scenario), lines).expect("a writable file");
    }
}

fn file(scenario: &Scenario) -> PathBuf {
    let recorded = super::directory().join("recorded");
    recorded.join(format!("{}.json", scenario.name))
}

// === impl Field ===

impl Field {
    fn of(name: &str, courses: &[Course]) -> Self {
        let empty = Vec::new();
        let sequences: Vec<&Vec<String>> = courses
            .iter()
            .map(|course| course.sequences.get(name).unwrap_or(&empty))
            .collect();
        let (first, rest) = sequences.split_first().expect("recordings");
        let required = rest
            .iter()
            .fold((*first).clone(), |common, other| in_common(&common, other));
        let all: BTreeSet<String> = sequences.iter().flat_map(|s| s.iter().cloned()).collect();
        let allowed = all
            .into_iter()
            .filter(|value| !required.contains(value))
            .collect();
        let ends: BTreeSet<Option<&String>> =
            courses.iter().map(|course| course.end.get(name)).collect();
        let end = if ends.len() == 1 {
            ends.into_iter().next().flatten().cloned()
        } else {
            None
        };
        Self {
            required,
            allowed,
            end,
            end_only: sequences.iter().all(|sequence| sequence.is_empty()),
        }
    }
}

/// A longest common subsequence.
pub(super) fn in_common(one: &[String], other: &[String]) -> Vec<String> {
    let width = other.len() + 1;
    // lengths[i * width + j]: how long it is for one[i..] and other[j..].
    let mut lengths = vec![0_usize; (one.len() + 1) * width];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            lengths[i * width + j] = if one[i] == other[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut common) = (0, 0, Vec::new());
    while i < one.len() && j < other.len() {
        if one[i] == other[j] {
            common.push(one[i].clone());
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_recurs_everywhere_is_required_and_the_rest_allowed() {
        let course = |text: &str, end: &str| Course {
            sequences: BTreeMap::from([("f".to_owned(), words(text))]),
            end: BTreeMap::from([("f".to_owned(), end.to_owned())]),
            failure: None,
        };
        let courses = [
            course("a b c d", "d"),
            course("a c x d", "d"),
            course("a b c d", "d"),
        ];
        let field = Field::of("f", &courses);
        assert_eq!(field.required, words("a c d"));
        assert_eq!(field.allowed, words("b x").into_iter().collect());
        assert_eq!(field.end.as_deref(), Some("d"));
        let courses = [course("a", "a"), Course::default()];
        let field = Field::of("f", &courses);
        assert_eq!((field.required.len(), field.end), (0, None));
    }
}
