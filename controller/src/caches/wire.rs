//! What comes from the API server, made small before it is kept: what nobody here reads is not
//! even parsed into types.

use std::borrow::Cow;

use crds::PodTemplate;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The copy of the whole object that `kubectl apply` leaves in it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object that may be of the wrong shape, so that one such object stops no watch.
#[derive(Clone, Debug)]
pub(super) struct Wire<K> {
    meta: ObjectMeta,
    /// The object, or why it cannot be read.
    pub(super) object: Result<K, String>,
}

/// A ReplicaSet whose pod template is kept as the JSON that came.
#[derive(Clone, Debug)]
pub(super) struct SetWire {
    pub(super) set: ReplicaSet,
    pub(super) template: Option<PodTemplate>,
}

// === impl Wire ===

impl<K> Wire<K> {
    pub(super) fn take(self) -> (ObjectMeta, Result<K, String>) {
        (self.meta, self.object)
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Wire<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = stripped(deserializer)?;
        Ok(Self {
            meta: slim(&fields),
            // By value: what is kept is moved, not copied.
            object: K::deserialize(Value::Object(fields)).map_err(|error| error.to_string()),
        })
    }
}

/// The metadata that tells objects apart, of whatever shape the object is.
fn slim(fields: &Map<String, Value>) -> ObjectMeta {
    let text = |name| {
        let value = fields.get("metadata").and_then(|meta| meta.get(name));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        ..ObjectMeta::default()
    }
}

/// Who wrote which field when, and what was applied last, is as large as the object itself.
fn stripped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    let mut fields = Map::<String, Value>::deserialize(deserializer)?;
    if let Some(Value::Object(meta)) = fields.get_mut("metadata") {
        meta.remove("managedFields");
        if let Some(Value::Object(annotations)) = meta.get_mut("annotations") {
            annotations.remove(LAST_APPLIED);
        }
    }
    Ok(fields)
}

impl<K: Resource> Resource for Wire<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

// === impl SetWire ===

impl<'de> Deserialize<'de> for SetWire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let mut fields = stripped(deserializer)?;
        let spec = fields.get_mut("spec").and_then(Value::as_object_mut);
        let template = spec.and_then(|spec| spec.remove("template"));
        let set = ReplicaSet::deserialize(Value::Object(fields)).map_err(D::Error::custom)?;
        let template = template.and_then(PodTemplate::from_value);
        Ok(Self { set, template })
    }
}

impl Resource for SetWire {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        ReplicaSet::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        <ReplicaSet as Resource>::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        <ReplicaSet as Resource>::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        <ReplicaSet as Resource>::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.set.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.set.metadata
    }
}

#[cfg(test)]
mod tests {
    use crds::Rollout;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_reads_is_dropped_and_what_cannot_be_read_has_still_a_name() {
        let object = |replicas: Value| {
            json!({
                "metadata": {"name": "web", "resourceVersion": "7", "managedFields": [{"manager": "x"}],
                             "annotations": {LAST_APPLIED: "{}", "kept": "yes"}},
                "spec": {"replicas": replicas},
            })
        };
        let read: Wire<Rollout> = serde_json::from_value(object(json!(3))).unwrap();
        let rollout = read.object.unwrap();
        assert_eq!(rollout.spec.replicas, Some(3));
        assert_eq!(rollout.metadata.managed_fields, None);
        let annotations = rollout.metadata.annotations.unwrap();
        assert_eq!(annotations.into_keys().collect::<Vec<_>>(), ["kept"]);
        let wrong: Wire<Rollout> = serde_json::from_value(object(json!("three"))).unwrap();
        assert_eq!(wrong.meta.name.as_deref(), Some("web"));
        assert!(wrong.object.unwrap_err().contains("three"));
    }
}
