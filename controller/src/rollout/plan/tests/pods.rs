//! What pods carry, where they may run, and how they are renewed.

use serde_json::{Value, json};

use super::super::{Action, Plan, revision};
use super::world::World;
use crate::rollout::names;
use crate::rollout::observe::PodView;

fn pod(name: &str, owner: &str, created: &str) -> PodView {
    PodView {
        name: name.to_owned(),
        resource_version: "7".to_owned(),
        owner: owner.to_owned(),
        created: created.parse().unwrap(),
        available: true,
        ..PodView::default()
    }
}

/// The patches of ReplicaSets' templates and of pods, by name.
fn patches(plan: &Plan) -> Vec<(String, Value)> {
    let patch = |action: &Action| match action {
        Action::ChangeReplicaSet(change) => Some((change.name.clone(), change.template.clone()?)),
        Action::ChangePod(change) => Some((change.name.clone(), change.metadata.clone())),
        _ => None,
    };
    plan.actions.iter().filter_map(patch).collect()
}

#[test]
fn pods_carry_what_their_role_asks_for_and_lose_it_with_the_role() {
    let mut world = World::new(json!([{"setWeight": 20}, {"pause": {}}]));
    world.set_canary(&json!({
        "canaryMetadata": {"labels": {"role": "canary"}, "annotations": {"new": "yes"}},
        "stableMetadata": {"labels": {"role": "stable"}},
    }));
    world.settle();
    let stable = world.set(1).clone();
    assert_eq!(
        stable.template.labels()["role"],
        "stable",
        "created with it"
    );
    world.release(2);
    world.settle();
    let canary = world.set(2).clone();
    assert_eq!(canary.template.labels()["role"], "canary");
    assert_eq!(canary.template.annotations()["new"], "yes");
    // People go back: the canary is stable now.
    let status = world.status_mut();
    status.stable_rs.clone_from(&status.current_pod_hash);
    status.current_step_index = Some(2);
    world.observed.pods = vec![
        PodView {
            labels: [
                ("role".into(), "canary".into()),
                ("mine".into(), "x".into()),
            ]
            .into(),
            annotations: [("new".into(), "yes".into())].into(),
            ..pod("p-2", &canary.uid, "2026-11-23T12:00:00Z")
        },
        PodView {
            labels: [("role".into(), "stable".into())].into(),
            ..pod("p-1", &stable.uid, "2026-11-23T12:00:00Z")
        },
    ];
    world.set(2).annotations.insert(
        names::EPHEMERAL_METADATA.to_owned(),
        r#"{"labels":{"role":"canary"},"annotations":{"new":"yes"}}"#.to_owned(),
    );
    world.set(1).annotations.insert(
        names::EPHEMERAL_METADATA.to_owned(),
        r#"{"labels":{"role":"stable"}}"#.to_owned(),
    );
    let plan = world.plan();
    let turned = json!({"labels": {"role": "stable"}, "annotations": {"new": null}});
    let cleared = json!({"labels": {"role": null}});
    let expected = [
        (canary.name.clone(), json!({"metadata": turned})),
        (stable.name.clone(), json!({"metadata": cleared})),
        ("p-2".to_owned(), turned.clone()),
        ("p-1".to_owned(), cleared.clone()),
    ];
    assert_eq!(patches(&plan), expected, "{plan:#?}");
}

#[test]
fn a_template_is_found_again_with_all_that_was_put_into_it() {
    let mut world = World::new(json!([{"setWeight": 20}, {"pause": {}}]));
    world.set_canary(&json!({
        "canaryMetadata": {"labels": {"role": "canary"}},
        "antiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}},
    }));
    world.settle();
    world.release(2);
    world.settle();
    let set = world.set(2).clone();
    let affinity = &set.template.to_value()["spec"]["affinity"]["podAntiAffinity"];
    let term = &affinity["requiredDuringSchedulingIgnoredDuringExecution"][0];
    let values = &term["labelSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*values, json!([world.status().stable_rs]), "{affinity}");
    assert_eq!(term["namespaces"], json!(["default"]));
    let mut live = set.clone();
    live.annotations.insert(
        names::EPHEMERAL_METADATA.to_owned(),
        r#"{"labels":{"role":"canary"}}"#.to_owned(),
    );
    live.template = live.template.with_defaults();
    let sets = [live];
    let wanted = world.rollout.spec.template.clone().unwrap();
    let found = revision::newest(&sets, &wanted, "of another controller");
    assert_eq!(found.map(|set| set.name.as_str()), Some(set.name.as_str()));
}

#[test]
fn the_rule_follows_the_stable_revision() {
    let mut world = World::new(json!([{"setWeight": 20}, {"pause": {}}]));
    let weight = json!({"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 7}});
    world.set_canary(&json!({"antiAffinity": weight}));
    world.settle();
    world.release(2);
    world.settle();
    // Another revision has become stable since.
    world.status_mut().stable_rs = Some("other".to_owned());
    let plan = world.plan();
    let (_, patch) = patches(&plan).remove(0);
    let list = &patch["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(list[0]["weight"], 7);
    let term = &list[0]["podAffinityTerm"]["labelSelector"]["matchExpressions"][0];
    assert_eq!(term["values"], json!(["other"]), "{patch}");
}

/// Ten pods of one age, of which a restart was asked for later.
fn restarting() -> World {
    let mut world = World::unrouted(json!({"maxUnavailable": 3}));
    let owner = world.set(1).uid.clone();
    world.observed.pods = (0..10)
        .map(|number| pod(&format!("p-{number}"), &owner, "2026-11-23T12:00:00Z"))
        .collect();
    world.pass(60);
    world.rollout.spec.restart_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        "2026-11-23T12:00:30Z".parse().unwrap(),
    ));
    world
}

fn evicted(plan: &Plan) -> usize {
    let evicts = |action: &&Action| matches!(action, Action::EvictPod(_));
    plan.actions.iter().filter(evicts).count()
}

#[test]
fn a_restart_takes_as_many_pods_as_may_be_missing() {
    let mut world = restarting();
    let plan = world.step();
    assert_eq!((evicted(&plan), plan.status), (3, None));
    let again = world.now + jiff::SignedDuration::from_secs(30);
    assert_eq!(plan.requeue_at, Some(again));
    let plan = world.step();
    assert_eq!(evicted(&plan), 0, "three are missing already");
    assert_eq!(
        plan.status.unwrap().message.as_deref(),
        Some("rollout is restarting")
    );
    for pod in &mut world.observed.pods {
        pod.created = world.now;
    }
    let status = world.step().status.unwrap();
    assert_eq!(status.restarted_at, world.rollout.spec.restart_at);
    world.settle();
    assert_eq!(world.status().phase.unwrap().as_str(), "Healthy");
}

#[test]
fn a_restart_waits_for_its_time_and_a_new_version_is_one() {
    let mut world = restarting();
    world.now = "2026-11-23T12:00:10Z".parse().unwrap();
    let plan = world.step();
    assert_eq!(evicted(&plan), 0);
    assert_eq!(
        plan.requeue_at,
        Some("2026-11-23T12:00:31Z".parse().unwrap())
    );
    world.pass(60);
    world.release(2);
    world.settle();
    assert_eq!(world.status().restarted_at, world.rollout.spec.restart_at);
}
