//! Templates and a Rollout's arguments become the spec of an AnalysisRun.
//!
//! The templates that an analysis names are collected with the templates that those name
//! ([`flatten`]), and become one list of metrics, arguments and rules. The Rollout's arguments are
//! resolved against the Rollout ([`arguments`]) and override the templates' own. The metrics' own
//! `{{args.x}}` stay as they are: they are filled in at each measurement, because a Secret may have
//! changed by then.

mod arguments;
mod flatten;

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::rollout::steps::RolloutAnalysis;
use crds::{AnalysisRunSpec, AnalysisTemplateSpec, Rollout};
use thiserror::Error;

/// The AnalysisTemplates of a namespace and the ClusterAnalysisTemplates, by name.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    /// AnalysisTemplates.
    pub namespaced: BTreeMap<String, Arc<AnalysisTemplateSpec>>,
    /// ClusterAnalysisTemplates.
    pub cluster: BTreeMap<String, Arc<AnalysisTemplateSpec>>,
}

/// What a run is composed of.
#[derive(Clone, Copy, Debug)]
pub struct ComposeInput<'a> {
    /// The Rollout that starts the run.
    pub rollout: &'a Rollout,
    /// The analysis that it asks for.
    pub analysis: &'a RolloutAnalysis,
    /// The templates that exist.
    pub templates: &'a Templates,
    /// The hash of the stable pods: `podTemplateHashValue: Stable`.
    pub stable_hash: &'a str,
    /// The hash of the newest pods: `podTemplateHashValue: Latest`.
    pub latest_hash: &'a str,
}

/// Why no run can be composed; the texts are Argo's.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ComposeError {
    /// A template does not exist.
    #[error("{kind} '{name}' not found")]
    NotFound {
        /// `AnalysisTemplate` or `ClusterAnalysisTemplate`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Two templates, or one, have metrics of one name.
    #[error("two metrics have the same name '{name}'")]
    SameMetric {
        /// The name.
        name: String,
    },
    /// Two rules of one list are about the same metric.
    #[error("two {list} metric rules have the same name '{name}'")]
    SameRule {
        /// `Dry-Run` or `Measurement Retention`.
        list: &'static str,
        /// The metric name in both.
        name: String,
    },
    /// Two templates give an argument different values.
    #[error(
        "Argument `{name}` specified multiple times with different values: '{first}', '{second}'"
    )]
    ConflictingArgument {
        /// The argument.
        name: String,
        /// Its value in the template that came first.
        first: String,
        /// Its value in a later one.
        second: String,
    },
    /// An argument has no value and no source of one.
    #[error("args.{name} was not resolved")]
    Unresolved {
        /// The argument.
        name: String,
    },
    /// A `metadata` path that the downward API does not know.
    #[error("unsupported fieldPath: {path}")]
    UnsupportedField {
        /// The path.
        path: String,
    },
    /// A path that leads nowhere in the Rollout.
    #[error("invalid path {path} in rollout")]
    InvalidPath {
        /// The path.
        path: String,
    },
    /// A path that indexes a list with something else than a number.
    #[error("invalid index '{index}'")]
    InvalidIndex {
        /// The index.
        index: String,
    },
    /// A path that indexes a list behind its end.
    #[error("index {index} out of range")]
    OutOfRange {
        /// The index.
        index: usize,
    },
    /// A path that ends at a list or an object.
    #[error("path {path} in rollout must terminate in a primitive value")]
    NotPrimitive {
        /// The path.
        path: String,
    },
}

/// Composes the spec of a run. Pure.
pub fn run_for(input: &ComposeInput<'_>) -> Result<AnalysisRunSpec, ComposeError> {
    let flat = flatten::flatten(&input.analysis.templates, input.templates)?;
    let dry_run = flatten::distinct(
        "Dry-Run",
        input.analysis.dry_run.iter().chain(&flat.dry_run),
        |rule| &rule.metric_name,
    )?;
    let measurement_retention = flatten::distinct(
        "Measurement Retention",
        input
            .analysis
            .measurement_retention
            .iter()
            .chain(&flat.measurement_retention),
        |rule| &rule.metric_name,
    )?;
    Ok(AnalysisRunSpec {
        args: arguments::merged(input, flat.args)?,
        metrics: flat.metrics,
        dry_run,
        measurement_retention,
        ..AnalysisRunSpec::default()
    })
}

#[cfg(test)]
mod tests;
