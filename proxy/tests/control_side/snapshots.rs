//! Configurations: taken, refused, swapped, shown.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uplink::document::to_json;
use uplink::proto::controller_message::Kind;
use uplink::proto::{self, proxy_message::Kind as Heard};

use crate::app::{App, Manner};
use crate::eventually;
use crate::fake_controller::{FakeController, snapshot, weight_acked};
use crate::files::{
    self, Files, cluster, document, key_pair, split, with_certificate, with_secret,
};
use crate::http_client::get;
use crate::proxy_process::{FLEET, Proxy};

async fn apps() -> (App, App) {
    (
        App::start("stable", Manner::Well).await,
        App::start("canary", Manner::Well).await,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_acknowledged_and_a_wrong_one_refused_with_every_error() {
    let (stable, canary) = apps().await;
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, None);
    let hello = controller.heard("hello", |heard| match heard {
        Heard::Hello(hello) => Some(hello.clone()),
        _ => None,
    });
    let hello = hello.await;
    assert_eq!(
        (&*hello.fleet, &*hello.proxy, hello.in_force),
        (FLEET, "proxy-1", None)
    );
    let unready = get(proxy.at.status, "/readyz").await.expect("an answer");
    assert_eq!(unready.status, 503);
    assert!(unready.body.contains("no configuration"), "{unready:?}");

    controller.snapshot(1, &document(&stable, &canary, 0)).await;
    controller.acked(1).await;
    proxy.ready().await;
    assert_eq!(proxy.bodies(3).await, ["stable"; 3]);

    let mut wrong = document(&stable, &canary, 0);
    wrong.routes[0].backend.split = Some("nobody".into());
    split(&mut wrong).weight = 101;
    controller.snapshot(2, &wrong).await;
    let errors = controller.nacked(2).await;
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        ["routes[0].backend.split", "splits[\"shop/app\"].weight"],
        "{errors:?}"
    );
    assert_eq!(proxy.bodies(3).await, ["stable"; 3]);
    let config = proxy.config().await;
    assert_eq!(config["inForce"]["version"], "1.1");
    assert_eq!(config["refused"]["version"], "1.2");
    assert_eq!(
        config["refused"]["errors"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(config["uplink"]["connected"], true);
    assert_eq!(proxy.metric("sluice_config_rejected_total").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_version_is_refused_and_endpoints_change_alone() {
    let (stable, canary) = apps().await;
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, None);
    controller.snapshot(5, &document(&stable, &canary, 0)).await;
    controller.acked(5).await;
    controller
        .snapshot(4, &document(&stable, &canary, 100))
        .await;
    let errors = controller.nacked(4).await;
    assert!(errors[0].message.contains("lower than 1.5"), "{errors:?}");
    assert_eq!(proxy.bodies(3).await, ["stable"; 3]);

    let moved = proto::ClusterEndpoints {
        cluster: "stable".into(),
        addresses: vec![canary.address.to_string()],
    };
    let unknown = proto::ClusterEndpoints {
        cluster: "nobody".into(),
        addresses: Vec::new(),
    };
    let version = |counter| Some(proto::Version { term: 1, counter });
    let endpoints = |counter, clusters| {
        Kind::Endpoints(proto::Endpoints {
            version: version(counter),
            clusters,
        })
    };
    controller.send(endpoints(6, vec![moved.clone()])).await;
    controller.acked(6).await;
    assert_eq!(proxy.bodies(3).await, ["canary"; 3]);
    controller.send(endpoints(7, vec![moved, unknown])).await;
    let errors = controller.nacked(7).await;
    assert_eq!(errors[0].path, "clusters[\"nobody\"]");
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_need_no_snapshot_and_wait_for_their_canary() {
    let (stable, canary) = apps().await;
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, None);
    controller.snapshot(1, &document(&stable, &canary, 0)).await;
    controller.acked(1).await;

    controller.weight(2, 100, 2, "r2").await;
    controller.weight_acked(2).await;
    assert_eq!(proxy.bodies(5).await, ["canary"; 5]);
    controller.weight(3, 0, 3, "r2").await;
    controller.weight_acked(3).await;
    assert_eq!(proxy.bodies(5).await, ["stable"; 5]);

    // For a canary that is still to come; the next message shows that it was heard.
    controller.weight(4, 100, 4, "r3").await;
    controller.weight(5, 0, 2, "r2").await;
    let mut next = document(&stable, &canary, 0);
    next.clusters
        .insert("canary".into(), cluster("r3", &canary));
    assert_eq!(proxy.bodies(5).await, ["stable"; 5]);
    assert_eq!(
        controller.heard_so_far(|heard| weight_acked(heard, 4)),
        None
    );
    controller.snapshot(6, &next).await;
    controller.weight_acked(4).await;
    assert_eq!(proxy.bodies(5).await, ["canary"; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_followed_over_symlink_swaps_and_a_wrong_one_is_refused() {
    let (stable, canary) = apps().await;
    let files = Files::new();
    for (version, weight) in [("..v1", 0), ("..v2", 100)] {
        std::fs::create_dir(files.path(version)).expect("made");
        let mut document = document(&stable, &canary, weight);
        split(&mut document).epoch = 0;
        files.write(&format!("{version}/routing.yaml"), &to_json(&document));
    }
    symlink("..v1", files.path("..data")).expect("linked");
    symlink("..data/routing.yaml", files.path("routing.yaml")).expect("linked");
    let proxy = Proxy::of_file(&files.path("routing.yaml"));
    proxy.ready().await;
    assert_eq!(proxy.bodies(3).await, ["stable"; 3]);
    assert_eq!(
        proxy
            .metric("sluice_weight_epoch{split=\"shop/app\"}")
            .await,
        0
    );

    symlink("..v2", files.path("..tmp")).expect("linked");
    std::fs::rename(files.path("..tmp"), files.path("..data")).expect("swapped");
    eventually("the new weight", async || {
        let epoch = proxy
            .metric("sluice_weight_epoch{split=\"shop/app\"}")
            .await;
        (epoch == 1).then_some(())
    })
    .await;
    assert_eq!(proxy.bodies(3).await, ["canary"; 3]);

    files.write(
        "..v2/routing.yaml",
        "routes: [{name: web, backend: {splitt: x}}]\nclusters: 3\n",
    );
    let errors = eventually("the refusal", async || {
        let config = proxy.config().await;
        config["refused"]["errors"].as_array().cloned()
    })
    .await;
    let text = serde_json::to_string(&errors).expect("JSON");
    assert!(
        text.contains("splitt") && text.contains("clusters"),
        "{text}"
    );
    assert_eq!(proxy.bodies(3).await, ["canary"; 3]);
}

/// The Tuesday deploy: a certificate that does not match its key, under load, with an abort meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_is_refused_under_load_and_holds_up_no_abort() {
    let (stable, canary) = apps().await;
    let files = Files::new();
    let (chain, key) = files.certificate("good");
    let (_, other_key) = files.certificate("other");
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, None);
    let config = with_secret(document(&stable, &canary, 50));
    let with_key = |counter, key: &str| {
        let key_pairs = vec![key_pair(&chain, key)];
        Kind::Snapshot(proto::Snapshot {
            key_pairs,
            ..snapshot(counter, &config)
        })
    };
    controller.send(with_key(1, &key)).await;
    controller.acked(1).await;

    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| tokio::spawn(load(proxy.at.data, Arc::clone(&done))))
        .collect();
    for counter in 2..6 {
        controller.send(with_key(counter, &other_key)).await;
    }
    controller.weight(6, 0, 2, "r2").await;
    tokio::time::timeout(Duration::from_secs(1), controller.weight_acked(2))
        .await
        .expect("an abort is in force within a second");
    let before = canary.requests();
    let errors = controller.nacked(5).await;
    assert_eq!(errors[0].path, "certificates[0]", "{errors:?}");
    done.store(true, Ordering::SeqCst);
    for task in load {
        let (answered, failed) = task.await.expect("no panic");
        assert_eq!(failed, 0);
        assert!(answered > 0);
    }
    // Requests that were drawn before the abort may still have arrived after its acknowledgement.
    assert!(canary.requests() - before <= 4);

    let config = proxy.config().await;
    let shown = serde_json::to_string(&config).expect("JSON");
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    assert_eq!(config["refused"]["errors"][0]["path"], "certificates[0]");
    assert_eq!(config["inForce"]["certificates"][0]["names"][0], "app.test");
}

async fn load(at: std::net::SocketAddr, done: Arc<AtomicBool>) -> (u64, u64) {
    let (mut answered, mut failed) = (0, 0);
    while !done.load(Ordering::SeqCst) {
        match get(at, "/").await {
            Some(answer) if answer.status == 200 => answered += 1,
            _ => failed += 1,
        }
    }
    (answered, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificate_files_are_taken_up_when_they_match() {
    let (stable, canary) = apps().await;
    let files = Files::new();
    let (chain, key) = files.certificate("tls");
    let document = with_certificate(document(&stable, &canary, 0), &chain, &key);
    let proxy = Proxy::of_file(&files.write_document(&document));
    proxy.ready().await;
    let fingerprint =
        async || proxy.config().await["inForce"]["certificates"][0]["fingerprintSha256"].clone();
    let first = fingerprint().await;
    let (renewed, renewed_key) = files.certificate("renewed");
    let read = |path: &str| std::fs::read_to_string(path).expect("a file");
    files.write("tls.crt", &read(&renewed));
    eventually("half a renewal is refused", async || {
        proxy.config().await["refused"]["errors"][0]["path"]
            .as_str()
            .map(str::to_owned)
    })
    .await;
    assert_eq!(fingerprint().await, first);
    files.write("tls.key", &read(&renewed_key));
    eventually("the renewal", async || {
        (fingerprint().await != first).then_some(())
    })
    .await;
    assert!(proxy.config().await["refused"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_snapshot_is_acknowledged_when_its_certificate_file_is_mended() {
    let (stable, canary) = apps().await;
    let files = Files::new();
    let (chain, key) = files.certificate("tls");
    let (_, other_key) = files.certificate("other");
    let right = std::fs::read_to_string(&key).expect("a file");
    files.write(
        "tls.key",
        &std::fs::read_to_string(other_key).expect("a file"),
    );
    let controller = FakeController::start().await;
    let proxy = Proxy::of_controller(&controller, None);
    let config = with_certificate(document(&stable, &canary, 0), &chain, &key);
    controller.snapshot(1, &config).await;
    let errors = controller.nacked(1).await;
    assert_eq!(errors[0].path, "certificates[0]");
    files.write("tls.key", &right);
    controller
        .heard("the late ack", |heard| {
            matches!(heard, Heard::Ack(_)).then_some(())
        })
        .await;
    assert_eq!(proxy.bodies(1).await, ["stable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_is_there_at_zero_before_the_first_request() {
    let (stable, canary) = apps().await;
    let files = Files::new();
    let proxy = Proxy::of_file(&files.write_document(&document(&stable, &canary, 10)));
    proxy.ready().await;
    let arm = |role, revision| {
        format!(
            "route=\"web\",split=\"{}\",role=\"{role}\",revision=\"{revision}\"",
            files::SPLIT
        )
    };
    for arm in [arm("stable", "r1"), arm("canary", "r2")] {
        for series in [
            format!("sluice_requests_total{{{arm},code_class=\"5xx\",origin=\"proxy\"}}"),
            format!("sluice_request_duration_seconds_count{{{arm}}}"),
            format!("sluice_first_attempt_failures_total{{{arm},class=\"connect\"}}"),
            format!("sluice_retries_total{{{arm},result=\"budget\"}}"),
            format!("sluice_route_decisions_total{{{arm},rule=\"fuse\"}}"),
        ] {
            assert_eq!(proxy.metric(&series).await, 0, "{series}");
        }
    }
    assert_eq!(
        proxy
            .metric("sluice_weight_applied{split=\"shop/app\"}")
            .await,
        10
    );
    assert_eq!(
        proxy
            .metric("sluice_canary_share_requests{split=\"shop/app\"}")
            .await,
        0
    );
    assert!(proxy.metric("process_open_fds").await > 0);
}
