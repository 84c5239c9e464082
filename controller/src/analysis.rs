//! The analysis.

pub mod compose;
