//! The blocks under our own plugin name.

/// The name of our plugin, both as a traffic router and as a metric provider.
pub const PLUGIN_NAME: &str = "sluice/proxy";

/// One thing that is wrong with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where.
    pub path: String,
    /// What stands there, as JSON.
    pub value: String,
    /// What is wrong with it and what would be accepted.
    pub message: String,
}
