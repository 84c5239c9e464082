//! The scale subresource: how many replicas, of whatever kind.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer};
use super::create::body_of;
use super::kinds::Scale;
use super::object::{revision, set_path, text};
use super::patch;
use super::refuse::{self, Refusal};
use super::request::Request;
use super::route::Target;
use super::server::ApiServer;
use super::update::{self, Update};

/// Answers `GET`, `PUT` and `PATCH` of `…/scale`.
pub(super) fn answer(
    server: &ApiServer,
    request: &Request,
    target: &Target,
) -> Result<Answer, Refusal> {
    let Some(scale) = &target.kind.scale else {
        return Err(refuse::no_such_path());
    };
    let mut state = server.state();
    let object = state.find(&target.kind, &target.namespace, &target.name)?;
    let shown = show(scale, &object);
    let wanted = match request.method.as_str() {
        "GET" => return Ok(answer::json(StatusCode::OK, &shown)),
        "PUT" => body_of(request)?,
        "PATCH" => patch::patched(request, &target.kind, shown)?,
        _ => return Err(refuse::method_not_allowed()),
    };
    let given = text(&wanted, "/metadata/name");
    if !given.is_empty() && given != target.name {
        return Err(refuse::bad_request(&format!(
            "the name of the object ({given}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let given = text(&wanted, "/metadata/resourceVersion");
    if !given.is_empty() && given != revision(&object).to_string() {
        return Err(refuse::conflict(&target.kind, &target.name, refuse::STALE));
    }
    let replicas = wanted["spec"].get("replicas").cloned().unwrap_or(json!(0));
    if replicas.as_i64().is_none_or(|replicas| replicas < 0) {
        let why = "must be greater than or equal to 0";
        let cause = refuse::Cause::invalid("spec.replicas", &replicas, why);
        let causes = vec![cause];
        return Err(refuse::invalid_of(
            "autoscaling",
            "Scale",
            &target.name,
            causes,
        ));
    }
    let mut changed = Value::clone(&object);
    let path: Vec<&str> = scale.spec.iter().map(String::as_str).collect();
    set_path(&mut changed, &path, replicas);
    let outcome = update::update(&mut state, &Update::of(request, target)?, changed)?;
    Ok(answer::json(StatusCode::OK, &show(scale, &outcome.object)))
}

fn show(scale: &Scale, object: &Value) -> Value {
    let at = |path: &[String]| path.iter().try_fold(object, |value, key| value.get(key));
    let count = |path: &[String]| at(path).and_then(Value::as_i64).unwrap_or(0);
    let selector = scale
        .selector
        .as_deref()
        .and_then(at)
        .map(selector_text)
        .unwrap_or_default();
    let metadata = &object["metadata"];
    let mut own = Map::new();
    for key in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = metadata.get(key) {
            own.insert(key.to_owned(), value.clone());
        }
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": own,
        "spec": {"replicas": count(&scale.spec)},
        "status": {"replicas": count(&scale.status), "selector": selector},
    })
}

/// A selector as text, whether it is kept as text or as a LabelSelector.
pub(super) fn selector_text(selector: &Value) -> String {
    if let Some(text) = selector.as_str() {
        return text.to_owned();
    }
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut parts: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    parts.sort();
    for one in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = text(one, "/key");
        let values: Vec<&str> = one["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        parts.push(match text(one, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.join(",")
}
