//! The objects of a release: argoproj.io/v1alpha1, typed, checked and complete.
//!
//! # Life of a manifest
//!
//! Text or JSON comes in from a file, from kubectl or from a watch ([`read`]). A field of the wrong
//! type is an error that names its path; a field that nobody here knows is kept and written back,
//! because Argo CD, other controllers and newer versions own parts of the same objects.
//!
//! The kinds are [`Rollout`], what it starts ([`AnalysisRun`], [`Experiment`]) and what it refers
//! to ([`AnalysisTemplate`], [`ClusterAnalysisTemplate`]). Their values are read as Argo reads them:
//! Go durations ([`duration`]), percentages that need no per-cent sign ([`percent`]), numbers that
//! may be strings ([`int_or_string`]). The blocks under our own plugin name are the exception to all
//! leniency: [`plugin`] reports every unknown key and every value out of range.
//!
//! From the same types come the CustomResourceDefinitions ([`schema`]), which `crdgen` writes.

pub mod read;

pub mod rollout;

pub mod analysis;

pub mod experiment;

pub mod pod_template;

pub mod words;

pub mod duration;

pub mod int_or_string;

pub mod percent;

pub mod plugin;

pub mod schema;

mod null;

use std::collections::BTreeMap;

pub use analysis::{
    AnalysisRun, AnalysisRunSpec, AnalysisRunStatus, AnalysisTemplate, AnalysisTemplateSpec,
    ClusterAnalysisTemplate, ClusterAnalysisTemplateSpec,
};
pub use experiment::{Experiment, ExperimentSpec, ExperimentStatus};
pub use plugin::{FieldError, PLUGIN_NAME};
pub use pod_template::PodTemplate;
pub use rollout::{Rollout, RolloutSpec, RolloutStatus};
pub use schema::all;

/// The API group of all kinds.
pub const GROUP: &str = "argoproj.io";

/// The API version of all kinds.
pub const VERSION: &str = "v1alpha1";

/// Fields that this version does not know, kept for the round trip.
pub type Unknown = BTreeMap<String, serde_json::Value>;
