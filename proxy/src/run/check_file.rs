//! `sluice-proxy check FILE`: everything that is wrong with a configuration, before anybody runs it.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use uplink::check::{ConfigError, check as check_document};
use uplink::document;

use super::{install_tls_provider, tell};
use crate::clock::Clock;
use crate::config_file::read_bounded;
use crate::tls;

/// Prints every error, or what was found good.
pub(super) fn check(file: &Path) -> ExitCode {
    install_tls_provider();
    match rehearsed(file) {
        Ok(summary) => {
            // Whoever closed our stdout goes by the exit code.
            let _ = writeln!(io::stdout(), "{}: {summary}", file.display());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            for error in &errors {
                tell(&format!("{}: {error}", file.display()));
            }
            tell(&format!(
                "{}: refused, {} error(s)",
                file.display(),
                errors.len()
            ));
            ExitCode::FAILURE
        }
    }
}

fn rehearsed(file: &Path) -> Result<String, Vec<ConfigError>> {
    let text = read_bounded(file).map_err(|error| {
        vec![ConfigError {
            path: String::new(),
            message: format!("cannot be read: {error}"),
        }]
    })?;
    let document = document::read_yaml_or_json(&text)?;
    let checked = check_document(&document)?;
    let tls = tls::rehearse(&checked, &HashMap::new(), Clock.wall())?;
    Ok(format!(
        "valid: {} routes, {} splits, {} clusters, {} certificates",
        checked.routes.len(),
        checked.splits.len(),
        checked.clusters.len(),
        tls.describe().len()
    ))
}
