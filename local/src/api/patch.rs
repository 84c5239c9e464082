//! `patch`: three kinds of changes to an object. Each makes a whole object of the present one, which
//! then goes through [`update`](super::update).

use serde_json::Value;

use super::answer::present;
use super::kinds::Kind;
use super::object::{revision, text};
use super::refuse::{self, Refusal};
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
        // It would create what is not there, so it is refused before anything is looked for.
        return Err(apply_is_not_done());
    }
    let old = state.find(kind, &target.namespace, &target.name)?;
    let patched = apply(request, kind, present(kind, &old).into_owned())?;
    let given = text(&patched, "/metadata/resourceVersion");
    if !given.is_empty() && given != revision(&old).to_string() {
        return Err(refuse::conflict(kind, &target.name, refuse::STALE));
    }
    let mut patched = patched;
    // A patch may take the revision away; what it was made from is still what it changes.
    patched["metadata"]["resourceVersion"] = Value::String(revision(&old).to_string());
    update::update(state, &Update::of(request, target)?, patched)
}

/// What an object becomes.
pub(super) fn apply(request: &Request, kind: &Kind, object: Value) -> Result<Value, Refusal> {
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
        APPLY => return Err(apply_is_not_done()),
        other => return Err(refuse::unsupported_media_type(other, &accepted)),
    };
    if patched.is_object() && patched["metadata"].is_object() {
        Ok(patched)
    } else {
        Err(refuse::bad_request(
            "the patch leaves no object with metadata behind",
        ))
    }
}

fn apply_is_not_done() -> Refusal {
    let sentence = "server-side apply is not built yet; use kubectl apply without --server-side, or a merge patch";
    refuse::not_done(sentence)
}

fn patch_object(request: &Request) -> Result<Value, Refusal> {
    let patch: Value = serde_json::from_slice(&request.body)
        .map_err(|error| refuse::bad_request(&format!("the patch is not JSON: {error}")))?;
    if patch.is_object() {
        Ok(patch)
    } else {
        Err(refuse::bad_request("the patch must be one JSON object"))
    }
}

fn json_patch(request: &Request, mut object: Value) -> Result<Value, Refusal> {
    let patch: json_patch::Patch = serde_json::from_slice(&request.body)
        .map_err(|error| refuse::bad_request(&format!("the patch is not a JSON patch: {error}")))?;
    json_patch::patch(&mut object, &patch).map_err(|error| {
        let message =
            format!("the server rejected our request due to an error in our request: {error}");
        Box::new(kube::core::Status::failure(&message, "Invalid").with_code(422))
    })?;
    Ok(object)
}
