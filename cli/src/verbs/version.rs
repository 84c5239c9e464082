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
    let mut text = format!("sluice: v{}\n", env!("CARGO_PKG_VERSION"));
    if !args.short {
        let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
        text.push_str(&format!("  Rollouts: {}/{}\n", crds::GROUP, crds::VERSION));
        text.push_str(&format!("  Platform: {platform}\n"));
    }
    console.print(&text)
}
