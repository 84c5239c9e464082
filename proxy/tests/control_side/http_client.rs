//! One request per connection, which is all that these tests need.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longer than any answer that is still to come.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Status, `connection` header and body of an answer; `None` where there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    pub connection: String,
    pub body: String,
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<Answer> {
    send(address, Method::GET, path).await
}

pub(crate) async fn post(address: SocketAddr, path: &str) -> Option<Answer> {
    send(address, Method::POST, path).await
}

pub(crate) async fn json(address: SocketAddr, path: &str) -> serde_json::Value {
    let answer = get(address, path).await.expect("an answer");
    serde_json::from_str(&answer.body).expect("JSON")
}

async fn send(address: SocketAddr, method: Method, path: &str) -> Option<Answer> {
    tokio::time::timeout(TIMEOUT, exchange(address, method, path))
        .await
        .ok()?
}

async fn exchange(address: SocketAddr, method: Method, path: &str) -> Option<Answer> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "app.test");
    let request = request.body(Empty::<Bytes>::new()).expect("constant");
    let answer = sender.send_request(request).await.ok()?;
    let connection = answer
        .headers()
        .get("connection")
        .map(|it| it.to_str().unwrap_or_default());
    let connection = connection.unwrap_or_default().to_owned();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    Some(Answer {
        status,
        connection,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
