//! The life of a release.
//!
//! A Rollout is looked at whenever something about it changes ([`watch`]). A look **observes** what
//! is ([`observe`]), checks the **spec** ([`spec`]), makes a **plan** ([`plan`]) and **applies** it
//! ([`apply`]): services, traffic, analysis, scaling, and last the status. Each part is told only
//! what the one before it found, and only the first and the last know that there is a cluster.

mod watch;

pub mod apply;
mod caches;
mod events;
mod merge;
pub mod observe;
pub mod plan;
pub mod spec;
pub mod workload;

pub mod hash;
pub mod names;

#[cfg(test)]
mod tests;

pub use watch::{run, work};
