//! Arithmetic, weights, aborts, resets.

use serde_json::json;

use super::super::abort::{self, Abort};
use super::super::{Action, replicas, weight};
use super::world::{World, canary_of};
use crate::rollout::spec::{CanaryScale, Step, Threshold};
use crate::traffic::FuseTrip;

const NO: Abort = Abort {
    aborted: false,
    detail: None,
    too_late: false,
    by_fuse: false,
    forgiven: false,
};
const YES: Abort = Abort {
    aborted: true,
    detail: None,
    too_late: false,
    by_fuse: false,
    forgiven: false,
};

#[test]
fn a_canary_has_the_pods_for_its_weight_rounded_up() {
    // replicas, weight, maximal weight, floor → pods
    let table = [
        (10, 0, 100, None, 0),
        (10, 1, 100, None, 1),
        (10, 10, 100, None, 1),
        (10, 11, 100, None, 2),
        (10, 99, 100, None, 10),
        (10, 100, 100, None, 10),
        (1, 1, 100, None, 1),
        (3, 34, 100, None, 2),
        (0, 50, 100, None, 0),
        (10, 5, 1000, None, 1),
        (10, 500, 1000, None, 5),
        (10, 10, 100, Some(3), 3),
        (2, 10, 100, Some(3), 2),
        (10, 0, 100, Some(3), 0),
    ];
    let world = World::updating(json!([{"setWeight": 10}]));
    for (replicas, weight, max, floor, pods) in table {
        let mut strategy = world.strategy();
        strategy.replicas = replicas;
        let routing = canary_of(&mut strategy).routing.as_mut().unwrap();
        (routing.max_weight, routing.min_pods) = (max, floor);
        let scene = super::super::Scene::new(&world.rollout, &strategy, &world.observed, world.now);
        assert_eq!(
            replicas::for_weight(&scene, weight),
            pods,
            "{weight}/{max} of {replicas}, floor {floor:?}"
        );
    }
}

#[test]
fn a_threshold_says_how_many_pods_are_enough() {
    let table = [
        (Threshold::Percent(80), 8, 10, true),
        (Threshold::Percent(80), 7, 10, false),
        (Threshold::Percent(33), 1, 3, true),
        (Threshold::Percent(100), 0, 0, true),
        (Threshold::Pods(2), 2, 10, true),
        (Threshold::Pods(2), 1, 10, false),
    ];
    for (threshold, available, desired, met) in table {
        assert_eq!(
            threshold.is_met(available, desired),
            met,
            "{threshold:?} {available}/{desired}"
        );
    }
}

#[test]
fn the_canary_is_sized_by_the_first_rule_that_fits() {
    let steps = [
        Step::SetWeight(20),
        Step::SetCanaryScale(CanaryScale::Replicas(7)),
        Step::SetWeight(40),
        Step::SetCanaryScale(CanaryScale::Weight(60)),
        Step::SetCanaryScale(CanaryScale::MatchTrafficWeight),
        Step::Pause(None),
    ];
    // index, aborted, full promotion → pods of the canary
    let table = [
        (0, &NO, false, 2),
        (1, &NO, false, 7),
        (2, &NO, false, 7),
        (3, &NO, false, 6),
        (4, &NO, false, 4),
        (5, &NO, false, 4),
        (6, &NO, false, 10),
        (1, &YES, false, 0),
        (1, &NO, true, 10),
    ];
    let mut world = World::updating(json!([{"pause": {}}]));
    for (index, abort, full, pods) in table {
        let status = world.status_mut();
        status.promote_full = Some(full);
        status.current_step_index = Some(index);
        let mut strategy = world.strategy();
        canary_of(&mut strategy).steps = steps.to_vec();
        let scene = super::super::Scene::new(&world.rollout, &strategy, &world.observed, world.now);
        let desired = replicas::desired(&scene, abort, None);
        assert_eq!(
            (desired.canary, desired.stable),
            (pods, 10),
            "step {index} {abort:?} {full}"
        );
    }
}

/// The steps 20, pause, 60, pause; the update stands at the first pause.
fn at_twenty() -> World {
    let world = World::updating(
        json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}]),
    );
    assert_eq!(world.status().current_step_index, Some(1));
    world
}

fn weight_of(world: &World, abort: &Abort) -> i32 {
    world.scene(|scene| weight::decide(scene, abort).weight)
}

#[test]
fn a_promoted_an_aborted_and_an_absent_canary_have_no_weight() {
    let promoted = World::deployed(json!([{"setWeight": 20}]));
    assert_eq!(weight_of(&promoted, &NO), 0, "case b");
    let mut world = at_twenty();
    assert_eq!(weight_of(&world, &YES), 0, "case c");
    world.set(1).available = 0;
    assert_eq!(weight_of(&world, &YES), 0, "case c, and stable has no pods");
    world.set(2).available = 0;
    assert_eq!(weight_of(&world, &NO), 0, "case d");
}

#[test]
fn a_weight_follows_the_steps_when_pods_and_proxies_are_there() {
    let mut world = at_twenty();
    assert_eq!(weight_of(&world, &NO), 20, "case g, the step before");
    world.status_mut().current_step_index = Some(2);
    assert_eq!(
        weight_of(&world, &NO),
        20,
        "case f, the pods for 60 are not there"
    );
    world.set(2).desired = 6;
    world.follow();
    assert_eq!(weight_of(&world, &NO), 60, "case g");
    world
        .observed
        .traffic
        .reachable
        .insert(world.status().current_pod_hash.unwrap(), 5);
    assert_eq!(weight_of(&world, &NO), 20, "the proxies reach five of six");
    world.follow();
    world.set(1).available = 3;
    assert_eq!(
        weight_of(&world, &NO),
        20,
        "stable cannot carry its 40 percent"
    );
    world.set(1).available = 4;
    assert_eq!(weight_of(&world, &NO), 60);
    world.status_mut().current_step_index = Some(4);
    assert_eq!(
        weight_of(&world, &NO),
        60,
        "case f past the last step: the last weight that was set"
    );
    world.set(2).desired = 10;
    world.follow();
    assert_eq!(weight_of(&world, &NO), 100, "case h");
    world.status_mut().promote_full = Some(true);
    assert_eq!(weight_of(&world, &NO), 20, "case e keeps what is");
}

#[test]
fn a_lower_weight_does_not_wait_for_pods() {
    let mut world = World::updating(
        json!([{"setWeight": 60}, {"pause": {}}, {"setWeight": 20}, {"pause": {}}]),
    );
    assert_eq!(
        world
            .status()
            .canary
            .unwrap()
            .weights
            .unwrap()
            .canary
            .weight,
        60
    );
    world.status_mut().current_step_index = Some(2);
    assert_eq!(
        weight_of(&world, &NO),
        20,
        "six pods are there, two are wanted"
    );
    world.status_mut().pause_conditions.clear();
    world.status_mut().current_step_index = Some(2);
    world.settle();
    assert_eq!(
        (world.status().current_step_index, world.set(2).desired),
        (Some(3), 2)
    );
}

#[test]
fn an_abort_lowers_before_it_does_anything_else() {
    let mut world = at_twenty();
    world.status_mut().abort = Some(true);
    let plan = world.plan();
    assert!(
        matches!(&plan.actions[0], Action::OrderTraffic { order, lowers: true } if order.weight == 0),
        "{plan:#?}"
    );
    let stages: Vec<_> = plan.actions.iter().map(Action::stage).collect();
    assert!(stages.is_sorted(), "{stages:?}");
}

fn trip(world: &World) -> FuseTrip {
    FuseTrip {
        proxy: "p-1".to_owned(),
        revision: world.status().current_pod_hash.unwrap(),
        reason: "fuse of proxy p-1 tripped: 9 of 9".to_owned(),
    }
}

#[test]
fn a_fuse_beats_all_but_what_people_ask_for_after_they_saw_it() {
    let decide = |world: &World| world.scene(abort::decide);
    let mut world = at_twenty();
    world.observed.traffic.fuse = Some(trip(&world));
    assert!(decide(&world).aborted && decide(&world).by_fuse);
    world.status_mut().promote_full = Some(true);
    assert!(decide(&world).aborted, "a full promotion that began before");
    world.settle();
    assert_eq!(
        (world.status().abort, world.status().promote_full),
        (Some(true), None)
    );
    world.status_mut().promote_full = Some(true);
    assert!(!decide(&world).aborted, "a full promotion after the abort");
    let mut world = at_twenty();
    world.observed.traffic.fuse = Some(FuseTrip {
        revision: "another".to_owned(),
        ..trip(&world)
    });
    assert!(!decide(&world).aborted, "the fuse of another revision");
    let mut promoted = World::deployed(json!([{"setWeight": 20}]));
    promoted.observed.traffic.fuse = Some(trip(&promoted));
    assert!(
        !decide(&promoted).aborted,
        "what is stable cannot be aborted"
    );
}

#[test]
fn a_new_template_or_other_steps_start_again_and_the_stable_one_jumps_to_the_end() {
    let mut world = at_twenty();
    world.status_mut().abort = Some(true);
    world.release(3);
    while world.status().current_pod_hash == at_twenty().status().current_pod_hash {
        world.step();
    }
    let status = world.status();
    assert_eq!((status.abort, status.current_step_index), (None, Some(0)));
    assert!(
        status.pause_conditions.is_empty()
            && status
                .canary
                .unwrap()
                .current_step_analysis_run_status
                .is_none()
    );
    world.release(1);
    world.settle();
    let status = world.status();
    assert_eq!(status.current_step_index, Some(4));
    assert_eq!(status.stable_rs, status.current_pod_hash);
    // Other steps while idle: nothing to do.
    let steps = serde_json::from_value(json!([{"setWeight": 5}])).unwrap();
    world
        .rollout
        .spec
        .strategy
        .as_mut()
        .unwrap()
        .canary
        .as_mut()
        .unwrap()
        .steps = Some(steps);
    world.settle();
    assert_eq!(world.status().current_step_index, Some(1));
    assert_eq!(world.status().phase.unwrap().as_str(), "Healthy");
}

#[test]
fn a_timed_pause_ends_by_itself_and_asks_to_be_looked_at_then() {
    let mut world = World::updating(
        json!([{"setWeight": 20}, {"pause": {"duration": "1m"}}, {"setWeight": 60}, {"pause": {}}]),
    );
    assert_eq!(world.status().current_step_index, Some(1));
    world.pass(60);
    let plan = world.plan();
    assert!(
        plan.requeue_at.is_some_and(
            |at| at > world.now && at <= world.now + jiff::SignedDuration::from_secs(1)
        )
    );
    assert_eq!(
        plan.status.unwrap().current_step_index,
        Some(1),
        "the end itself is too early"
    );
    world.pass(1);
    world.settle();
    assert_eq!(world.status().current_step_index, Some(3));
}

#[test]
fn without_steps_the_whole_traffic_moves_when_all_pods_are_there() {
    for steps in [json!([]), json!(null)] {
        let mut world = World::updating(steps);
        let status = world.status();
        assert_eq!(
            (status.current_step_index, status.stable_rs),
            (None, status.current_pod_hash)
        );
        assert_eq!(world.set(2).desired, 10);
    }
}

#[test]
fn a_rollout_of_no_pods_goes_through_its_steps_all_the_same() {
    let mut world = World::deployed(json!([{"setWeight": 20}, {"setWeight": 60}]));
    world.rollout.spec.replicas = Some(0);
    world.settle();
    world.release(2);
    world.settle();
    let status = world.status();
    assert_eq!(status.stable_rs, status.current_pod_hash);
    assert_eq!(status.phase.unwrap().as_str(), "Healthy");
}
