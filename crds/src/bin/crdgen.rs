//! Writes the CustomResourceDefinitions to `deploy/crds`, or another directory that is named.
//!
//! `crdgen [--check] [DIR]`: with `--check` nothing is written, and a difference is a failure.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sluice_crds::schema;

const DEFAULT_DIRECTORY: &str = "deploy/crds";

fn main() -> ExitCode {
    let (flags, directories): (Vec<_>, Vec<_>) = env::args()
        .skip(1)
        .partition(|argument| argument.starts_with('-'));
    let check = match flags.as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return fail("usage: crdgen [--check] [DIR]"),
    };
    let directory = PathBuf::from(
        directories
            .first()
            .map_or(DEFAULT_DIRECTORY, String::as_str),
    );
    let result = if check {
        differences(&directory)
    } else {
        write(&directory).map(|()| vec![])
    };
    match result {
        Ok(different) if different.is_empty() => ExitCode::SUCCESS,
        Ok(different) => fail(&format!(
            "not as generated: {}; run crdgen to write them again",
            different.join(", ")
        )),
        Err(error) => fail(&format!("{}: {error}", directory.display())),
    }
}

fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, text) in files()? {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

fn differences(directory: &Path) -> io::Result<Vec<String>> {
    let mut different = Vec::new();
    for (name, text) in files()? {
        if fs::read_to_string(directory.join(&name)).ok().as_ref() != Some(&text) {
            different.push(name);
        }
    }
    Ok(different)
}

fn files() -> io::Result<Vec<(String, String)>> {
    schema::all()
        .iter()
        .map(|crd| schema::file(crd).map_err(io::Error::other))
        .collect()
}

fn fail(message: &str) -> ExitCode {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "crdgen: {message}");
    ExitCode::FAILURE
}
