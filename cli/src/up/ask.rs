//! One HTTP question to a part that we run.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// More of an answer is not read.
const MAX_ANSWER: usize = 64 * 1024;

/// GETs a path; the status and the text of the answer, or in words why there is none.
pub async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, String), String> {
    let asked = tokio::time::timeout(PATIENCE, ask(address, path)).await;
    asked
        .map_err(|_| format!("no answer within {PATIENCE:?}"))?
        .map_err(|error| format!("{error:#}"))
}

async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).trim().to_owned()))
    };
    // The connection does its work only while it is polled.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = exchange => answer,
        never = driven => never,
    }
}
