//! What the proxies of one fleet say concerns nobody else, whatever they say.

use super::*;

fn stranger(fleet: &str, proxy: &str) -> Hello {
    Hello {
        fleet: fleet.into(),
        ..hello(proxy)
    }
}

fn first_version(effects: &Effects) -> Version {
    match &effects.send.first().expect("something is sent").1.kind {
        Some(Kind::Snapshot(snapshot)) => snapshot.version.map(Version::from).expect("one"),
        other => panic!("{other:?} before a snapshot"),
    }
}

#[test]
fn what_one_fleets_proxies_claim_to_have_heard_changes_nothing_for_others() {
    let mut state = ordered();
    let mut liar = stranger("elsewhere/app", "p-9");
    let everything = proto::Version {
        term: u64::MAX,
        counter: u64::MAX,
    };
    liar.in_force = Some(everything);
    let told = state.hello(7, &liar, at(0)).expect("joins");
    assert_eq!(first_version(&told).term, u64::MAX);
    let told = state.hello(1, &hello("p-1"), at(1)).expect("joins");
    assert_eq!(first_version(&told).term, 3);
}

#[test]
fn an_epoch_beyond_all_measure_is_outbid_as_far_as_there_are_numbers() {
    let mut state = ordered();
    join(&mut state, 1, "p-1");
    for epoch in [u64::MAX - 1, u64::MAX] {
        let report = SplitReport {
            split: "default/app".into(),
            rollout_uid: "uid".into(),
            epoch,
            ..SplitReport::default()
        };
        let splits = vec![report];
        state.heard(1, Said::Report(Report { splits }), at(5));
    }
    assert_eq!(state.releases[&key()].epoch, u64::MAX);
    assert!(state.epoch < 4 << 32, "others are not concerned");
}

#[test]
fn proxies_that_no_rollout_names_are_let_in_up_to_a_bound_for_each_namespace() {
    let mut state = ordered();
    let fleet = |index: usize| format!("elsewhere/f-{index}");
    for index in 0..MAX_UNKNOWN_FLEETS {
        let joined = state.hello(100 + index as u64, &stranger(&fleet(index), "p"), at(0));
        joined.expect("there is room");
    }
    let refused = state.hello(1_000, &stranger("elsewhere/more", "p"), at(1));
    let refused = refused.expect_err("no room");
    assert!(
        refused.contains("no Rollout names fleet elsewhere/more"),
        "{refused}"
    );
    state
        .hello(1, &hello("p-1"), at(1))
        .expect("another namespace has room");
    state.disconnect(100, at(2));
    let joined = state.hello(1_001, &stranger("elsewhere/more", "p"), at(3));
    joined.expect("one has left");
}
