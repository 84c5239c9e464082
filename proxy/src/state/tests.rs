use super::*;
use crate::clock::Clock;
use crate::observe::Role;

fn weight(weight: u32, epoch: u64) -> EpochWeight {
    EpochWeight { weight, epoch }
}

#[test]
fn the_newer_weight_wins_and_waits_for_its_revision() {
    let state = State::new(1, Clock.now());
    assert!(
        !state.set_weight("app", weight(10, 2), "two"),
        "no such split yet"
    );
    let split = state.split("app", "uid");
    assert!(state.set_weight("app", weight(10, 2), "two"));
    state.set_weight("app", weight(50, 1), "two");
    assert_eq!(split.canary("two").word().weight, 10);
    assert_eq!(
        split.canary("three").word().weight,
        0,
        "another revision starts at nothing"
    );
    let two = split.canary("two");
    split.put_in_force(&two, "one", true, (weight(5, 1), 100));
    assert_eq!(
        split.weight(),
        weight(10, 2),
        "a snapshot's older weight does not win"
    );
}

#[test]
fn weight_zero_applies_to_every_revision_at_once() {
    let state = State::new(1, Clock.now());
    let split = state.split("app", "uid");
    split.set_weight(weight(10, 2), "two");
    split.set_weight(weight(0, 3), "three");
    assert_eq!(split.canary("two").word().weight, 0);
}

#[test]
fn each_epoch_has_a_sequence_of_its_own_and_a_trip_survives_weights() {
    let state = State::new(1, Clock.now());
    let split = state.split("app", "uid");
    split.set_weight(weight(10, 7), "two");
    let before = split.canary("two").word();
    assert!(split.trip("two") && !split.trip("two"));
    split.set_weight(weight(20, 9), "two");
    let after = split.canary("two").word();
    assert!(after.tripped && after.weight == 20 && after.sequence == before.sequence + 1);
    assert_eq!(split.newest_epoch(), 9);
}

#[test]
fn what_nothing_uses_is_forgotten_after_a_while_unless_it_has_tripped() {
    let now = Clock.now();
    let state = State::new(1, now);
    let split = state.split("app", "uid");
    let arm = split.arm(Role::Canary, "two");
    split.trip("bad");
    split.canary("good");
    let two = split.canary("two");
    split.put_in_force(&two, "one", true, (weight(1, 1), 100));
    let late = now + KEEP_UNUSED + Duration::from_secs(1);
    state.sweep(now);
    state.sweep(late);
    assert_eq!(state.collect()[0].arms.len(), 1, "used arms stay");
    drop(arm);
    state.sweep(late);
    state.sweep(late + KEEP_UNUSED);
    assert!(state.collect()[0].arms.is_empty());
    assert!(split.canary("bad").word().tripped);
}

#[test]
fn the_same_name_is_the_same_part() {
    let state = State::new(1, Clock.now());
    let at = "127.0.0.1:80".parse().expect("an address");
    let one = state.cluster("c", "r").endpoint(at);
    one.begin();
    assert_eq!(state.cluster("c", "r").endpoint(at).active(), 1);
    assert_eq!(state.cluster("c", "other").endpoint(at).active(), 0);
}

#[test]
fn an_endpoint_warms_up_whenever_it_turns_ready() {
    let start = crate::clock::Clock.now();
    let after = |seconds: u64| start + Duration::from_secs(seconds);
    let cluster = State::new(1, start).cluster("c", "r");
    let (a, b): (SocketAddr, SocketAddr) = (
        "127.0.0.1:1".parse().unwrap(),
        "127.0.0.1:2".parse().unwrap(),
    );
    let warm_up = Duration::from_secs(10);
    let listed = cluster.list(&[a, b], after(1));
    assert!(!listed[0].is_warm(after(10), warm_up));
    assert!(listed[0].is_warm(after(11), warm_up));
    // Listed again, it goes on; only what was away begins anew.
    cluster.list(&[a], after(20));
    let listed = cluster.list(&[a, b], after(30));
    assert!(listed[0].is_warm(after(30), warm_up));
    assert!(!listed[1].is_warm(after(39), warm_up));
    assert!(listed[1].is_warm(after(40), warm_up));
    assert!(cluster.list(&[b], after(50))[0].is_warm(after(50), Duration::ZERO));
}
