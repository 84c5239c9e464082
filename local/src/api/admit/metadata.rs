//! What is wrong with an object's metadata (`pkg/api/validation/objectmeta.go`).

use serde_json::Value;

use crate::api::kinds::Kind;
use crate::api::names::{self, is_subdomain};
use crate::api::object::{list, text};
use crate::api::refuse::Cause;

const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const TOO_LONG: &str = "must be no more than 63 characters";
const PREFIX: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const FINALIZER: &str = "name is neither a standard finalizer name nor is it fully qualified";
const STANDARD_FINALIZERS: &[&str] = &["orphan", "foregroundDeletion", "kubernetes"];

/// Everything that is wrong, in Kubernetes' order.
pub(super) fn check(kind: &Kind, metadata: &Value) -> Vec<Cause> {
    let mut causes: Vec<Cause> = names::check(kind, text(metadata, "/name"))
        .into_iter()
        .collect();
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        causes.extend(check_key("metadata.labels", key));
        causes.extend(check_label(value));
    }
    for (key, _) in metadata["annotations"].as_object().into_iter().flatten() {
        // Annotations may be written in any case.
        causes.extend(
            check_key("metadata.annotations", &key.to_lowercase()).map(|cause| {
                Cause::invalid(&cause.field, &Value::String(key.clone()), cause.why())
            }),
        );
    }
    for owner in list(metadata, "/ownerReferences") {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, &format!("/{field}")).is_empty() {
                let at = format!("metadata.ownerReferences.{field}");
                let nothing = Value::String(String::new());
                causes.push(Cause::invalid(&at, &nothing, "must not be empty"));
            }
        }
    }
    for (index, finalizer) in list(metadata, "/finalizers").iter().enumerate() {
        let at = format!("metadata.finalizers[{index}]");
        let name = finalizer.as_str().unwrap_or_default();
        if let Some(wrong) = check_key(&at, name) {
            causes.push(wrong);
        } else if !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
            causes.push(Cause::invalid(&at, finalizer, FINALIZER));
        }
    }
    causes
}

/// A qualified name: a name, perhaps with a DNS prefix before a slash.
fn check_key(field: &str, key: &str) -> Option<Cause> {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let why = if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        PREFIX
    } else if name.len() > 63 {
        "name part must be no more than 63 characters"
    } else if name.is_empty() || !is_name_part(name) {
        NAME_PART
    } else {
        return None;
    };
    Some(Cause::invalid(field, &Value::String(key.to_owned()), why))
}

fn check_label(value: &Value) -> Option<Cause> {
    let text = value.as_str().unwrap_or_default();
    let why = if text.len() > 63 {
        TOO_LONG
    } else if is_name_part(text) {
        return None;
    } else {
        LABEL
    };
    Some(Cause::invalid("metadata.labels", value, why))
}

fn is_name_part(text: &str) -> bool {
    let end = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| end(c) || "-_.".contains(c);
    text.chars().all(inner) && (text.is_empty() || (text.starts_with(end) && text.ends_with(end)))
}
