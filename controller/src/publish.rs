//! The publish.
