//! The merge patch from one status to another.

use crds::AnalysisRun;
use crds::analysis::run::AnalysisRunStatus;
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};

/// The patch that makes `after` of `before` and of nothing else: it carries the version that was
/// looked at. `None` where there is nothing to change.
pub(super) fn of_status(
    run: &AnalysisRun,
    before: &AnalysisRunStatus,
    after: &AnalysisRunStatus,
) -> Option<Value> {
    if before == after {
        return None;
    }
    let (before, after) = (
        serde_json::to_value(before).ok()?,
        serde_json::to_value(after).ok()?,
    );
    let status = difference(&before, &after)?;
    Some(json!({"metadata": {"resourceVersion": run.resource_version()}, "status": status}))
}

/// RFC 7396: members that are gone are null; lists are replaced as a whole.
fn difference(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Some(after.clone());
    };
    let mut changes = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        changes.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        let change = match before.get(key) {
            Some(old) => difference(old, value),
            None => Some(value.clone()),
        };
        changes.extend(change.map(|change| (key.clone(), change)));
    }
    Some(Value::Object(changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_in_the_patch() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "gone": 1});
        let after = json!({"a": 1, "b": {"c": 1, "d": 3}, "e": [1, 2], "new": 1});
        let expected = json!({"gone": null, "b": {"d": 3}, "e": [1, 2], "new": 1});
        assert_eq!(difference(&before, &after), Some(expected));
        assert_eq!(difference(&after, &after), None);
    }
}
