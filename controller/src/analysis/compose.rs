//! Templates and a Rollout's arguments become the spec of an AnalysisRun.

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
    /// The hash of the stable pods.
    pub stable_hash: &'a str,
    /// The hash of the newest pods.
    pub latest_hash: &'a str,
}

/// Why no run can be composed.
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
}

/// Composes the spec of a run.
pub fn run_for(input: &ComposeInput<'_>) -> Result<AnalysisRunSpec, ComposeError> {
    let mut spec = AnalysisRunSpec::default();
    for reference in &input.analysis.templates {
        let name = reference.template_name.clone().unwrap_or_default();
        let (kind, found) = match reference.cluster_scope {
            Some(true) => ("ClusterAnalysisTemplate", input.templates.cluster.get(&name)),
            _ => ("AnalysisTemplate", input.templates.namespaced.get(&name)),
        };
        let template = found.ok_or(ComposeError::NotFound { kind, name })?;
        spec.metrics.extend(template.metrics.iter().cloned());
        spec.args.extend(template.args.iter().cloned());
    }
    Ok(spec)
}
