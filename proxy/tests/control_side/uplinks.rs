//! The stream itself: reports, followers that name the leader, a fleet that is another's.

use uplink::proto::{self, proxy_message::Kind as Heard};

use crate::app::{App, Manner};
use crate::eventually;
use crate::fake_controller::FakeController;
use crate::files::{SPLIT, UID, document, split};
use crate::proxy_process::Proxy;

/// The newest counts of an arm in an epoch, as (requests, failures, exposed without a key).
fn counts(report: &proto::Report, role: proto::Role, epoch: u64) -> Option<(u64, u64, u64)> {
    let split = report.splits.first()?;
    assert_eq!((&*split.split, &*split.rollout_uid), (SPLIT, UID));
    let arm = split
        .arms
        .iter()
        .find(|arm| arm.role() == role && arm.epoch == epoch)?;
    Some((arm.requests, arm.failures, arm.unkeyed.as_ref()?.exposed))
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_count_each_request_in_the_arm_and_epoch_that_it_was_routed_in() {
    let stable = App::start("stable", Manner::Well).await;
    let canary = App::start("canary", Manner::Badly).await;
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, None);
    let mut config = document(&stable, &canary, 0);
    split(&mut config).fuse.enabled = false;
    controller.snapshot(1, &config).await;
    controller.acked(1).await;
    proxy.bodies(10).await;
    controller.weight(2, 100, 2, "r2").await;
    controller.weight_acked(2).await;
    for _ in 0..5 {
        assert_eq!(proxy.get().await.expect("an answer").status, 500);
    }
    let report = controller.heard("all of it", |heard| match heard {
        Heard::Report(report) => {
            let canary = counts(report, proto::Role::Canary, 2)?;
            (canary.0 == 5).then(|| report.clone())
        }
        _ => None,
    });
    let report = report.await;
    assert_eq!(counts(&report, proto::Role::Stable, 1), Some((10, 0, 10)));
    assert_eq!(counts(&report, proto::Role::Canary, 2), Some((5, 5, 5)));
    assert_eq!(counts(&report, proto::Role::Stable, 2), None);
    assert_eq!((report.splits[0].weight, report.splits[0].epoch), (100, 2));
    assert_eq!(report.splits[0].fuse, None, "the fuse is off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_names_the_leader_and_is_asked_again() {
    let app = App::start("app", Manner::Well).await;
    let controller = FakeController::start().await;
    controller.follow("controller-2 leads");
    let proxy = Proxy::of_controller(&controller, None);
    let error = eventually("the refusal", async || {
        proxy.config().await["uplink"]["lastError"]
            .as_str()
            .map(str::to_owned)
    })
    .await;
    assert!(error.contains("controller-2 leads"), "{error}");
    assert_eq!(proxy.metric("sluice_uplink_connected").await, 0);
    controller.lead();
    controller.snapshot(1, &document(&app, &app, 0)).await;
    controller.acked(1).await;
    assert_eq!(proxy.metric("sluice_uplink_connected").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_for_another_fleet_is_refused() {
    let app = App::start("app", Manner::Well).await;
    let controller = FakeController::start().await;
    let _proxy = Proxy::of_controller(&controller, None);
    let mut config = document(&app, &app, 0);
    config.fleet = Some("shop/other".into());
    controller.snapshot(1, &config).await;
    let errors = controller.nacked(1).await;
    assert_eq!(errors[0].path, "fleet");
    assert!(errors[0].message.contains("shop/app"), "{errors:?}");
}
