//! A Rollout that takes its pods from a Deployment, and takes over from it.

use serde_json::json;

use super::world::World;
use crate::rollout::names;
use crate::rollout::workload::{WorkloadKind, WorkloadView};

/// A Rollout of ten pods that migrates a Deployment of ten.
fn migrating(scale_down: &str) -> World {
    let mut world = World::new(json!([{"setWeight": 10}]));
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "scaleDown": scale_down});
    world.rollout.spec.workload_ref = serde_json::from_value(reference).unwrap();
    world.observed.workload = Some(WorkloadView {
        kind: WorkloadKind::Deployment,
        name: "web".to_owned(),
        resource_version: "7".to_owned(),
        generation: 3,
        replicas: Some(10),
    });
    world
}

fn replicas(world: &World) -> Option<i32> {
    world.observed.workload.as_ref().unwrap().replicas
}

#[test]
fn the_generation_of_the_workload_is_acknowledged_in_annotation_and_status() {
    let mut world = migrating("never");
    world.settle();
    let annotation = |world: &World| {
        world.rollout.metadata.annotations.clone().unwrap()[names::WORKLOAD_GENERATION].clone()
    };
    assert_eq!(annotation(&world), "3");
    assert_eq!(
        world.status().workload_observed_generation.as_deref(),
        Some("3")
    );
    world.observed.workload.as_mut().unwrap().generation = 4;
    world.settle();
    assert_eq!(annotation(&world), "4");
    assert_eq!(
        world.status().workload_observed_generation.as_deref(),
        Some("4")
    );
    assert_eq!(replicas(&world), Some(10));
}

#[test]
fn on_success_the_deployment_goes_once_the_rollout_is_healthy() {
    let mut world = migrating("onsuccess");
    for _ in 0..6 {
        world.step();
        assert_eq!(replicas(&world), Some(10));
    }
    world.settle();
    assert_eq!(replicas(&world), Some(0));
}

#[test]
fn progressively_the_deployment_shrinks_as_the_rollout_grows() {
    let mut world = migrating("progressively");
    let pods = |world: &mut World, count: i32| {
        let set = world.set(1);
        (set.current, set.ready, set.available) = (count, count, count);
        for _ in 0..3 {
            world.step();
        }
    };
    for _ in 0..6 {
        world.step();
    }
    assert_eq!(replicas(&world), Some(10));
    pods(&mut world, 4);
    assert_eq!(replicas(&world), Some(6));
    pods(&mut world, 2);
    assert_eq!(
        replicas(&world),
        Some(8),
        "pods that were lost are made up for"
    );
    world.settle();
    assert_eq!(replicas(&world), Some(0));
}

#[test]
fn a_later_revision_leaves_the_deployment_alone() {
    for scale_down in ["onsuccess", "progressively"] {
        let mut world = migrating(scale_down);
        world.settle();
        world.release(2);
        world.settle();
        world.observed.workload.as_mut().unwrap().replicas = Some(5);
        world.settle();
        assert_eq!(replicas(&world), Some(5), "{scale_down}");
    }
}
