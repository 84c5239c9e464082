//! Bodies and heads: what passes, and in which form.

use super::*;

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
