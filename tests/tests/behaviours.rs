//! Behaviours across crates: real proxies, a real controller and real pods, each a process of its
//! own, on an API server in this one.
//!
//! In the order of what they show: [`article`] the example that people will try first, [`releases`]
//! a good release and a bad one under traffic, [`kills`] what a SIGKILL changes (nothing),
//! [`certificates`] a configuration that is refused, [`orphans`] that nothing outlives `sluice`,
//! [`prometheus`] a release judged from outside,
//! [`courses`] that the controller does what Argo's does, that the [`manifests`] for people say what
//! the programs take, who gets into the [`uplink`], and [`real`] what holds on a real control plane, where there is one.
//! That a canary which accepts and never answers is taken to 0 in time is shown on a real proxy in
//! its own crate: `a_canary_that_never_answers_is_at_zero_within_its_age_threshold_and_a_second`.

#[path = "behaviours/article.rs"]
mod article;
#[path = "behaviours/certificates.rs"]
mod certificates;
#[path = "behaviours/courses.rs"]
mod courses;
#[path = "behaviours/kills.rs"]
mod kills;
#[path = "behaviours/manifests.rs"]
mod manifests;
#[path = "behaviours/orphans.rs"]
mod orphans;
#[path = "behaviours/prometheus.rs"]
mod prometheus;
#[path = "behaviours/real.rs"]
mod real;
#[path = "behaviours/releases.rs"]
mod releases;
#[path = "behaviours/uplink.rs"]
mod uplink;

use std::path::Path;

/// The program that all processes of these tests are.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sluice-under-test"))
}

/// The example that the documentation shows.
fn example() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/examples/production-ready.yaml"
    ))
}

/// Every cluster that may run at the same time as others has a number of its own.
mod number {
    pub(crate) const ARTICLE: u8 = 0;
    pub(crate) const ARTICLE_UNDER_TRAFFIC: u8 = 1;
    pub(crate) const RELEASES: u8 = 2;
    pub(crate) const WEIGHTS_KEPT: u8 = 3;
    pub(crate) const FUSE_ALONE: u8 = 4;
    pub(crate) const UNDISTURBED: u8 = 5;
    pub(crate) const KILLED: u8 = 6;
    pub(crate) const CERTIFICATES: u8 = 7;
    pub(crate) const ORPHANS: u8 = 8;
    pub(crate) const PROMETHEUS: u8 = 9;
}
