use uplink::weight::EpochWeight;

use super::*;
use crate::observe::evidence::Draw;
use crate::observe::{FailureClass, Role};

const SPLIT: &str = "shop/app";
const UID: &str = "uid";

/// A split in force at equal shares, on one worker.
fn split_in_force(state: &Arc<State>, canary: &str, epoch: u64) {
    let split = state.split(SPLIT, UID);
    let weight = EpochWeight { weight: 50, epoch };
    split.put_in_force(&split.canary(canary), "r1", true, (weight, 100));
}

/// Counts drawn requests of an arm; `sequence` counts epochs from 0.
fn count(state: &Arc<State>, (role, revision): (Role, &str), sequence: u64, bad: &[bool]) {
    let arm = state.split(SPLIT, UID).arm(role, revision);
    let slot = arm.shard(0).slot(sequence).expect("the newest epoch");
    for bad in bad {
        slot.decide(Draw::Unkeyed, bad.then_some(FailureClass::Status5xx));
    }
}

fn ratings() -> Ratings {
    let fuse = CheckedFuse {
        alpha: 0.001,
        ratio: 1.5,
        min_errors: 3,
    };
    Ratings {
        splits: [(SPLIT.to_owned(), fuse)].into(),
        fleet_size: 1,
    }
}

fn fuses(state: &Arc<State>, store: &Store) -> Fuses {
    let fuses = Fuses::new(Arc::clone(state), store.clone(), Clock);
    fuses.rate(ratings(), &[(SPLIT.to_owned(), UID.to_owned())]);
    fuses
}

/// A state in which canary `r2` fails everything.
fn on_fire() -> Arc<State> {
    let state = State::new(1, Clock.now());
    split_in_force(&state, "r2", 1);
    count(&state, (Role::Stable, "r1"), 0, &[false; 50]);
    count(&state, (Role::Canary, "r2"), 0, &[true; 50]);
    state
}

fn is_tripped(state: &Arc<State>, canary: &str) -> bool {
    state.split(SPLIT, UID).canary(canary).word().tripped
}

#[test]
fn a_trip_is_on_disk_at_once_and_holds_in_the_next_process_before_its_first_request() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let store = Store::open(Some(directory.path().to_owned())).expect("there");
    let state = on_fire();
    let first = fuses(&state, &store);
    first.look();
    assert!(is_tripped(&state, "r2"));
    assert_eq!(first.trips_total(SPLIT), 1);
    assert_eq!(store.trips().expect("readable")[UID].revision, "r2");

    let restarted = State::new(1, Clock.now());
    let next = fuses(&restarted, &store);
    assert!(is_tripped(&restarted, "r2"), "before anything is in force");
    split_in_force(&restarted, "r2", 1);
    next.look();
    let view = next.view(&restarted.collect()[0]).expect("a fuse");
    assert!(view.tripped && view.canary_bad >= 3, "{view:?}");
}

#[test]
fn another_canary_clears_the_trip_and_is_not_held_to_the_counts_of_the_first() {
    let store = Store::open(None).expect("nothing to make");
    let state = on_fire();
    let fuses = fuses(&state, &store);
    fuses.look();
    split_in_force(&state, "r3", 2);
    fuses.look();
    assert!(!is_tripped(&state, "r2") && !is_tripped(&state, "r3"));
    count(&state, (Role::Stable, "r1"), 1, &[false; 50]);
    count(&state, (Role::Canary, "r3"), 1, &[false; 50]);
    fuses.look();
    assert!(!is_tripped(&state, "r3"));
    count(&state, (Role::Stable, "r1"), 1, &[false; 50]);
    count(&state, (Role::Canary, "r3"), 1, &[true; 50]);
    fuses.look();
    assert!(is_tripped(&state, "r3"));
}

#[test]
fn a_reset_is_for_its_revision_and_begins_a_new_watch() {
    let store = Store::open(None).expect("nothing to make");
    let state = on_fire();
    let fuses = fuses(&state, &store);
    fuses.look();
    assert!(
        !fuses.reset(UID, "r9"),
        "the trip is about another revision"
    );
    assert!(!fuses.reset("another", "r2"));
    assert!(is_tripped(&state, "r2"));
    assert!(fuses.reset(UID, "r2"));
    fuses.look();
    assert!(
        !is_tripped(&state, "r2"),
        "what was counted before the reset is over"
    );
}

#[test]
fn a_fuse_that_is_off_never_trips() {
    let store = Store::open(None).expect("nothing to make");
    let state = on_fire();
    let fuses = Fuses::new(Arc::clone(&state), store, Clock);
    fuses.look();
    assert!(!is_tripped(&state, "r2"));
    assert_eq!(fuses.view(&state.collect()[0]), None);
}

#[test]
fn old_trips_make_room() {
    let trip = |at: i64| Trip {
        split: SPLIT.into(),
        revision: "r2".into(),
        tripped_at_ms: at,
        e_value: 1.0,
        alpha: 0.001,
        canary: (3, 3),
        stable: (0, 3),
        reason: String::new(),
    };
    let count = i64::try_from(MAX_TRIPS).expect("small") + 2;
    let trips = (0..count)
        .map(|at| (format!("uid-{at}"), trip(at)))
        .collect();
    let mut book = Book {
        trips,
        ..Book::default()
    };
    book.bound();
    assert_eq!(book.trips.len(), MAX_TRIPS);
    assert!(!book.trips.contains_key("uid-1") && book.trips.contains_key("uid-2"));
}
