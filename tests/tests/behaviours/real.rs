//! The same with a real Kubernetes control plane, where there is one (`.ci/real`): [`releases`] and
//! [`article`] with the rights of `deploy/` and no others, [`kills`] that nothing depends on one
//! process, [`outage`] that nothing waits for the API server, and what Argo's [`schemas`] and ours
//! keep.

#[path = "real/article.rs"]
mod article;
#[path = "real/kills.rs"]
mod kills;
#[path = "real/outage.rs"]
mod outage;
#[path = "real/releases.rs"]
mod releases;
#[path = "real/schemas.rs"]
mod schemas;
