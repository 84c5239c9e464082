//! The fuse of a real proxy: trips, is reported, holds, is reset.

use std::time::Duration;

use sluice_proxy::clock::Clock;
use uplink::proto;
use uplink::proto::controller_message::Kind;

use crate::app::{App, Manner};
use crate::eventually;
use crate::fake_controller::FakeController;
use crate::files::{Files, SPLIT, UID, document, split};
use crate::http_client::{get, post};
use crate::proxy_process::Proxy;

const APPLIED: &str = "sluice_weight_applied{split=\"shop/app\"}";

/// Asks until the fuse trips; at most so many requests.
async fn ask_until_tripped(proxy: &Proxy, most: usize) {
    for _ in 0..most {
        get(proxy.at.data, "/").await;
        if proxy.metric(APPLIED).await == 0 {
            return;
        }
    }
    panic!("the fuse did not trip within {most} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_canary_trips_the_fuse_which_is_reported_and_reset_by_the_controller() {
    let stable = App::start("stable", Manner::Well).await;
    let canary = App::start("canary", Manner::Badly).await;
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, None);
    controller
        .snapshot(1, &document(&stable, &canary, 50))
        .await;
    controller.acked(1).await;
    ask_until_tripped(&proxy, 200).await;
    let tripped = eventually("the report", async || {
        controller.fuse().filter(|it| it.tripped)
    })
    .await;
    assert_eq!((&*tripped.revision, tripped.alpha), ("r2", 0.001));
    assert!(
        tripped.e_value >= 1000.0 && tripped.canary_bad >= 3,
        "{tripped:?}"
    );
    assert!(tripped.reason.contains("e-value"), "{tripped:?}");

    // Neither a weight nor a snapshot clears it.
    controller.weight(2, 100, 2, "r2").await;
    controller.weight_acked(2).await;
    controller
        .snapshot(3, &document(&stable, &canary, 100))
        .await;
    controller.acked(3).await;
    assert_eq!(proxy.bodies(5).await, ["stable"; 5]);

    canary.behave(Manner::Well);
    let reset = proto::FuseReset {
        version: Some(proto::Version {
            term: 1,
            counter: 4,
        }),
        split: SPLIT.into(),
        rollout_uid: UID.into(),
        revision: "r2".into(),
    };
    controller.send(Kind::FuseReset(reset)).await;
    eventually("the reset's report", async || {
        controller.fuse().filter(|it| !it.tripped)
    })
    .await;
    assert_eq!(proxy.bodies(5).await, ["canary"; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_never_answers_is_at_zero_within_its_age_threshold_and_a_second() {
    let stable = App::start("stable", Manner::Well).await;
    let canary = App::start("canary", Manner::Never).await;
    let files = Files::new();
    let mut document = document(&stable, &canary, 50);
    split(&mut document).fuse.age_threshold = "500ms".into();
    let proxy = Proxy::of_file(&files.write_document(&document));
    proxy.ready().await;
    let began = Clock.now();
    let asked: Vec<_> = (0..40)
        .map(|_| {
            let at = proxy.at.data;
            tokio::spawn(async move { get(at, "/").await })
        })
        .collect();
    eventually("the trip", async || {
        (proxy.metric(APPLIED).await == 0).then_some(())
    })
    .await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    assert_eq!(proxy.bodies(5).await, ["stable"; 5]);
    asked.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_controller_another_canary_or_a_person_clears_the_trip() {
    let stable = App::start("stable", Manner::Well).await;
    let canary = App::start("canary", Manner::Badly).await;
    let files = Files::new();
    let mut config = document(&stable, &canary, 50);
    let proxy = Proxy::of_file(&files.write_document(&config));
    proxy.ready().await;
    ask_until_tripped(&proxy, 200).await;
    canary.behave(Manner::Well);
    config.clusters.get_mut("canary").expect("there").revision = Some("r3".into());
    files.write_document(&config);
    eventually("the new canary", async || {
        (proxy.metric(APPLIED).await == 50).then_some(())
    })
    .await;

    canary.behave(Manner::Badly);
    ask_until_tripped(&proxy, 200).await;
    let missing = post(proxy.at.admin, "/fuse/reset?split=nobody")
        .await
        .expect("an answer");
    assert_eq!(missing.status, 404);
    canary.behave(Manner::Well);
    let done = post(proxy.at.admin, "/fuse/reset?split=shop%2Fapp")
        .await
        .expect("an answer");
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(proxy.metric(APPLIED).await, 50);
}
