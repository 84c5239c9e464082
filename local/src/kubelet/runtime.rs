//! What runs containers: real [`processes`], or [`pretend`] for tests in virtual time.
//!
//! The kubelet decides (order, restarts, probes, grace); a runtime only starts, signals and tells
//! what happened.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Container, Pod};

pub mod pretend;
pub mod processes;

/// A container to be started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its pod.
    pub pod: Arc<Pod>,
    /// The container as the pod's spec has it.
    pub container: Arc<Container>,
    /// The pod's address.
    pub pod_ip: Ipv4Addr,
    /// How many runs of this container came before.
    pub attempt: u32,
}

/// Why a container could not be started; shown as its Waiting state, and tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct StartError {
    /// One CamelCase word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// What happened to a running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The runtime itself now thinks the container ready or not; probes may still say otherwise.
    Ready(bool),
    /// The container has ended.
    Exited(Exit),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 plus the signal's number if a signal ended it.
    pub code: i32,
    /// More than the code says, if anything is known.
    pub message: Option<String>,
}

/// Starts containers.
pub trait Runtime: Send + Sync + 'static {
    /// What this runtime cannot do for the pod, as a sentence with the field's path.
    fn refuse(&self, pod: &Pod) -> Option<String>;

    /// Do the probes of a manifest mean anything here?
    fn probes(&self) -> bool;

    /// Do a pod's node selector and its required node affinity keep it off this node? Where they do
    /// not, every pod fits: on one's own machine there is no other place to run.
    fn selectors(&self) -> bool;

    /// Starts a container.
    fn start(&self, start: Start) -> BoxFuture<'_, Result<Box<dyn Process>, StartError>>;

    /// The pod is gone: remove what is kept of it.
    fn forget(&self, pod: &Pod);
}

/// A running container. Dropping it ends it.
pub trait Process: Send {
    /// A name that no other run has.
    fn id(&self) -> String;

    /// What happens next. Cancel-safe. Nothing happens after the exit.
    fn next(&mut self) -> BoxFuture<'_, Happening>;

    /// Asks the container to end.
    fn terminate(&mut self) -> BoxFuture<'_, ()>;

    /// Ends the container and everything that it started.
    fn kill(&mut self) -> BoxFuture<'_, ()>;

    /// How to run a command beside the container, in its environment.
    fn exec(&self) -> Exec;
}

/// Runs a command for at most the time given; the error says how it failed.
pub type Exec =
    Arc<dyn Fn(Vec<String>, Duration) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
