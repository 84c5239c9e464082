//! The normal form of a pod template: two templates that make the same pods have the same one.
//!
//! Whether a live ReplicaSet is of the current template decides between going on and redeploying,
//! so this errs on no side: what the API server writes in by itself ([`super::defaults`]) is
//! written in, what it leaves out is left out (nulls, empty lists and maps, zeros that are not
//! said to be something else than nothing), amounts are compared as amounts. Everything else
//! counts, known to us or not.

use serde_json::{Map, Value};

use super::{POD_TEMPLATE_HASH_LABEL, defaults, quantity};

/// Maps and structs that are the same whether empty or absent. Elsewhere an empty object says
/// something: `emptyDir: {}`.
const EMPTY_IS_ABSENT: [&str; 10] = [
    "metadata",
    "labels",
    "annotations",
    "resources",
    "limits",
    "requests",
    "overhead",
    "nodeSelector",
    "matchLabels",
    "volumeAttributes",
];

/// Amounts by name.
const AMOUNTS: [&str; 3] = ["limits", "requests", "overhead"];

/// Settings of which zero, false or the empty word means something else than saying nothing.
const ZERO_COUNTS: [&str; 39] = [
    "activeDeadlineSeconds",
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "cachingMode",
    "defaultMode",
    "enableServiceLinks",
    "expirationSeconds",
    "fsGroup",
    "fsGroupChangePolicy",
    "hostProcess",
    "hostUsers",
    "hostnameOverride",
    "kind",
    "localhostProfile",
    "lun",
    "maxSkew",
    "minDomains",
    "mode",
    "mountPropagation",
    "optional",
    "preemptionPolicy",
    "priority",
    "privileged",
    "procMount",
    "readOnlyRootFilesystem",
    "recursiveReadOnly",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "runtimeClassName",
    "seLinuxChangePolicy",
    "service",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "storageClassName",
    "supplementalGroupsPolicy",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "volumeMode",
];

/// The normal form.
pub(super) fn form(template: &Map<String, Value>) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("labels"))
        .and_then(Value::as_object_mut)
    {
        labels.remove(POD_TEMPLATE_HASH_LABEL);
    }
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        one_account(spec);
    }
    defaults::apply(&mut template);
    Value::Object(object(template, &|_| true))
}

/// The old name of the service account says the same as the new one, and the API server writes both.
fn one_account(spec: &mut Map<String, Value>) {
    let old = spec.remove("serviceAccount");
    let named = spec
        .get("serviceAccountName")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty());
    if let Some(old) = old.filter(|_| !named) {
        spec.insert("serviceAccountName".to_owned(), old);
    }
}

/// An object with what says nothing left out. `keeps` is false where keys are names, not settings.
fn object(object: Map<String, Value>, settings: &dyn Fn(&str) -> bool) -> Map<String, Value> {
    let normal = object.into_iter().filter_map(|(key, value)| {
        let value = if settings(&key) {
            setting(&key, value)?
        } else {
            value
        };
        Some((key, value))
    });
    normal.collect()
}

/// The normal form of a setting; `None` where it says nothing.
fn setting(key: &str, value: Value) -> Option<Value> {
    if AMOUNTS.contains(&key)
        && let Value::Object(amounts) = value
    {
        return (!amounts.is_empty()).then(|| amounts_of(amounts));
    }
    match value {
        Value::Null => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => Some(Value::Array(items.into_iter().map(item).collect())),
        Value::Object(inner) => {
            // The keys of these are names that people chose.
            let names = [
                "labels",
                "annotations",
                "nodeSelector",
                "matchLabels",
                "volumeAttributes",
                "options",
            ];
            let inner = object(inner, &|_| !names.contains(&key));
            (!inner.is_empty() || !EMPTY_IS_ABSENT.contains(&key)).then_some(Value::Object(inner))
        }
        value if key == "divisor" && is_zero_amount(&value) => None,
        value if ["divisor", "sizeLimit"].contains(&key) => Some(amount(value)),
        value if is_zero(&value) && !ZERO_COUNTS.contains(&key) => None,
        value => Some(value),
    }
}

fn item(value: Value) -> Value {
    match value {
        Value::Object(inner) => Value::Object(object(inner, &|_| true)),
        other => other,
    }
}

fn amounts_of(amounts: Map<String, Value>) -> Value {
    let amounts = amounts
        .into_iter()
        .map(|(name, value)| (name, amount(value)));
    Value::Object(amounts.collect())
}

fn amount(value: Value) -> Value {
    quantity::canonical(&value).map_or(value, Value::String)
}

fn is_zero_amount(value: &Value) -> bool {
    quantity::canonical(value).as_deref() == Some("0m")
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
