//! Leaving: readiness first, nothing in flight is cut, a goodbye.

use std::process::ExitCode;

use uplink::proto::proxy_message::Kind as Heard;

use crate::app::{App, Manner};
use crate::eventually;
use crate::fake_controller::FakeController;
use crate::files::{Files, document};
use crate::http_client::{get, post};
use crate::proxy_process::{Proxy, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_in_flight_and_says_goodbye() {
    let slow = App::start("slow", Manner::Slowly).await;
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, None);
    controller.snapshot(1, &document(&slow, &slow, 0)).await;
    controller.acked(1).await;
    let at = proxy.at.data;
    let in_flight = tokio::spawn(async move { get(at, "/").await });
    eventually("the request arrives", async || {
        (slow.requests() == 1).then_some(())
    })
    .await;
    proxy.begin_to_drain();
    let answer = in_flight.await.expect("no panic").expect("an answer");
    assert_eq!((answer.status, &*answer.body), (200, "slow"));
    assert_eq!(answer.connection, "close");
    assert!(proxy.stop().await);
    controller
        .heard("a goodbye", |heard| {
            matches!(heard, Heard::Goodbye(_)).then_some(())
        })
        .await;
    assert_eq!(get(at, "/").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_fails_first_while_connections_are_still_accepted() {
    let app = App::start("app", Manner::Well).await;
    let files = Files::new();
    let path = files.write_document(&document(&app, &app, 0));
    let source = sluice_proxy::args::Source::File(path);
    let drain_delay = std::time::Duration::from_secs(30);
    let proxy = Proxy::start(sluice_proxy::args::Settings {
        drain_delay,
        ..settings(source)
    });
    proxy.ready().await;
    let wrong = get(proxy.at.admin, "/drain").await.expect("an answer");
    assert_eq!(wrong.status, 405);
    assert_eq!(
        post(proxy.at.admin, "/drain")
            .await
            .expect("an answer")
            .status,
        202
    );
    let ready = get(proxy.at.status, "/readyz").await.expect("an answer");
    assert_eq!((ready.status, &*ready.body), (503, "draining\n"));
    assert_eq!(proxy.bodies(2).await, ["app"; 2]);
    assert_eq!(proxy.metric("sluice_drain_state").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_command_waits_until_the_proxy_has_stopped() {
    let app = App::start("app", Manner::Well).await;
    let files = Files::new();
    let proxy = Proxy::of_file(&files.write_document(&document(&app, &app, 0)));
    proxy.ready().await;
    let admin = proxy.at.admin.to_string();
    let command = move || {
        sluice_proxy::run::main_from(["sluice-proxy", "drain", "--admin", &admin, "--wait", "9s"])
    };
    let code = tokio::task::spawn_blocking(command)
        .await
        .expect("no panic");
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(get(proxy.at.data, "/").await, None);
}
