//! Two Services that take turns.

use crds::words::PingPongSide;
use serde_json::json;

use super::world::World;

fn world() -> World {
    let mut world = World::new(json!([{"setWeight": 50}, {"pause": {}}]));
    let canary = world
        .rollout
        .spec
        .strategy
        .as_mut()
        .unwrap()
        .canary
        .as_mut()
        .unwrap();
    (canary.stable_service, canary.canary_service) = (None, None);
    canary.ping_pong =
        serde_json::from_value(json!({"pingService": "ping", "pongService": "pong"})).unwrap();
    let services = std::mem::take(&mut world.observed.services).into_values();
    world.observed.services = ["ping", "pong"]
        .map(str::to_owned)
        .into_iter()
        .zip(services)
        .collect();
    world.settle();
    world
}

fn selects(world: &World, service: &str) -> String {
    world.observed.services[service]
        .hash()
        .unwrap_or_default()
        .to_owned()
}

fn side(world: &World) -> Option<PingPongSide> {
    world.status().canary.unwrap_or_default().stable_ping_pong
}

fn finish(world: &mut World) {
    world.settle();
    world.status_mut().pause_conditions.clear();
    world.settle();
}

#[test]
fn stables_service_never_changes_its_pods() {
    let mut world = world();
    let first = world.set(1).hash.clone();
    assert_eq!(
        (selects(&world, "ping"), selects(&world, "pong")),
        (first.clone(), String::new())
    );
    assert_eq!(side(&world), Some(PingPongSide::Ping));
    world.release(2);
    world.settle();
    let second = world.set(2).hash.clone();
    assert_eq!(
        (selects(&world, "ping"), selects(&world, "pong")),
        (first.clone(), second.clone())
    );
    finish(&mut world);
    assert_eq!(side(&world), Some(PingPongSide::Pong));
    assert_eq!(
        (selects(&world, "ping"), selects(&world, "pong")),
        (first, second.clone())
    );
    assert!(
        world.set(1).has_deadline(),
        "old pods go, though a Service leads to them"
    );
    world.release(3);
    world.settle();
    let third = world.set(3).hash.clone();
    assert_eq!(
        (selects(&world, "ping"), selects(&world, "pong")),
        (third, second)
    );
    finish(&mut world);
    assert_eq!(side(&world), Some(PingPongSide::Ping));
}

#[test]
fn an_abort_leaves_the_sides_as_they_are() {
    let mut world = world();
    world.release(2);
    world.settle();
    world.status_mut().abort = Some(true);
    world.settle();
    let first = world.set(1).hash.clone();
    assert_eq!(
        (selects(&world, "ping"), side(&world)),
        (first, Some(PingPongSide::Ping))
    );
}
