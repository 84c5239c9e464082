//! Labels and annotations that pods carry while they are the newest revision, or stable.
//!
//! They go into the ReplicaSet's template first, so that pods that come meanwhile have them, and
//! then onto the pods that are there. What was put in is written down in an annotation of the
//! ReplicaSet, so that it can be taken away again and nothing else is.

use std::collections::BTreeMap;

use crds::PodTemplate;
use crds::rollout::Metadata;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Action, Draft, PodChange, ReplicaSetChange, Scene};
use crate::rollout::names;
use crate::rollout::observe::{PodView, ReplicaSetView};

/// What was put in, as the annotation has it: Argo's field order.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub(super) struct Injected {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// Brings ReplicaSets and pods to what they should carry. Nothing where no metadata is configured,
/// as in Argo: what was put in before stays then.
pub(super) fn plan(scene: &Scene<'_>, draft: &mut Draft) {
    let metadata = &scene.strategy.metadata;
    if metadata.new.is_none() && metadata.stable.is_none() {
        return;
    }
    let complete = scene.is_initial() || scene.stable_hash() == scene.pod_hash;
    if let Some(new) = scene.new {
        let wanted = if complete {
            &metadata.stable
        } else {
            &metadata.new
        };
        bring(scene, new, wanted.as_ref(), draft);
    }
    if let Some(stable) = scene.apart() {
        bring(scene, stable, metadata.stable.as_ref(), draft);
    }
    for set in &scene.others {
        bring(scene, set, None, draft);
    }
}

/// What a ReplicaSet is created with: its template, and the annotation for it.
pub(super) fn of_a_new_set(
    scene: &Scene<'_>,
    template: PodTemplate,
) -> (PodTemplate, Option<String>) {
    let metadata = &scene.strategy.metadata;
    let wanted = if scene.stable.is_some() {
        &metadata.new
    } else {
        &metadata.stable
    };
    let Some(wanted) = wanted.as_ref().map(Injected::from) else {
        return (template, None);
    };
    let mut template = template;
    for (key, value) in &wanted.labels {
        template.set_label(key, value);
    }
    for (key, value) in &wanted.annotations {
        template.set_annotation(key, value);
    }
    let text = serde_json::to_string(&wanted).ok();
    (template, text)
}

/// A live template without what was put in.
pub(super) fn removed(set: &ReplicaSetView) -> PodTemplate {
    let Some(injected) = injected(set) else {
        return set.template.clone();
    };
    let mut value = set.template.to_value();
    for (kind, keys) in [
        ("labels", &injected.labels),
        ("annotations", &injected.annotations),
    ] {
        if let Some(fields) = value["metadata"]
            .get_mut(kind)
            .and_then(Value::as_object_mut)
        {
            fields.retain(|key, _| !keys.contains_key(key));
        }
    }
    PodTemplate::from_value(value).unwrap_or_default()
}

fn injected(set: &ReplicaSetView) -> Option<Injected> {
    let text = set.annotations.get(names::EPHEMERAL_METADATA)?;
    serde_json::from_str(text).ok()
}

fn bring(scene: &Scene<'_>, set: &ReplicaSetView, wanted: Option<&Metadata>, draft: &mut Draft) {
    let before = injected(set).unwrap_or_default();
    let after = wanted.map(Injected::from).unwrap_or_default();
    let live = Injected {
        labels: set.template.labels(),
        annotations: set.template.annotations(),
    };
    if let Some(patch) = change(&live, &before, &after) {
        let text = wanted.and_then(|_| serde_json::to_string(&after).ok());
        draft
            .actions
            .push(Action::ChangeReplicaSet(ReplicaSetChange {
                name: set.name.clone(),
                resource_version: set.resource_version.clone(),
                annotations: vec![(names::EPHEMERAL_METADATA.to_owned(), text)],
                template: Some(json!({"metadata": patch})),
                ..ReplicaSetChange::default()
            }));
    }
    if set.desired == 0 {
        return;
    }
    // A pod may still carry what it had in its other role, if we died before it was its turn. What
    // its template says by itself stays.
    let mut ever = before;
    let both = [
        &scene.strategy.metadata.new,
        &scene.strategy.metadata.stable,
    ];
    let own = removed(set);
    let (labels, annotations) = (own.labels(), own.annotations());
    for metadata in both.into_iter().flatten() {
        let foreign = |own: &BTreeMap<String, String>, all: &BTreeMap<String, String>| {
            let mut all = all.clone();
            all.retain(|key, _| !own.contains_key(key));
            all
        };
        ever.labels.extend(foreign(&labels, &metadata.labels));
        ever.annotations
            .extend(foreign(&annotations, &metadata.annotations));
    }
    for pod in scene
        .observed
        .pods
        .iter()
        .filter(|pod| pod.owner == set.uid)
    {
        bring_pod(pod, &ever, &after, draft);
    }
}

fn bring_pod(pod: &PodView, before: &Injected, after: &Injected, draft: &mut Draft) {
    let live = Injected {
        labels: pod.labels.clone(),
        annotations: pod.annotations.clone(),
    };
    if let Some(patch) = change(&live, before, after) {
        draft.actions.push(Action::ChangePod(PodChange {
            name: pod.name.clone(),
            resource_version: pod.resource_version.clone(),
            metadata: patch,
        }));
    }
}

/// The merge patch of metadata; nothing where it is as it should be.
fn change(live: &Injected, before: &Injected, after: &Injected) -> Option<Value> {
    let mut patch = Map::new();
    for (kind, live, before, after) in [
        ("labels", &live.labels, &before.labels, &after.labels),
        (
            "annotations",
            &live.annotations,
            &before.annotations,
            &after.annotations,
        ),
    ] {
        let mut fields: Map<String, Value> = after
            .iter()
            .filter(|(key, value)| live.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let gone = before
            .keys()
            .filter(|key| !after.contains_key(*key) && live.contains_key(*key));
        fields.extend(gone.map(|key| (key.clone(), Value::Null)));
        if !fields.is_empty() {
            patch.insert(kind.to_owned(), Value::Object(fields));
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

// === impl Injected ===

impl From<&Metadata> for Injected {
    fn from(metadata: &Metadata) -> Self {
        Self {
            labels: metadata.labels.clone(),
            annotations: metadata.annotations.clone(),
        }
    }
}
