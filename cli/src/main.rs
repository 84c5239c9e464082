//! `sluice`, also installed as `kubectl-sluice`: see the library for its story.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_cli::main()
}
