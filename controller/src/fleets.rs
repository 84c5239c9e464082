//! The fleets.
