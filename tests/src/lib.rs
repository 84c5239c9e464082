//! What the behaviours across crates are told with: a [`site`] is a whole cluster with its
//! controller and proxies as processes, [`objects`] what is on it, [`shop`] an application, [`load`] its users,
//! [`real`] the same on a real control plane, [`secured`] a controller that asks proxies who they are,
//! [`kubectl`] and [`up`] what people type. [`http`] asks one question, [`processes`] knows who
//! descends from whom, and [`wait`] waits for something to become true and for nothing else.
//!
//! [`courses`] is the differential test: what Argo's controller does in a scenario, and whether ours
//! does the same.

pub mod site;

pub mod objects;
pub mod shop;

pub mod load;

pub mod real;

pub mod secured;

pub mod kubectl;
pub mod up;

pub mod courses;

pub mod http;
pub mod processes;
pub mod prometheus;
pub mod wait;
