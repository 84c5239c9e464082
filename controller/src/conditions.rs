//! The conditions.
