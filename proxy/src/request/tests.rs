use serde_json::json;

use crate::observe::series::{Origin as MadeBy, RetryResult, Rule};
use crate::observe::{FailureClass, Role};
use crate::testing::*;

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
async fn errors_before_routing_have_their_status() {
    let origin = Origin::start("one").await;
    let mut config = plain_config(&[origin.address]);
    config["routes"][0]["hostnames"] = json!(["app"]);
    let proxy = TestProxy::start(config);
    let close = "connection: close\r\n";
    let rows = [
        ("GET / HTTP/1.1\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: app\r\nhost: app\r\n", 400),
        ("GET http://other/ HTTP/1.1\r\nhost: app\r\n", 400),
        ("GET http://app/ HTTP/1.1\r\nhost: app\r\n", 200),
        ("GET / HTTP/1.1\r\nhost: other\r\n", 404),
        ("CONNECT app:80 HTTP/1.1\r\nhost: app:80\r\n", 501),
        ("GET / HTTP/1.1\r\nhost: APP:8080\r\n", 200),
    ];
    for (head, wanted) in rows {
        let answer = call(proxy.plain, &format!("{head}{close}\r\n")).await;
        assert_eq!(status(&answer), wanted, "{head:?} got {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_pass_in_both_directions_whatever_their_framing() {
    let origin = Origin::start("one").await;
    origin.does(Behaviour::Echo);
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    let head = "POST / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n";
    let long = "y".repeat(300_000);
    let sized = format!("{head}content-length: {}\r\n\r\n{long}", long.len());
    assert_eq!(body(&call(proxy.plain, &sized).await).len(), long.len());
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let answer = call(proxy.plain, &chunked).await;
    assert!(body(&answer).contains("abc"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stable_answers_what_the_canary_failed_and_the_canary_is_blamed() {
    for failing in [Behaviour::Answer(500), Behaviour::Close] {
        let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
        canary.does(failing.clone());
        let config = split_config(stable.address, canary.address, settings(FALLBACK));
        let proxy = TestProxy::start(config);
        let answer = get(proxy.plain, "").await;
        assert_eq!(
            (status(&answer), body(&answer)),
            (200, "one"),
            "{failing:?}"
        );
        assert!(answer.contains("x-sluice-fallback: stable"), "{answer}");
        let evidence = proxy.evidence(Role::Canary);
        assert_eq!(
            (evidence.unkeyed.exposed, evidence.unkeyed.bad),
            (1, 1),
            "{failing:?}"
        );
        assert_eq!(
            proxy.evidence(Role::Stable).drawn.exposed,
            0,
            "a retry is no evidence"
        );
        assert_eq!(
            proxy.series(Role::Canary).retries[RetryResult::Ok as usize],
            1
        );
        assert_eq!(
            proxy.series(Role::Stable).decisions[Rule::Fallback as usize],
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_processed_is_not_sent_twice() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    canary.does(Behaviour::Answer(503));
    let config = split_config(stable.address, canary.address, settings(FALLBACK));
    let proxy = TestProxy::start(config);
    let post = "POST / HTTP/1.1\r\nhost: app\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(status(&call(proxy.plain, post).await), 503);
    assert!(stable.requests().is_empty());
    assert_eq!(
        proxy.series(Role::Canary).retries[RetryResult::NotIdempotent as usize],
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_idempotent_body_is_replayed_and_a_large_one_is_not() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    stable.does(Behaviour::Echo);
    canary.does(Behaviour::Answer(500));
    let config = split_config(stable.address, canary.address, settings(FALLBACK));
    let proxy = TestProxy::start(config);
    let put = |size: usize| {
        let head = "PUT / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n";
        format!("{head}content-length: {size}\r\n\r\n{}", "z".repeat(size))
    };
    let answer = call(proxy.plain, &put(5000)).await;
    assert_eq!((status(&answer), body(&answer).len()), (200, 5000));
    assert_eq!(status(&call(proxy.plain, &put(70_000)).await), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_hangs_is_evidence_at_its_age_and_stable_answers() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    canary.does(Behaviour::Hang);
    let fuse = r#"{"fallback": {"to": "stable"}, "fuse": {"ageThreshold": "150ms"}}"#;
    let proxy = TestProxy::start(split_config(stable.address, canary.address, settings(fuse)));
    let answer = get(proxy.plain, "").await;
    assert_eq!((status(&answer), body(&answer)), (200, "one"));
    let evidence = proxy.evidence(Role::Canary);
    assert_eq!((evidence.unkeyed.exposed, evidence.unkeyed.bad), (1, 1));
    assert_eq!(evidence.failures[FailureClass::TooOld as usize], 1);
    assert_eq!(evidence.failed(), 1, "counted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_without_fallback_counts_before_it_ends_and_only_once() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    canary.does(Behaviour::Hang);
    let fuse = r#"{"fuse": {"ageThreshold": "100ms"}}"#;
    let mut config = split_config(stable.address, canary.address, settings(fuse));
    config["routes"][0]["timeout"] = json!("600ms");
    let proxy = TestProxy::start(config);
    let address = proxy.plain;
    let waiting = tokio::spawn(async move { get(address, "").await });
    eventually("the age threshold", || {
        proxy.evidence(Role::Canary).unkeyed.bad == 1
    })
    .await;
    assert_eq!(
        proxy.evidence(Role::Canary).waiting.0.iter().sum::<u64>(),
        1
    );
    assert!(!waiting.is_finished());
    assert_eq!(status(&waiting.await.expect("no panic")), 504);
    let evidence = proxy.evidence(Role::Canary);
    assert_eq!((evidence.unkeyed.exposed, evidence.unkeyed.bad), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_answer_is_never_a_clean_end_and_counts_against_the_canary() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    canary.does(Behaviour::Raw(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    ));
    let proxy = TestProxy::start(split_config(
        stable.address,
        canary.address,
        settings(FALLBACK),
    ));
    let answer = get(proxy.plain, "").await;
    assert_eq!(status(&answer), 200);
    assert!(!answer.contains("0\r\n\r\n"), "{answer:?}");
    eventually("the truncation", || {
        proxy.evidence(Role::Canary).unkeyed.bad == 1
    })
    .await;
    let evidence = proxy.evidence(Role::Canary);
    assert_eq!(evidence.unkeyed.exposed, 1);
    assert_eq!(evidence.failures[FailureClass::Truncated as usize], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_without_endpoints_gives_its_share_to_stable_and_is_blamed() {
    let stable = Origin::start("one").await;
    for nobody in [None, Some(nobody().await)] {
        let mut config = split_config(stable.address, stable.address, json!({}));
        let endpoints: Vec<_> = nobody.iter().map(ToString::to_string).collect();
        config["clusters"]["c"]["endpoints"] = json!(endpoints);
        let proxy = TestProxy::start(config);
        let post =
            "POST / HTTP/1.1\r\nhost: app\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
        let answer = call(proxy.plain, post).await;
        assert_eq!(
            (status(&answer), body(&answer)),
            (200, "one"),
            "{endpoints:?}"
        );
        assert_eq!(proxy.evidence(Role::Canary).unkeyed.bad, 1, "{endpoints:?}");
        assert_eq!(
            proxy.series(Role::Stable).decisions[Rule::NoEndpoints as usize],
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stable_never_goes_to_the_canary() {
    let canary = Origin::start("two").await;
    let config = split_config(nobody().await, canary.address, json!({"weight": 0}));
    let proxy = TestProxy::start(config);
    assert_eq!(status(&get(proxy.plain, "").await), 503);
    assert!(canary.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_refused_is_tried_at_another_endpoint() {
    let origin = Origin::start("one").await;
    let proxy = TestProxy::start(plain_config(&[nobody().await, origin.address]));
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
async fn a_client_that_leaves_cancels_the_upstream_and_blames_nobody() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    canary.does(Behaviour::Hang);
    let proxy = TestProxy::start(split_config(stable.address, canary.address, json!({})));
    let mut client = tokio::net::TcpStream::connect(proxy.plain)
        .await
        .expect("accepts");
    let request = b"GET / HTTP/1.1\r\nhost: app\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut client, request)
        .await
        .expect("reads");
    eventually("the request arrives", || canary.requests().len() == 1).await;
    drop(client);
    eventually("it is counted as the client's", || {
        proxy.series(Role::Canary).responses[3][MadeBy::Client as usize] == 1
    })
    .await;
    assert_eq!(proxy.evidence(Role::Canary).unkeyed.exposed, 0);
    assert_eq!(proxy.series(Role::Canary).in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_becomes_a_tunnel_when_the_origin_consents() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let proxy = TestProxy::start(plain_config(&[listener.local_addr().expect("an address")]));
    let origin = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).await.expect("a head");
        let switch = b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(switch).await.expect("the proxy reads");
        let mut ping = [0; 4];
        stream
            .read_exact(&mut ping)
            .await
            .expect("the tunnel carries");
        stream.write_all(b"pong").await.expect("the tunnel carries");
        (String::from_utf8_lossy(&head[..read]).into_owned(), ping)
    });
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut client = tokio::net::TcpStream::connect(proxy.plain)
        .await
        .expect("accepts");
    let ask = b"GET / HTTP/1.1\r\nhost: app\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(ask).await.expect("reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.expect("a head"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    client.write_all(b"ping").await.expect("the tunnel carries");
    let mut pong = [0; 4];
    client
        .read_exact(&mut pong)
        .await
        .expect("the tunnel carries");
    assert_eq!(&pong, b"pong");
    let (head, ping) = origin.await.expect("no panic");
    assert!(
        head.to_ascii_lowercase().contains("upgrade: websocket"),
        "{head}"
    );
    assert_eq!(&ping, b"ping");
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

#[tokio::test(flavor = "multi_thread")]
async fn framing_that_two_hops_could_read_differently_never_passes() {
    let origin = Origin::start("one").await;
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    let head = "POST / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n";
    let refused = [
        format!("{head}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
        format!("{head}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        format!("{head}transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}x-folded: a\r\n b\r\n\r\n"),
        format!("{head}x-nul: a\0b\r\n\r\n"),
        "POST / HTTP/1.0\r\nhost: app\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
    ];
    for request in refused {
        assert_eq!(
            status(&call(proxy.plain, &request).await),
            400,
            "{request:?}"
        );
    }
    assert!(origin.requests().is_empty());
    let both = format!(
        "{head}content-length: 30\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    assert_eq!(status(&call(proxy.plain, &both).await), 200);
    let seen = origin.requests().remove(0).to_ascii_lowercase();
    assert!(
        !seen.contains("content-length") && seen.contains("3\r\nabc"),
        "re-framed: {seen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_framed_once() {
    let origin = Origin::start("one").await;
    let both = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    origin.does(Behaviour::Raw(both));
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    let answer = get(proxy.plain, "").await;
    assert!(
        !answer.contains("content-length") && answer.ends_with("2\r\nab\r\n0\r\n\r\n"),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_are_complete() {
    let origin = Origin::start("one").await;
    let log = crate::access_log::AccessLog::off();
    let config = plain_config(&[origin.address]);
    let proxy = TestProxy::with(config, 1, log, crate::worker::Limits::default());
    let head = "HEAD / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n";
    origin.does(Behaviour::Raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
    ));
    let answer = call(proxy.plain, head).await;
    assert!(
        answer.contains("content-length: 5") && body(&answer).is_empty(),
        "{answer}"
    );
    origin.does(Behaviour::Raw("HTTP/1.1 204 X\r\n\r\n"));
    assert_eq!(status(&get(proxy.plain, "").await), 204);
    eventually("both are counted as the upstream's", || {
        proxy.series(Role::Stable).responses[1][MadeBy::Upstream as usize] == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_0_client_gets_an_answer_that_it_can_read() {
    let origin = Origin::start("one").await;
    origin.does(Behaviour::Raw(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ));
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    let answer = call(proxy.plain, "GET / HTTP/1.0\r\nhost: app\r\n\r\n").await;
    assert_eq!(body(&answer), "abc", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_is_ejected_and_its_failures_still_count() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    canary.does(Behaviour::Answer(500));
    let mut config = split_config(stable.address, canary.address, json!({}));
    let other = Origin::start("also two").await;
    config["clusters"]["c"]["endpoints"] =
        json!([canary.address.to_string(), other.address.to_string()]);
    config["clusters"]["c"]["outlierEjection"] =
        json!({"consecutiveFailures": 2, "baseTime": "1h"});
    let proxy = TestProxy::start(config);
    let mut failed = 0;
    for _ in 0..40 {
        failed += u64::from(status(&get(proxy.plain, "").await) == 500);
    }
    assert_eq!(failed, 2, "then it was left out");
    assert_eq!(proxy.evidence(Role::Canary).unkeyed.bad, 2);
    let clusters = proxy
        .shared
        .state()
        .cluster_totals(crate::clock::Clock.now());
    let ejected = clusters
        .iter()
        .flat_map(|it| &it.endpoints)
        .filter(|it| it.ejected);
    assert_eq!(
        ejected.map(|it| it.address).collect::<Vec<_>>(),
        [canary.address]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_belongs_to_the_epoch_in_which_it_was_routed() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    canary.does(Behaviour::Hang);
    let fuse = json!({"fuse": {"ageThreshold": "300ms"}});
    let proxy = TestProxy::start(split_config(stable.address, canary.address, fuse));
    let address = proxy.plain;
    let waiting = tokio::spawn(async move { get(address, "").await });
    eventually("the request is open", || canary.requests().len() == 1).await;
    let weight = uplink::weight::EpochWeight {
        weight: 0,
        epoch: 2,
    };
    assert!(proxy.shared.state().set_weight("app", weight, "two"));
    assert_eq!(body(&get(proxy.plain, "").await), "one");
    eventually("the age threshold", || {
        proxy.evidence(Role::Canary).unkeyed.bad == 1
    })
    .await;
    assert_eq!(proxy.evidence(Role::Canary).epoch, 1);
    assert_eq!(proxy.evidence(Role::Stable).epoch, 2);
    waiting.abort();
}

/// hyper moves it once per request, so its size is paid for on every one of them.
#[test]
fn the_future_of_a_request_is_small() {
    fn size<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }
    let size = size(super::serve);
    assert!(size <= 1536, "{size} bytes");
}
