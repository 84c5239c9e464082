//! The supervisor by itself, for programs that embed the local cluster and cannot start themselves
//! again: see `sluice_local::kubelet::supervisor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_local::kubelet::supervisor::main(std::env::args_os().skip(1))
}
