//! What was typed.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{demo, up, verbs};

/// Takes an application's releases through their steps on what its users experience.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, arg_required_else_help = true)]
struct Typed {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show a good release promoted and a bad one aborted, on real traffic: no cluster needed.
    Demo(demo::DemoArgs),
    /// Run a whole cluster on this machine: API, controller, proxies and the pods of manifests.
    Up(up::UpArgs),
    /// What can be done to the Rollouts of any cluster.
    #[command(flatten)]
    Verb(verbs::Verb),
}

/// Does what the command line says.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let typed = match Typed::try_parse_from(arguments) {
        Ok(typed) => typed,
        Err(usage) => usage.exit(),
    };
    match typed.command {
        Command::Demo(args) => demo::main(args),
        Command::Up(args) => up::main(args),
        Command::Verb(verb) => verbs::main(&verb),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Typed::command().debug_assert();
    }
}
