//! sluice-proxy: splits an application's traffic between stable and canary, and measures both.
//!
//! The life of a request: accept → TLS → **route** (which rule) → **split** (which backend, that is
//! which revision) → **cluster** (which endpoint) → **upstream** (this worker's own connections) →
//! relay bodies → **observe** → perhaps retry. The modules stand in that order; the control side
//! (configuration, uplink, fuse, metrics, drain) follows.

pub mod accept;
pub mod access_log;
pub mod clock;
mod cluster;
mod error;
mod forward;
pub mod observe;
pub mod random;
mod relay;
mod request;
mod respond;
pub mod route;
pub mod snapshot;
mod split;
pub mod state;
#[cfg(test)]
mod testing;
pub mod tls;
mod upstream;
mod wire;
pub mod worker;

// The control side: what configures, judges, shows and ends the above.

pub mod args;

pub mod run;

mod control;

pub mod config_file;

mod uplink_client;

mod apply;

pub mod kept;

pub mod fuse;

mod report;

mod metrics;

mod exposition;

mod process_stats;

mod status;

mod admin;

pub mod drain;
