//! Events have two dresses, `v1` and `events.k8s.io/v1`. They are stored in the older one; this is
//! the change of clothes, field by field as in Kubernetes' own conversion.

use serde_json::{Map, Value};

/// Older name, newer name.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("source", "deprecatedSource"),
    ("reportingComponent", "reportingController"),
];

/// A stored Event as `events.k8s.io/v1` shows it.
pub(super) fn to_new(event: &Value) -> Value {
    renamed(event, "events.k8s.io/v1", |key| {
        RENAMED
            .iter()
            .find(|(old, _)| *old == key)
            .map(|(_, new)| *new)
    })
}

/// An `events.k8s.io/v1` Event as it is stored.
pub(super) fn to_stored(event: &Value) -> Value {
    renamed(event, "v1", |key| {
        RENAMED
            .iter()
            .find(|(_, new)| *new == key)
            .map(|(old, _)| *old)
    })
}

fn renamed<'a>(event: &Value, version: &str, name_of: impl Fn(&str) -> Option<&'a str>) -> Value {
    let mut out = Map::new();
    for (key, value) in event.as_object().into_iter().flatten() {
        out.insert(name_of(key).unwrap_or(key).to_owned(), value.clone());
    }
    out.insert("apiVersion".to_owned(), Value::String(version.to_owned()));
    Value::Object(out)
}
