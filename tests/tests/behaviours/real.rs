//! The same with a real Kubernetes control plane, where there is one (`.ci/real`): [`releases`] and
//! [`article`] with the rights of `deploy/` and no others, [`kills`] and [`leaders`] that nothing depends
//! on one process, [`outage`] that nothing waits for the API server. Beside Argo's own controller:
//! [`interchange`] of a [`release`], who acts when they are [`beside`] each other, what Argo's
//! [`plugin`] says, and what the [`schemas`] of both keep.

#[path = "real/article.rs"]
mod article;
#[path = "real/beside.rs"]
mod beside;
#[path = "real/interchange.rs"]
mod interchange;
#[path = "real/kills.rs"]
mod kills;
#[path = "real/leaders.rs"]
mod leaders;
#[path = "real/outage.rs"]
mod outage;
#[path = "real/plugin.rs"]
mod plugin;
#[path = "real/release.rs"]
mod release;
#[path = "real/releases.rs"]
mod releases;
#[path = "real/schemas.rs"]
mod schemas;
