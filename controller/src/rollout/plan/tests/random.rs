//! Random worlds: pods that come and go, proxies that are slow, people who change their minds, and
//! a process that dies anywhere. What must always hold is looked at after every plan.

use serde_json::json;

use super::super::{Action, Plan};
use super::world::World;
use crate::traffic::FuseTrip;

/// Worlds, and looks at each.
const SEEDS: u64 = 150;
const LOOKS: usize = 120;

#[test]
fn what_must_always_hold_holds_in_random_worlds() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(json!([
            {"setWeight": 10}, {"pause": {"duration": 20}}, {"setCanaryScale": {"replicas": 4}}, {"setWeight": 40},
            {"setCanaryScale": {"matchTrafficWeight": true}}, {"setWeight": 25}, {"pause": {}}, {"setWeight": 80},
        ]));
        let mut version = 1;
        for look in 0..LOOKS {
            happen(&mut world, &mut random, &mut version);
            let plan = world.plan();
            check(&world, &plan, &format!("seed {seed}, look {look}"));
            // Now and then the process dies in the middle of it.
            let died = random.u8(..8) == 0;
            world.carry_out(
                &plan,
                if died {
                    random.usize(..=plan.actions.len())
                } else {
                    usize::MAX
                },
            );
        }
        end_well(&mut world, seed);
    }
}

fn happen(world: &mut World, random: &mut fastrand::Rng, version: &mut u32) {
    world.pass(random.i64(0..15));
    let sets = world.observed.replica_sets.len();
    if sets > 0 {
        let set = &mut world.observed.replica_sets[random.usize(..sets)];
        set.current = set.desired;
        set.available = if random.u8(..4) == 0 {
            random.i32(0..=set.desired)
        } else {
            set.desired
        };
        set.ready = set.available;
    }
    if random.bool() {
        world.acknowledge();
    }
    let hash = world.status().current_pod_hash.unwrap_or_default();
    match random.u8(..40) {
        0 => world.status_mut().abort = Some(true),
        1 => world.status_mut().abort = Some(false),
        2..=5 => world.status_mut().pause_conditions.clear(),
        6 => world.status_mut().promote_full = Some(true),
        7 => {
            *version = random.u32(1..4);
            world.release(*version);
        }
        8 => world.rollout.spec.replicas = Some(random.i32(1..12)),
        9 => world.rollout.spec.paused = Some(random.bool()),
        10 => {
            world
                .observed
                .traffic
                .in_flight
                .insert(hash, random.u64(..3));
        }
        11 => {
            let (proxy, reason) = ("p-1".to_owned(), "broken".to_owned());
            world.observed.traffic.fuse = Some(FuseTrip {
                proxy,
                revision: hash,
                reason,
            });
        }
        _ => {}
    }
}

fn check(world: &World, plan: &Plan, at: &str) {
    let (max, steps) = (100, 8);
    let status = plan.status.clone().unwrap_or_else(|| world.status());
    assert!(
        plan.actions.iter().map(Action::stage).is_sorted(),
        "{at}: {plan:#?}"
    );
    assert!(
        (0..=steps).contains(&status.current_step_index.unwrap_or_default()),
        "{at}"
    );
    for action in &plan.actions {
        match action {
            Action::OrderTraffic { order, .. } => {
                let aborted = status.abort == Some(true);
                assert!(
                    order.weight <= max && (!aborted || order.weight == 0),
                    "{at}: {plan:#?}"
                );
                check_rise(
                    world,
                    order.weight.cast_signed(),
                    order.canary.as_deref(),
                    at,
                );
            }
            Action::ChangeReplicaSet(change) => {
                check_size(world, plan, change.name.as_str(), change.replicas, at);
            }
            _ => {}
        }
    }
}

/// A weight rises only onto pods that are there and that the proxies reach.
fn check_rise(world: &World, weight: i32, canary: Option<&str>, at: &str) {
    let was = world.status().canary.and_then(|canary| canary.weights);
    let was = was
        .filter(|was| was.canary.pod_template_hash.as_deref() == canary)
        .map_or(0, |was| was.canary.weight);
    let Some(canary) = canary.filter(|_| weight > was) else {
        return;
    };
    let available = world
        .observed
        .replica_sets
        .iter()
        .find(|set| set.hash == canary)
        .map_or(0, |set| set.available);
    let reachable = world
        .observed
        .traffic
        .reachable
        .get(canary)
        .copied()
        .unwrap_or_default();
    assert!(
        available > 0 && reachable > 0,
        "{at}: {was} to {weight} on {available} pods, {reachable} reachable"
    );
}

/// Stable is never smaller than the Rollout, and nothing goes while it serves, before its time.
fn check_size(world: &World, plan: &Plan, name: &str, to: Option<i32>, at: &str) {
    let Some(to) = to else { return };
    let set = world
        .observed
        .replica_sets
        .iter()
        .find(|set| set.name == name)
        .unwrap();
    let replicas = world.rollout.spec.replicas.unwrap_or(1);
    if world.status().stable_rs.as_deref() == Some(set.hash.as_str()) {
        assert!(
            to >= replicas,
            "{at}: stable goes to {to} of {replicas}: {plan:#?}"
        );
    }
    let serves = world
        .observed
        .traffic
        .in_flight
        .get(&set.hash)
        .copied()
        .unwrap_or_default()
        > 0;
    let over = set
        .deadline()
        .is_some_and(|deadline| world.now >= deadline + jiff::SignedDuration::from_secs(30));
    assert!(
        to > 0 || !serves || over || set.desired == 0,
        "{at}: {name} goes while it serves: {plan:#?}"
    );
}

/// Whatever happened: when pods come up, proxies answer and people promote, it is healthy.
fn end_well(world: &mut World, seed: u64) {
    world.rollout.spec.paused = None;
    world.observed.traffic.in_flight.clear();
    for _ in 0..200 {
        world.pass(5);
        world.status_mut().abort = Some(false);
        world.status_mut().pause_conditions.clear();
        world.step();
        world.follow();
    }
    let status = world.status();
    assert_eq!(
        status.phase.map(|phase| phase.to_string()),
        Some("Healthy".to_owned()),
        "seed {seed}: {:?}",
        status.message
    );
    let alive: Vec<_> = world
        .observed
        .replica_sets
        .iter()
        .filter(|set| set.desired > 0)
        .collect();
    assert_eq!(alive.len(), 1, "seed {seed}: old pods are left");
}
