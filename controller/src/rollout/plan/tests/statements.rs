//! Phase, message and conditions.

use crds::rollout::RolloutStatus;
use serde_json::{Value, json};

use super::super::conditions::{self, Verdict};
use super::super::phase;
use super::world::World;

fn condition(type_: &str, reason: &str, message: &str) -> Value {
    json!([{
        "type": type_, "status": "False", "reason": reason, "message": message,
        "lastUpdateTime": "2026-11-23T12:00:00Z", "lastTransitionTime": "2026-11-23T12:00:00Z",
    }])
}

fn assert_phase(paused: bool, change: &Value, phase: &str, message: &str) {
    let mut rollout = World::new(json!([])).rollout;
    rollout.spec.paused = Some(paused);
    let mut status = json!({
        "updatedReplicas": 10, "availableReplicas": 10, "stableRS": "a", "currentPodHash": "a",
    });
    json_patch::merge(&mut status, change);
    let typed: RolloutStatus = serde_json::from_value(status).unwrap();
    let (is, says) = phase::of(&rollout, &typed);
    assert_eq!((is.as_str(), says.as_str()), (phase, message), "{change}");
}

#[test]
fn what_is_wrong_and_what_pauses_goes_first() {
    let pause = json!({"pauseConditions": [
        {"reason": "CanaryPauseStep", "startTime": "2026-11-23T12:00:00Z"},
    ]});
    let invalid = json!({"conditions": condition("InvalidSpec", "InvalidSpec", "bad")});
    let aborted = json!({"conditions": condition("Progressing", "RolloutAborted", "gone")});
    let late = condition("Progressing", "ProgressDeadlineExceeded", "slow");
    assert_phase(false, &invalid, "Degraded", "InvalidSpec: bad");
    assert_phase(true, &aborted, "Degraded", "RolloutAborted: gone");
    assert_phase(
        false,
        &json!({"conditions": late}),
        "Degraded",
        "ProgressDeadlineExceeded: slow",
    );
    assert_phase(true, &pause, "Paused", "manually paused");
    assert_phase(false, &pause, "Paused", "CanaryPauseStep");
}

#[test]
fn the_message_is_the_first_thing_that_is_waited_for() {
    let table = [
        (
            json!({"updatedReplicas": 9}),
            "more replicas need to be updated",
        ),
        (json!({"availableReplicas": 9}), BECOMING),
        (
            json!({"stableRS": "b"}),
            "waiting for all steps to complete",
        ),
        (
            json!({"stableRS": null}),
            "waiting for all steps to complete",
        ),
    ];
    for (change, message) in table {
        assert_phase(false, &change, "Progressing", message);
    }
    assert_phase(false, &json!({"replicas": 20}), "Healthy", "");
}

const BECOMING: &str = "updated replicas are still becoming available";

#[test]
fn a_condition_changes_with_status_or_reason_and_transits_with_status() {
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let mut conditions = Vec::new();
    assert!(conditions::set(
        &mut conditions,
        conditions::new("Available", Verdict::True, "A", "one"),
        at(1)
    ));
    assert!(!conditions::set(
        &mut conditions,
        conditions::new("Available", Verdict::True, "A", "two"),
        at(2)
    ));
    assert_eq!(conditions[0].message, "one");
    assert!(conditions::set(
        &mut conditions,
        conditions::new("Available", Verdict::True, "B", "three"),
        at(3)
    ));
    assert_eq!(
        (
            conditions[0].last_update_time.0,
            conditions[0].last_transition_time.0
        ),
        (at(3), at(1))
    );
    assert!(conditions::set(
        &mut conditions,
        conditions::new("Available", Verdict::False, "B", "four"),
        at(4)
    ));
    assert_eq!(
        (conditions.len(), conditions[0].last_transition_time.0),
        (1, at(4))
    );
}

fn reason(world: &World, type_: &str) -> Option<(String, String)> {
    let status = world.status();
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)?;
    Some((condition.status.clone(), condition.reason.clone()))
}

fn is(world: &World, type_: &str) -> (String, String) {
    reason(world, type_).unwrap_or_default()
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn conditions_tell_the_story_of_a_release() {
    let mut world = World::new(json!([{"setWeight": 20}, {"pause": {}}]));
    world.step();
    assert_eq!(
        is(&world, "Progressing"),
        pair("True", "NewReplicaSetCreated")
    );
    world.settle();
    assert_eq!(
        is(&world, "Progressing"),
        pair("True", "NewReplicaSetAvailable")
    );
    assert_eq!(is(&world, "Available"), pair("True", "AvailableReason"));
    assert_eq!(is(&world, "Completed"), pair("True", "RolloutCompleted"));
    assert_eq!(is(&world, "Healthy"), pair("True", "RolloutHealthy"));
    assert_eq!(reason(&world, "Paused"), None);
    world.release(2);
    world.settle();
    assert_eq!(is(&world, "Progressing"), pair("Unknown", "RolloutPaused"));
    assert_eq!(is(&world, "Paused"), pair("True", "RolloutPaused"));
    assert_eq!(is(&world, "Completed"), pair("False", "RolloutCompleted"));
    assert_eq!(is(&world, "Healthy"), pair("False", "RolloutHealthy"));
    world.status_mut().abort = Some(true);
    world.settle();
    assert_eq!(is(&world, "Progressing"), pair("False", "RolloutAborted"));
    world.status_mut().abort = Some(false);
    world.step();
    assert_eq!(is(&world, "Progressing"), pair("Unknown", "RolloutRetry"));
    assert!(
        world.status().aborted_at.is_some(),
        "the pass after this one must know of the retry"
    );
    world.settle();
    assert_eq!(is(&world, "Paused"), pair("True", "RolloutPaused"));
    world.status_mut().pause_conditions.clear();
    world.step();
    assert_eq!(is(&world, "Progressing"), pair("Unknown", "RolloutResumed"));
    assert_eq!(is(&world, "Paused"), pair("False", "RolloutPaused"));
}

#[test]
fn too_long_without_progress_is_said_and_forgotten_with_progress() {
    let mut world = World::updating(json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}]));
    world.status_mut().pause_conditions.clear();
    // The pods for 60 % come up too slowly.
    for _ in 0..6 {
        world.step();
    }
    assert_eq!(world.set(2).desired, 6);
    let at = world.plan().requeue_at.unwrap();
    assert!(at > world.now);
    world.pass(601);
    world.step();
    assert_eq!(
        is(&world, "Progressing"),
        pair("False", "ProgressDeadlineExceeded")
    );
    assert_eq!(world.status().phase.unwrap().as_str(), "Degraded");
    world.settle();
    assert_eq!(world.status().phase.unwrap().as_str(), "Healthy");
}

#[test]
fn an_invalid_spec_is_said_once_and_an_abort_is_heard_in_spite_of_it() {
    let mut world = World::updating(json!([{"setWeight": 20}, {"pause": {}}]));
    world.observed.services.clear();
    let errors = crate::rollout::spec::check(&world.rollout, &world.observed).unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:?}");
    let plan = super::super::refuse(&world.rollout, &errors, &world.observed, world.now);
    let status = plan.status.unwrap();
    let message = "InvalidSpec: The Rollout \"web\" is invalid: spec.strategy.canary.stableService: Invalid value: \
                   \"stable\": service \"stable\" not found";
    assert_eq!(status.message.as_deref(), Some(message));
    world.rollout.status = Some(status);
    world.status_mut().abort = Some(true);
    world.pass(1);
    let again = super::super::refuse(&world.rollout, &errors, &world.observed, world.now);
    assert_eq!(again.status, world.rollout.status);
    assert!(again.events.is_empty());
    let ordered = again.actions.iter().any(|action| {
        matches!(action, super::super::Action::OrderTraffic { order, lowers: true } if order.weight == 0)
    });
    assert!(ordered, "{again:#?}");
}

#[test]
fn a_fuse_aborts_even_what_cannot_be_acted_on() {
    let mut world = World::updating(json!([{"setWeight": 20}, {"pause": {}}]));
    world.observed.services.clear();
    let errors = crate::rollout::spec::check(&world.rollout, &world.observed).unwrap_err();
    world.observed.traffic.fuse = Some(crate::traffic::FuseTrip {
        proxy: "p-1".to_owned(),
        revision: world.status().current_pod_hash.unwrap(),
        reason: "fuse of proxy p-1 tripped: 9 of 9".to_owned(),
    });
    let plan = super::super::refuse(&world.rollout, &errors, &world.observed, world.now);
    assert!(matches!(
        &plan.actions[..],
        [super::super::Action::OrderTraffic { order, lowers: true }] if order.weight == 0
    ));
    assert_eq!(plan.status.unwrap().abort, Some(true));
}
