//! What a step is, and how events and the CLI call it.

use std::fmt;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::steps::{CanaryStep, SetCanaryScale, StepKind};

// === impl CanaryStep ===

impl CanaryStep {
    /// What this step is. Where several keys are set, which is invalid, the order is Argo's.
    pub fn kind(&self) -> Option<StepKind<'_>> {
        None.or_else(|| self.pause.as_ref().map(StepKind::Pause))
            .or_else(|| self.set_canary_scale.as_ref().map(StepKind::SetCanaryScale))
            .or_else(|| self.set_weight.map(StepKind::SetWeight))
            .or_else(|| self.experiment.as_ref().map(StepKind::Experiment))
            .or_else(|| self.analysis.as_ref().map(StepKind::Analysis))
            .or_else(|| self.set_header_route.as_ref().map(StepKind::SetHeaderRoute))
            .or_else(|| self.set_mirror_route.as_ref().map(StepKind::SetMirrorRoute))
            .or_else(|| self.plugin.as_ref().map(StepKind::Plugin))
    }
}

/// The text of a step as events and tables show it; `invalid` for a step without any known key.
impl fmt::Display for CanaryStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Some(kind) => kind.fmt(f),
            None => f.write_str("invalid"),
        }
    }
}

// === impl StepKind ===

impl fmt::Display for StepKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetWeight(weight) => write!(f, "setWeight: {weight}"),
            Self::Pause(pause) => match &pause.duration {
                None => f.write_str("pause"),
                // As it was written, so a bare number stays one.
                Some(IntOrString::Int(seconds)) => write!(f, "pause: {seconds}"),
                Some(IntOrString::String(text)) => write!(f, "pause: {text}"),
            },
            Self::SetCanaryScale(scale) => scale.fmt(f),
            Self::Experiment(_) => f.write_str("experiment"),
            Self::Analysis(_) => f.write_str("analysis"),
            Self::SetHeaderRoute(route) => {
                write!(
                    f,
                    "setHeaderRoute: {}",
                    route.name.as_deref().unwrap_or_default()
                )
            }
            Self::SetMirrorRoute(route) => write!(f, "setMirrorRoute: {}", route.name),
            Self::Plugin(plugin) => write!(f, "plugin: {}", plugin.name),
        }
    }
}

// === impl SetCanaryScale ===

impl fmt::Display for SetCanaryScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.weight, self.match_traffic_weight, self.replicas) {
            (Some(weight), _, _) => write!(f, "setCanaryScale{{weight: {weight}}}"),
            (None, Some(true), _) => f.write_str("setCanaryScale{matchTrafficWeight: true}"),
            (None, _, Some(replicas)) => write!(f, "setCanaryScale{{replicas: {replicas}}}"),
            (None, _, None) => f.write_str("invalid"),
        }
    }
}
