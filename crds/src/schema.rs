//! CustomResourceDefinitions from the types: structural schemas as an API server wants them.
//!
//! They accept what Argo's accept. Words are not enumerated (a status may come from a newer
//! version), nothing is defaulted by the server, and what belongs to Kubernetes (pods, Jobs) is its
//! full schema without the prose, which keeps the definitions small enough for `kubectl apply`.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment, Rollout};

/// The definitions of all five kinds.
pub fn all() -> Vec<CustomResourceDefinition> {
    // The schema of a pod is large; making it anew takes a second without optimisation.
    static ALL: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(|| {
        vec![
            finished(Rollout::crd()),
            without_subresources(finished(AnalysisTemplate::crd())),
            without_subresources(finished(ClusterAnalysisTemplate::crd())),
            without_subresources(finished(AnalysisRun::crd())),
            without_subresources(finished(Experiment::crd())),
        ]
    });
    ALL.clone()
}

/// The name of the file that holds a definition, and its text.
pub fn file(crd: &CustomResourceDefinition) -> Result<(String, String), serde_saphyr::ser::Error> {
    let kind = crd
        .spec
        .names
        .singular
        .as_deref()
        .unwrap_or(&crd.spec.names.plural);
    let text = serde_saphyr::to_string(crd)?;
    Ok((format!("{kind}.yaml"), format!("{GENERATED}{text}")))
}

/// The first lines of every generated file.
const GENERATED: &str = "# Written by crdgen from the types in crds/. Do not edit.\n";

/// Argo patches the status of all kinds but Rollout through the object itself, so a status
/// subresource would make those writes vanish.
fn without_subresources(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        version.subresources = None;
    }
    crd
}

fn finished(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut document = serde_json::to_value(crd).expect("a definition is plain data");
    if let Some(versions) = document
        .pointer_mut("/spec/versions")
        .and_then(Value::as_array_mut)
    {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                structural(schema);
            }
        }
    }
    serde_json::from_value(document).expect("only keywords of schemas were changed")
}

/// Makes a generated schema one that an API server takes, in every place that holds a schema.
fn structural(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    // Argo's definitions know neither `null` nor defaults nor closed vocabularies.
    for keyword in ["nullable", "default", "enum", "title"] {
        object.remove(keyword);
    }
    // The server does not know unsigned formats.
    let known = ["int32", "int64", "double", "date-time", "byte"];
    let format = object.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| !known.contains(&format)) {
        object.remove("format");
    }
    for_each_subschema(object, &mut structural);
}

/// Visits the schemas inside a schema. Property names are not keywords, so a plain walk over the
/// JSON would take a property called `default` for one.
fn for_each_subschema(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Value)) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(&mut *visit);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(keyword) {
            visit(inner);
        }
    }
}

/// A Kubernetes type inside ours: without prose, with the metadata of its pod template cut to what
/// templates may carry, and open where Kubernetes grows fastest.
pub(crate) fn embedded(schema: Schema, pod_template: &str) -> Schema {
    let mut schema = schema.to_value();
    without_prose(&mut schema);
    if let Some(template) = schema.pointer_mut(pod_template) {
        open_pod_template(template);
    }
    Schema::try_from(schema).expect("still an object")
}

fn without_prose(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    object.remove("description");
    for_each_subschema(object, &mut without_prose);
}

fn open_pod_template(template: &mut Value) {
    let strings = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    if let Some(metadata) = template.pointer_mut("/properties/metadata") {
        *metadata = json!({
            "type": "object",
            "properties": { "labels": strings, "annotations": strings },
        });
    }
    let Some(spec) = template.pointer_mut("/properties/spec/properties") else {
        return;
    };
    if let Some(volumes) = spec.get_mut("volumes") {
        *volumes = json!({ "type": "array", "items": open_object() });
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for amounts in ["limits", "requests"] {
            let path = format!("/{list}/items/properties/resources/properties/{amounts}");
            if let Some(amounts) = spec.pointer_mut(&path) {
                *amounts = open_object();
            }
        }
    }
}

fn open_object() -> Value {
    json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Any JSON.
pub(crate) fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// Any JSON under any name.
pub(crate) fn any_by_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A selector that cannot be changed: ReplicaSets of an old selector would be orphaned.
pub(crate) fn immutable_selector(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<LabelSelector>();
    schema.insert(
        "x-kubernetes-validations".to_owned(),
        json!([{ "rule": "self == oldSelf", "message": ".spec.selector is immutable" }]),
    );
    schema
}

#[cfg(test)]
mod tests;
