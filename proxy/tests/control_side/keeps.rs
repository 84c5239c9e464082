//! What a restart finds again.

use crate::app::{App, Manner};
use crate::eventually;
use crate::fake_controller::FakeController;
use crate::files::{Files, document};
use crate::http_client::get;
use crate::proxy_process::Proxy;

/// The keeper writes a moment after the acknowledgement.
async fn kept_at(files: &Files, epoch: u64) {
    let wanted = format!("\"epoch\":{epoch},");
    let wanted_last = format!("\"epoch\":{epoch}}}");
    eventually("what is kept", async || {
        let text = std::fs::read_to_string(files.path("state/configuration")).ok()?;
        (text.contains(&wanted) || text.contains(&wanted_last)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_the_controller_serves_the_last_weights() {
    let stable = App::start("stable", Manner::Well).await;
    let canary = App::start("canary", Manner::Well).await;
    let files = Files::new();
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, Some(files.path("state")));
    controller.snapshot(7, &document(&stable, &canary, 0)).await;
    controller.weight(8, 100, 42, "r2").await;
    controller.weight_acked(42).await;
    kept_at(&files, 42).await;
    assert!(proxy.stop().await);
    controller.kill().await;

    let proxy = Proxy::of_controller(&controller, Some(files.path("state")));
    let unready = get(proxy.at.status, "/readyz").await.expect("an answer");
    assert_eq!(
        unready.status, 503,
        "it waits for the controller first: {unready:?}"
    );
    proxy.ready().await;
    assert_eq!(proxy.bodies(5).await, ["canary"; 5]);
    let config = proxy.config().await;
    assert_eq!(config["inForce"]["kept"], true);
    assert_eq!(config["inForce"]["version"], "1.7");
    assert!(config["inForce"]["keptAgeSeconds"].is_u64(), "{config}");
    assert!(proxy.metric("sluice_config_kept_age_seconds").await > 0);

    // The controller is back, and is not older than what was kept.
    let controller = FakeController::start_on(controller.address()).await;
    controller.snapshot(6, &document(&stable, &canary, 0)).await;
    controller.nacked(6).await;
    controller.snapshot(9, &document(&stable, &canary, 0)).await;
    controller.acked(9).await;
    assert_eq!(
        proxy.bodies(5).await,
        ["canary"; 5],
        "its weight is older than the kept one"
    );
    assert_eq!(proxy.config().await["inForce"]["kept"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_a_tripped_canary_at_zero() {
    let stable = App::start("stable", Manner::Well).await;
    let canary = App::start("canary", Manner::Badly).await;
    let files = Files::new();
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, Some(files.path("state")));
    controller
        .snapshot(1, &document(&stable, &canary, 50))
        .await;
    controller.acked(1).await;
    kept_at(&files, 1).await;
    controller.kill().await;
    eventually("the trip", async || {
        proxy.get().await;
        let metric = "sluice_fuse_state{split=\"shop/app\",state=\"tripped\"}";
        (proxy.metric(metric).await == 1).then_some(())
    })
    .await;
    assert!(proxy.stop().await);

    let proxy = Proxy::of_controller(&controller, Some(files.path("state")));
    proxy.ready().await;
    let before = canary.requests();
    assert_eq!(proxy.bodies(20).await, ["stable"; 20]);
    assert_eq!(canary.requests(), before);

    // The report comes late, after the outage, and says all of it.
    let controller = FakeController::start_on(controller.address()).await;
    let fuse = eventually("the report", async || {
        controller.fuse().filter(|it| it.tripped)
    })
    .await;
    assert_eq!(fuse.revision, "r2");
    assert!(fuse.canary_bad >= 3 && fuse.tripped_at_ms > 0, "{fuse:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_is_ignored_and_moved_aside() {
    let files = Files::new();
    std::fs::create_dir(files.path("state")).expect("made");
    files.write("state/configuration", "not what was written\n");
    files.write("state/fuses", "nor this\n");
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, Some(files.path("state")));
    let stable = App::start("stable", Manner::Well).await;
    controller.snapshot(1, &document(&stable, &stable, 0)).await;
    controller.acked(1).await;
    assert_eq!(proxy.bodies(1).await, ["stable"]);
    assert!(files.path("state/configuration.damaged").exists());
    assert!(files.path("state/fuses.damaged").exists());
}
