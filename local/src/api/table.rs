//! Tables: objects as the rows that `kubectl get` prints. Built-in kinds have the columns that
//! Kubernetes gives them, custom kinds those of their definition.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::metadata_only;
use super::crd::Column;
use super::kinds::Kind;
use super::object::{name, text};
use super::request::Request;

mod age;
mod cluster;
mod workload;

/// How rows are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    include: Include,
    /// What ages are counted to.
    pub(super) now: Timestamp,
}

/// What of the object comes with its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Include {
    Nothing,
    Metadata,
    Object,
}

impl Options {
    pub(super) fn of(request: &Request) -> Self {
        let include = match request.query.get("includeObject") {
            Some("None") => Include::Nothing,
            Some("Object") => Include::Object,
            _ => Include::Metadata,
        };
        Self {
            include,
            now: request.now,
        }
    }
}

/// A column of a built-in kind: its title (with a `+` where only `-o wide` shows it, a `#` where it
/// is a number, an `@` where it is a time), and the cell of an object.
type BuiltIn = (&'static str, fn(&Value, Timestamp) -> Value);

/// A table of objects of one kind.
pub(super) fn of_objects(kind: &Kind, objects: &[Arc<Value>], options: &Options) -> Value {
    let custom = kind.custom().map(|custom| custom.columns.as_slice());
    let built_in = built_in(kind);
    let definitions = match custom {
        Some(columns) => custom_definitions(columns),
        None => built_in
            .iter()
            .map(|(title, _)| definition_of(title))
            .collect(),
    };
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells = match custom {
                Some(columns) => custom_cells(columns, object, options.now),
                None => built_in
                    .iter()
                    .map(|(_, cell)| cell(object, options.now))
                    .collect(),
            };
            row(cells, object, options.include)
        })
        .collect();
    let revision = match objects {
        [one] => text(one, "/metadata/resourceVersion"),
        _ => "",
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": revision},
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn row(cells: Vec<Value>, object: &Arc<Value>, include: Include) -> Value {
    match include {
        Include::Nothing => json!({"cells": cells}),
        Include::Metadata => json!({"cells": cells, "object": metadata_only(object)}),
        Include::Object => json!({"cells": cells, "object": **object}),
    }
}

fn definition(name: &str, kind: &str, format: &str, priority: i64) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority})
}

fn definition_of(title: &str) -> Value {
    let (title, priority) = title
        .strip_prefix('+')
        .map_or((title, 0), |title| (title, 1));
    let (title, kind) = match (title.strip_prefix('#'), title.strip_prefix('@')) {
        (Some(title), _) => (title, "integer"),
        (_, Some(title)) => (title, "date"),
        _ => (title, "string"),
    };
    let format = if title == "Name" { "name" } else { "" };
    definition(title, kind, format, priority)
}

fn custom_definitions(columns: &[Column]) -> Vec<Value> {
    let mut definitions = vec![definition("Name", "string", "name", 0)];
    definitions.extend(columns.iter().map(|column| {
        let mut one = definition(&column.name, &column.kind, &column.format, column.priority);
        one["description"] = json!(column.description);
        one
    }));
    if columns.is_empty() {
        definitions.push(definition("Age", "date", "", 0));
    }
    definitions
}

fn custom_cells(columns: &[Column], object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![json!(name(object))];
    cells.extend(
        columns
            .iter()
            .map(|column| custom_cell(column, object, now)),
    );
    if columns.is_empty() {
        cells.push(age::of(object, now));
    }
    cells
}

fn custom_cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let found = column.path.find(object);
    let Some(first) = found.first() else {
        return Value::Null;
    };
    match (column.kind.as_str(), first) {
        (_, Value::Null) => Value::Null,
        ("date", time) => age::since(time.as_str().unwrap_or_default(), now),
        ("integer" | "number" | "boolean", value) => (*value).clone(),
        _ => {
            let texts: Vec<String> = found.iter().map(|value| plain(value)).collect();
            Value::String(texts.join(","))
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn built_in(kind: &Kind) -> &'static [BuiltIn] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => workload::POD,
        ("apps", "ReplicaSet") => workload::REPLICA_SET,
        ("apps", "Deployment") => workload::DEPLOYMENT,
        ("batch", "Job") => workload::JOB,
        ("", "PodTemplate") => workload::POD_TEMPLATE,
        ("policy", _) => workload::BUDGET,
        ("autoscaling", _) => workload::AUTOSCALER,
        ("", "Service") => cluster::SERVICE,
        ("", "Namespace") => cluster::NAMESPACE,
        ("", "Node") => cluster::NODE,
        ("" | "events.k8s.io", "Event") => cluster::EVENT,
        ("", "ConfigMap") => cluster::CONFIG_MAP,
        ("", "Secret") => cluster::SECRET,
        ("", "ServiceAccount") => cluster::SERVICE_ACCOUNT,
        ("", "Endpoints") => cluster::ENDPOINTS,
        ("discovery.k8s.io", "EndpointSlice") => cluster::ENDPOINT_SLICE,
        ("coordination.k8s.io", "Lease") => cluster::LEASE,
        ("apiextensions.k8s.io", _) => cluster::CRD,
        _ => NAME_AND_AGE,
    }
}

const NAME_AND_AGE: &[BuiltIn] = &[("Name", own_name), ("Age", age::of)];

fn own_name(object: &Value, _: Timestamp) -> Value {
    json!(name(object))
}

/// Text, or `<none>` as kubectl says it.
fn or_none(text: String) -> Value {
    Value::String(if text.is_empty() {
        "<none>".to_owned()
    } else {
        text
    })
}
