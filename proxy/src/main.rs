//! sluice-proxy, the program.

use std::process::ExitCode;

/// Many small allocations on few threads: measured against the system's allocator, see
/// `docs/decisions`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sluice_proxy::run::main_from(std::env::args_os())
}
