use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn container(more: Value) -> Container {
    let mut whole = json!({"name": "c", "ports": [{"name": "http", "containerPort": 8080}]});
    whole
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn answers(good: &'static [bool]) -> Exec {
    let at = std::sync::atomic::AtomicUsize::new(0);
    Arc::new(move |_, _| {
        let at = at.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let good = good[at.min(good.len() - 1)];
        Box::pin(std::future::ready(
            good.then_some(()).ok_or_else(|| "no".to_owned()),
        ))
    })
}

/// The first `n` pieces of news but failed looks, with the second of each.
async fn news(container: &Container, exec: Exec, n: usize) -> Vec<(u64, News)> {
    let (sender, mut receiver) = mpsc::channel(NEWS);
    let clock = crate::clock::Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
    let probes = Probes {
        container,
        pod_ip: HERE,
        exec,
        news: sender,
    };
    let read = async {
        let mut heard = Vec::new();
        while heard.len() < n {
            match receiver.recv().await.unwrap() {
                News::Unhealthy(..) => {}
                other => heard.push((clock.now().as_second() as u64, other)),
            }
        }
        heard
    };
    tokio::select! { heard = read => heard, () = probes.watch() => unreachable!() }
}

#[test]
fn answers_in_a_row_decide() {
    let mut count = Count {
        success: 2,
        failure: 3,
        last: false,
        row: 0,
    };
    let table = [
        (true, None),
        (true, Some(true)),
        (true, Some(true)),
        (false, None),
        (false, None),
        (true, None),
        (false, None),
        (false, None),
        (false, Some(false)),
    ];
    for (at, (good, expected)) in table.into_iter().enumerate() {
        assert_eq!(count.saw(good), expected, "answer {at}");
    }
}

#[test]
fn checks_take_ports_by_number_and_name() {
    let table = [
        (
            json!({"port": 80, "path": "ok"}),
            Ok(("127.0.0.1", 80, "/ok")),
        ),
        (json!({"port": "http", "host": "h"}), Ok(("h", 8080, "/"))),
        (json!({"port": "grpc"}), Err("expected 1 to 65535")),
        (json!({"port": 70000}), Err("expected 1 to 65535")),
    ];
    for (get, expected) in table {
        let check = Check::http(
            &serde_json::from_value(get.clone()).unwrap(),
            &container(json!({})),
            HERE,
        );
        match (check, expected) {
            (
                Ok(Check::Http {
                    host, port, path, ..
                }),
                Ok(expected),
            ) => {
                assert_eq!((host.as_str(), port, path.as_str()), expected, "{get}");
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{get}: {error}"),
            other => panic!("{get}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_probes_a_container_is_started_and_ready() {
    let heard = news(&container(json!({})), answers(&[false]), 2).await;
    assert_eq!(heard, [(0, News::Started), (0, News::Ready(true))]);
}

#[tokio::test(start_paused = true)]
async fn readiness_comes_after_its_delay_and_goes_after_its_failures() {
    let probe = json!({"exec": {"command": ["x"]}, "initialDelaySeconds": 5, "periodSeconds": 2,
        "failureThreshold": 2});
    let container = container(json!({"readinessProbe": probe}));
    let heard = news(&container, answers(&[true, false, false, true]), 4).await;
    let expected = [
        (0, News::Started),
        (5, News::Ready(true)),
        (9, News::Ready(false)),
        (11, News::Ready(true)),
    ];
    assert_eq!(heard, expected);
}

#[tokio::test(start_paused = true)]
async fn the_startup_probe_comes_first_and_liveness_restarts() {
    let probe = |failures: i32| {
        json!({"exec": {"command": ["x"]}, "periodSeconds": 1,
        "failureThreshold": failures})
    };
    let both = container(json!({"startupProbe": probe(5), "livenessProbe": probe(2)}));
    let heard = news(&both, answers(&[false, false, true, true, false, false]), 3).await;
    let expected = [
        (2, News::Started),
        (2, News::Ready(true)),
        (4, News::Restart(Kind::Liveness)),
    ];
    assert_eq!(heard, expected);
    let heard = news(&both, answers(&[false]), 1).await;
    assert_eq!(heard, [(4, News::Restart(Kind::Startup))]);
}

#[tokio::test]
async fn http_and_tcp_look_at_real_sockets() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let open = listener.local_addr().unwrap().port();
    let server = async {
        for status in ["204 No Content", "302 Found", "503 Away"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /ready HTTP/1.1\r\n"));
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let http = Check::Http {
        host: HERE.to_string(),
        port: open,
        path: "/ready".into(),
        headers: vec![],
    };
    let none = answers(&[true]);
    let limit = Duration::from_secs(10);
    let client = async {
        assert_eq!(http.run(&none, limit).await, Ok(()));
        assert_eq!(http.run(&none, limit).await, Ok(()));
        let failed = http.run(&none, limit).await.unwrap_err();
        assert!(failed.ends_with("503"), "{failed}");
    };
    tokio::join!(server, client);
    let tcp = |port| Check::Tcp {
        host: HERE.to_string(),
        port,
    };
    assert_eq!(tcp(open).run(&none, limit).await, Ok(()));
    drop(listener);
    let refused = tcp(open).run(&none, limit).await.unwrap_err();
    assert!(refused.contains("refused"), "{refused}");
}
