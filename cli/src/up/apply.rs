//! Applies manifests as `kubectl apply` does on the client's side: what was applied last is kept in
//! an annotation, and a patch removes what is no longer there, sets what is, and leaves alone what
//! others have added.

use std::fmt;

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, ApiResource, Scope, pinned_kind};
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use super::manifests::{Manifest, Place};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const DEFAULT_NAMESPACE: &str = "default";

/// What was done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The object as kubectl names it.
    pub object: String,
    /// What was done.
    pub deed: Deed,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It was not there.
    Created,
    /// It was there and is different now.
    Configured,
    /// It was there as it should be.
    Unchanged,
}

/// A manifest that could not be applied.
#[derive(Debug, thiserror::Error)]
#[error("{place} ({object}): {why}")]
pub struct ApplyError {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub object: String,
    /// Why, with the path of the field if it is one.
    pub why: String,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deed = match self.deed {
            Deed::Created => "created",
            Deed::Configured => "configured",
            Deed::Unchanged => "unchanged",
        };
        write!(f, "{} {deed}", self.object)
    }
}

/// Applies one object.
pub async fn apply(client: &Client, manifest: &Manifest) -> Result<Applied, ApplyError> {
    let object = title(&manifest.object);
    match apply_object(client, &manifest.object).await {
        Ok(deed) => Ok(Applied { object, deed }),
        Err(error) => {
            let place = manifest.place.clone();
            Err(ApplyError {
                place,
                object,
                why: in_words(error),
            })
        }
    }
}

/// What the server said, without what the client wraps around it.
fn in_words(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => format!("{:#}", anyhow::Error::new(other)),
    }
}

async fn apply_object(client: &Client, object: &Value) -> Result<Deed, kube::Error> {
    let found = pinned_kind(client, &kind_of(object)).await?;
    let api = api_of(client, &found, object);
    let name = text(object, "/metadata/name");
    let wanted = annotated(object);
    let Some(live) = api.get_opt(name).await? else {
        let wanted = serde_json::from_value(wanted).map_err(kube::Error::SerdeError)?;
        api.create(&PostParams::default(), &wanted).await?;
        return Ok(Deed::Created);
    };
    let before = live.metadata.resource_version.clone();
    let patch = patch(&last_applied(&live), &wanted);
    let after = api
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    let same = before == after.metadata.resource_version;
    Ok(if same {
        Deed::Unchanged
    } else {
        Deed::Configured
    })
}

fn kind_of(object: &Value) -> GroupVersionKind {
    let version = text(object, "/apiVersion");
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    GroupVersionKind::gvk(group, version, text(object, "/kind"))
}

fn api_of(
    client: &Client,
    (resource, capabilities): &(ApiResource, ApiCapabilities),
    object: &Value,
) -> Api<DynamicObject> {
    if capabilities.scope == Scope::Cluster {
        return Api::all_with(client.clone(), resource);
    }
    let namespace = match text(object, "/metadata/namespace") {
        "" => DEFAULT_NAMESPACE,
        namespace => namespace,
    };
    Api::namespaced_with(client.clone(), namespace, resource)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `rollout.argoproj.io/my-app`.
fn title(object: &Value) -> String {
    let kind = text(object, "/kind").to_lowercase();
    let group = text(object, "/apiVersion")
        .split_once('/')
        .map(|(group, _)| group);
    let dot = if group.is_some() { "." } else { "" };
    format!(
        "{kind}{dot}{}/{}",
        group.unwrap_or_default(),
        text(object, "/metadata/name")
    )
}

/// The object with a note of itself.
fn annotated(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(annotations) = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
    }
    let note = format!("{object}\n");
    let metadata = &mut object["metadata"];
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"][LAST_APPLIED] = Value::String(note);
    object
}

/// What was applied last; nothing if the object came some other way.
fn last_applied(live: &DynamicObject) -> Value {
    let annotations = live.metadata.annotations.as_ref();
    let note = annotations.and_then(|annotations| annotations.get(LAST_APPLIED));
    note.and_then(|note| serde_json::from_str(note).ok())
        .unwrap_or(Value::Null)
}

/// The merge patch that sets all of `wanted` and removes what only `last` has.
fn patch(last: &Value, wanted: &Value) -> Value {
    let Value::Object(wanted) = wanted else {
        return wanted.clone();
    };
    let none = Map::new();
    let last = last.as_object().unwrap_or(&none);
    let removed = last.keys().filter(|key| !wanted.contains_key(*key));
    let removed = removed.map(|key| (key.clone(), Value::Null));
    let set = wanted.iter().map(|(key, value)| {
        let last = last.get(key).unwrap_or(&Value::Null);
        (key.clone(), patch(last, value))
    });
    Value::Object(removed.chain(set).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_sets_what_is_wanted_and_removes_what_was() {
        let table = [
            (json!(null), json!({"a": 1}), json!({"a": 1})),
            (
                json!({"a": 1, "b": 2}),
                json!({"a": 1}),
                json!({"b": null, "a": 1}),
            ),
            (
                json!({"spec": {"x": 1, "y": {"z": 1}}}),
                json!({"spec": {"y": {}}}),
                json!({"spec": {"x": null, "y": {"z": null}}}),
            ),
            // Lists are replaced.
            (json!({"l": [1, 2]}), json!({"l": [3]}), json!({"l": [3]})),
        ];
        for (last, wanted, expected) in table {
            assert_eq!(patch(&last, &wanted), expected, "{last} -> {wanted}");
        }
    }

    #[test]
    fn an_object_carries_a_note_of_itself_that_names_no_earlier_note() {
        let object = json!({"kind": "X", "metadata": {"name": "a"}});
        let once = annotated(&object);
        let note = text(
            &once,
            "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
        );
        assert_eq!(serde_json::from_str::<Value>(note).unwrap(), object);
        let twice = annotated(&once);
        let note = text(
            &twice,
            "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
        );
        assert!(!note.contains("last-applied"), "{note}");
    }

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        let table = [
            (
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}),
                "service/a",
            ),
            (
                json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "b"}}),
                "rollout.argoproj.io/b",
            ),
        ];
        for (object, expected) in table {
            assert_eq!(title(&object), expected);
        }
    }
}
