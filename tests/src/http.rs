//! One question to a listener.

use std::net::SocketAddr;
use std::time::Duration;

use ::http::{Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: ::http::HeaderMap,
    /// Its body.
    pub body: String,
}

/// GETs a path, on a connection of its own; nothing if there was no whole answer.
pub async fn get(address: SocketAddr, path: &str) -> Option<Answer> {
    timeout(PATIENCE, ask(address, path)).await.ok()?.ok()
}

async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when its sender is dropped.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, "shop")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer {
        status,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
