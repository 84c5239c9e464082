//! Strategic merge patches: like merge patches, but some lists are merged by a key of their
//! entries instead of being replaced. Which lists, Kubernetes says in tags on its Go types; here
//! it is a table of the lists that occur in our kinds.
//!
//! Directives: `$patch: delete|replace|merge`, `$deleteFromPrimitiveList/…`,
//! `$setElementOrder/…` and `$retainKeys`.

use serde_json::{Map, Value};

use crate::api::kinds::Kind;
use crate::api::refuse::{self, Refusal};

/// How a list takes a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListRule {
    Replace,
    /// Entries with the same value under this key are the same entry.
    ByKey(&'static str),
    /// A set of plain values.
    Set,
}

/// Lists by their own name, with their parent's name where the same name means two things.
fn rule(kind: &Kind, parent: &str, field: &str) -> ListRule {
    use ListRule::{ByKey, Replace, Set};
    match (parent, field) {
        (
            _,
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "env"
            | "imagePullSecrets"
            | "resourceClaims"
            | "secrets",
        ) => ByKey("name"),
        ("containers" | "initContainers" | "ephemeralContainers", "ports") => {
            ByKey("containerPort")
        }
        ("spec", "ports") if kind.is("", "Service") => ByKey("port"),
        (_, "volumeMounts") => ByKey("mountPath"),
        (_, "volumeDevices") => ByKey("devicePath"),
        (_, "conditions") if !kind.is_crd() => ByKey("type"),
        ("status", "addresses") if kind.is("", "Node") => ByKey("type"),
        ("metadata", "ownerReferences") => ByKey("uid"),
        (_, "hostAliases" | "podIPs" | "hostIPs") => ByKey("ip"),
        (_, "topologySpreadConstraints") => ByKey("topologyKey"),
        ("metadata", "finalizers") | ("spec", "podCIDRs") => Set,
        _ => Replace,
    }
}

/// The object with the patch merged into it.
pub(super) fn merge(kind: &Kind, object: Value, patch: &Value) -> Result<Value, Refusal> {
    let Value::Object(mut fields) = object else {
        return Ok(object);
    };
    if let Value::Object(patch) = patch {
        Merge { kind }.fields(&mut fields, patch, "")?;
    }
    Ok(Value::Object(fields))
}

struct Merge<'a> {
    kind: &'a Kind,
}

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

impl Merge<'_> {
    fn fields(
        &self,
        object: &mut Map<String, Value>,
        patch: &Map<String, Value>,
        parent: &str,
    ) -> Result<(), Refusal> {
        match patch
            .get(DIRECTIVE)
            .map(|directive| directive.as_str().unwrap_or_default())
        {
            None | Some("merge") => {}
            Some("replace") => {
                *object = without_directives(patch);
                return Ok(());
            }
            Some("delete") => {
                object.clear();
                return Ok(());
            }
            Some(other) => return Err(unknown_directive(other)),
        }
        if let Some(Value::Array(kept)) = patch.get(RETAIN) {
            object.retain(|key, _| kept.iter().any(|one| one.as_str() == Some(key)));
        }
        let orders = patch.iter().filter_map(|(key, order)| {
            let field = key.strip_prefix(ORDER)?;
            let before = object.get(field).cloned().unwrap_or_default();
            Some((field, order, before))
        });
        let orders: Vec<(&str, &Value, Value)> = orders.collect();
        for (key, value) in patch {
            if let Some(field) = key.strip_prefix(DELETE_FROM) {
                delete_values(object, field, value);
            } else if !key.starts_with('$') {
                self.field(object, key, value, parent)?;
            }
        }
        for (field, order, before) in orders {
            if let Some(Value::Array(items)) = object.get_mut(field) {
                let rule = rule(self.kind, parent, field);
                arrange(items, listed(order), listed(&before), rule);
            }
        }
        Ok(())
    }

    fn field(
        &self,
        object: &mut Map<String, Value>,
        key: &str,
        patch: &Value,
        parent: &str,
    ) -> Result<(), Refusal> {
        match patch {
            Value::Null => {
                object.shift_remove(key);
            }
            Value::Object(fields) => {
                let slot = object.entry(key).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(below) = slot {
                    self.fields(below, fields, key)?;
                }
                if fields.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                    object.shift_remove(key);
                }
            }
            Value::Array(items) => self.list(object, key, items, rule(self.kind, parent, key))?,
            plain => {
                object.insert(key.to_owned(), plain.clone());
            }
        }
        Ok(())
    }

    fn list(
        &self,
        object: &mut Map<String, Value>,
        key: &str,
        patch: &[Value],
        rule: ListRule,
    ) -> Result<(), Refusal> {
        let is_replace =
            |item: &Value| item.get(DIRECTIVE).and_then(Value::as_str) == Some("replace");
        if rule == ListRule::Replace || patch.iter().any(is_replace) {
            let kept = patch.iter().filter(|item| !is_replace(item));
            let clean = kept.map(clean).collect();
            object.insert(key.to_owned(), Value::Array(clean));
            return Ok(());
        }
        let slot = object.entry(key).or_insert(Value::Array(Vec::new()));
        let mut items = slot.as_array_mut().map(std::mem::take).unwrap_or_default();
        let before = items.clone();
        for item in patch {
            match rule {
                ListRule::ByKey(by) => self.entry(&mut items, item, by, key)?,
                _ if items.contains(item) => {}
                _ => items.push(item.clone()),
            }
        }
        arrange(&mut items, patch, &before, rule);
        *slot = Value::Array(items);
        Ok(())
    }

    fn entry(
        &self,
        items: &mut Vec<Value>,
        patch: &Value,
        by: &str,
        list: &str,
    ) -> Result<(), Refusal> {
        let Some(fields) = patch.as_object() else {
            return Err(refuse::bad_request(&format!(
                "the entries of {list} must be objects"
            )));
        };
        let Some(id) = fields.get(by) else {
            return Err(refuse::bad_request(&format!(
                "map: {patch} does not contain declared merge key: {by}"
            )));
        };
        let deletes = fields.get(DIRECTIVE).and_then(Value::as_str) == Some("delete");
        let found = items.iter().position(|item| item.get(by) == Some(id));
        match (found, deletes) {
            (Some(_), true) => items.retain(|item| item.get(by) != Some(id)),
            (None, true) => {}
            (Some(index), false) => {
                if let Value::Object(below) = &mut items[index] {
                    self.fields(below, fields, list)?;
                }
            }
            (None, false) => items.push(clean(patch)),
        }
        Ok(())
    }
}

fn listed(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Entries that the order names come in that order. The others keep the order that they had, and each
/// stands before the first one named that it stood before already.
fn arrange(items: &mut Vec<Value>, order: &[Value], before: &[Value], rule: ListRule) {
    let id = |item: &Value| match rule {
        ListRule::ByKey(by) => item.get(by).cloned().unwrap_or(Value::Null),
        _ => item.clone(),
    };
    let place = |of: &[Value], item: &Value| of.iter().position(|one| id(one) == id(item));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) = std::mem::take(items)
        .into_iter()
        .partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    others.sort_by_key(|item| place(before, item).unwrap_or(usize::MAX));
    let stood_before = |one: &Value, other: &Value| {
        let places = place(before, one).zip(place(before, other));
        places.is_some_and(|(one, other)| one < other)
    };
    let mut others = others.into_iter().peekable();
    for item in named {
        while let Some(other) = others.next_if(|other| stood_before(other, &item)) {
            items.push(other);
        }
        items.push(item);
    }
    items.extend(others);
}

fn delete_values(object: &mut Map<String, Value>, field: &str, gone: &Value) {
    let gone = gone.as_array().map_or(&[][..], Vec::as_slice);
    if let Some(Value::Array(items)) = object.get_mut(field) {
        items.retain(|item| !gone.contains(item));
    }
}

fn without_directives(fields: &Map<String, Value>) -> Map<String, Value> {
    let kept = fields
        .iter()
        .filter(|(key, value)| !key.starts_with('$') && !value.is_null());
    kept.map(|(key, value)| (key.clone(), clean(value)))
        .collect()
}

/// What is new in a patch, without its directives and nulls.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without_directives(fields)),
        Value::Array(items) => Value::Array(items.iter().map(clean).collect()),
        plain => plain.clone(),
    }
}

fn unknown_directive(directive: &str) -> Refusal {
    refuse::bad_request(&format!(
        "$patch: {directive:?} in the patch: delete, replace and merge are accepted"
    ))
}
