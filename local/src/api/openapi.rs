//! OpenAPI: enough for kubectl to know that this server validates fields and does dry runs itself,
//! and the schemas of custom kinds. The schemas of built-in kinds are left open, and strategic
//! merge is not described, so kubectl uses the types that are compiled into it.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::{self, Answer};
use super::kinds::Kind;
use super::refuse::{self, Refusal};
use super::request::Request;
use super::server::ApiServer;

/// Answers a path below `/openapi/`.
pub(super) fn answer(server: &ApiServer, request: &Request) -> Result<Answer, Refusal> {
    if request.method != Method::GET {
        return Err(refuse::method_not_allowed());
    }
    let path = request.path.trim_matches('/');
    let kinds: Vec<Arc<Kind>> = server.state().kinds.iter().cloned().collect();
    let found = match path {
        "openapi/v2" => Some(second_version()),
        "openapi/v3" => Some(index(&kinds)),
        _ => path
            .strip_prefix("openapi/v3/")
            .and_then(|place| document(&kinds, place)),
    };
    let found = found.ok_or_else(refuse::no_such_path)?;
    // Old clients ask for protobuf first; one that takes nothing else must hear so.
    let protobuf_only = request.accept.contains("proto-openapi")
        && !request.accept.contains("json")
        && !request.accept.contains("*/*");
    if protobuf_only {
        Err(refuse::not_acceptable())
    } else {
        Ok(answer::json(StatusCode::OK, &found))
    }
}

fn second_version() -> Value {
    json!({"swagger": "2.0", "info": {"title": "Sluice", "version": "v1.34.4"},
           "paths": {}, "definitions": {}})
}

fn place(kind: &Kind) -> String {
    let prefix = if kind.group.is_empty() { "api" } else { "apis" };
    format!("{prefix}/{}", kind.api_version())
}

fn index(kinds: &[Arc<Kind>]) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        let place = place(kind);
        let url = format!("/openapi/v3/{place}");
        paths.insert(place, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

fn document(kinds: &[Arc<Kind>], wanted: &str) -> Option<Value> {
    let here: Vec<&Arc<Kind>> = kinds.iter().filter(|kind| place(kind) == wanted).collect();
    if here.is_empty() {
        return None;
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in here {
        let namespace = if kind.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let collection = format!("/{wanted}{namespace}/{}", kind.plural);
        paths.insert(format!("{collection}/{{name}}"), object_path(kind));
        paths.insert(collection, collection_path(kind));
        schemas.insert(schema_name(kind), schema(kind));
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Sluice", "version": "v1.34.4"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn schema_name(kind: &Kind) -> String {
    let group = if kind.group.is_empty() {
        "core"
    } else {
        &kind.group
    };
    let mut parts: Vec<&str> = group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), kind.version, kind.kind)
}

fn schema(kind: &Kind) -> Value {
    let mut schema = kind.custom().map_or_else(
        || json!({"type": "object"}),
        |custom| Value::clone(&custom.written),
    );
    schema["x-kubernetes-group-version-kind"] = json!([identity(kind)]);
    schema
}

fn identity(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn parameter(name: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})
}

fn operation(kind: &Kind, action: &str) -> Value {
    let media = if action == "patch" {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let reference = format!("#/components/schemas/{}", schema_name(kind));
    let mut operation = json!({
        "operationId": format!("{action}{}{}", kind.version, kind.kind),
        "responses": {"200": {"description": "OK", "content": {
            "application/json": {"schema": {"$ref": reference}}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": identity(kind),
    });
    if action != "get" && action != "list" {
        operation["parameters"] =
            json!(["dryRun", "fieldManager", "fieldValidation"].map(parameter));
        operation["requestBody"] = json!({"content": {media: {"schema": {"type": "object"}}}});
    }
    operation
}

fn object_path(kind: &Kind) -> Value {
    json!({
        "get": operation(kind, "get"),
        "put": operation(kind, "put"),
        "patch": operation(kind, "patch"),
        "delete": operation(kind, "delete"),
    })
}

fn collection_path(kind: &Kind) -> Value {
    json!({"get": operation(kind, "list"), "post": operation(kind, "post")})
}
