//! Anti-affinity: pods of a new revision stay away from the nodes of the stable one, if they are
//! told to. The rule names the stable revision, so it goes into the ReplicaSet's template, and not
//! into the Rollout's.

use serde_json::{Value, json};

use super::Scene;
use crate::rollout::merge::difference;
use crate::rollout::names;
use crate::rollout::observe::ReplicaSetView;
use crds::PodTemplate;

const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// The template of a new ReplicaSet, with the rule where it applies.
pub(super) fn applied(scene: &Scene<'_>) -> PodTemplate {
    let mut template = scene.strategy.template.to_value();
    if let Some((list, entry)) = rule(scene) {
        let affinity = &mut template["spec"]["affinity"]["podAntiAffinity"][list];
        match affinity.as_array_mut() {
            Some(entries) => entries.push(entry),
            None => *affinity = json!([entry]),
        }
    }
    PodTemplate::from_value(template).unwrap_or_default()
}

/// The list that the rule goes into, and the rule, while another revision is stable.
fn rule(scene: &Scene<'_>) -> Option<(&'static str, Value)> {
    let affinity = scene.strategy.anti_affinity.as_ref()?;
    if scene.is_initial() || scene.stable_hash() == scene.pod_hash {
        return None;
    }
    let term = json!({
        "labelSelector": {"matchExpressions": [{
            "key": names::POD_TEMPLATE_HASH_LABEL,
            "operator": "In",
            "values": [scene.stable_hash()],
        }]},
        "namespaces": [scene.rollout.metadata.namespace],
        "topologyKey": "kubernetes.io/hostname",
    });
    match &affinity.preferred_during_scheduling_ignored_during_execution {
        Some(preferred) => Some((
            PREFERRED,
            json!({"weight": preferred.weight, "podAffinityTerm": term}),
        )),
        None => Some((REQUIRED, term)),
    }
}

/// The merge patch of a template whose rule names a revision that is stable no more.
pub(super) fn outdated(scene: &Scene<'_>, set: &ReplicaSetView) -> Option<Value> {
    scene.strategy.anti_affinity.as_ref()?;
    let live = set.template.to_value();
    let named = revisions(&live["spec"]["affinity"]["podAntiAffinity"]);
    let stable = scene.stable_hash();
    if stable == scene.pod_hash || !named.iter().any(|named| named != stable) {
        return None;
    }
    let affinity = |template: &Value| json!({"affinity": template["spec"]["affinity"]});
    let wanted = applied(scene).to_value();
    difference(&affinity(&live), &affinity(&wanted)).map(|patch| json!({"spec": patch}))
}

/// The revisions that rules of ours name.
fn revisions(anti_affinity: &Value) -> Vec<String> {
    let terms = [PREFERRED, REQUIRED].into_iter().flat_map(|list| {
        let entries = anti_affinity[list].as_array().into_iter().flatten();
        entries.map(|entry| entry.get("podAffinityTerm").unwrap_or(entry))
    });
    terms.filter_map(revision).collect()
}

/// The revision that a term names, if it is one of ours.
fn revision(term: &Value) -> Option<String> {
    let expressions = term["labelSelector"]["matchExpressions"].as_array()?;
    let ours = expressions
        .iter()
        .find(|expression| expression["key"] == names::POD_TEMPLATE_HASH_LABEL)?;
    Some(ours["values"][0].as_str()?.to_owned())
}

/// A template without any rule of ours, as its Rollout had it.
pub(super) fn removed(template: &PodTemplate) -> PodTemplate {
    let mut value = template.to_value();
    let Some(affinity) = value.pointer_mut("/spec/affinity") else {
        return template.clone();
    };
    let before = affinity.clone();
    for list in [PREFERRED, REQUIRED] {
        if let Some(entries) = affinity["podAntiAffinity"]
            .get_mut(list)
            .and_then(Value::as_array_mut)
        {
            entries
                .retain(|entry| revision(entry.get("podAffinityTerm").unwrap_or(entry)).is_none());
        }
    }
    if *affinity == before {
        return template.clone();
    }
    prune(&mut value);
    PodTemplate::from_value(value).unwrap_or_default()
}

/// Takes away what only held the rule.
fn prune(template: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    for path in ["/spec/affinity/podAntiAffinity", "/spec/affinity", "/spec"] {
        let fields = template.pointer_mut(path).and_then(Value::as_object_mut);
        let Some(fields) = fields else { continue };
        if path == "/spec" {
            if fields.get("affinity").is_some_and(empty) {
                fields.remove("affinity");
            }
        } else {
            fields.retain(|_, value| !empty(value));
        }
    }
}
