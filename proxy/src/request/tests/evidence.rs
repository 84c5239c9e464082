//! Failures: who is blamed, who answers instead, what is sent twice.

use super::*;

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
    let fuse = r#"{"warmUp": "0s", "fuse": {"ageThreshold": "100ms"}}"#;
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
    for nobody in [None, Some(nobody())] {
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
    let config = split_config(nobody(), canary.address, json!({"weight": 0}));
    let proxy = TestProxy::start(config);
    assert_eq!(status(&get(proxy.plain, "").await), 503);
    assert!(canary.requests().is_empty());
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
    eventually("the upstream connection is closed", || {
        let clusters = proxy
            .shared
            .state()
            .cluster_totals(crate::clock::Clock.now());
        clusters.iter().all(|cluster| cluster.pool.open == 0)
    })
    .await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_canary_costs_no_connection_per_failure() {
    let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
    canary.does(Behaviour::Answer(500));
    let config = split_config(stable.address, canary.address, settings(FALLBACK));
    let (log, limits) = (
        crate::access_log::AccessLog::off(),
        crate::worker::Limits::default(),
    );
    let proxy = TestProxy::with(config, 1, log, limits);
    for _ in 0..10 {
        assert_eq!(status(&get(proxy.plain, "").await), 200);
    }
    assert!(canary.connections() <= 2, "{}", canary.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_cold_endpoint_takes_is_no_evidence_and_that_it_fails_is() {
    for (warm_up, timed) in [("1h", 0), ("0s", 1)] {
        let (stable, canary) = (Origin::start("one").await, Origin::start("two").await);
        canary.does(Behaviour::Answer(500));
        let settings = json!({"warmUp": warm_up});
        let proxy = TestProxy::start(split_config(stable.address, canary.address, settings));
        assert_eq!(status(&get(proxy.plain, "").await), 500);
        let evidence = proxy.evidence(Role::Canary);
        assert_eq!((evidence.unkeyed.exposed, evidence.unkeyed.bad), (1, 1));
        assert_eq!(evidence.latency.0.iter().sum::<u64>(), timed, "{warm_up}");
    }
}
