//! sluice-controller: takes Rollouts through their steps.
//!
//! The life of a release: watch → **observe** (read what is) → **spec** (a checked strategy or
//! every error at once) → **plan** (pure: strategy, observed, now → actions and next status) →
//! **apply** (in a fixed order) → **status**. The modules stand in the order of that story.

pub mod analysis;
pub mod args;
pub mod authority;
pub mod caches;
pub mod conditions;
pub mod fetch;
pub mod fleets;
pub mod grants;
pub mod leader;
pub mod publish;
pub mod queue;
pub mod rollout;
pub mod run;
pub mod status_server;
pub mod traffic;
pub mod uplink_server;

pub mod client;
pub mod kit;
pub mod metrics;
mod patience;

pub mod clock;
