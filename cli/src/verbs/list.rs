//! `list`: tables of Rollouts or Experiments, as in `kubectl argo rollouts list`.

use clap::{Args, ValueEnum};

use super::cluster::{Cluster, ClusterArgs};
use super::console::Console;
use super::failure::Failure;
use super::get::{self, Wanted};

/// What to list.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// What they are
    pub kind: Listed,
    /// Only the Rollout of that name
    #[arg(long)]
    pub name: Option<String>,
    /// List those of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Show changes of Rollouts as they happen
    #[arg(short, long)]
    pub watch: bool,
    /// Begin each line about a Rollout with the time
    #[arg(long)]
    pub timestamps: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// Rollouts
    #[value(aliases = ["rollout", "ro"])]
    Rollouts,
    /// Experiments
    #[value(aliases = ["experiment", "exp"])]
    Experiments,
}

/// Lists.
pub async fn run(
    args: &ListArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    if args.kind == Listed::Experiments {
        if args.watch || args.timestamps || args.name.is_some() {
            let message = "experiments are listed whole and once; leave out --name, -w and \
                           --timestamps, or look at one with `get experiment NAME -w`";
            return Err(Failure::Usage(message.to_owned()));
        }
        return get::experiments(args.all_namespaces, cluster, console).await;
    }
    let wanted = Wanted {
        everywhere: args.all_namespaces,
        name: args.name.clone(),
        watch: args.watch,
        timestamps: args.timestamps,
        ..Wanted::default()
    };
    get::table(&wanted, cluster, console).await
}
