//! Releases whose share of pods is their share of traffic.

use serde_json::json;

use super::super::Action;
use super::world::World;

/// Ten pods, of version 1, with these steps; version 2 has begun.
fn updating(settings: serde_json::Value) -> World {
    let mut world = World::unrouted(settings);
    world.release(2);
    world
}

#[test]
fn a_release_moves_pods_and_nothing_else() {
    let mut world = updating(
        json!({"steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}]}),
    );
    let mut orders = 0;
    for _ in 0..40 {
        let plan = world.step();
        let routed = |action: &&Action| {
            matches!(
                action,
                Action::OrderTraffic { .. } | Action::SwitchService { .. }
            )
        };
        orders += plan.actions.iter().filter(routed).count();
        let most: i32 = world.sizes_of_all().iter().map(|(_, size)| size).sum();
        assert!(
            most <= 13,
            "a quarter more than ten: {:?}",
            world.sizes_of_all()
        );
        world.follow();
    }
    assert_eq!((orders, world.sizes_of_all()), (0, vec![(1, 8), (2, 2)]));
    let status = world.status();
    assert_eq!(status.message.as_deref(), Some("CanaryPauseStep"));
    assert_eq!(status.current_step_index, Some(1));
    assert_eq!(status.canary.and_then(|canary| canary.weights), None);
    world.status_mut().pause_conditions.clear();
    world.settle();
    assert_eq!(world.sizes_of_all(), [(1, 4), (2, 6)]);
    world.status_mut().pause_conditions.clear();
    world.settle();
    assert_eq!(world.sizes_of_all(), [(1, 0), (2, 10)]);
    assert_eq!(world.status().stable_rs, world.status().current_pod_hash);
    assert_eq!(world.status().phase.unwrap().as_str(), "Healthy");
}

#[test]
fn an_abort_gives_the_pods_back_at_once() {
    let mut world = updating(json!({"steps": [{"setWeight": 50}, {"pause": {}}]}));
    world.settle();
    assert_eq!(world.sizes_of_all(), [(1, 5), (2, 5)]);
    world.status_mut().abort = Some(true);
    world.settle();
    assert_eq!(world.sizes_of_all(), [(1, 10), (2, 0)]);
    assert_eq!(world.status().phase.unwrap().as_str(), "Degraded");
    world.status_mut().abort = Some(false);
    world.settle();
    assert_eq!(world.sizes_of_all(), [(1, 5), (2, 5)]);
}

#[test]
fn a_version_in_between_goes_before_anything_else_shrinks() {
    let mut world = updating(
        json!({"steps": [{"setWeight": 50}, {"pause": {}}], "maxSurge": 1, "maxUnavailable": 0}),
    );
    world.settle();
    world.release(3);
    world.settle();
    assert_eq!(world.sizes_of_all(), [(1, 5), (2, 0), (3, 5)]);
    assert_eq!(world.status().current_step_index, Some(1));
}

#[test]
fn pods_that_never_come_up_hold_the_release_and_keep_the_old_ones() {
    let mut world = updating(json!({"steps": [{"setWeight": 20}], "maxUnavailable": 0}));
    for _ in 0..30 {
        world.step();
        for set in &mut world.observed.replica_sets {
            (set.current, set.ready) = (set.desired, 0);
            set.available = if set.revision == 1 { set.desired } else { 0 };
        }
    }
    assert_eq!(world.sizes_of_all()[0], (1, 10));
    assert_eq!(world.status().current_step_index, Some(0));
    let message = world.status().message.unwrap();
    assert_eq!(message, "more replicas need to be updated");
}

#[test]
fn a_service_follows_the_new_pods_and_returns_with_an_abort() {
    let mut world = World::unrouted(json!({
        "stableService": "stable", "canaryService": "canary",
        "steps": [{"setWeight": 20}, {"pause": {}}],
    }));
    world.release(2);
    world.settle();
    let (stable, canary) = (world.status().stable_rs, world.status().current_pod_hash);
    let hash = |world: &World, name: &str| {
        let service = world.observed.services.get(name).unwrap();
        service.hash().map(str::to_owned)
    };
    assert_eq!(hash(&world, "stable"), stable);
    assert_eq!(hash(&world, "canary"), canary);
    world.status_mut().abort = Some(true);
    world.settle();
    assert_eq!(hash(&world, "canary"), stable);
}

#[test]
fn another_size_is_followed_in_mid_release() {
    let mut world = updating(json!({"steps": [{"setWeight": 50}, {"pause": {}}]}));
    world.settle();
    world.rollout.spec.replicas = Some(4);
    world.settle();
    assert_eq!(world.sizes_of_all(), [(1, 2), (2, 2)]);
    world.rollout.spec.replicas = Some(20);
    world.settle();
    assert_eq!(world.sizes_of_all(), [(1, 10), (2, 10)]);
}

#[test]
fn routing_that_is_taken_away_is_forgotten_once() {
    let mut world = World::updating(json!([{"setWeight": 20}, {"pause": {}}]));
    world.set_canary(&json!({"trafficRouting": null}));
    let plan = world.step();
    assert!(plan.actions.contains(&Action::ForgetTraffic), "{plan:#?}");
    assert_eq!(world.status().canary.unwrap().weights, None);
    let plan = world.step();
    assert!(!plan.actions.contains(&Action::ForgetTraffic), "{plan:#?}");
}
