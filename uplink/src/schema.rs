//! The JSON Schema of the routing configuration, for editors, and by which a document is read.
//!
//! `schemagen` writes it to `deploy/schema/routing-config.schema.json`; a test fails where the two
//! differ. It says which keys and types there are; what it cannot say is [`crate::check`]'s part.

use std::sync::OnceLock;

use serde_json::Value;

use crate::document::RoutingConfig;

/// Where the schema is kept, from the root of the workspace.
pub const SCHEMA_FILE: &str = "deploy/schema/routing-config.schema.json";

/// The schema of [`RoutingConfig`].
pub fn routing_config_schema() -> Value {
    let mut schema = schemars::schema_for!(RoutingConfig);
    schema.insert("title".to_owned(), "Sluice routing configuration".into());
    schema.to_value()
}

/// The schema as the file has it.
pub fn schema_text() -> String {
    format!("{:#}\n", routing_config_schema())
}

/// The schema, made once per process.
pub(crate) fn shared() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(routing_config_schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_up_to_date() {
        let file = format!("{}/../{SCHEMA_FILE}", env!("CARGO_MANIFEST_DIR"));
        let kept = std::fs::read_to_string(file).expect("the schema file can be read");
        assert!(
            kept == schema_text(),
            "run `cargo run -p sluice-uplink --bin schemagen`"
        );
    }
}
