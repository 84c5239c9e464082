use uplink::proto::{ArmReport, Role, SplitReport};

use super::*;

fn arm(role: Role, epoch: u64, requests: u64, failures: u64) -> ArmReport {
    let revision = if role == Role::Canary { "r2" } else { "r1" };
    ArmReport {
        role: role.into(),
        revision: revision.into(),
        epoch,
        requests,
        failures,
        unkeyed: Some(proto::Counts {
            exposed: requests,
            bad: failures,
        }),
        ..ArmReport::default()
    }
}

fn report(arms: Vec<ArmReport>) -> SplitReport {
    SplitReport {
        arms,
        ..SplitReport::default()
    }
}

#[test]
fn unkeyed_counts_add_up_over_proxies_and_a_newer_report_replaces_an_older() {
    let mut book = Book::default();
    book.record("p1", "x", &report(vec![arm(Role::Canary, 1, 10, 1)]));
    book.record(
        "p1",
        "x",
        &report(vec![
            arm(Role::Canary, 1, 15, 2),
            arm(Role::Stable, 1, 90, 0),
        ]),
    );
    book.record(
        "p2",
        "y",
        &report(vec![arm(Role::Canary, 1, 5, 1), arm(Role::Canary, 2, 7, 0)]),
    );
    let evidence = book.evidence("r2", "r1", 0.5);
    assert_eq!(evidence.errors.len(), 2);
    assert_eq!(
        evidence.errors[0].unkeyed.canary,
        Arm {
            exposed: 20,
            bad: 3
        }
    );
    assert_eq!(
        evidence.errors[0].unkeyed.stable,
        Arm {
            exposed: 90,
            bad: 0
        }
    );
    assert_eq!(
        evidence.errors[1].unkeyed.canary,
        Arm { exposed: 7, bad: 0 }
    );
    assert_eq!(
        (evidence.canary_requests, evidence.canary_failures),
        (27, 3)
    );
    assert!((evidence.share - 0.5).abs() < f64::EPSILON);
}

#[test]
fn users_are_united_not_added() {
    let keyed = |exposed: &[u32], bad: &[u32]| ArmReport {
        exposed_buckets: exposed.to_vec(),
        bad_buckets: bad.to_vec(),
        ..arm(Role::Canary, 1, 0, 0)
    };
    let mut book = Book::default();
    book.record("p1", "x", &report(vec![keyed(&[1, 2, 16_383], &[2])]));
    book.record("p2", "y", &report(vec![keyed(&[2, 3], &[2, 3])]));
    // A bucket that cannot be, and one that is bad without having been named as exposed.
    book.record("p2", "y", &report(vec![keyed(&[16_384], &[9])]));
    let evidence = book.evidence("r2", "r1", 0.0);
    assert_eq!(evidence.errors[0].keyed.canary, Arm { exposed: 5, bad: 3 });
}

#[test]
fn a_restarted_process_starts_on_top_of_what_was_counted() {
    let mut book = Book::default();
    let waiting = ArmReport {
        waiting: vec![0, 3],
        latency: vec![2],
        in_flight: 3,
        ..arm(Role::Canary, 1, 10, 1)
    };
    book.record("p1", "x", &report(vec![waiting]));
    assert_eq!(book.in_flight(|_| true), [("r2".to_owned(), 3)].into());
    assert_eq!(book.in_flight(|_| false), BTreeMap::new());
    book.record("p1", "restarted", &report(vec![arm(Role::Canary, 1, 4, 0)]));
    let evidence = book.evidence("r2", "r1", 0.0);
    assert_eq!(
        evidence.errors[0].unkeyed.canary,
        Arm {
            exposed: 14,
            bad: 1
        }
    );
    assert_eq!(evidence.latency[0].canary.completed, [2]);
    assert!(
        evidence.latency[0]
            .canary
            .open
            .iter()
            .all(|open| *open == 0),
        "it died waiting"
    );
    assert_eq!(book.in_flight(|_| true), [("r2".to_owned(), 0)].into());
}

#[test]
fn histograms_are_summed_by_bucket() {
    let with = |latency: &[u64]| ArmReport {
        latency: latency.to_vec(),
        ..arm(Role::Stable, 1, 1, 0)
    };
    let mut book = Book::default();
    book.record("p1", "x", &report(vec![with(&[1, 2])]));
    book.record("p2", "y", &report(vec![with(&[1, 0, 5])]));
    book.record("p3", "z", &report(vec![with(&vec![1; 1_000])]));
    let latency = &book.evidence("r2", "r1", 0.0).latency[0];
    assert_eq!(latency.stable.completed[..3], [3, 3, 6]);
    assert_eq!(latency.stable.completed.len(), LATENCY_BUCKETS);
}

#[test]
fn other_revisions_are_no_evidence_and_epochs_are_bounded() {
    let mut book = Book::default();
    for epoch in 0..2 * MAX_ARMS as u64 {
        book.record("p1", "x", &report(vec![arm(Role::Canary, epoch, 1, 0)]));
    }
    assert_eq!(book.arms.len(), MAX_ARMS);
    assert_eq!(book.processes["p1"].arms.len(), MAX_ARMS);
    assert_eq!(book.evidence("r2", "r1", 0.0).errors.len(), MAX_ARMS);
    assert!(book.evidence("r3", "r9", 0.0).errors.is_empty());
}
