//! Templates that name templates become one flat template.

use std::collections::BTreeSet;

use crds::AnalysisTemplateSpec;
use crds::analysis::{Argument, Metric};
use crds::rollout::steps::{AnalysisTemplateRef, DryRun, MeasurementRetention};

use super::{ComposeError, Templates};

/// What several templates amount to.
#[derive(Debug, Default)]
pub(super) struct Flat {
    pub(super) metrics: Vec<Metric>,
    pub(super) args: Vec<Argument>,
    pub(super) dry_run: Vec<DryRun>,
    pub(super) measurement_retention: Vec<MeasurementRetention>,
}

/// The templates found so far, each once, in the order in which they were first named. That also
/// ends circles of templates that name each other.
#[derive(Default)]
struct Collected<'a> {
    namespaced: Vec<&'a AnalysisTemplateSpec>,
    cluster: Vec<&'a AnalysisTemplateSpec>,
    seen: BTreeSet<(bool, &'a str)>,
}

/// All that the named templates hold: those of the namespace first, then those of the cluster.
pub(super) fn flatten(
    references: &[AnalysisTemplateRef],
    templates: &Templates,
) -> Result<Flat, ComposeError> {
    let mut collected = Collected::default();
    collected.collect(references, templates)?;
    let all = || collected.namespaced.iter().chain(&collected.cluster);
    let metrics: Vec<Metric> = all()
        .flat_map(|template| template.metrics.iter().cloned())
        .collect();
    let mut names = BTreeSet::new();
    if let Some(twice) = metrics
        .iter()
        .find(|metric| !names.insert(metric.name.as_str()))
    {
        return Err(ComposeError::SameMetric {
            name: twice.name.clone(),
        });
    }
    Ok(Flat {
        args: united(all().flat_map(|template| &template.args))?,
        dry_run: distinct(
            "Dry-Run",
            all().flat_map(|template| &template.dry_run),
            |rule| &rule.metric_name,
        )?,
        measurement_retention: distinct(
            "Measurement Retention",
            all().flat_map(|template| &template.measurement_retention),
            |rule| &rule.metric_name,
        )?,
        metrics,
    })
}

/// The rules, unless two are about the same metric.
pub(super) fn distinct<'a, R: Clone + 'a>(
    list: &'static str,
    rules: impl Iterator<Item = &'a R>,
    name: impl Fn(&R) -> &String,
) -> Result<Vec<R>, ComposeError> {
    let mut seen = BTreeSet::new();
    let mut distinct = Vec::new();
    for rule in rules {
        if !seen.insert(name(rule).clone()) {
            return Err(ComposeError::SameRule {
                list,
                name: name(rule).clone(),
            });
        }
        distinct.push(rule.clone());
    }
    Ok(distinct)
}

/// Arguments of one name are one argument: the first that has a value wins, and values must agree.
fn united<'a>(args: impl Iterator<Item = &'a Argument>) -> Result<Vec<Argument>, ComposeError> {
    let mut united: Vec<Argument> = Vec::new();
    for arg in args {
        let Some(earlier) = united.iter_mut().find(|earlier| earlier.name == arg.name) else {
            united.push(arg.clone());
            continue;
        };
        match (&earlier.value, &arg.value) {
            (Some(first), Some(second)) if first != second => {
                return Err(ComposeError::ConflictingArgument {
                    name: arg.name.clone(),
                    first: first.clone(),
                    second: second.clone(),
                });
            }
            (None, _) => *earlier = arg.clone(),
            (Some(_), _) => {}
        }
    }
    Ok(united)
}

// === impl Collected ===

impl<'a> Collected<'a> {
    fn collect(
        &mut self,
        references: &'a [AnalysisTemplateRef],
        templates: &'a Templates,
    ) -> Result<(), ComposeError> {
        let mut waiting: Vec<&'a AnalysisTemplateRef> = references.iter().rev().collect();
        while let Some(reference) = waiting.pop() {
            let cluster = reference.cluster_scope == Some(true);
            let name = reference.template_name.as_deref().unwrap_or_default();
            if !self.seen.insert((cluster, name)) {
                continue;
            }
            let (kind, found) = if cluster {
                ("ClusterAnalysisTemplate", templates.cluster.get(name))
            } else {
                ("AnalysisTemplate", templates.namespaced.get(name))
            };
            let Some(template) = found else {
                return Err(ComposeError::NotFound {
                    kind,
                    name: name.to_owned(),
                });
            };
            if cluster {
                self.cluster.push(template);
            } else {
                self.namespaced.push(template);
            }
            waiting.extend(template.templates.iter().rev());
        }
        Ok(())
    }
}
