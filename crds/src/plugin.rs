//! The blocks under our own plugin name, `sluice/proxy`: how traffic is split
//! ([`ProxyRouting`], in `trafficRouting.plugins`) and how it is judged ([`ProxyMetric`], in a
//! metric's `provider.plugin`).
//!
//! Everything else in a manifest is read leniently, because others own parts of it. These blocks are
//! ours alone, so a key that is not known here is a mistake that would change what users see: it is
//! an error with a path and a suggestion. All errors are collected; nobody should have to apply a
//! manifest five times to learn of five mistakes.

mod block;
mod metric;
mod place;
mod routing;

use std::fmt;

use serde_json::Value;

pub use metric::{Comparison, OnInsufficient, ProxyMetric, ProxyTest};
pub use place::{ANNOTATION_PATH, CANARY_PATH, annotation};
pub use routing::{
    Fuse, Override, OverrideBy, OverrideValue, PortRef, Protocol, ProxyRouting, Sticky, Trust,
};

/// The name of our plugin, both as a traffic router and as a metric provider.
pub const PLUGIN_NAME: &str = "sluice/proxy";

/// One thing that is wrong with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where, as in `spec.strategy.canary.trafficRouting.plugins.sluice/proxy.port`.
    pub path: String,
    /// What stands there, as JSON; `null` where nothing does.
    pub value: Value,
    /// What is wrong with it and what would be accepted.
    pub message: String,
}

// === impl FieldError ===

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: Invalid value: {}: {}",
            self.path, self.value, self.message
        )
    }
}

impl std::error::Error for FieldError {}

#[cfg(test)]
mod tests;
