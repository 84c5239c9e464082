use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::pretended::Pretended;
use super::tokens::{Grant, Tokens};
use super::*;
use crate::clock::Clock;

const CANARY: &str = "c4nary-s3cret";

/// A server that answers every connection with the same bytes; its address.
async fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer).await;
        }
    });
    format!("http://{address}")
}

fn secretive(url: String) -> Request {
    let mut request = Request::new(Method::POST, url).header("x-token", CANARY);
    request.body = Some(CANARY.as_bytes().to_vec());
    request.timeout = Duration::from_millis(500);
    request
}

async fn refused_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn an_answer_comes_back_whole() {
    let address =
        server(b"HTTP/1.1 201 Created\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok")
            .await;
    let answer = Client::new().fetch(secretive(address)).await.unwrap();
    let expected = Answer {
        status: 201,
        content_type: Some("text/plain".to_owned()),
        body: b"ok".to_vec(),
    };
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn no_error_says_what_was_sent() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let garbage = server(b"not HTTP at all\r\n\r\n").await;
    let closed = server(b"").await;
    let round =
        server(b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n").await;
    let short = server(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nab").await;
    let refused = refused_port().await;
    let urls = [
        format!("http://user:{CANARY}@127.0.0.1:{refused}/{CANARY}?q={CANARY}"),
        format!("http://{silent}/{CANARY}"),
        format!("{garbage}/{CANARY}"),
        format!("{closed}/{CANARY}"),
        format!("{round}/{CANARY}?a={CANARY}"),
        format!("{short}/?{CANARY}"),
        format!("http://{CANARY}.invalid/"),
        format!("http://[{CANARY}]/"),
        CANARY.to_owned(),
        format!("ftp://127.0.0.1/{CANARY}"),
        format!("https://127.0.0.1:{refused}/{CANARY}"),
    ];
    let client = Client::new();
    for url in urls {
        let error = client.fetch(secretive(url.clone())).await.unwrap_err();
        let shown = format!("{error} {error:?} {:?}", secretive(url.clone()));
        assert!(!shown.contains(CANARY), "{url}: {shown}");
    }
    let bad = Request::new(Method::GET, "http://127.0.0.1/").header("x-a", format!("{CANARY}\n"));
    let error = client.fetch(bad).await.unwrap_err();
    assert_eq!(error, FetchError::Header("x-a".to_owned()));
}

#[tokio::test]
async fn an_error_names_the_address_as_go_does() {
    let port = refused_port().await;
    let url = format!("http://127.0.0.1:{port}/api?q=1");
    let request = Request::new(Method::GET, &url);
    let error = Client::new().fetch(request).await.unwrap_err();
    assert_eq!(
        error.told(&Method::GET, &url),
        format!("Get \"{url}\": dial tcp 127.0.0.1:{port}: connect: connection refused")
    );
    let slow = FetchError::TimedOut.told(&Method::POST, "http://u:p@a/b?c");
    assert_eq!(
        slow,
        "Post \"http://u:***@a/b?c\": context deadline exceeded"
    );
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 8_192]).await.is_ok() {}
    });
    let request = Request::new(Method::GET, format!("http://{address}/"));
    let error = Client::new().fetch(request).await.unwrap_err();
    assert_eq!(error, FetchError::TooLarge);
}

#[tokio::test]
async fn certificates_are_checked_unless_told_otherwise() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    let client = Client::new();
    let mut request = Request::new(Method::GET, format!("https://{address}/"));
    let error = client.fetch(request.clone()).await.unwrap_err();
    assert!(matches!(error, FetchError::Broken(_)), "{error}");
    request.certificates = Certificates::Any;
    assert_eq!(client.fetch(request).await.unwrap().status, 200);
}

fn grant() -> Grant {
    Grant {
        token_url: "http://login/token".to_owned(),
        client_id: "me".to_owned(),
        client_secret: CANARY.to_owned(),
        scopes: vec!["a".to_owned(), "b".to_owned()],
        certificates: Certificates::Checked,
        timeout: Duration::from_secs(1),
    }
}

fn json(status: u16, body: &str) -> Answer {
    Answer {
        status,
        content_type: Some("application/json".to_owned()),
        body: body.as_bytes().to_vec(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_for_once_until_it_ends() {
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let served = count.clone();
    let server = Pretended::new(move |_| {
        let n = served.fetch_add(1, Ordering::Relaxed);
        Ok(json(
            200,
            &format!(
                "{{\"access_token\":\"t{n}\",\"token_type\":\"bearer\",\"expires_in\":\"60\"}}"
            ),
        ))
    });
    let (tokens, clock) = (Tokens::default(), Clock::system());
    let ask = || async {
        tokens
            .authorization(&grant(), &server, clock)
            .await
            .unwrap()
    };
    assert_eq!(ask().await, "Bearer t0");
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(ask().await, "Bearer t0");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(ask().await, "Bearer t1");
    tokens.forget(&grant());
    assert_eq!(ask().await, "Bearer t2");
    assert!(!format!("{tokens:?}").contains("t2"));
    let asked = &server.asked()[0];
    let body = String::from_utf8(asked.body.clone().unwrap()).unwrap();
    assert_eq!(body, "grant_type=client_credentials&scope=a+b");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_the_secret_in_the_body_gets_it_there() {
    let server = Pretended::new(|request| {
        let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default());
        if body.contains("client_secret") {
            return Ok(json(200, "{\"access_token\":\"t\",\"token_type\":\"MAC\"}"));
        }
        Ok(json(401, "{}"))
    });
    let found = Tokens::default()
        .authorization(&grant(), &server, Clock::system())
        .await;
    assert_eq!(found.unwrap(), "MAC t");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_had_is_told_in_gos_words() {
    let rows = [
        (
            json(401, "nope"),
            "oauth2: cannot fetch token: 401 Unauthorized\nResponse: nope",
        ),
        (
            json(
                200,
                "{\"error\":\"invalid_client\",\"error_description\":\"who?\"}",
            ),
            "oauth2: \"invalid_client\" \"who?\"",
        ),
        (
            json(200, "{}"),
            "oauth2: server response missing access_token",
        ),
        (
            json(200, "<html>"),
            "oauth2: cannot parse json: the answer is no JSON",
        ),
    ];
    for (answer, expected) in rows {
        let server = Pretended::new(move |_| Ok(answer.clone()));
        let found = Tokens::default()
            .authorization(&grant(), &server, Clock::system())
            .await;
        assert_eq!(found.unwrap_err().to_string(), expected);
    }
}
