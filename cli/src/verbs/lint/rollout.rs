//! A Rollout: what the controller would refuse, as far as that can be known without a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::analysis::compose::Templates;
use controller::rollout::observe::{Observed, ServiceView};
use controller::rollout::spec::{self, SpecError};
use crds::{AnalysisTemplate, AnalysisTemplateSpec, ClusterAnalysisTemplate, Rollout};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Problem, typed};
use crate::verbs::manifest::Document;

pub(super) fn check(document: &Document, all: &[Document], problems: &mut Vec<Problem>) {
    typed::<Rollout>(document, problems, |rollout, problems| {
        let observed = surroundings(&rollout, all);
        let Err(errors) = spec::check(&rollout, &observed) else {
            return;
        };
        for error in errors {
            // In a file the field must be findable: the real path, not the one that Argo prints.
            let real = SpecError {
                shown: None,
                ..error
            };
            let problem = Problem::at(document, &real.path, real.to_string());
            problems.push(Problem {
                suggestion: real.hint,
                ..problem
            });
        }
    });
}

/// What the Rollout refers to: as it stands in the files, or else as it would have to be.
fn surroundings(rollout: &Rollout, all: &[Document]) -> Observed {
    let namespace = rollout.namespace();
    let mut observed = Observed {
        services: elsewhere(rollout),
        templates: templates(rollout, all),
        ..Observed::default()
    };
    for service in objects::<Service>(all, "v1", "Service") {
        if service.namespace() == namespace {
            let view = ServiceView::from(&service);
            observed.services.insert(service.name_any(), view);
        }
    }
    observed
}

/// Every Service that is named, as one that selects whatever the Rollout runs.
fn elsewhere(rollout: &Rollout) -> BTreeMap<String, ServiceView> {
    let spec = json!(rollout.spec);
    let pointers = [
        "/strategy/canary/canaryService",
        "/strategy/canary/stableService",
        "/strategy/canary/pingPong/pingService",
        "/strategy/canary/pingPong/pongService",
        "/strategy/blueGreen/activeService",
        "/strategy/blueGreen/previewService",
    ];
    let names = pointers
        .into_iter()
        .filter_map(|pointer| spec.pointer(pointer).and_then(Value::as_str));
    names
        .map(|name| (name.to_owned(), ServiceView::default()))
        .collect()
}

/// The templates in the files; for each other one that is named, one that fits anything.
fn templates(rollout: &Rollout, all: &[Document]) -> Templates {
    let mut templates = Templates::default();
    for (name, is_cluster_wide) in named(&json!(rollout.spec)) {
        let fits = Arc::new(fitting());
        if is_cluster_wide {
            templates.cluster.insert(name, fits);
        } else {
            templates.namespaced.insert(name, fits);
        }
    }
    for template in objects::<AnalysisTemplate>(all, "argoproj.io/v1alpha1", "AnalysisTemplate") {
        if template.namespace() == rollout.namespace() {
            let name = template.name_any();
            templates.namespaced.insert(name, Arc::new(template.spec));
        }
    }
    let kind = "ClusterAnalysisTemplate";
    for template in objects::<ClusterAnalysisTemplate>(all, "argoproj.io/v1alpha1", kind) {
        let name = template.name_any();
        templates
            .cluster
            .insert(name, Arc::new(template.spec.into()));
    }
    templates
}

/// A template that measures once and takes no arguments.
fn fitting() -> AnalysisTemplateSpec {
    let spec = json!({"metrics": [{"name": "elsewhere", "count": 1,
        "provider": {"plugin": {crds::PLUGIN_NAME: {"compare": "errors"}}}}]});
    serde_json::from_value(spec).unwrap_or_default()
}

/// Every template that is named anywhere in a spec, and whether it is one of the whole cluster.
fn named(value: &Value) -> Vec<(String, bool)> {
    match value {
        Value::Object(object) => {
            let name = object.get("templateName").and_then(Value::as_str);
            let is_cluster_wide = object.get("clusterScope") == Some(&Value::Bool(true));
            let here = name.map(|name| (name.to_owned(), is_cluster_wide));
            here.into_iter()
                .chain(object.values().flat_map(named))
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(named).collect(),
        _ => Vec::new(),
    }
}

/// The objects of a kind that can be read; those that cannot are reported elsewhere.
fn objects<T: DeserializeOwned>(all: &[Document], api_version: &str, kind: &str) -> Vec<T> {
    let of_kind = all.iter().filter(|document| {
        document.text("/apiVersion") == api_version && document.text("/kind") == kind
    });
    of_kind
        .filter_map(|document| serde_json::from_value(document.value.clone()).ok())
        .collect()
}
