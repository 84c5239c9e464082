//! Analysis: AnalysisRuns are measured until they are decided.
//!
//! A Rollout starts a run whose spec is put together from templates ([`compose`]). A run is looked
//! at whenever it changes or something of it is due ([`watch`]): its arguments are filled in
//! ([`arguments`]), its spec is checked ([`spec`]), and a **plan** ([`plan`]) says which metrics are to
//! be measured, and what the measurements make of the run's status. The proxies' counts are in memory;
//! everything else is measured by tasks of their own ([`measure`]), with [`providers`] that ask
//! servers or start Jobs ([`jobs`]). The plan is pure; status is the state.
//!
//! Whatever is told to people has Secrets taken out ([`redact`]).

pub mod compose;

pub mod watch;

pub mod arguments;
pub mod spec;

pub mod measure;
pub mod providers;

mod jobs;

pub mod judge;
pub mod plan;

pub mod redact;

pub use measure::Means;
pub use spec::unsupported_provider;
pub use watch::{Setup, run, work};
