//! The program `sluice-controller`; everything is in [`controller::run`].

use std::process::ExitCode;

/// Objects are many small allocations that live for long between others that do not: docs/scale.md has
/// what that costs with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sluice_controller::run::main_from(std::env::args_os())
}
