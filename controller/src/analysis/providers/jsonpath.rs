//! JSONPath in the dialect of kubectl, in which the `jsonPath` of web metrics is written.
//!
//! It is older than RFC 9535 and differs from it: a path stands in braces, text around them is text,
//! `$` may be left out, a name that is not there is an error, and `{range …}{end}` repeats. A text
//! becomes [`Part`]s ([`parse`]), and those find values ([`find`]).
//!
//! Paths come from users and documents from servers, so both are bounded.

mod find;
mod parse;

use serde_json::Value;
use thiserror::Error;

/// The longest path, in bytes.
pub const LONGEST: usize = 4 * 1024;

/// How deep filters may be nested.
const DEEPEST: usize = 16;

/// How many values one look may touch.
const MOST_STEPS: usize = 1_000_000;

/// A path that can be looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    parts: Vec<Part>,
}

/// Why a path cannot be read, or finds nothing. The texts are those of Kubernetes' library where it
/// has one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct PathError(pub String);

/// Text, or a path in braces.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Vec<Node>),
}

/// One move of a path.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// A literal: it takes the place of every value.
    Literal(Value),
    /// A quoted text: it takes the place of all values.
    Text(String),
    Field(String),
    Slice(Slice),
    Filter(Box<Filter>),
    Wildcard,
    Recursive,
    Union(Vec<Vec<Node>>),
    Range,
    End,
    /// A word that means nothing.
    Unknown(String),
}

/// `[from:to:step]`; an index is a slice of one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    from: Option<i64>,
    to: To,
    step: Option<i64>,
}

/// Where a slice ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    /// With the list.
    Open,
    At(i64),
    /// After the one element that an index names.
    AfterIndex(i64),
}

/// `[?(left operator right)]`; without an operator, what has a left.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Vec<Node>,
    comparison: Option<(String, Vec<Node>)>,
}

// === impl JsonPath ===

impl JsonPath {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > LONGEST {
            let length = text.len();
            return Err(error(format!(
                "a path of {length} bytes is too long: at most {LONGEST} are accepted"
            )));
        }
        if !text.contains('{') {
            return Err(error(format!(
                "the path {text:?} is not in braces: {{{text}}} is accepted"
            )));
        }
        let parts = parse::parse(text, 0)?;
        Ok(Self { parts })
    }

    /// The first value that the path finds; `None` where it finds nothing and nothing is wrong.
    pub fn first(&self, document: &Value) -> Result<Option<Value>, PathError> {
        let found = find::all(&self.parts, document)?;
        Ok(found.into_iter().flatten().next())
    }
}

fn error(text: impl Into<String>) -> PathError {
    PathError(text.into())
}

#[cfg(test)]
mod tests;
