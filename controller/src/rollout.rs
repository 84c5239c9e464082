//! The rollout.
