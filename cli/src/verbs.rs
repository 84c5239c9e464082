//! The verbs of people: look at Rollouts, and move them.
//!
//! Every verb finds its cluster through a kubeconfig ([`cluster`]), so it works on any: the one of
//! `sluice up` or a real one, under Sluice's controller or Argo's. Looking is [`get`], [`list`] and
//! [`status`]; moving is [`promote`], [`flip`] (abort, retry, pause), [`restart`], [`set_image`],
//! [`undo`] and [`terminate`]. [`create`] makes objects, [`lint`] looks at them while they are still
//! files ([`manifest`], [`fields`]), and neither [`lint`] nor [`version`] asks a cluster.
//! What moves a Rollout is a patch that a pure function makes from the Rollout as it is. Names,
//! flags and printed lines are those of `kubectl argo rollouts`, which this stands in for.
//!
//! A [`failure`] says what happened, where, and what to do next.

pub mod cluster;
pub mod console;
pub mod failure;

pub mod get;
pub mod list;
pub mod status;

pub mod flip;
pub mod promote;
pub mod restart;
pub mod set_image;
pub mod terminate;
pub mod undo;

pub mod create;
pub mod lint;
pub mod version;

pub mod fields;
pub mod manifest;

mod follow;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Subcommand;
use local::clock::Clock;

use cluster::{Cluster, ClusterArgs};
use console::Console;
use failure::Failure;

/// What can be done to Rollouts.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show Rollouts, Experiments, AnalysisRuns or templates: one whole, or a table of all.
    Get(get::GetArgs),
    /// Show a table of Rollouts or Experiments.
    List(list::ListArgs),
    /// Follow a Rollout until it is Healthy or Degraded.
    Status(status::StatusArgs),
    /// Take a Rollout to its next step, or to the end of all.
    Promote(promote::PromoteArgs),
    /// Take all traffic back to the stable version.
    Abort(flip::NamesArgs),
    /// Start an aborted update, or an Experiment that has ended, again.
    Retry(flip::RetryArgs),
    /// Hold a Rollout where it is; `promote` lets it go on.
    Pause(flip::NamesArgs),
    /// Change a Rollout, which starts an update.
    Set(set_image::SetArgs),
    /// Go back to an earlier revision.
    Undo(undo::UndoArgs),
    /// Replace every pod, a few at a time.
    Restart(restart::RestartArgs),
    /// End an AnalysisRun or an Experiment early.
    Terminate(terminate::TerminateArgs),
    /// Create objects from files, or an AnalysisRun from a template.
    Create(Box<create::CreateArgs>),
    /// Say what is wrong with manifests, without a cluster.
    Lint(lint::LintArgs),
    /// Say which program this is.
    Version(version::VersionArgs),
}

/// Does what was typed; the exit code is 1 when it failed.
pub fn main(verb: &Verb) -> ExitCode {
    // A second provider in the graph would make kube's choice ambiguous; aws-lc-rs is the one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(verb)),
        Err(cause) => Err(Failure::Output(cause)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(Failure::Output(cause)) if cause.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let _ = writeln!(io::stderr(), "Error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(verb: &Verb) -> Result<(), Failure> {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let is_terminal = out.is_terminal();
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        is_terminal,
        clock: Clock::system(),
    };
    match verb {
        Verb::Lint(args) => lint::run(args, &mut console),
        Verb::Version(args) => version::run(args, &mut console),
        verb => {
            let cluster = Cluster::reach(verb.cluster()).await?;
            verb.run(&cluster, &mut console).await
        }
    }
}

// === impl Verb ===

impl Verb {
    /// Does it.
    pub async fn run(&self, cluster: &Cluster, console: &mut Console<'_>) -> Result<(), Failure> {
        match self {
            Self::Get(args) => get::run(args, cluster, console).await,
            Self::List(args) => list::run(args, cluster, console).await,
            Self::Status(args) => status::run(args, cluster, console).await,
            Self::Promote(args) => promote::run(args, cluster, console).await,
            Self::Abort(args) => flip::run(flip::ABORT, &args.names, cluster, console).await,
            Self::Retry(args) => flip::retry(args, cluster, console).await,
            Self::Pause(args) => flip::run(flip::PAUSE, &args.names, cluster, console).await,
            Self::Set(args) => set_image::run(args, cluster, console).await,
            Self::Undo(args) => undo::run(args, cluster, console).await,
            Self::Restart(args) => restart::run(args, cluster, console).await,
            Self::Terminate(args) => terminate::run(args, cluster, console).await,
            Self::Create(args) => create::run(args, cluster, console).await,
            Self::Lint(args) => lint::run(args, console),
            Self::Version(args) => version::run(args, console),
        }
    }

    fn cluster(&self) -> &ClusterArgs {
        match self {
            Self::Get(args) => &args.cluster,
            Self::Status(args) => &args.cluster,
            Self::Promote(args) => &args.cluster,
            Self::Abort(args) | Self::Pause(args) => &args.cluster,
            Self::Retry(args) => &args.cluster,
            Self::Set(args) => args.cluster(),
            Self::Undo(args) => &args.cluster,
            Self::List(args) => &args.cluster,
            Self::Restart(args) => &args.cluster,
            Self::Terminate(args) => &args.cluster,
            Self::Create(args) => args.cluster(),
            Self::Lint(args) => &args.cluster,
            Self::Version(args) => &args.cluster,
        }
    }
}

#[cfg(test)]
mod tests;
