//! The revision: the ReplicaSet of the current template, its number, and a fresh start for it.

use crds::rollout::RolloutStatus;
use crds::{PodTemplate, Rollout};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt as _;

use super::conditions::{self, Verdict};
use super::{
    Action, Draft, EventNote, NewReplicaSet, Plan, ReplicaSetChange, Scene, Written, affinity,
    metadata, pause, phase, status,
};
use crate::rollout::names;
use crate::rollout::observe::ReplicaSetView;

/// The ReplicaSet of a template: the one with its hash, else the oldest one with the same pods
/// (Argo's hashes differ from ours, and a release that is taken over must not start again).
pub fn newest<'a>(
    sets: &'a [ReplicaSetView],
    template: &PodTemplate,
    hash: &str,
) -> Option<&'a ReplicaSetView> {
    if let Some(set) = sets.iter().find(|set| set.hash == hash) {
        return Some(set);
    }
    let wanted = typed(template);
    let mut same: Vec<_> = sets
        .iter()
        .filter(|set| typed(&without_ours(set)).same_as(&wanted))
        .collect();
    same.sort_by_key(|set| (set.created, set.name.clone()));
    same.first().copied()
}

/// A live template as its Rollout had it: without what controllers put in for a while.
fn without_ours(set: &ReplicaSetView) -> PodTemplate {
    affinity::removed(&metadata::removed(set))
}

/// The template as the API types write it, because what they do not know is lost on the way through
/// our caches.
fn typed(template: &PodTemplate) -> PodTemplate {
    let spec: Result<PodTemplateSpec, _> = serde_json::from_value(template.to_value());
    let value = spec.ok().and_then(|spec| serde_json::to_value(spec).ok());
    value
        .and_then(PodTemplate::from_value)
        .unwrap_or_else(|| template.clone())
}

/// Takes ReplicaSets that nobody controls, and lets go those that are not selected any more.
pub(super) fn claim(scene: &Scene<'_>) -> Plan {
    let claims = scene.observed.claims.iter().cloned();
    Plan {
        actions: claims.map(Action::Claim).collect(),
        ..Plan::default()
    }
}

fn next_revision(scene: &Scene<'_>, except: Option<&str>) -> i64 {
    let others = scene
        .observed
        .replica_sets
        .iter()
        .filter(|set| Some(set.name.as_str()) != except);
    others.map(|set| set.revision).max().unwrap_or_default() + 1
}

/// Creates the ReplicaSet of a template that has none.
pub(super) fn create(scene: &Scene<'_>) -> Plan {
    let mut draft = Draft::default();
    let revision = next_revision(scene, None);
    let name = names::replica_set(&scene.name(), &scene.pod_hash);
    let (template, ephemeral) = metadata::of_a_new_set(scene, affinity::applied(scene));
    draft
        .actions
        .push(Action::CreateReplicaSet(Box::new(NewReplicaSet {
            name: name.clone(),
            hash: scene.pod_hash.clone(),
            revision,
            template,
            ephemeral,
        })));
    if scene.revision() != revision {
        draft.actions.push(Action::NumberRollout(revision));
        draft.event_of(
            Written::Number,
            "RolloutUpdated",
            format!("Rollout updated to revision {revision}"),
        );
    }
    draft.event_of(
        Written::ReplicaSet(name.clone()),
        "NewReplicaSetCreated",
        format!("Created ReplicaSet {name} (revision {revision})"),
    );
    let mut status = scene.was.clone();
    let message = format!("Created new replica set \"{name}\"");
    let created = conditions::new(
        "Progressing",
        Verdict::True,
        "NewReplicaSetCreated",
        &message,
    );
    conditions::set(&mut status.conditions, created, scene.second());
    draft.into_plan(status)
}

/// What people are told when a ReplicaSet could not be created.
pub fn not_created(rollout: &Rollout, name: &str, error: &str, now: Timestamp) -> Plan {
    let mut draft = Draft::default();
    let message = format!("Failed to create new replica set \"{name}\": {error}");
    let mut status = rollout.status.clone().unwrap_or_default();
    let failed = conditions::new(
        "Progressing",
        Verdict::False,
        "ReplicaSetCreateError",
        &message,
    );
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    conditions::set(&mut status.conditions, failed, second);
    let generation = rollout.metadata.generation.unwrap_or_default();
    status.observed_generation = Some(generation.to_string());
    let (phase, text) = phase::of(rollout, &status);
    status.phase = Some(phase);
    status.message = (!text.is_empty()).then_some(text);
    draft.warning("ReplicaSetCreateError", message);
    draft.into_plan(status)
}

/// Numbers the newest ReplicaSet and the Rollout alike.
pub(super) fn number(scene: &Scene<'_>, new: &ReplicaSetView) -> Option<Plan> {
    let wanted = next_revision(scene, Some(new.name.as_str())).max(new.revision);
    let mut plan = Plan::default();
    if let Some(change) = annotate(scene, new, wanted) {
        plan.actions.push(Action::ChangeReplicaSet(change));
    }
    if scene.revision() != wanted {
        plan.actions.push(Action::NumberRollout(wanted));
        plan.events.push(EventNote {
            of: Some(Written::Number),
            ..EventNote::normal(
                "RolloutUpdated",
                format!("Rollout updated to revision {wanted}"),
            )
        });
    }
    plan.actions.sort_by_key(Action::stage);
    (!plan.actions.is_empty()).then_some(plan)
}

fn annotate(scene: &Scene<'_>, new: &ReplicaSetView, revision: i64) -> Option<ReplicaSetChange> {
    let mut change = ReplicaSetChange {
        name: new.name.clone(),
        resource_version: new.resource_version.clone(),
        ..ReplicaSetChange::default()
    };
    if new.min_ready_seconds != scene.strategy.min_ready_seconds {
        change.min_ready_seconds = Some(scene.strategy.min_ready_seconds);
    }
    let ours = scene
        .rollout
        .annotations()
        .iter()
        .filter(|(key, _)| !names::NOT_COPIED.contains(&key.as_str()));
    for (key, value) in ours.filter(|(key, value)| new.annotations.get(*key) != Some(*value)) {
        change.annotations.push((key.clone(), Some(value.clone())));
    }
    if new.revision != revision {
        change
            .annotations
            .push((names::REVISION.to_owned(), Some(revision.to_string())));
    }
    if new.revision > 0 && !change.annotations.is_empty() {
        // Argo writes the history with every change of annotations, of the same revision too.
        let before = new.annotations.get(names::REVISION_HISTORY);
        let before = before.filter(|history| !history.is_empty());
        let history = before.map_or_else(String::new, |history| format!("{history},"))
            + &new.revision.to_string();
        change
            .annotations
            .push((names::REVISION_HISTORY.to_owned(), Some(history)));
    }
    change.template = affinity::outdated(scene, new);
    let changes = change.min_ready_seconds.is_some()
        || change.template.is_some()
        || !change.annotations.is_empty();
    changes.then_some(change)
}

/// A fresh start: the template or the steps are not those that the status is about.
pub(super) fn reset(scene: &Scene<'_>, new: &ReplicaSetView) -> Plan {
    let mut draft = Draft::default();
    let mut status = status::base(scene);
    status.current_step_index = scene.strategy.step_index(0);
    status
        .restarted_at
        .clone_from(&scene.rollout.spec.restart_at);
    if scene.stable_hash() == scene.pod_hash {
        finish_at_once(
            scene,
            &mut status,
            "Rollback to stable ReplicaSets",
            &mut draft,
        );
    } else if scene.in_rollback_window() && new.desired > 0 {
        let text = "Rollback to active ReplicaSets within RollbackWindow";
        finish_at_once(scene, &mut status, text, &mut draft);
    }
    if !scene.is_initial() {
        // Another revision, or another try of this one: what its fuse said before is forgotten.
        draft
            .actions
            .push(Action::ResetFuse(scene.pod_hash.clone()));
    }
    if scene
        .was
        .conditions
        .iter()
        .all(|condition| condition.type_ != "Progressing")
    {
        let message = format!("Found new replica set \"{}\"", new.name);
        let found = conditions::new("Progressing", Verdict::True, "FoundNewReplicaSet", &message);
        conditions::set(&mut status.conditions, found, scene.second());
    }
    pause::tell(scene, &status, &mut draft);
    conditions::update(scene, &mut status, None, &mut draft);
    draft.into_plan(status)
}

fn finish_at_once(scene: &Scene<'_>, status: &mut RolloutStatus, message: &str, draft: &mut Draft) {
    if let Some(end) = scene.strategy.step_index(scene.strategy.step_count()) {
        status.current_step_index = Some(end);
        draft.event("SkipSteps", message);
    }
}

/// Removes old ReplicaSets beyond the limit, the oldest first, with their runs.
pub(super) fn clean_up(scene: &Scene<'_>, draft: &mut Draft) {
    let surplus = scene
        .others
        .len()
        .saturating_sub(scene.strategy.revision_history_limit);
    let mut oldest_first = scene.others.clone();
    // Creation times are whole seconds.
    oldest_first.sort_by_key(|set| (set.created, set.revision));
    let idle = |set: &&&ReplicaSetView| set.desired == 0 && set.current == 0 && set.observed;
    for set in oldest_first.iter().take(surplus).filter(idle) {
        draft.actions.push(Action::DeleteReplicaSet {
            name: set.name.clone(),
            uid: set.uid.clone(),
        });
    }
}
