//! The program `sluice-controller`; everything is in [`controller::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_controller::run::main_from(std::env::args_os())
}
