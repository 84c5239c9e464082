//! Analysis: AnalysisRuns are measured until they are decided.
//!
//! A Rollout starts a run whose spec is put together from templates ([`compose`]). A run is looked
//! at whenever it changes or something of it is due ([`watch`]): its arguments are filled in
//! ([`arguments`]), its spec is checked ([`spec`]), its [`providers`] look at what there is to
//! measure, and a **plan** ([`plan`]) says what that makes of the run's status: which measurements
//! were due, and what they decide. The plan is pure; status is the state.

pub mod compose;

pub mod watch;

pub mod arguments;
pub mod spec;

pub mod providers;

pub mod plan;

pub use spec::unsupported_provider;
pub use watch::run;
