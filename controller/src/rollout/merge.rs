//! Merge patches (RFC 7396): made, and put together.

use serde_json::{Map, Value};

/// Adds one merge patch to another.
pub(super) fn add(patch: &mut Value, other: Value) {
    match (patch, other) {
        (Value::Object(patch), Value::Object(other)) => {
            for (key, value) in other {
                add(patch.entry(key).or_insert(Value::Null), value);
            }
        }
        (patch, other) => *patch = other,
    }
}

/// The merge patch from one document to another; `None` where they are the same.
pub(super) fn difference(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        let change = match old.get(key) {
            Some(before) => difference(before, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_patches_do_what_both_did() {
        let mut patch = json!({"a": {"x": 1}, "b": null});
        add(&mut patch, json!({"a": {"y": null}, "c": [1]}));
        assert_eq!(
            patch,
            json!({"a": {"x": 1, "y": null}, "b": null, "c": [1]})
        );
    }

    #[test]
    fn a_difference_holds_what_changed_and_nothing_else() {
        let table = [
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1}), json!({"a": 2}), Some(json!({"a": 2}))),
            (
                json!({"a": 1, "b": 2}),
                json!({"b": 2}),
                Some(json!({"a": null})),
            ),
            (
                json!({"a": {"x": 1, "y": 2}}),
                json!({"a": {"x": 1, "y": 3}}),
                Some(json!({"a": {"y": 3}})),
            ),
            (
                json!({"a": [1, 2]}),
                json!({"a": [1, 3]}),
                Some(json!({"a": [1, 3]})),
            ),
            (
                json!({}),
                json!({"a": {"b": 1}}),
                Some(json!({"a": {"b": 1}})),
            ),
        ];
        for (from, to, expected) in table {
            assert_eq!(difference(&from, &to), expected, "{from} to {to}");
        }
    }
}
