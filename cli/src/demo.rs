//! `sluice demo`: a good release promoted and a bad one aborted, on real traffic, on this machine.
//!
//! The [`app`] is a small server whose three versions are the [`releases`] of one Rollout. The
//! [`load`] is its users, with a [`ledger`] of what they experienced. The story is in this file; the
//! [`watch`] tells how the Rollout stands, the [`screen`] what that looks like, the [`terminal`]
//! shows it. At the end comes a [`summary`], counted by the users and the apps: the proxies, which
//! judged, are not asked.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use local::clock::Clock;

use crate::up::{Signals, begin_log, complain};

pub mod app;

pub mod releases;

pub mod load;

pub mod ledger;

pub mod stage;

pub mod watch;

pub mod screen;

pub mod terminal;

pub mod summary;

use stage::{Place, Stage};
use terminal::{Stream, Terminal};

/// What `sluice demo` is told.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Print one object of JSON last on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
    /// Keep logs and ledgers in a new directory under this one. Default: a temporary directory,
    /// which stays only if the demo fails.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<std::path::PathBuf>,
}

/// Runs `sluice demo`.
pub fn main(args: DemoArgs) -> ExitCode {
    begin_log();
    let ran = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
        .and_then(|runtime| runtime.block_on(run(args)));
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("sluice demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether the demo showed what it is there to show.
async fn run(args: DemoArgs) -> anyhow::Result<bool> {
    let signals = Signals::watch()?;
    let stream = if args.json { Stream::Err } else { Stream::Out };
    let place = Place::make(args.data_dir.as_deref())?;
    let mut stage = Stage::new(&place, Clock::system(), Terminal::of(stream));
    stage.play(signals).await;
    let summary = stage.end().await;
    let success = summary.is_success();
    if !success || args.data_dir.is_some() {
        let kept = place.keep();
        complain(&format!("the logs are in {}", kept.display()));
    }
    if args.json {
        let _ = writeln!(std::io::stdout(), "{}", serde_json::to_string(&summary)?);
    }
    Ok(success)
}
