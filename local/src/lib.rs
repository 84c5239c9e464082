//! A Kubernetes small enough to carry along: for `sluice up`, the demo and the tests. Production
//! never links it.
//!
//! The story, in the order of the modules: a request enters the [`api`] server through one of its
//! two doors (in-process or a loopback port), changes the store, and every watcher hears of it.
//! The [`controllers`] turn ReplicaSets into Pods, Pods into EndpointSlices and Jobs into Pods. The
//! [`kubelet`] runs each Pod's containers as local processes. [`clock`] tells all of them the time.

pub mod api;
pub mod controllers;
pub mod kubelet;

pub mod clock;
