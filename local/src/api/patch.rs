//! `patch`: four kinds of changes to an object. Each makes a whole object of the present one, which
//! then goes through [`update`](super::update); an apply also of none, for [`create`](super::create).

use serde_json::Value;

use super::answer::present;
use super::create::{self, Creation};
use super::kinds::{Kind, Origin};
use super::manage::{self, Application, Writer};
use super::object::{metadata_mut, name, namespace, revision, text};
use super::refuse::{self, Cause, Refusal};
use super::request::Request;
use super::route::{Outcome, Target};
use super::store::State;
use super::update::{self, Update};

mod strategic;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A content type without its parameters.
pub(super) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Answers `PATCH` of an object or its status.
pub(super) fn patch(
    state: &mut State,
    request: &Request,
    target: &Target,
) -> Result<Outcome, Refusal> {
    let kind = &target.kind;
    if media_type(&request.content_type) == APPLY {
        return applied(state, request, target);
    }
    if request.query.flag("force") {
        let why = "may not be specified for non-apply patch";
        let cause = Cause::forbidden("force", why);
        return Err(refuse::invalid_options(&request.method, cause));
    }
    let old = state.find(kind, &target.namespace, &target.name)?;
    let patched = patched(request, kind, present(kind, &old).into_owned())?;
    let given = text(&patched, "/metadata/resourceVersion");
    if !given.is_empty() && given != revision(&old).to_string() {
        return Err(refuse::conflict(kind, &target.name, refuse::STALE));
    }
    let mut patched = patched;
    check_type(request, kind, &patched)?;
    // A patch may take the revision away; what it was made from is still what it changes.
    patched["metadata"]["resourceVersion"] = Value::String(revision(&old).to_string());
    update::update(state, &Update::of(request, target)?, patched)
}

/// Strategic patches are typed themselves; of the others Kubernetes shows what came out.
fn check_type(request: &Request, kind: &Kind, patched: &Value) -> Result<(), Refusal> {
    let Origin::BuiltIn(shape) = &kind.origin else {
        return Ok(());
    };
    if media_type(&request.content_type) == STRATEGIC {
        return Ok(());
    }
    match shape(patched.clone()) {
        Ok(_) => Ok(()),
        Err(error) => Err(refuse::patched_wrong(patched, &error.to_string())),
    }
}

/// Server-side apply.
fn applied(state: &mut State, request: &Request, target: &Target) -> Result<Outcome, Refusal> {
    let kind = &target.kind;
    manage::check_applied(request)?;
    let mut config = configuration(request)?;
    check_names(target, &config)?;
    manage::check(kind, &config)?;
    let live = state.get(kind, &target.namespace, &target.name).cloned();
    let live = live.as_deref().map(|live| present(kind, live).into_owned());
    if live.is_none() && !target.subresource.is_empty() {
        return Err(refuse::not_found(kind, &target.name));
    }
    let metadata = metadata_mut(&mut config);
    metadata.insert("name".to_owned(), Value::String(target.name.clone()));
    if kind.namespaced {
        metadata.insert(
            "namespace".to_owned(),
            Value::String(target.namespace.clone()),
        );
    }
    let application = Application {
        kind,
        live: live.as_ref(),
        config: &config,
        force: request.query.flag("force"),
        writer: &Writer::of(request, &target.subresource)?,
    };
    let given = text(&config, "/metadata/resourceVersion");
    let Some(live) = &live else {
        manage::check_new(kind, &target.name, &config)?;
        let mut object = manage::apply(&application)?;
        metadata_mut(&mut object).shift_remove("resourceVersion");
        return create::create(state, &Creation::of(request, target)?.applied(), object);
    };
    if !given.is_empty() && given != text(live, "/metadata/resourceVersion") {
        return Err(refuse::conflict(kind, &target.name, refuse::STALE));
    }
    let object = manage::apply(&application)?;
    update::update(state, &Update::of(request, target)?.applied(), object)
}

/// The body of an apply: JSON, or YAML, which JSON is too.
fn configuration(request: &Request) -> Result<Value, Refusal> {
    let wrong = |why: String| refuse::bad_request(&format!("error decoding YAML: {why}"));
    let text = std::str::from_utf8(&request.body).map_err(|error| wrong(error.to_string()))?;
    let config: Value = serde_json::from_str(text)
        .or_else(|_| serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string())))?;
    if config.is_object() {
        Ok(config)
    } else {
        Err(wrong("the configuration must be one object".to_owned()))
    }
}

fn check_names(target: &Target, config: &Value) -> Result<(), Refusal> {
    for (what, given, wanted, place) in [
        ("name", name(config), &target.name, "URL"),
        ("namespace", namespace(config), &target.namespace, "request"),
    ] {
        if !given.is_empty() && given != wanted {
            let why = format!(
                "the {what} of the object ({given}) does not match the {what} on the {place} ({wanted})"
            );
            return Err(refuse::bad_request(&why));
        }
    }
    Ok(())
}

/// What an object becomes by any patch but an apply.
pub(super) fn patched(request: &Request, kind: &Kind, object: Value) -> Result<Value, Refusal> {
    let media = media_type(&request.content_type);
    let accepted = if kind.custom().is_some() {
        format!("{JSON_PATCH}, {MERGE_PATCH}, {APPLY}")
    } else {
        format!("{JSON_PATCH}, {MERGE_PATCH}, {STRATEGIC}, {APPLY}")
    };
    let patched = match media {
        JSON_PATCH => json_patch(request, object)?,
        MERGE_PATCH => {
            let mut object = object;
            json_patch::merge(&mut object, &patch_object(request)?);
            object
        }
        STRATEGIC if kind.custom().is_none() => {
            strategic::merge(kind, object, &patch_object(request)?)?
        }
        STRATEGIC | APPLY => return Err(refuse::unsupported_media_type(&accepted)),
        _ => return Err(refuse::no_patch()),
    };
    if patched.is_object() && patched["metadata"].is_object() {
        Ok(patched)
    } else {
        Err(refuse::bad_request(
            "the patch leaves no object with metadata behind",
        ))
    }
}

fn patch_object(request: &Request) -> Result<Value, Refusal> {
    let patch: Value = serde_json::from_slice(&request.body)
        .map_err(|error| refuse::bad_request(&format!("error decoding patch: {error}")))?;
    if patch.is_object() {
        Ok(patch)
    } else {
        Err(refuse::bad_request(
            "error decoding patch: it must be one JSON object",
        ))
    }
}

fn json_patch(request: &Request, mut object: Value) -> Result<Value, Refusal> {
    let patch: Value = serde_json::from_slice(&request.body)
        .map_err(|error| refuse::bad_request(&format!("error decoding patch: {error}")))?;
    if !patch.is_array() {
        return Err(refuse::bad_request(
            "error decoding patch: it must be a list of operations",
        ));
    }
    // Kubernetes says no more than this of an operation that cannot be done.
    let rejected = |error: &dyn std::fmt::Display| {
        tracing::debug!(%error, "a JSON patch was rejected");
        let message = "the server rejected our request due to an error in our request";
        Box::new(kube::core::Status::failure(message, "Invalid").with_code(422))
    };
    let patch: json_patch::Patch =
        serde_json::from_value(patch).map_err(|error| rejected(&error))?;
    json_patch::patch(&mut object, &patch).map_err(|error| rejected(&error))?;
    Ok(object)
}
