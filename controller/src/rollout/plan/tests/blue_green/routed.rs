//! Blue-green with its active traffic through our proxies.

use crds::words::AnalysisPhase;
use serde_json::{Value, json};

use super::super::super::{Action, Plan};
use super::super::world::World;
use super::analysis;
use crate::traffic::{RolloutKey, TrafficOrder};

#[test]
fn through_the_proxies_the_switch_is_one_change_of_weight_that_waits_for_them() {
    let mut world = routed(json!({"scaleDownDelaySeconds": 0}));
    world.settle();
    world.release(2);
    world.look_on();
    let (old, new) = (world.hash(1), world.hash(2));
    let followed = |world: &mut World| {
        for set in &mut world.observed.replica_sets {
            (set.current, set.ready, set.available) = (set.desired, set.desired, set.desired);
        }
    };
    followed(&mut world);
    let told = orders(&world.look_on());
    assert_eq!(
        told,
        [order(&old, Some(&new), 0)],
        "no proxy can reach the new pods yet"
    );
    assert_eq!(world.selects("active"), old);
    world.acknowledge();
    let told = orders(&world.look_on());
    assert_eq!(told, [order(&old, Some(&new), 100)]);
    assert_eq!(world.selects("active"), new);
    assert_eq!(
        world.status().stable_rs,
        Some(old.clone()),
        "nobody has acknowledged it"
    );
    assert_eq!(
        world.phase().1,
        "waiting for post-promotion verification to complete"
    );
    world.acknowledge();
    let told = orders(&world.look_on());
    assert_eq!(told.last(), Some(&order(&new, None, 0)));
    assert_eq!(world.status().stable_rs, Some(new.clone()));
    world.observed.traffic.verified = Some(true);
    world.observed.traffic.in_flight.insert(old, 1);
    world.pass(5);
    world.settle();
    assert_eq!(world.sizes(), [4, 4], "a request is still on its way");
    world.observed.traffic.in_flight.clear();
    world.settle();
    assert_eq!(world.sizes(), [0, 4]);
}

#[test]
fn through_the_proxies_an_abort_goes_back_before_anything_is_written() {
    let mut world = routed(json!({"postPromotionAnalysis": analysis()})).with_template();
    world.settle();
    world.release(2);
    world.settle();
    let (old, new) = (world.hash(1), world.hash(2));
    world.end_run(AnalysisPhase::Failed);
    let plan = world.step();
    let expected = order(&old, Some(&new), 0);
    let first = &plan.actions[0];
    assert_eq!(
        *first,
        Action::OrderTraffic {
            order: expected,
            lowers: true
        }
    );
    assert_eq!(world.selects("active"), old);
}

#[test]
fn a_version_between_two_switches_goes_on_serving() {
    let mut world =
        routed(json!({"postPromotionAnalysis": analysis(), "autoPromotionEnabled": false}))
            .with_template();
    world.settle();
    world.release(2);
    world.settle();
    world.status_mut().pause_conditions.clear();
    world.settle();
    world.release(3);
    world.settle();
    let (first, second, third) = (world.hash(1), world.hash(2), world.hash(3));
    assert_eq!(world.status().stable_rs, Some(first.clone()));
    assert_eq!(
        (world.selects("active"), world.selects("preview")),
        (second.clone(), third.clone())
    );
    let told = orders(&world.look_on());
    assert_eq!(told, [order(&second, Some(&third), 0)]);
    assert_eq!(world.sizes(), [4, 4, 4]);
    world.status_mut().abort = Some(true);
    let told = orders(&world.look_on());
    assert_eq!(told, [order(&first, Some(&third), 0)]);
    assert_eq!(world.selects("active"), first);
}

#[test]
fn without_a_proxy_the_switch_says_what_it_waits_for() {
    let mut world = routed(json!({}));
    world.settle();
    world.release(2);
    world.observed.traffic.connected = 0;
    world.look_on();
    for set in &mut world.observed.replica_sets {
        (set.current, set.ready, set.available) = (set.desired, set.desired, set.desired);
    }
    world.observed.traffic.reachable.clear();
    world.observed.traffic.verified = None;
    world.observed.traffic.message = Some("no proxy of fleet default/web is connected".to_owned());
    world.look_on();
    assert_eq!(
        world.phase().1,
        "no proxy of fleet default/web is connected"
    );
    world.status_mut().promote_full = Some(true);
    world.look_on();
    let new = world.hash(2);
    assert_eq!(
        world.selects("active"),
        new,
        "who insists need not wait for them"
    );
}

#[test]
fn it_may_die_between_any_two_writes() {
    let settings = json!({"prePromotionAnalysis": analysis(), "postPromotionAnalysis": analysis(), "previewReplicaCount": 1});
    for count in 0..6 {
        for at in 0..16 {
            let mut world = routed(settings.clone()).with_template();
            world.settle();
            world.release(2);
            for look in 0..30 {
                let plan = world.plan();
                let all = if look == at { count } else { usize::MAX };
                world.carry_out(&plan, all);
                world.follow();
                for run in &mut world.observed.runs {
                    run.status.get_or_insert_default().phase = Some(AnalysisPhase::Successful);
                }
            }
            world.pass(60);
            world.settle();
            let new = world.hash(2);
            assert_eq!(
                world.status().stable_rs,
                Some(new.clone()),
                "{count} at {at}"
            );
            assert_eq!(
                (world.selects("active"), world.selects("preview")),
                (new.clone(), new)
            );
            assert_eq!(world.sizes(), [0, 4]);
        }
    }
}

fn routed(settings: Value) -> World {
    let mut world = World::blue_green(settings);
    let annotations = world.rollout.metadata.annotations.get_or_insert_default();
    annotations.insert(
        "sluice/proxy".to_owned(),
        "override: {header: X-Preview, value: \"on\"}".to_owned(),
    );
    world
}

fn order(stable: &str, canary: Option<&str>, weight: u32) -> TrafficOrder {
    TrafficOrder {
        rollout: RolloutKey {
            namespace: "default".to_owned(),
            name: "web".to_owned(),
        },
        uid: "u-1".to_owned(),
        stable: stable.to_owned(),
        canary: canary.map(str::to_owned),
        weight,
        max_weight: 100,
        header_routes: Vec::new(),
    }
}

fn orders(plans: &[Plan]) -> Vec<TrafficOrder> {
    let actions = plans.iter().flat_map(|plan| &plan.actions);
    let orders = actions.filter_map(|action| match action {
        Action::OrderTraffic { order, .. } => Some(order.clone()),
        _ => None,
    });
    let mut orders: Vec<_> = orders.collect();
    orders.dedup();
    orders
}
