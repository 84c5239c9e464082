//! `update`: an object is replaced by another version of itself. Every change of an object ends
//! here, patches and scale included.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::admit::{self, Context, FieldValidation};
use super::create::{check_kind, dry_run};
use super::kinds::Kind;
use super::manage::{self, Writer};
use super::object::{
    finalizers, is_deleting, map_mut, metadata_mut, name, number, revision, text, uid,
};
use super::refuse::{self, Cause, Refusal};
use super::request::Request;
use super::route::{Outcome, Target};
use super::store::State;

/// How an object is changed.
pub(super) struct Update {
    kind: Arc<Kind>,
    namespace: String,
    name: String,
    /// Through `/status`: nothing else changes.
    status: bool,
    /// By a patch, which has no preconditions of its own.
    patched: bool,
    validation: FieldValidation,
    dry: bool,
    /// Who writes. Without one the object says itself who manages it.
    writer: Option<Writer>,
    now: Timestamp,
}

impl Update {
    pub(super) fn of(request: &Request, target: &Target) -> Result<Self, Refusal> {
        Ok(Self {
            kind: target.kind.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            status: target.subresource == "status",
            patched: request.method == http::Method::PATCH,
            validation: FieldValidation::of(request)?,
            dry: dry_run(request)?,
            writer: Some(Writer::of(request, &target.subresource)?),
            now: request.now,
        })
    }

    /// An update to an object that already says who manages it.
    pub(super) fn applied(self) -> Self {
        Self {
            writer: None,
            ..self
        }
    }

    /// An update by the server itself.
    pub(super) fn plain(kind: Arc<Kind>, namespace: &str, name: &str, now: Timestamp) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let validation = FieldValidation::Ignore;
        Self {
            kind,
            namespace,
            name,
            status: false,
            patched: false,
            validation,
            dry: false,
            writer: None,
            now,
        }
    }
}

/// Replaces an object. What changes nothing does not count as a change.
pub(super) fn update(
    state: &mut State,
    update: &Update,
    mut object: Value,
) -> Result<Outcome, Refusal> {
    let kind = &update.kind;
    let old = state.find(kind, &update.namespace, &update.name)?;
    check_kind(kind, &mut object)?;
    check_identity(update, &old, &object)?;
    let given = metadata_mut(&mut object).shift_remove("managedFields");
    keep_what_is_not_theirs(update, &old, &mut object);
    check_finalizers(kind, &old, &object)?;
    let context = Context {
        kind,
        kinds: &state.kinds,
        old: Some(&old),
        validation: update.validation,
        now: update.now,
    };
    let warnings = admit::decode(&mut object, &context)?;
    let given = given.unwrap_or_default();
    match &update.writer {
        Some(writer) => manage::track(kind, Some(&old), &mut object, given, writer),
        None if given.is_null() => {}
        None => drop(metadata_mut(&mut object).insert("managedFields".to_owned(), given)),
    }
    admit::settle(&mut object, &context)?;
    if manage::is_same(&object, &old) {
        return Ok(Outcome {
            object: old,
            warnings,
            created: false,
        });
    }
    if kind.generation && has_new_generation(kind, &old, &object) {
        let next = number(&old, "/metadata/generation").unwrap_or(0) + 1;
        metadata_mut(&mut object).insert("generation".to_owned(), Value::from(next));
    }
    if update.dry {
        return Ok(Outcome {
            object: Arc::new(object),
            warnings,
            created: false,
        });
    }
    let object = if is_finished(&object) {
        state.remove(kind, &object)?
    } else {
        state.put(kind, object)?
    };
    Ok(Outcome {
        object,
        warnings,
        created: false,
    })
}

/// The object given must be the object meant, as it is now.
fn check_identity(update: &Update, old: &Value, object: &Value) -> Result<(), Refusal> {
    let kind = &update.kind;
    let given = name(object);
    if !given.is_empty() && given != update.name {
        return Err(refuse::bad_request(&format!(
            "the name of the object ({given}) does not match the name on the URL ({})",
            update.name
        )));
    }
    let namespace = text(object, "/metadata/namespace");
    if !namespace.is_empty() && namespace != update.namespace {
        return Err(refuse::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let version = text(object, "/metadata/resourceVersion");
    if version.is_empty() && kind.custom().is_some() {
        let field = "metadata.resourceVersion";
        let cause = Cause::invalid(field, &Value::from(0), "must be specified for an update");
        return Err(refuse::invalid(kind, &update.name, vec![cause]));
    }
    if !version.is_empty() && version != revision(old).to_string() {
        return Err(refuse::conflict(kind, &update.name, refuse::STALE));
    }
    let given = uid(object);
    if !given.is_empty() && given != uid(old) && update.patched {
        let given = &object["metadata"]["uid"];
        let cause = Cause::invalid("metadata.uid", given, "field is immutable");
        return Err(refuse::invalid(kind, &update.name, vec![cause]));
    }
    if !given.is_empty() && given != uid(old) {
        let why = format!(
            "Precondition failed: UID in precondition: {given}, UID in object meta: {}",
            uid(old)
        );
        return Err(refuse::conflict(kind, &update.name, &why));
    }
    Ok(())
}

/// Metadata that only the server writes.
const SERVERS_OWN: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

fn keep_what_is_not_theirs(update: &Update, old: &Value, object: &mut Value) {
    let kind = &update.kind;
    if update.status {
        let status = map_mut(object).shift_remove("status");
        let metadata = map_mut(object).shift_remove("metadata");
        *object = old.clone();
        set_or_remove(map_mut(object), "status", status);
        // Kubernetes takes labels and the like through /status for its own kinds, not for custom ones.
        if kind.custom().is_none() && !kind.is_new_event() {
            set_or_remove(map_mut(object), "metadata", metadata);
        }
    } else if kind.status {
        set_or_remove(map_mut(object), "status", old.get("status").cloned());
    }
    let metadata = metadata_mut(object);
    metadata.shift_remove("managedFields");
    metadata.shift_remove("selfLink");
    for key in SERVERS_OWN {
        set_or_remove(metadata, key, old["metadata"].get(key).cloned());
    }
}

fn set_or_remove(fields: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => fields.insert(key.to_owned(), value),
        None => fields.shift_remove(key),
    };
}

/// An object on its way out takes no new finalizers.
fn check_finalizers(kind: &Kind, old: &Value, object: &Value) -> Result<(), Refusal> {
    let added = finalizers(object).any(|one| finalizers(old).all(|had| had != one));
    if !is_deleting(old) || !added {
        return Ok(());
    }
    let why = "no new finalizers can be added if the object is being deleted";
    let cause = Cause::forbidden("metadata.finalizers", why);
    Err(refuse::invalid(kind, name(old), vec![cause]))
}

/// Everything but metadata counts, and the status only where it is no subresource.
fn has_new_generation(kind: &Kind, old: &Value, new: &Value) -> bool {
    let counts = |key: &String| key != "metadata" && !(kind.status && key == "status");
    let relevant = |object: &Value| -> Map<String, Value> {
        let fields = object.as_object().into_iter().flatten();
        fields
            .filter(|(key, _)| counts(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    relevant(old) != relevant(new)
}

/// Deleted, and nothing holds it any more.
pub(super) fn is_finished(object: &Value) -> bool {
    let waits = number(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) > 0;
    let is_namespace = object["kind"] == "Namespace" && object["apiVersion"] == "v1";
    let held = is_namespace
        && !object["spec"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty);
    is_deleting(object) && !waits && !held && finalizers(object).next().is_none()
}
