use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioExecutor;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::access_log::AccessLog;
use crate::clock::Clock;
use crate::observe::Role;
use crate::testing::{
    Behaviour, Origin, TestProxy, body, eventually, get, plain_config, split_config, status,
};
use crate::tls::KeyPairBytes;
use crate::worker::Limits;

/// A GET over a new HTTP/2 connection on this stream.
async fn get_http2<I>(io: I, uri: &'static str) -> (u16, Bytes)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(io).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    let request = Request::get(uri)
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    drop(sender);
    let _ = driver.await.expect("no panic");
    (status, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_by_prior_knowledge_is_told_from_http1() {
    let origin = Origin::start("one").await;
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    let stream = TcpStream::connect(proxy.plain).await.expect("accepts");
    let (status, body) = get_http2(TokioIo::new(stream), "http://app/h2").await;
    assert_eq!((status, &body[..]), (200, &b"one"[..]));
    let seen = origin.requests().remove(0).to_ascii_lowercase();
    assert!(
        seen.starts_with("get /h2 http/1.1\r\n") && seen.contains("\r\nhost: app\r\n"),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_packet_of_one_byte_is_waited_for() {
    let origin = Origin::start("one").await;
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    let mut stream = TcpStream::connect(proxy.plain).await.expect("accepts");
    stream.write_all(b"P").await.expect("reads");
    tokio::task::yield_now().await;
    let rest = b"UT / HTTP/1.1\r\nhost: app\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(rest).await.expect("reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert_eq!(status(&answer), 200);
}

/// An origin that speaks HTTP/2 only.
async fn http2_origin() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                let said = format!("{} {:?}", request.uri(), request.headers().get("host"));
                Ok::<_, std::convert::Infallible>(http::Response::new(said))
            });
            let builder = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn h2c_upstreams_share_one_connection() {
    let mut config = plain_config(&[http2_origin().await]);
    config["clusters"]["s"]["protocol"] = json!("h2c");
    let proxy = TestProxy::with(config, 1, AccessLog::off(), Limits::default());
    for _ in 0..5 {
        let answer = get(proxy.plain, "").await;
        assert_eq!(
            (status(&answer), body(&answer)),
            (200, "http://app/x None"),
            "{answer}"
        );
    }
    let pool = proxy
        .shared
        .state()
        .cluster_totals(Clock.now())
        .remove(0)
        .pool;
    assert_eq!((pool.opened, pool.reused), (1, 4));
}

fn key_pair(name: &str) -> KeyPairBytes {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    KeyPairBytes {
        certificate_pem: made.cert.pem().into_bytes(),
        key_pem: made.signing_key.serialize_pem().into_bytes(),
    }
}

fn connector(trusted: &[&KeyPairBytes], alpn: &[u8]) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    for pair in trusted {
        let der = CertificateDer::from_pem_slice(&pair.certificate_pem).expect("PEM");
        roots.add(der).expect("a root");
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    std::sync::Arc::new(config).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_answers_by_sni_and_alpn_and_a_foreign_host_is_misdirected() {
    let origin = Origin::start("one").await;
    let references = ["a", "b"].map(|it| format!("ns/{it}@sha256:{}", "0".repeat(64)));
    let pairs = [key_pair("a.test"), key_pair("b.test")];
    let mut config = plain_config(&[origin.address]);
    config["certificates"] = json!([{"secret": references[0]}, {"secret": references[1]}]);
    let secrets: HashMap<_, _> = references.into_iter().zip(pairs.clone()).collect();
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    proxy.install_with(config, &secrets);
    let connect = |alpn: &'static [u8], name: &'static str| {
        let connector = connector(&[&pairs[0], &pairs[1]], alpn);
        let address = proxy.tls;
        async move {
            let stream = TcpStream::connect(address).await.expect("accepts");
            let name = ServerName::try_from(name).expect("a name");
            connector.connect(name, stream).await
        }
    };
    for name in ["a.test", "b.test"] {
        let mut stream = connect(b"http/1.1", name)
            .await
            .expect("this name's certificate");
        let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("reads");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert_eq!(status(&answer), 200);
    }
    assert!(origin.requests()[0].contains("x-forwarded-proto: https"));
    let stream = connect(b"h2", "a.test").await.expect("HTTP/2");
    assert_eq!(
        get_http2(TokioIo::new(stream), "https://a.test/").await.0,
        200
    );
    let stream = connect(b"h2", "a.test").await.expect("HTTP/2");
    assert_eq!(
        get_http2(TokioIo::new(stream), "https://b.test/").await.0,
        421
    );
    assert!(
        connect(b"h2", "c.test").await.is_err(),
        "no certificate for this name"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_beyond_the_limits_is_refused() {
    let origin = Origin::start("one").await;
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    let large = format!("x-large: {}\r\n", "x".repeat(70_000));
    assert_eq!(status(&get(proxy.plain, &large).await), 431);
    assert_eq!(
        status(&get(proxy.plain, &"x-many: 1\r\n".repeat(200)).await),
        431
    );
    assert!(origin.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let origin = Origin::start("one").await;
    let limits = Limits {
        connections_per_worker: 2,
        ..Limits::default()
    };
    let proxy = TestProxy::with(plain_config(&[origin.address]), 1, AccessLog::off(), limits);
    let mut kept = Vec::new();
    for _ in 0..2 {
        kept.push(TcpStream::connect(proxy.plain).await.expect("accepts"));
    }
    eventually("both are counted", || {
        proxy.shared.state().process_totals().connections == 2
    })
    .await;
    assert_eq!(get(proxy.plain, "").await, "");
    kept.clear();
    eventually("both are gone", || {
        proxy.shared.state().process_totals().connections == 0
    })
    .await;
    assert_eq!(status(&get(proxy.plain, "").await), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_open_requests_finish_and_closes_idle_connections() {
    let origin = Origin::start("one").await;
    let mut proxy = TestProxy::start(plain_config(&[origin.address]));
    let mut idle = TcpStream::connect(proxy.plain).await.expect("accepts");
    idle.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n")
        .await
        .expect("reads");
    let mut head = [0; 15];
    idle.read_exact(&mut head).await.expect("an answer");
    origin.does(Behaviour::Hang);
    let address = proxy.plain;
    let open = tokio::spawn(async move { get(address, "").await });
    eventually("the request is open", || origin.requests().len() == 2).await;
    proxy.shared.drain().begin();
    let mut rest = Vec::new();
    let closing = tokio::time::timeout(Duration::from_secs(10), idle.read_to_end(&mut rest));
    closing
        .await
        .expect("the idle connection is closed")
        .expect("cleanly");
    assert!(!open.is_finished(), "the open request goes on");
    origin.does(Behaviour::Answer(200));
    assert_eq!(
        status(&get(address, "").await),
        200,
        "still accepted while leaving"
    );
    proxy.stop().expect("the workers end");
    assert_eq!(open.await.expect("no panic"), "", "cut at the deadline");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_is_there_at_zero_before_the_first_request() {
    let origin = Origin::start("one").await;
    let proxy = TestProxy::start(split_config(
        origin.address,
        origin.address,
        json!({"weight": 1}),
    ));
    for role in Role::ALL {
        let series = proxy.series(role);
        assert_eq!(series.responses, [[0; 3]; 5]);
        assert_eq!(
            (series.key.route.as_str(), series.key.split.as_str()),
            ("all", "app")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_has_a_line_of_json_per_request() {
    let (sender, receiver) = std::sync::mpsc::channel();
    struct Sink(std::sync::mpsc::Sender<Vec<u8>>);
    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (log, writer) = AccessLog::start(Box::new(Sink(sender))).expect("a thread");
    let origin = Origin::start("one").await;
    let config = split_config(origin.address, origin.address, json!({}));
    let proxy = TestProxy::with(config, 1, log, Limits::default());
    assert_eq!(status(&get(proxy.plain, "").await), 200);
    let line = receiver
        .recv_timeout(Duration::from_secs(10))
        .expect("a line");
    let line: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
    let fields = [
        "status", "role", "revision", "rule", "route", "path", "bytes",
    ];
    let fields = fields.map(|field| line[field].to_string().replace('"', ""));
    assert_eq!(fields, ["200", "canary", "two", "random", "all", "/x", "3"]);
    drop(proxy);
    drop(writer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_never_used_holds_up_no_drain() {
    let origin = Origin::start("one").await;
    let proxy = TestProxy::start(plain_config(&[origin.address]));
    let mut unused = Vec::new();
    for address in [proxy.plain, proxy.tls] {
        unused.push(TcpStream::connect(address).await.expect("accepts"));
    }
    eventually("the plain one is counted", || {
        proxy.shared.state().process_totals().connections > 0
    })
    .await;
    let late = Clock.now() + Duration::from_hours(1);
    proxy.shared.drain().stop(late);
    eventually("the workers end", || proxy.is_finished()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_under_way_when_the_listeners_close_is_answered() {
    let origin = Origin::start("one").await;
    let mut proxy = TestProxy::start(plain_config(&[origin.address]));
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = TcpStream::connect(proxy.plain).await.expect("accepts");
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n")
            .await
            .expect("reads");
        clients.push(client);
    }
    proxy
        .shared
        .drain()
        .stop(Clock.now() + Duration::from_secs(20));
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("not reset");
        assert_eq!(status(&answer), 200);
    }
    eventually("the workers end", || proxy.is_finished()).await;
    proxy.join().expect("they end well");
}
