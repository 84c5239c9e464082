//! What is wrong, and where: every error of a document with the JSON path of its value.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::shown;
use crate::limits::{MAX_NACK_ERRORS, MAX_NAME_BYTES};
use crate::proto;

/// One error of a routing configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub struct ConfigError {
    /// Where: a JSON path such as `routes[0].matches[1].path.prefix`; empty for the whole document.
    pub path: String,
    /// What is wrong, the value and what would be accepted.
    pub message: String,
}

/// Where a check stands in the document. A chain of borrowed steps, so that a document without
/// errors costs no allocation for its paths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

/// Collects errors while a check goes on to the next value.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    errors: Vec<ConfigError>,
    /// Errors beyond [`MAX_ERRORS`].
    left_out: usize,
}

/// Errors that are kept; beyond it they are counted. Nobody reads more, and a large document in which
/// everything is wrong would need many times its own memory.
const MAX_ERRORS: usize = 1_000;

/// A suggestion compares a wrong name with every right one; after this many errors nobody reads
/// suggestions any more, and a hostile document cannot buy quadratic work with them.
const MAX_ERRORS_WITH_SUGGESTIONS: usize = 100;

/// Names less alike than this (Jaro-Winkler, 0 to 1) are no suggestion.
const LIKENESS: f64 = 0.8;

/// Errors as they travel in a Nack: the first [`MAX_NACK_ERRORS`], and how many more there are.
pub fn errors_for_wire(errors: &[ConfigError]) -> Vec<proto::ConfigError> {
    let mut wire: Vec<_> = errors
        .iter()
        .take(MAX_NACK_ERRORS)
        .cloned()
        .map(proto::ConfigError::from)
        .collect();
    if errors.len() > MAX_NACK_ERRORS {
        wire.push(proto::ConfigError {
            path: String::new(),
            message: format!("and at least {} more", errors.len() - MAX_NACK_ERRORS),
        });
    }
    wire
}

/// The candidate that `wrong` was probably meant to be.
pub(crate) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Longer ones are no names, and comparing takes the product of both lengths.
    let short = |name: &str| name.len() <= MAX_NAME_BYTES;
    candidates
        .into_iter()
        .filter(|candidate| short(candidate) && short(wrong))
        .map(|candidate| (strsim::jaro_winkler(wrong, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl From<ConfigError> for proto::ConfigError {
    fn from(error: ConfigError) -> Self {
        Self {
            path: error.path,
            message: error.message,
        }
    }
}

impl From<proto::ConfigError> for ConfigError {
    fn from(wire: proto::ConfigError) -> Self {
        Self {
            path: wire.path,
            message: wire.message,
        }
    }
}

// === impl Path ===

impl<'a> Path<'a> {
    pub(crate) const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    pub(crate) fn field(&'a self, name: &'a str) -> Path<'a> {
        self.then(Step::Field(name))
    }

    /// A key that the document's author chose: always quoted, because names contain `/` and `.`.
    pub(crate) fn key(&'a self, name: &'a str) -> Path<'a> {
        self.then(Step::Key(name))
    }

    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        self.then(Step::Index(index))
    }

    fn then(&'a self, step: Step<'a>) -> Path<'a> {
        Path {
            parent: Some(self),
            step,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let first = self
            .parent
            .is_none_or(|parent| matches!(parent.step, Step::Root));
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if first => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Key(name) => write!(f, "[{}]", shown(name)),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

// === impl Faults ===

impl Faults {
    pub(crate) fn add(&mut self, path: &Path<'_>, message: impl Into<String>) {
        if self.errors.len() >= MAX_ERRORS {
            self.left_out += 1;
            return;
        }
        self.errors.push(ConfigError {
            path: path.to_string(),
            message: message.into(),
        });
    }

    /// The value, or `None` with the error noted.
    pub(crate) fn take<T>(&mut self, path: &Path<'_>, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(path, message)).ok()
    }

    /// `, did you mean …?` where a candidate is near.
    pub(crate) fn suggestion<'a>(
        &self,
        wrong: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> String {
        if self.errors.len() >= MAX_ERRORS_WITH_SUGGESTIONS {
            return String::new();
        }
        nearest(wrong, candidates)
            .map(|near| format!(", did you mean `{near}`?"))
            .unwrap_or_default()
    }

    /// Ok where nothing was noted.
    pub(crate) fn finish(mut self) -> Result<(), Vec<ConfigError>> {
        if self.left_out > 0 {
            self.errors.push(ConfigError {
                path: String::new(),
                message: format!("and {} more errors", self.left_out),
            });
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(self.errors)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_json_paths() {
        let routes = Path::ROOT.field("routes");
        let first = routes.index(0);
        assert_eq!(first.field("name").to_string(), "routes[0].name");
        let splits = Path::ROOT.field("splits");
        let split = splits.key("default/my-app");
        assert_eq!(
            split.field("salt").to_string(),
            "splits[\"default/my-app\"].salt"
        );
        assert_eq!(Path::ROOT.to_string(), "");
    }

    #[test]
    fn errors_beyond_the_bound_are_counted() {
        let mut faults = Faults::default();
        for _ in 0..1_005 {
            faults.add(&Path::ROOT, "wrong");
        }
        let errors = faults.finish().expect_err("errors were added");
        assert_eq!(errors.len(), 1_001);
        assert_eq!(errors[1_000].to_string(), "and 5 more errors");
    }

    #[test]
    fn suggestions_are_for_likely_slips_only() {
        let names = ["stable-5b7d", "canary-66c8"];
        assert_eq!(nearest("canary-66c9", names), Some("canary-66c8"));
        assert_eq!(nearest("web", names), None);
        let long = "c".repeat(254);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }

    #[test]
    fn a_nack_carries_a_bounded_number_of_errors() {
        let error = ConfigError {
            path: "routes".into(),
            message: "wrong".into(),
        };
        assert_eq!(errors_for_wire(&vec![error.clone(); 100]).len(), 100);
        let wire = errors_for_wire(&vec![error; 103]);
        assert_eq!(wire.len(), 101);
        assert_eq!(wire[100].message, "and at least 3 more");
    }
}
