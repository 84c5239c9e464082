//! The language of `successCondition` and `failureCondition`.
//!
//! It is expr-lang v1.17 (<https://expr-lang.org/docs/language-definition>) as Argo embeds it, so
//! that the conditions of existing templates mean here what they mean there. A condition becomes
//! tokens ([`token`]), a tree ([`syntax`]) and, for one `result`, a value ([`evaluate`], with the
//! operators in [`operate`] and the functions in [`functions`]); that value must be a bool.
//!
//! Oddities that are kept on purpose: JSON numbers are floats; indexing past the end is an error,
//! so that "no data" is never mistaken for a value; `isNil` and `default` ignore their first
//! argument and look at the measured result; a condition that is not a bool is an error, not false.
//!
//! Conditions come from users, so everything is bounded: length, nesting, operators and steps.

mod evaluate;
mod functions;
mod operate;
mod predicates;
mod syntax;
mod token;
mod value;

use jiff::Timestamp;
use thiserror::Error;

pub use value::Value;

/// The longest condition, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// How deep brackets may be nested.
pub const DEEPEST: usize = 64;

/// How many operators, accesses and the like one condition may have. Each may add a level to the
/// tree, so this is what bounds the stack.
pub const MOST_OPERATORS: usize = 200;

/// How many steps one evaluation may take; making a list or a text costs its length.
pub const MOST_STEPS: u64 = 1_000_000;

/// Why a condition has no answer. Runtime texts are those of Argo's engine.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConditionError {
    /// More than [`LONGEST`] bytes.
    #[error("condition of {0} bytes is too long: at most {LONGEST} are accepted")]
    TooLong(usize),
    /// More than [`DEEPEST`] levels, or more than [`MOST_OPERATORS`] operators.
    #[error(
        "condition is too complex: at most {DEEPEST} levels and {MOST_OPERATORS} operators are accepted"
    )]
    TooComplex,
    /// More than [`MOST_STEPS`] steps.
    #[error("condition takes too long: at most {MOST_STEPS} steps are accepted")]
    TooManySteps,
    /// It is not in the language.
    #[error("{message} ({line}:{column})")]
    Syntax {
        /// What is wrong.
        message: String,
        /// In which line, from 1.
        line: usize,
        /// At which character of it, from 1.
        column: usize,
    },
    /// A name that means nothing.
    #[error("unknown name {0}")]
    UnknownName(String),
    /// It went wrong with this result.
    #[error("{0}")]
    Runtime(String),
    /// It is something else than true or false.
    #[error("expected bool, but got {0}")]
    NotBool(&'static str),
    /// It is something else than a moment.
    #[error("expected time.Time, but got {0}")]
    NotTime(&'static str),
}

// === impl ConditionError ===

impl ConditionError {
    /// What is wrong, as a measurement tells it: like Argo, without the place.
    pub fn told(&self) -> String {
        match self {
            Self::Syntax { message, .. } => message.clone(),
            other => other.to_string(),
        }
    }
}

/// Whether the condition holds for a result, at a time (`now()`).
pub fn holds(condition: &str, result: &Value, now: Timestamp) -> Result<bool, ConditionError> {
    let tree = syntax::parse(condition)?;
    match evaluate::evaluate(&tree, result, now)? {
        Value::Bool(answer) => Ok(answer),
        other => Err(ConditionError::NotBool(other.type_name())),
    }
}

/// The moment that an expression means at a time: `now() - duration("5m")`. There is no `result`.
pub fn moment(expression: &str, now: Timestamp) -> Result<Timestamp, ConditionError> {
    let tree = syntax::parse(expression)?;
    match evaluate::evaluate(&tree, &Value::Nil, now)? {
        Value::Time(moment) => Ok(moment),
        other => Err(ConditionError::NotTime(other.type_name())),
    }
}

/// Whether the condition is in the language at all; for telling people before anything runs.
pub fn check(condition: &str) -> Result<(), ConditionError> {
    syntax::parse(condition).map(drop)
}

#[cfg(test)]
mod tests;
