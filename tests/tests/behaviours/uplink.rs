//! The uplink beyond loopback: who gets in, whose hostname it is, and what a rotation changes.

use std::time::Duration;

use kube::Client;
use local::api::{ApiServer, Config};
use sluice_tests::real::door::Door;
use sluice_tests::real::rights::{self, Install};
use sluice_tests::real::{self, any_plane};
use sluice_tests::secured::{AUDIENCE, Secured};
use sluice_tests::wait::{LONG, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn only_a_proxy_with_the_right_token_joins_and_the_older_rollout_has_a_hostname() {
    let server = ApiServer::new(Config {
        clock: local::clock::Clock::system(),
        data_dir: None,
        seed: 8,
        history: 1_000,
    });
    let server = server.expect("starts");
    server.install_crds(&crds::all()).expect("installed");
    shows((server.client(), server.client()), "uplink").await;
}

/// The same on a real API server, with the rights of `deploy/`, and more: a rotation takes a minute
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_api_server_it_is_the_same_and_a_rotation_drops_no_stream() {
    let Some(plane) = any_plane().await else {
        return;
    };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let door = Door::open(plane.passing_client().await).await;
    for namespace in ["real-uplink", "real-rotation"] {
        let dir = tempfile::tempdir().unwrap();
        plane.kubectl.run(&["create", "namespace", namespace]).await;
        let place = (Install::Cluster, namespace);
        let server = format!("http://{}", door.address);
        let kubeconfig = rights::grant(&plane, place, dir.path(), &server).await;
        let clients = (plane.client.clone(), real::client(&kubeconfig).await);
        if namespace == "real-uplink" {
            shows(clients, namespace).await;
        } else {
            rotates(clients, namespace).await;
        }
        rights::revoke(&plane, namespace).await;
    }
    let forbidden = door.forbidden();
    assert!(forbidden.is_empty(), "deploy/ lacks rights: {forbidden:#?}");
}

async fn shows(clients: (Client, Client), namespace: &str) {
    let controller = Secured::start(clients, namespace).await;
    controller.roll_out("first", "shop.example").await;
    controller.authorities(|_| true).await;
    let good = controller.token(namespace, AUDIENCE).await;
    let wrong = controller.token(namespace, "https://elsewhere").await;
    let foreign = format!("{namespace}-other");
    let foreign = controller.token(&foreign, AUDIENCE).await;
    let refused = [
        (None, "the proxy sent no token"),
        (
            Some(wrong.as_path()),
            "accepted are ServiceAccount tokens for the audience sluice-uplink",
        ),
        (
            Some(foreign.as_path()),
            "joins only fleets of its own namespace",
        ),
    ];
    for (token, sentence) in refused {
        let proxy = controller.join("stranger", token);
        proxy.says(sentence).await;
        assert!(proxy.config().await["inForce"].is_null(), "it gets nothing");
        assert_eq!(controller.connected(), 0);
    }
    let proxy = controller.join("p-1", Some(&good));
    proxy.ready().await;
    let hostnames =
        |config: serde_json::Value| config["inForce"]["document"]["routes"][0]["hostnames"].clone();
    assert_eq!(
        hostnames(proxy.config().await),
        serde_json::json!(["shop.example"])
    );
    // Ages are whole seconds; of two of one age the name decides, and this one is the later in both.
    controller.roll_out("second", "shop.example").await;
    let message = controller.invalid("second").await;
    let sentence = format!("the Rollout {namespace}/first has claimed shop.example before");
    assert!(message.contains(&sentence), "{message}");
    assert_eq!(proxy.streams().await, 1);
    drop(proxy);
    controller.stop().await;
}

async fn rotates(clients: (Client, Client), namespace: &str) {
    Secured::age(&clients.0, namespace, Duration::from_secs(30)).await;
    let controller = Secured::start(clients, namespace).await;
    controller.roll_out("first", "shop.example").await;
    let before = controller.authorities(|_| true).await;
    let good = controller.token(namespace, AUDIENCE).await;
    let proxy = controller.join("p-1", Some(&good));
    proxy.ready().await;
    let after = controller.authorities(|bundle| bundle != before).await;
    assert!(signer(&after) != signer(&before), "the successor signs");
    let other = controller.join("p-2", Some(&good));
    other.ready().await;
    // Something new reaches both: the old stream lives.
    controller.roll_out("second", "bank.example").await;
    for proxy in [&proxy, &other] {
        eventually("two routes", LONG, async || {
            let config = proxy.config().await;
            let routes = config["inForce"]["document"]["routes"].as_array()?.len();
            (routes == 2).then_some(())
        })
        .await;
        assert_eq!(proxy.streams().await, 1);
    }
    drop((proxy, other));
    controller.stop().await;
}

fn signer(bundle: &str) -> Option<&str> {
    bundle.split("-----END").next()
}
