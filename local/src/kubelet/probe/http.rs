//! The HTTP request of a probe or a hook: one GET, no redirects followed, and success is any
//! status from 200 to 399.

use http_body_util::Empty;
use hyper::{Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// GET `path`; the error says what was wrong.
pub(super) async fn get(
    (host, port): (&str, u16),
    path: &str,
    headers: &[(String, String)],
) -> Result<(), String> {
    let url = format!("http://{host}:{port}{path}");
    let failed = |error: &dyn std::fmt::Display| format!("Get {url:?}: {error}");
    let mut request = Request::get(path).header("user-agent", "kube-probe/sluice");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(HOST.as_str()))
    {
        request = request.header(HOST, format!("{host}:{port}"));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| failed(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    // The connection does its work only while it is polled, and ends with the answer's body,
    // which nobody reads.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    let response = tokio::select! {
        response = sender.send_request(request) => response,
        never = driven => never,
    };
    let status = response.map_err(|error| failed(&error))?.status();
    if status.is_success() || status.is_redirection() {
        return Ok(());
    }
    Err(format!(
        "HTTP probe failed with statuscode: {}",
        status.as_u16()
    ))
}
