//! `version`: which program this is.

use clap::Args;

use super::cluster::ClusterArgs;
use super::console::Console;
use super::failure::Failure;

/// How much to say.
#[derive(Args, Clone, Debug)]
pub struct VersionArgs {
    /// Only the program and its version
    #[arg(long)]
    pub short: bool,
    /// Not used: nothing is asked of a cluster. Here so that every verb takes the same flags.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Says it.
pub fn run(args: &VersionArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if args.short {
        return console.print(&format!("sluice: v{version}\n"));
    }
    let (group, api) = (crds::GROUP, crds::VERSION);
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    console.print(&format!(
        "sluice: v{version}\n  Rollouts: {group}/{api}\n  Platform: {system}/{machine}\n"
    ))
}
