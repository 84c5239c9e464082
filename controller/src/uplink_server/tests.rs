//! What proxies see of a controller, and it of them, on real loopback streams.

mod scripted;
mod secured;

use tonic::Code;
use uplink::proto::controller_message::Kind as Told;
use uplink::proto::{Ack, Goodbye, Nack};

use super::*;
use crate::clock::Clock;
use crate::traffic::Traffic as _;
use scripted::{Controller, PATIENCE, Scripted, cluster, hello, order, pod, report, web};

#[tokio::test]
async fn a_proxy_gets_its_routes_acknowledges_them_and_follows_pods_and_weights() {
    let (_server, client, uid) = cluster().await;
    let controller = Controller::start(&client, 1).await;
    let mut proxy = Scripted::connect(controller.address, hello("p-1", "x"))
        .await
        .expect("joins");
    let routes = proxy.settle().await;
    assert_eq!(
        routes.clusters["default/web/aaa"].endpoints,
        ["10.0.0.1:8080"]
    );
    assert_eq!(
        routes.splits["default/web"].weight, 10,
        "as the status says"
    );
    assert_eq!(
        routes.splits["default/web"].rollout_uid.as_deref(),
        Some(uid.as_str())
    );
    let verified = |fleets: &Fleets| fleets.view(&web(), "bbb").verified == Some(true);
    controller.until(verified).await;

    controller.fleets.order(order(&uid, 10));
    controller.fleets.order(order(&uid, 30));
    let weights = proxy.weights().await;
    assert_eq!(
        (weights.weight, weights.canary_revision.as_str()),
        (30, "bbb")
    );
    assert!(!verified(&controller.fleets));
    proxy.ack_weights(&weights).await;
    controller.until(verified).await;

    pod(&client, "web-2", "bbb", "10.0.0.2").await;
    let Some(Told::Endpoints(endpoints)) = proxy.hear().await.expect("no error") else {
        panic!("a new pod is no snapshot")
    };
    assert_eq!(endpoints.clusters[0].addresses, ["10.0.0.2:8080"]);
    proxy
        .say(Kind::Ack(Ack {
            version: endpoints.version,
        }))
        .await;
    controller
        .until(|fleets| fleets.view(&web(), "bbb").reachable.get("bbb") == Some(&1))
        .await;

    proxy.say(Kind::Goodbye(Goodbye {})).await;
    drop(proxy);
    controller
        .until(|fleets| fleets.view(&web(), "bbb").connected == 0)
        .await;
    let message = controller.fleets.view(&web(), "bbb").message;
    assert_eq!(
        message.as_deref(),
        Some("no proxy of fleet web is connected")
    );
    controller.stop().await;
}

#[tokio::test]
async fn a_refused_snapshot_is_named_and_an_abort_goes_on() {
    let (_server, client, uid) = cluster().await;
    let controller = Controller::start(&client, 1).await;
    let mut proxy = Scripted::connect(controller.address, hello("p-1", "x"))
        .await
        .expect("joins");
    let snapshot = proxy.snapshot().await;
    let error = uplink::proto::ConfigError {
        path: "routes[0]".into(),
        message: "not today".into(),
    };
    proxy
        .say(Kind::Nack(Nack {
            version: snapshot.version,
            errors: vec![error],
        }))
        .await;
    let refused = "proxy p-1 refused the configuration: routes[0]: not today";
    controller
        .until(|fleets| fleets.view(&web(), "bbb").message.as_deref() == Some(refused))
        .await;
    let before = proxy.weights().await;
    controller.fleets.order(order(&uid, 0));
    let abort = proxy.weights().await;
    assert_eq!(abort.weight, 0);
    assert!(abort.epoch > before.epoch);
    controller.stop().await;
}

/// Waits until 40 requests of one proxy and 2 of another, with 3 users between them, are united.
/// Reports alone need not wake anybody, so it asks until the streams have been read.
async fn counted(fleets: &Fleets) {
    let counts = || {
        let evidence = fleets.evidence(&web(), "bbb");
        let keyed = evidence
            .errors
            .first()
            .map(|epoch| epoch.keyed.canary.exposed);
        (evidence.canary_requests, evidence.canary_failures, keyed)
    };
    let arrived = tokio::time::timeout(PATIENCE, async {
        while counts() != (42, 2, Some(3)) {
            tokio::task::yield_now().await;
        }
    });
    assert!(arrived.await.is_ok(), "still {:?}", counts());
}

#[tokio::test]
async fn a_restarted_controller_rebuilds_the_evidence_and_outranks_its_former_self() {
    let (_server, client, uid) = cluster().await;
    let controller = Controller::start(&client, 1).await;
    let mut one = Scripted::connect(controller.address, hello("p-1", "x"))
        .await
        .expect("joins");
    let first = one.snapshot().await;
    one.say(Kind::Ack(Ack {
        version: first.version,
    }))
    .await;
    let epoch = one.weights().await.epoch;
    let two = Scripted::connect(controller.address, hello("p-2", "y"))
        .await
        .expect("joins");
    one.say(report(&uid, epoch, 40, &[1, 2])).await;
    two.say(report(&uid, epoch, 2, &[2, 3])).await;
    counted(&controller.fleets).await;
    controller.stop().await;
    let ended = loop {
        match one.hear().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end has a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable);

    let controller = Controller::start(&client, 2).await;
    let again = Hello {
        in_force: first.version,
        ..hello("p-1", "x")
    };
    let mut one = Scripted::connect(controller.address, again)
        .await
        .expect("joins");
    let two = Scripted::connect(controller.address, hello("p-2", "y"))
        .await
        .expect("joins");
    let snapshot = one.snapshot().await;
    let version = |it: &uplink::proto::Snapshot| it.version.map(uplink::version::Version::from);
    assert!(version(&snapshot) > version(&first));
    let weights = one.weights().await;
    assert_eq!(weights.weight, 10, "as the status says");
    assert!(weights.epoch > epoch);
    one.say(report(&uid, epoch, 40, &[1, 2])).await;
    two.say(report(&uid, epoch, 2, &[2, 3])).await;
    counted(&controller.fleets).await;
    controller.stop().await;
}

#[tokio::test]
async fn a_new_stream_replaces_the_old_one_and_who_does_not_read_is_disconnected() {
    let (_server, client, uid) = cluster().await;
    let controller = Controller::start(&client, 1).await;
    let mut old = Scripted::connect(controller.address, hello("p-1", "x"))
        .await
        .expect("joins");
    old.settle().await;
    let mut new = Scripted::connect(controller.address, hello("p-1", "x"))
        .await
        .expect("joins");
    let replaced = loop {
        match old.hear().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end has a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(replaced.code(), Code::Unavailable);
    new.settle().await;
    let disconnected = tokio::time::timeout(PATIENCE, async {
        let mut weight = 0;
        while controller.fleets.view(&web(), "bbb").connected == 1 {
            weight = (weight + 1) % 100;
            controller.fleets.order(order(&uid, weight));
            if weight == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    disconnected.await.expect("its outbox is bounded");
    controller.stop().await;
}

#[tokio::test]
async fn who_does_not_lead_says_who_does_and_strangers_are_refused() {
    let (told, serving) = watch::channel(Serving::Follows(Some("pod-7".into())));
    let stop = CancellationToken::new();
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), false)
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let fleets = Arc::new(Fleets::new(Clock::system()));
    let served = tokio::spawn(serve(
        (listener, Protection::Loopback),
        fleets,
        serving,
        stop.clone(),
    ));
    let refusal = |result: Result<Scripted, Status>| result.err().expect("refused");
    let follows = refusal(Scripted::connect(address, hello("p-1", "x")).await);
    assert_eq!(
        (follows.code(), follows.message()),
        (Code::Unavailable, "the leader is pod-7")
    );
    told.send_replace(Serving::Syncing);
    let syncing = refusal(Scripted::connect(address, hello("p-1", "x")).await);
    assert_eq!(syncing.code(), Code::Unavailable);
    told.send_replace(Serving::Serves);
    let rows = [
        Kind::Goodbye(Goodbye {}),
        Kind::Hello(hello("", "x")),
        Kind::Hello(hello("p", "")),
        Kind::Hello(Hello {
            fleet: "web".into(),
            ..hello("p", "x")
        }),
        Kind::Hello(Hello {
            fleet: "a/b/c".into(),
            ..hello("p", "x")
        }),
    ];
    for first in rows {
        let stranger = refusal(Scripted::open(address, first.clone()).await);
        assert_eq!(stranger.code(), Code::InvalidArgument, "{first:?}");
    }
    stop.cancel();
    served.await.expect("no panic").expect("served");
}

#[tokio::test]
async fn plaintext_is_for_loopback_alone() {
    let beyond = bind(SocketAddr::from(([0, 0, 0, 0], 0)), false)
        .await
        .expect_err("refused");
    assert!(
        beyond
            .to_string()
            .contains("0.0.0.0:0 would carry plaintext"),
        "{beyond}"
    );
    // A machine without IPv6 says so when the port is opened, and not before.
    let six = bind("[::1]:0".parse().expect("an address"), false).await;
    assert!(!matches!(six, Err(BindError::BeyondLoopback(_))));
}
