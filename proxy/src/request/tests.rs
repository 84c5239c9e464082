mod evidence;
mod framing;

use serde_json::json;

use crate::observe::series::{Origin as MadeBy, RetryResult, Rule};
use crate::observe::{FailureClass, Role};
use crate::testing::{
    Behaviour, Origin, TestProxy, body, call, eventually, get, nobody, plain_config, split_config,
    status,
};

const FALLBACK: &str = r#"{"fallback": {"to": "stable"}}"#;

fn settings(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("settings are JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_origin_with_its_forwarding_headers() {
    let origin = Origin::start("one").await;
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    let answer = get(proxy.plain, "x-forwarded-for: 1.2.3.4\r\nx-own: kept\r\n").await;
    assert_eq!((status(&answer), body(&answer)), (200, "one"));
    let seen = origin.requests().remove(0).to_ascii_lowercase();
    for line in [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-own: kept",
    ] {
        assert!(
            seen.contains(&format!("\r\n{line}\r\n")),
            "{line} in {seen}"
        );
    }
    assert!(!seen.contains("connection:"), "{seen}");
    eventually("the response is counted", || {
        proxy.series(Role::Stable).responses[1][MadeBy::Upstream as usize] == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_refused_is_tried_at_another_endpoint() {
    let origin = Origin::start("one").await;
    let proxy = TestProxy::start(plain_config(&[nobody(), origin.address]));
    for _ in 0..20 {
        assert_eq!(status(&get(proxy.plain, "").await), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_closed_under_a_get_is_replaced() {
    let origin = Origin::start("one").await;
    origin.does(Behaviour::CloseOnSecond);
    let limits = crate::worker::Limits::default();
    let log = crate::access_log::AccessLog::off();
    let proxy = TestProxy::with(plain_config(&[origin.address]), 1, log, limits);
    for _ in 0..5 {
        assert_eq!(status(&get(proxy.plain, "").await), 200);
    }
    assert!(origin.requests().len() > 5, "some were sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_for_the_next_request() {
    let origin = Origin::start("one").await;
    let limits = crate::worker::Limits::default();
    let log = crate::access_log::AccessLog::off();
    let proxy = TestProxy::with(plain_config(&[origin.address]), 1, log, limits);
    for _ in 0..10 {
        assert_eq!(status(&get(proxy.plain, "").await), 200);
    }
    assert_eq!(origin.connections(), 1);
    let now = crate::clock::Clock.now();
    let pool = proxy.shared.state().cluster_totals(now).remove(0).pool;
    assert_eq!((pool.opened, pool.reused, pool.open), (1, 9, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_that_is_issued_decides_the_request_it_is_issued_on() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    let sticky = r#"{"weight": 50, "sticky": {"cookie": {"name": "side"}},
                     "salt": "00112233445566778899aabbccddeeff"}"#;
    let proxy = TestProxy::start(split_config(
        stable.address,
        canary.address,
        settings(sticky),
    ));
    let mut sides = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let first = get(proxy.plain, "").await;
        let line = first
            .lines()
            .find(|line| line.starts_with("set-cookie:"))
            .expect("a cookie");
        assert!(
            line.contains("HttpOnly; SameSite=Lax") && !line.contains("Secure"),
            "{line}"
        );
        let cookie = line["set-cookie:".len()..]
            .split(';')
            .next()
            .expect("a pair")
            .trim();
        for _ in 0..3 {
            let again = get(proxy.plain, &format!("cookie: a=b; {cookie}\r\n")).await;
            assert_eq!(body(&again), body(&first));
            assert!(!again.contains("set-cookie"));
        }
        sides.insert(body(&first).to_owned());
    }
    assert_eq!(sides.len(), 2);
    let users =
        proxy.evidence(Role::Canary).keyed.exposed + proxy.evidence(Role::Stable).keyed.exposed;
    assert_eq!(users, 20, "each user counts once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tripped_fuse_beats_even_an_override() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    let override_ = r#"{"override": {"header": "x-canary"}}"#;
    let proxy = TestProxy::start(split_config(
        stable.address,
        canary.address,
        settings(override_),
    ));
    assert_eq!(body(&get(proxy.plain, "x-canary: always\r\n").await), "two");
    let split = proxy.shared.state().splits_named("app").remove(0);
    assert!(split.trip("two"));
    assert_eq!(body(&get(proxy.plain, "x-canary: always\r\n").await), "one");
    assert!(split.reset("two"));
    assert_eq!(body(&get(proxy.plain, "x-canary: always\r\n").await), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_a_thousand_snapshots_are_swapped() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    let config = |weight: u32| {
        split_config(
            stable.address,
            canary.address,
            json!({"weight": weight, "epoch": weight}),
        )
    };
    let proxy = TestProxy::start(config(1));
    let address = proxy.plain;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..150 {
                    assert_eq!(status(&get(address, "").await), 200);
                }
            })
        })
        .collect();
    let mut swaps = 0;
    while swaps < 1000 || clients.iter().any(|client| !client.is_finished()) {
        proxy.install(config(swaps % 100));
        swaps += 1;
        tokio::task::yield_now().await;
    }
    for client in clients {
        client.await.expect("no request failed");
    }
    let counted = |role| proxy.series(role).responses[1][MadeBy::Upstream as usize];
    let all = || counted(Role::Stable) + counted(Role::Canary);
    eventually("no count is lost either", || all() == 600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_routed_before_a_configuration_is_in_force() {
    let state = crate::state::State::new(1, crate::clock::Clock.now());
    let limits = crate::worker::Limits::default();
    let shared = crate::worker::Shared::new(state, crate::access_log::AccessLog::off(), limits);
    let local = "127.0.0.1:0".parse().expect("an address");
    let listeners =
        crate::accept::bind(local, crate::accept::ListenerKind::Plain, 1).expect("a port");
    let address = listeners[0].socket.local_addr().expect("an address");
    let config = crate::worker::WorkerConfig {
        index: 0,
        listeners,
        shared: shared.clone(),
    };
    let worker = crate::worker::spawn(config).expect("a thread");
    assert_eq!(status(&get(address, "").await), 503);
    shared.drain().stop(crate::clock::Clock.now());
    worker.join().expect("ends well");
}

/// hyper moves it once per request, so its size is paid for on every one of them.
#[test]
fn the_future_of_a_request_is_small() {
    fn size<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }
    let size = size(super::serve);
    assert!(size <= 1792, "{size} bytes");
}
