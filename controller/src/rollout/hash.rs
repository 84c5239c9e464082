//! The two hashes of a Rollout: of its pod template, which names ReplicaSets, and of its steps,
//! which tells that the way has changed.
//!
//! Both are FNV-1a with Kubernetes' safe alphabet, as Argo has them. The hash of the steps equals
//! Argo's, byte for byte, so that a Rollout that is taken over in mid-release is not started again.
//! The hash of the template cannot (Argo hashes its own Go structs); it is taken over JSON with
//! sorted keys, and whoever looks for a template's ReplicaSet falls back to comparing templates.

use crds::PodTemplate;
use crds::pod_template::POD_TEMPLATE_HASH_LABEL;
use crds::rollout::CanaryStep;
use serde_json::{Map, Value};

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;
/// No vowels and nothing that looks like another character: no hash is a word.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The hash of a pod template; `collisions` is how often a hash was taken already.
pub fn of_template(template: &PodTemplate, collisions: Option<i32>) -> String {
    let canonical = canonical(&template_value(template));
    let mut hash = fnv(FNV_OFFSET, canonical.to_string().as_bytes());
    if let Some(collisions) = collisions {
        hash = fnv(hash, &u64::from(collisions.unsigned_abs()).to_le_bytes());
    }
    readable(hash)
}

/// The hash of the steps; absent steps and no steps are two things.
pub fn of_steps(steps: Option<&[CanaryStep]>) -> String {
    let json = serde_json::to_string(&steps).unwrap_or_default();
    // Go escapes these three in strings, and they occur nowhere else in JSON.
    let json = json
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    readable(fnv(FNV_OFFSET, json.as_bytes()))
}

fn fnv(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

fn readable(hash: u32) -> String {
    let digits = hash.to_string();
    digits
        .bytes()
        .map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]))
        .collect()
}

/// The template without what does not make other pods: our own label, nulls and empty metadata.
fn template_value(template: &PodTemplate) -> Value {
    let mut value = template.to_value();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove(POD_TEMPLATE_HASH_LABEL);
        }
        metadata.retain(|_, value| !is_nothing(value));
    }
    value
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

/// The same value with sorted keys and without nulls.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object
                .iter()
                .filter(|(_, value)| !value.is_null())
                .collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.clone(), canonical(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_hash_as_argo_hashes_them() {
        let table = [
            (json!(null), "5ffbfbbd64"),
            (json!([]), "5f8cb5778f"),
            (json!([{"setWeight":10},{"pause":{}}]), "849b756fd4"),
            (
                json!([{"setWeight":20},{"pause":{"duration":10}},{"setWeight":40},{"pause":{"duration":"40s"}}]),
                "6f85958b9c",
            ),
        ];
        for (steps, expected) in table {
            let typed: Option<Vec<CanaryStep>> = serde_json::from_value(steps.clone()).unwrap();
            assert_eq!(of_steps(typed.as_deref()), expected, "{steps}");
        }
    }

    #[test]
    fn a_template_hash_ignores_order_and_nothings_and_sees_the_rest() {
        let hash = |value: Value, collisions| {
            of_template(&PodTemplate::from_value(value).unwrap(), collisions)
        };
        let base = json!({"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"x:1"}]}});
        let same = json!({"spec":{"containers":[{"image":"x:1","name":"c"}]},
            "metadata":{"creationTimestamp":null,"annotations":{},"labels":{"rollouts-pod-template-hash":"z","app":"a"}}});
        let other = json!({"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"x:2"}]}});
        assert_eq!(hash(base.clone(), None), hash(same, None));
        assert_ne!(hash(base.clone(), None), hash(other, None));
        assert_ne!(hash(base.clone(), None), hash(base, Some(1)));
    }
}
