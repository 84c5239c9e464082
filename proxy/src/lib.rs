//! sluice-proxy: splits an application's traffic between stable and canary, and measures both.
//!
//! The life of a request: accept → TLS → **route** (which rule) → **split** (which backend, that is
//! which revision) → **cluster** (which endpoint) → **upstream** (this worker's own connections) →
//! relay bodies → **observe** → perhaps retry. The modules stand in that order; the control side
//! (configuration, uplink, fuse, metrics, drain) follows.

pub mod worker;

pub mod accept;

pub mod tls;

mod wire;

mod request;

pub mod route;

mod split;

mod cluster;

mod upstream;

mod forward;

mod relay;

pub mod observe;

mod error;

mod respond;

pub mod access_log;

// What it all rests on.

pub mod snapshot;

pub mod state;

pub mod clock;

pub mod random;

#[cfg(test)]
mod testing;

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
