//! The pod template: kept as the JSON that came, because pods are made from it and its hash names
//! them. A typed copy would drop what a newer Kubernetes knows.

mod normal;

mod defaults;

mod image;
mod quantity;

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema;

/// The label that tells the pods of one version from those of another.
pub const POD_TEMPLATE_HASH_LABEL: &str = "rollouts-pod-template-hash";

/// A PodTemplateSpec as raw JSON.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(transparent)]
pub struct PodTemplate(pub Map<String, Value>);

/// One container of a [`PodTemplate`], borrowed from it.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a>(&'a Map<String, Value>);

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its number.
    pub number: u16,
    /// `TCP` unless declared otherwise.
    pub protocol: &'a str,
}

// === impl PodTemplate ===

impl PodTemplate {
    /// The template in a JSON value; `None` when that is not an object.
    pub fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self(object)),
            _ => None,
        }
    }

    /// The template as a JSON value.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The labels of the pods.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.strings("labels")
    }

    /// The annotations of the pods.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.strings("annotations")
    }

    /// Sets a label of the pods.
    pub fn set_label(&mut self, key: &str, value: &str) {
        let metadata = object_at(&mut self.0, "metadata");
        object_at(metadata, "labels").insert(key.to_owned(), value.into());
    }

    /// Sets an annotation of the pods.
    pub fn set_annotation(&mut self, key: &str, value: &str) {
        let metadata = object_at(&mut self.0, "metadata");
        object_at(metadata, "annotations").insert(key.to_owned(), value.into());
    }

    /// The containers, without init containers.
    pub fn containers(&self) -> impl Iterator<Item = Container<'_>> {
        let containers = self.0.get("spec").and_then(|spec| spec.get("containers"));
        let containers = containers
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        containers
            .iter()
            .filter_map(Value::as_object)
            .map(Container)
    }

    /// Sets the image of a container, or of every one for `*`, init containers included, as
    /// `kubectl argo rollouts set image` does. False when there is no such container.
    pub fn set_image(&mut self, container: &str, image: &str) -> bool {
        let Some(spec) = self.0.get_mut("spec").and_then(Value::as_object_mut) else {
            return false;
        };
        let mut found = false;
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            let entries = spec.get_mut(list).and_then(Value::as_array_mut);
            for entry in entries
                .into_iter()
                .flatten()
                .filter_map(Value::as_object_mut)
            {
                let name = entry.get("name").and_then(Value::as_str);
                if container == "*" || name == Some(container) {
                    entry.insert("image".to_owned(), image.into());
                    found = true;
                }
            }
        }
        found
    }

    /// Whether both make the same pods: equal but for [`POD_TEMPLATE_HASH_LABEL`], for what the API
    /// server writes in by itself, and for ways of writing the same.
    pub fn same_as(&self, other: &Self) -> bool {
        normal::form(&self.0) == normal::form(&other.0)
    }

    /// The template as the API server completes it.
    #[must_use]
    pub fn with_defaults(&self) -> Self {
        let mut template = self.0.clone();
        defaults::apply(&mut template);
        Self(template)
    }

    fn strings(&self, kind: &str) -> BTreeMap<String, String> {
        let entries = self
            .0
            .get("metadata")
            .and_then(|metadata| metadata.get(kind));
        let entries = entries.and_then(Value::as_object).into_iter().flatten();
        entries
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }
}

/// The object under `key`, made where there is none.
fn object_at<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let entry = parent
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()));
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    entry.as_object_mut().expect("made an object just now")
}

impl JsonSchema for PodTemplate {
    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema::embedded(generator.subschema_for::<PodTemplateSpec>(), "")
    }
}

// === impl Container ===

impl<'a> Container<'a> {
    /// Its name.
    pub fn name(self) -> &'a str {
        self.0
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Its image.
    pub fn image(self) -> Option<&'a str> {
        self.0.get("image").and_then(Value::as_str)
    }

    /// Its command and arguments, as the kubelet would run them.
    pub fn command(self) -> Vec<&'a str> {
        let words = ["command", "args"]
            .into_iter()
            .filter_map(|key| self.0.get(key)?.as_array());
        words.flatten().filter_map(Value::as_str).collect()
    }

    /// The ports that it declares.
    pub fn ports(self) -> Vec<ContainerPort<'a>> {
        let ports = self
            .0
            .get("ports")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        ports.filter_map(container_port).collect()
    }

    /// All of it.
    pub fn raw(self) -> &'a Map<String, Value> {
        self.0
    }
}

fn container_port(port: &Value) -> Option<ContainerPort<'_>> {
    Some(ContainerPort {
        name: port.get("name").and_then(Value::as_str),
        number: port.get("containerPort")?.as_u64()?.try_into().ok()?,
        protocol: port
            .get("protocol")
            .and_then(Value::as_str)
            .unwrap_or("TCP"),
    })
}

#[cfg(test)]
mod tests;
