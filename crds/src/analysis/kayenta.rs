//! Kayenta: a judgement made elsewhere, from two scopes of the same metrics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Unknown;

/// A judgement by Kayenta.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KayentaMetric {
    /// The address of the server.
    pub address: String,
    /// The application.
    pub application: String,
    /// The configuration to judge by.
    pub canary_config_name: String,
    /// The account of the metrics.
    pub metrics_account_name: String,
    /// The account of the configuration.
    pub configuration_account_name: String,
    /// The account of the storage.
    pub storage_account_name: String,
    /// The scores that decide.
    pub threshold: KayentaThreshold,
    /// What is compared.
    pub scopes: Vec<KayentaScope>,
    /// Whether each look covers all the time so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookback: Option<bool>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// The scores that decide.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KayentaThreshold {
    /// From here on it is successful.
    pub pass: i64,
    /// From here on it is inconclusive.
    pub marginal: i64,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// What is compared.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KayentaScope {
    /// Its name.
    pub name: String,
    /// What it was before.
    pub control_scope: ScopeDetail,
    /// What it is now.
    pub experiment_scope: ScopeDetail,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScopeDetail {
    /// Which side.
    pub scope: String,
    /// Where.
    pub region: String,
    /// Seconds per point.
    pub step: i64,
    /// From when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
