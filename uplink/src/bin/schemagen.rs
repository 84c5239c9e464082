//! Writes the JSON Schema of the routing configuration into deploy/; `--check` only compares.

use std::path::Path;
use std::process::ExitCode;

use sluice_uplink::schema::{SCHEMA_FILE, schema_text};

fn main() -> ExitCode {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(SCHEMA_FILE);
    let check = std::env::args().any(|argument| argument == "--check");
    let done = if check { compare(&file) } else { write(&file) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

fn compare(file: &Path) -> Result<(), String> {
    let kept = std::fs::read_to_string(file).map_err(|error| format!("{SCHEMA_FILE}: {error}"))?;
    if kept == schema_text() {
        return Ok(());
    }
    Err(format!(
        "{SCHEMA_FILE} differs from the types; run `cargo run -p sluice-uplink --bin schemagen`"
    ))
}

fn write(file: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{SCHEMA_FILE}: {error}");
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    std::fs::write(file, schema_text()).map_err(failed)
}

#[expect(
    clippy::print_stderr,
    reason = "a developer's command says why it failed"
)]
fn tell(error: &str) {
    eprintln!("{error}");
}
