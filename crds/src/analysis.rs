//! Analysis: what is measured during a release, and what was found.
//!
//! An [`AnalysisTemplate`] or [`ClusterAnalysisTemplate`] names [`Metric`]s; an [`AnalysisRun`] is
//! one execution of them and holds the measurements.

pub mod job_spec;
pub mod kayenta;
pub mod metric;
pub mod providers;
pub mod run;
pub mod template;

pub use metric::{Metric, MetricProvider};
pub use run::{AnalysisRun, AnalysisRunSpec, AnalysisRunStatus, Measurement, MetricResult};
pub use template::{
    AnalysisTemplate, AnalysisTemplateSpec, Argument, ClusterAnalysisTemplate,
    ClusterAnalysisTemplateSpec,
};
