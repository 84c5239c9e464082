//! `sluice`: what people type.
//!
//! One program that starts itself again for whatever it runs. [`main`] looks for a hidden first
//! argument ([`part`]): then this process is a supervisor, a proxy, a controller or the demo's app
//! and nothing else. Otherwise [`command`] reads what was typed. [`up`] is a whole cluster on this
//! machine, [`demo`] a good and a bad release on it; [`verbs`] look at Rollouts on any cluster and
//! move them, and [`tree`] is how a Rollout is shown.

pub mod part;

pub mod command;

pub mod up;

pub mod demo;

pub mod verbs;

pub mod tree;

use std::process::ExitCode;

/// Runs the program: a hidden part of it, or what was typed.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // First of all, before any runtime: a supervisor stands beside every process and must be small.
    match part::Part::of(&arguments) {
        Some(part) => part.run(arguments),
        None => command::run(arguments),
    }
}
