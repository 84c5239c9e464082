//! What was typed.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

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
    /// Print a script that completes commands in a shell.
    #[command(after_long_help = COMPLETION)]
    Completion(CompletionArgs),
}

/// For which shell.
#[derive(Args, Clone, Copy, Debug)]
struct CompletionArgs {
    /// The shell
    shell: Shell,
}

const COMPLETION: &str = "\
Examples:
  # bash, in this session
  source <(sluice completion bash)

  # zsh, for every session
  sluice completion zsh > \"${fpath[1]}/_sluice\"

  # fish, for every session
  sluice completion fish > ~/.config/fish/completions/sluice.fish";

/// The name of the program where kubectl finds it as a plugin.
const PLUGIN: &str = "kubectl-sluice";

/// Does what the command line says.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let command = named(arguments.first());
    let typed = command
        .clone()
        .try_get_matches_from(arguments)
        .and_then(|matches| Typed::from_arg_matches(&matches));
    let typed = match typed {
        Ok(typed) => typed,
        Err(usage) => usage.exit(),
    };
    match typed.command {
        Command::Demo(args) => demo::main(args),
        Command::Up(args) => up::main(args),
        Command::Verb(verb) => verbs::main(&verb),
        Command::Completion(args) => complete(command, args.shell),
    }
}

/// The command line under the name that people type: `kubectl sluice` where it is a plugin.
fn named(program: Option<&OsString>) -> clap::Command {
    let file = program.and_then(|program| Path::new(program).file_name());
    let command = Typed::command();
    if file.is_some_and(|file| file == PLUGIN) {
        command.bin_name("kubectl sluice")
    } else {
        command
    }
}

fn complete(mut command: clap::Command, shell: Shell) -> ExitCode {
    use std::io::Write as _;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "sluice", &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Typed::command().debug_assert();
    }

    #[test]
    fn a_plugin_of_kubectl_is_called_as_one() {
        let usage = |program: &str| {
            let mut command = named(Some(&OsString::from(program)));
            command.render_usage().to_string()
        };
        assert!(usage("/usr/bin/sluice").contains("sluice <COMMAND>"));
        assert!(usage("/usr/bin/kubectl-sluice").contains("kubectl sluice <COMMAND>"));
    }
}
