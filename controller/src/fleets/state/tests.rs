use jiff::SignedDuration;
use uplink::document::{BackendRef, Certificate, Cluster, Route, Split};
use uplink::proto::controller_message::Kind;
use uplink::proto::proxy_message::Kind as Said;
use uplink::proto::{Ack, ArmReport, Fuse, Goodbye, Hello, Nack, Report, Role, SplitReport};
use uplink::weight::EpochWeight;

use super::*;

const FLEET: &str = "default/app";
mod isolation;

fn key() -> RolloutKey {
    RolloutKey {
        namespace: "default".into(),
        name: "app".into(),
    }
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000 + milliseconds).expect("in range")
}

fn order(weight: u32, canary: Option<&str>) -> TrafficOrder {
    TrafficOrder {
        rollout: key(),
        uid: "uid".into(),
        stable: "r1".into(),
        canary: canary.map(str::to_owned),
        weight,
        max_weight: 100,
        header_routes: Vec::new(),
    }
}

/// What the publisher makes of an order, with this many pods of each revision.
fn planned(order: &TrafficOrder, pods: usize) -> Plan {
    let cluster = |revision: &str| Cluster {
        revision: Some(revision.to_owned()),
        endpoints: (0..pods)
            .map(|pod| format!("127.0.0.1:{}", 8000 + pod))
            .collect(),
        ..Cluster::default()
    };
    let revisions = std::iter::once(&order.stable).chain(&order.canary);
    let split = Split {
        stable: order.stable.clone(),
        canary: order.canary.clone(),
        max_weight: 100,
        ..Split::default()
    };
    let route = Route {
        name: "app".into(),
        backend: BackendRef {
            split: Some("default/app".into()),
            cluster: None,
        },
        ..Route::default()
    };
    let document = RoutingConfig {
        fleet: Some(FLEET.into()),
        routes: vec![route],
        splits: [("default/app".to_owned(), split)].into(),
        clusters: revisions
            .map(|name| (name.clone(), cluster(name)))
            .collect(),
        ..RoutingConfig::default()
    };
    Plan {
        fleets: [(
            FLEET.to_owned(),
            Published {
                document,
                ..Published::default()
            },
        )]
        .into(),
        placed: [(
            key(),
            Placed {
                fleet: FLEET.into(),
                order: order.clone(),
            },
        )]
        .into(),
        problems: BTreeMap::new(),
    }
}

fn hello(proxy: &str) -> Hello {
    Hello {
        fleet: FLEET.into(),
        proxy: proxy.into(),
        process_id: format!("{proxy}-1"),
        ..Hello::default()
    }
}

/// A fleet at weight 10 of r2, and nobody connected.
fn ordered() -> State {
    let mut state = State::default();
    state.begin_term(3);
    let order = order(10, Some("r2"));
    state.order(order.clone(), at(0));
    state.install(planned(&order, 2), at(0));
    state
}

/// Acknowledges all that was sent to a proxy.
fn acknowledge(state: &mut State, id: ConnectionId, effects: &Effects, now: Timestamp) -> Effects {
    let mut after = Effects::default();
    for (to, message) in &effects.send {
        if *to != id {
            continue;
        }
        let said = match message.kind.clone().expect("a kind") {
            Kind::Snapshot(it) => Said::Ack(Ack {
                version: it.version,
            }),
            Kind::Endpoints(it) => Said::Ack(Ack {
                version: it.version,
            }),
            Kind::Weights(it) => Said::WeightsAck(proto::WeightsAck {
                split: it.split,
                epoch: it.epoch,
            }),
            Kind::FuseReset(_) => continue,
        };
        let effects = state.heard(id, said, now);
        after.send.extend(effects.send);
    }
    after
}

fn kinds(effects: &Effects, id: ConnectionId) -> Vec<&'static str> {
    let sent = effects.send.iter().filter(|(to, _)| *to == id);
    let kinds = sent.map(
        |(_, message)| match message.kind.as_ref().expect("a kind") {
            Kind::Snapshot(_) => "snapshot",
            Kind::Endpoints(_) => "endpoints",
            Kind::Weights(_) => "weights",
            Kind::FuseReset(_) => "reset",
        },
    );
    kinds.collect()
}

fn join(state: &mut State, id: ConnectionId, proxy: &str) -> Effects {
    let effects = state.hello(id, &hello(proxy), at(0)).expect("joins");
    acknowledge(state, id, &effects, at(1));
    effects
}

fn view(state: &State, now: Timestamp) -> (Option<bool>, Option<String>) {
    let view = state.view(&key(), "r2", now);
    (view.verified, view.message)
}

#[test]
fn nobody_connected_verifies_nothing() {
    let said = Some("no proxy of fleet app is connected".to_owned());
    assert_eq!(view(&ordered(), at(0)), (None, said));
}

#[test]
fn a_weight_is_verified_when_every_connected_proxy_has_it_and_its_routes() {
    let mut state = ordered();
    let sent = state.hello(1, &hello("p-1"), at(0)).expect("joins");
    assert_eq!(kinds(&sent, 1), ["snapshot", "weights"]);
    assert_eq!(view(&state, at(9_999)), (Some(false), None), "give it time");
    let late = "proxy p-1 has not acknowledged for 10 s".to_owned();
    assert_eq!(view(&state, at(10_000)), (Some(false), Some(late)));
    acknowledge(&mut state, 1, &sent, at(10_100));
    assert_eq!(view(&state, at(10_100)), (Some(true), None));
    let view = state.view(&key(), "r2", at(10_100));
    assert_eq!(
        view.reachable,
        [("r1".to_owned(), 2), ("r2".to_owned(), 2)].into()
    );
    assert_eq!((view.connected, view.ordered_weight), (1, Some(10)));
    let sent = state.order(order(20, Some("r2")), at(11_000));
    assert_eq!(
        kinds(&sent, 1),
        ["weights"],
        "at once, and no snapshot for it"
    );
    assert_eq!(state.view(&key(), "r2", at(11_000)).verified, Some(false));
    acknowledge(&mut state, 1, &sent, at(11_001));
    state.install(planned(&order(20, Some("r2")), 2), at(11_010));
    assert_eq!(view_verified(&state), Some(true));
}

fn view_verified(state: &State) -> Option<bool> {
    state.view(&key(), "r2", at(11_010)).verified
}

#[test]
fn the_same_order_again_changes_nothing() {
    let mut state = ordered();
    join(&mut state, 1, "p-1");
    let effects = state.order(order(10, Some("r2")), at(5));
    assert!(effects.send.is_empty() && effects.changed.is_empty() && !effects.replan);
}

#[test]
fn who_is_gone_without_a_goodbye_must_acknowledge_for_a_minute() {
    let mut state = ordered();
    join(&mut state, 1, "p-1");
    join(&mut state, 2, "p-2");
    state.disconnect(2, at(1_000));
    assert_eq!(
        view(&state, at(2_000)),
        (Some(true), None),
        "it had everything"
    );
    let sent = state.order(order(20, Some("r2")), at(3_000));
    acknowledge(&mut state, 1, &sent, at(3_001));
    state.install(planned(&order(20, Some("r2")), 2), at(3_010));
    let gone = "proxy p-2 is gone without a goodbye for 59 s".to_owned();
    assert_eq!(view(&state, at(60_999)), (Some(false), Some(gone)));
    assert_eq!(state.next_deadline(at(20_000)), Some(at(61_000)));
    assert_eq!(view(&state, at(61_000)), (Some(true), None));
}

#[test]
fn a_goodbye_releases_at_once() {
    let mut state = ordered();
    join(&mut state, 1, "p-1");
    state.hello(2, &hello("p-2"), at(0)).expect("joins");
    state.heard(2, Said::Goodbye(Goodbye {}), at(5));
    state.disconnect(2, at(6));
    assert_eq!(view(&state, at(7)), (Some(true), None));
}

#[test]
fn a_refusal_is_named_and_does_not_hold_up_weights() {
    let mut state = ordered();
    join(&mut state, 1, "p-1");
    let mut bad = planned(&order(10, Some("r2")), 2);
    let document = &mut bad.fleets.get_mut(FLEET).expect("there").document;
    let secret = Some("default/tls@sha256:00".to_owned());
    document.certificates.push(Certificate {
        names: Vec::new(),
        files: None,
        secret,
    });
    document.routes[0].hostnames.push("a.example.com".into());
    let sent = state.install(bad.clone(), at(100));
    assert_eq!(kinds(&sent, 1), ["snapshot"]);
    let Some(Kind::Snapshot(snapshot)) = sent.send[0].1.kind.clone() else {
        panic!("a snapshot")
    };
    let error = proto::ConfigError {
        path: "certificates[0].secret".into(),
        message: "the key does not match".into(),
    };
    let nack = Said::Nack(Nack {
        version: snapshot.version,
        errors: vec![error],
    });
    let after = state.heard(1, nack, at(110));
    assert!(
        after.replan && after.send.is_empty(),
        "the publisher shall leave it out"
    );
    assert!(state.refused_secrets["default/tls@sha256:00"].contains("does not match"));
    let message =
        "proxy p-1 refused the configuration: certificates[0].secret: the key does not match";
    assert_eq!(
        view(&state, at(111)),
        (Some(false), Some(message.to_owned()))
    );
    let abort = state.order(order(0, Some("r2")), at(120));
    assert_eq!(kinds(&abort, 1), ["weights"]);
    // Pods come and go meanwhile; the refused part is not sent again.
    for cluster in bad
        .fleets
        .get_mut(FLEET)
        .expect("there")
        .document
        .clusters
        .values_mut()
    {
        cluster.endpoints.pop();
    }
    let moved = state.install(bad, at(130));
    assert_eq!(kinds(&moved, 1), ["endpoints"]);
    assert!(acknowledge(&mut state, 1, &moved, at(131)).send.is_empty());
    let mended = state.install(planned(&order(0, Some("r2")), 2), at(140));
    acknowledge(&mut state, 1, &abort, at(141));
    acknowledge(&mut state, 1, &mended, at(141));
    assert_eq!(view(&state, at(142)), (Some(true), None));
}

#[test]
fn one_snapshot_is_outstanding_and_the_newest_wins() {
    let mut state = ordered();
    let first = state.hello(1, &hello("p-1"), at(0)).expect("joins");
    for pods in 3..6 {
        let effects = state.install(planned(&order(10, Some("r2")), pods), at(1));
        assert!(effects.send.is_empty(), "the first is not answered yet");
    }
    let next = acknowledge(&mut state, 1, &first, at(2));
    assert_eq!(kinds(&next, 1), ["endpoints"]);
    acknowledge(&mut state, 1, &next, at(3));
    assert_eq!(state.view(&key(), "r2", at(3)).reachable["r2"], 5);
}

#[test]
fn more_proxies_are_told_that_they_share_the_alpha() {
    let mut state = ordered();
    let size = |effects: &Effects, id| {
        effects
            .send
            .iter()
            .find_map(|(to, message)| match &message.kind {
                Some(Kind::Snapshot(snapshot)) if *to == id => Some(snapshot.fleet_size),
                _ => None,
            })
    };
    let first = join(&mut state, 1, "p-1");
    assert_eq!(size(&first, 1), Some(1));
    let second = join(&mut state, 2, "p-2");
    assert_eq!((size(&second, 1), size(&second, 2)), (Some(2), Some(2)));
}

#[test]
fn versions_and_epochs_are_above_all_that_was_before() {
    let mut state = ordered();
    let mut before = hello("p-1");
    before.in_force = Some(proto::Version {
        term: 9,
        counter: 5,
    });
    let sent = state.hello(1, &before, at(0)).expect("joins");
    let Some(Kind::Snapshot(snapshot)) = &sent.send[0].1.kind else {
        panic!("a snapshot first")
    };
    assert_eq!(snapshot.version.expect("one").term, 10);
    let high = 77 << 32;
    let report = SplitReport {
        split: "default/app".into(),
        rollout_uid: "uid".into(),
        weight: 50,
        epoch: high,
        ..SplitReport::default()
    };
    let sent = state.heard(
        1,
        Said::Report(Report {
            splits: vec![report],
        }),
        at(5),
    );
    let Some(Kind::Weights(weights)) = &sent.send[0].1.kind else {
        panic!("weights")
    };
    assert_eq!((weights.weight, weights.epoch), (10, high + 1));
}

/// Sent ahead, the promotion's weight 0 met the old document, in which the promoted revision was
/// still the canary: its users were answered by the old stable for a moment.
#[test]
fn while_the_lease_may_be_somebody_elses_no_proxy_is_outranked() {
    let mut state = ordered();
    let ahead = Hello {
        in_force: Some(proto::Version {
            term: 9,
            counter: 7,
        }),
        ..hello("p")
    };
    state.fenced = true;
    let effects = state.hello(1, &ahead, at(0)).expect("welcome");
    let terms = |effects: &Effects| -> BTreeSet<u64> {
        let kinds = effects.send.iter().map(|(_, message)| &message.kind);
        let versions = kinds.filter_map(|kind| match kind {
            Some(Kind::Snapshot(snapshot)) => snapshot.version,
            Some(Kind::Weights(weights)) => weights.version,
            _ => None,
        });
        versions.map(|version| version.term).collect()
    };
    assert_eq!(terms(&effects), BTreeSet::from([3]), "it refuses that");
    let report = || Said::Report(Report::default());
    assert!(state.heard(1, report(), at(1)).close.is_empty());
    // The lease could be renewed: nobody else had it.
    state.fenced = false;
    assert_eq!(state.heard(1, report(), at(2)).close, [1]);
    state.disconnect(1, at(2));
    let effects = state.hello(2, &ahead, at(3)).expect("welcome");
    assert_eq!(terms(&effects), BTreeSet::from([10]));
    assert!(state.heard(2, report(), at(4)).close.is_empty());
}

#[test]
fn a_promotion_travels_with_its_document_and_never_ahead_of_it() {
    let mut state = ordered();
    join(&mut state, 1, "p-1");
    let mut promoted = order(0, None);
    promoted.stable = "r2".into();
    let sent = state.order(promoted.clone(), at(5));
    assert!(kinds(&sent, 1).is_empty(), "{:?}", kinds(&sent, 1));
    assert!(sent.replan);
    let lowered = state.order(
        TrafficOrder {
            canary: Some("r3".into()),
            ..promoted
        },
        at(6),
    );
    assert_eq!(kinds(&lowered, 1), ["weights"], "the same stable: at once");
}

#[test]
fn a_document_for_another_canary_never_gets_its_weight() {
    let mut state = ordered();
    let weight = |state: &State| {
        let wanted = state.fleets[FLEET].wanted.as_ref().expect("published");
        wanted.document.splits["default/app"].epoch_weight()
    };
    state.order(order(30, Some("r3")), at(1));
    state.install(planned(&order(10, Some("r2")), 2), at(2));
    assert_eq!(weight(&state), EpochWeight::default());
    state.install(planned(&order(30, Some("r3")), 2), at(3));
    assert_eq!(
        (weight(&state).weight, weight(&state).epoch),
        (30, state.epoch)
    );
}

#[test]
fn a_new_stream_of_the_same_proxy_replaces_the_old_one() {
    let mut state = ordered();
    join(&mut state, 1, "p-1");
    let effects = state.hello(2, &hello("p-1"), at(5)).expect("joins");
    assert_eq!(effects.close, [1]);
    state.disconnect(1, at(6));
    assert_eq!(state.view(&key(), "r2", at(6)).connected, 1);
}

fn fuse_report(tripped_at: i64) -> Said {
    let fuse = Fuse {
        tripped: true,
        revision: "r2".into(),
        tripped_at_ms: at(tripped_at).as_millisecond(),
        ..Fuse::default()
    };
    let arm = ArmReport {
        role: Role::Canary.into(),
        revision: "r2".into(),
        requests: 9,
        ..ArmReport::default()
    };
    let split = SplitReport {
        split: "default/app".into(),
        rollout_uid: "uid".into(),
        arms: vec![arm],
        fuse: Some(fuse),
        ..SplitReport::default()
    };
    Said::Report(Report {
        splits: vec![split],
    })
}

#[test]
fn a_trip_is_seen_until_it_is_reset_and_the_reset_reaches_who_was_away() {
    let mut state = ordered();
    join(&mut state, 1, "p-1");
    let tripped = state.heard(1, fuse_report(50), at(60));
    assert!(tripped.changed.contains(&key()));
    let seen = state.view(&key(), "r2", at(60)).fuse.expect("tripped");
    assert_eq!(seen.proxy, "p-1");
    assert_eq!(state.view(&key(), "r3", at(60)).fuse, None);
    let reset = state.reset_fuse(&key(), "r2", at(100));
    assert_eq!(kinds(&reset, 1), ["reset"]);
    join(&mut state, 2, "p-2");
    let late = state.heard(2, fuse_report(70), at(200));
    assert_eq!(kinds(&late, 2), ["reset"]);
    assert_eq!(state.view(&key(), "r2", at(200)).fuse, None);
    assert_eq!(state.evidence(&key(), "r2").canary_requests, 18);
}

#[test]
fn a_restarted_controller_assumes_what_the_status_says_until_it_orders() {
    let mut state = State::default();
    state.begin_term(4);
    state.install(planned(&order(30, Some("r2")), 1), at(0));
    let sent = state.hello(1, &hello("p-1"), at(1)).expect("joins");
    let weight = sent
        .send
        .iter()
        .find_map(|(_, message)| match &message.kind {
            Some(Kind::Weights(weights)) => Some(weights.weight),
            _ => None,
        });
    assert_eq!(weight, Some(30));
    assert_eq!(
        state.view(&key(), "r2", at(1)).ordered_weight,
        None,
        "nobody ordered it"
    );
    assert!(state.orders().is_empty());
    let epoch = state.epoch;
    let effects = state.order(order(30, Some("r2")), at(2));
    assert!(
        effects.send.is_empty() && state.epoch == epoch,
        "the same weight is no new epoch"
    );
    assert_eq!(state.view(&key(), "r2", at(2)).ordered_weight, Some(30));
}

#[test]
fn routes_of_a_rollout_that_is_gone_leave_the_fleet() {
    let mut state = ordered();
    join(&mut state, 1, "p-1");
    state.forget(&key());
    let effects = state.install(Plan::default(), at(5));
    let Some(Kind::Snapshot(snapshot)) = &effects.send[0].1.kind else {
        panic!("a snapshot")
    };
    let document = String::from_utf8(snapshot.document.clone()).expect("text");
    assert_eq!(
        document,
        r#"{"fleet":"default/app","routes":[],"clusters":{}}"#
    );
    assert_eq!(state.view(&key(), "r2", at(5)), TrafficView::default());
    assert_eq!(
        state.next_deadline(at(0) + SignedDuration::from_hours(1)),
        None
    );
}
