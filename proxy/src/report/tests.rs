use uplink::weight::EpochWeight;

use super::*;

fn counts(epoch: u64, exposed: &[u16], bad: &[u16]) -> EpochCounts {
    let mut counts = EpochCounts {
        epoch,
        requests: 9,
        ..EpochCounts::default()
    };
    for bucket in exposed {
        counts.exposed.insert(*bucket);
    }
    for bucket in bad {
        counts.bad.insert(*bucket);
    }
    counts.keyed = Counts {
        exposed: counts.exposed.count(),
        bad: counts.bad.count(),
    };
    counts.unkeyed = Counts { exposed: 4, bad: 1 };
    counts.failures[0] = 2;
    counts.failures[3] = 1;
    counts.latency.0[2] = 5;
    counts
}

fn view(split: &str, epochs: Vec<EpochCounts>) -> SplitView {
    let arm = ArmEvidence {
        role: Role::Canary,
        revision: "r2".into(),
        in_flight: 3,
        epochs,
    };
    SplitView {
        split: split.to_owned(),
        rollout_uid: "uid".to_owned(),
        weight: EpochWeight {
            weight: 10,
            epoch: 2,
        },
        arms: vec![arm],
        fuse: None,
    }
}

#[test]
fn counts_are_cumulative_and_buckets_are_named_once_per_stream() {
    let mut reporter = Reporter::default();
    let first = reporter.reports(vec![view("a", vec![counts(1, &[5, 7], &[7])])]);
    let arm = &first[0].splits[0].arms[0];
    assert_eq!(
        (&*arm.exposed_buckets, &*arm.bad_buckets),
        (&[5, 7][..], &[7][..])
    );
    assert_eq!((arm.requests, arm.failures, arm.in_flight), (9, 3, 3));
    assert_eq!(arm.latency, [0, 0, 5]);
    assert_eq!(arm.waiting, [0; 0]);
    assert_eq!(arm.keyed, Some(proto::Counts { exposed: 2, bad: 1 }));
    assert_eq!(arm.role, i32::from(proto::Role::Canary));

    let second = reporter.reports(vec![view("a", vec![counts(1, &[5, 7, 9], &[7])])]);
    let arm = &second[0].splits[0].arms[0];
    assert_eq!(
        (&*arm.exposed_buckets, &*arm.bad_buckets),
        (&[9][..], &[][..])
    );
    assert_eq!(arm.keyed, Some(proto::Counts { exposed: 3, bad: 1 }));

    let stream = Reporter::default().reports(vec![view("a", vec![counts(1, &[5, 7, 9], &[7])])]);
    assert_eq!(stream[0].splits[0].arms[0].exposed_buckets, [5, 7, 9]);
}

#[test]
fn epochs_that_are_gone_are_forgotten() {
    let mut reporter = Reporter::default();
    reporter.reports(vec![view("a", vec![counts(1, &[5], &[])])]);
    reporter.reports(vec![view("a", vec![counts(2, &[5], &[])])]);
    assert_eq!(reporter.told.len(), 1);
}

#[test]
fn much_to_say_becomes_several_messages_within_the_limit() {
    let all: Vec<u16> = (0..16_384).collect();
    let epochs = || {
        (0..32)
            .map(|epoch| counts(epoch, &all, &all))
            .collect::<Vec<_>>()
    };
    let views = ["a", "b", "c"].map(|split| view(split, epochs()));
    let reports = Reporter::default().reports(views.into());
    assert_eq!(reports.len(), 3);
    for report in reports {
        assert!(
            report.encoded_len() < MAX_PROXY_MESSAGE_BYTES,
            "{}",
            report.encoded_len()
        );
    }
}

#[test]
fn nothing_to_say_is_said_too() {
    assert_eq!(
        Reporter::default().reports(Vec::new()),
        [proto::Report::default()]
    );
}
