//! `sluice` as these tests start it: cargo builds binaries of a test's own package beside it, and
//! of no other.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
