use super::*;

fn arm() -> ArmState {
    ArmState::new(Role::Canary, "two", 2)
}

fn only(arm: &ArmState, sequence: u64) -> EpochCounts {
    let mut evidence = arm.collect(&[(sequence, 40 + sequence)]);
    evidence.epochs.pop().expect("the epoch saw a request")
}

#[test]
fn a_user_counts_once_however_many_workers_saw_him() {
    let arm = arm();
    for worker in [0, 1, 1] {
        let slot = arm.shard(worker).slot(3).expect("a new epoch");
        let draw = slot.draw_keyed(77);
        slot.decide(draw, Some(FailureClass::Reset));
    }
    let counts = only(&arm, 3);
    assert_eq!(counts.keyed, Counts { exposed: 1, bad: 1 });
    assert_eq!(counts.drawn, Counts { exposed: 3, bad: 3 });
    assert_eq!(counts.failures[FailureClass::Reset as usize], 3);
    assert_eq!(counts.epoch, 43);
}

#[test]
fn only_a_users_first_request_of_an_epoch_is_latency_evidence() {
    let arm = arm();
    let slot = arm.shard(0).slot(0).expect("a new epoch");
    for draw in [
        slot.draw_keyed(5),
        slot.draw_keyed(5),
        Draw::Unkeyed,
        Draw::Chosen,
    ] {
        slot.latency(draw, 700);
    }
    assert_eq!(only(&arm, 0).latency.0[bucket_of(700)], 2);
}

#[test]
fn what_chose_its_side_is_a_request_but_no_evidence() {
    let arm = arm();
    let slot = arm.shard(0).slot(0).expect("a new epoch");
    slot.requests.add(1);
    slot.decide(Draw::Chosen, Some(FailureClass::Status5xx));
    let counts = only(&arm, 0);
    assert_eq!((counts.requests, counts.failed()), (1, 1));
    assert_eq!(
        (counts.drawn, counts.keyed),
        (Counts::default(), Counts::default())
    );
}

#[test]
fn a_body_that_breaks_makes_a_good_answer_bad_without_exposing_twice() {
    let arm = arm();
    let slot = arm.shard(0).slot(0).expect("a new epoch");
    slot.decide(Draw::Unkeyed, None);
    slot.fail(Draw::Unkeyed, FailureClass::Truncated);
    assert_eq!(only(&arm, 0).unkeyed, Counts { exposed: 1, bad: 1 });
}

#[test]
fn the_ring_forgets_old_epochs_and_drops_outcomes_that_come_too_late() {
    let arm = arm();
    let kept = KEPT_EPOCHS as u64;
    arm.shard(0).slot(1).expect("a new epoch").requests.add(9);
    let newer = arm.shard(0).slot(1 + kept).expect("a newer epoch");
    assert_eq!(newer.requests.get(), 0, "the place was cleared");
    newer.requests.add(1);
    assert!(arm.shard(0).slot(1).is_none());
    assert_eq!(only(&arm, 1 + kept).requests, 1);
    assert!(arm.collect(&[(1, 41)]).epochs.is_empty());
}
