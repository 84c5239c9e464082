//! A small HTTP/1.1 server for the status and admin listeners: no bodies in, short texts out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Scrapers, probes and people together; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;

/// A request head takes no longer than this, nor does an idle connection stay longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection lives no longer than this, plus [`LAST_ANSWER`]: a reader that never reads would hold
/// its place for ever, and 64 of them would be a proxy that answers no probe.
const LIFETIME: Duration = Duration::from_mins(2);

/// How long the last answer of a connection may take to be read.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Pause after a failed accept (no descriptor free), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers requests. It must not block: it runs on the control thread.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The answer to this method and target.
    fn answer(&self, method: &Method, uri: &Uri) -> Reply;
}

/// A short answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    content_type: &'static str,
    allow: Option<&'static str>,
    body: String,
}

/// Serves until `stop`, then closes what is open.
pub(crate) async fn serve(listener: TcpListener, answer: Arc<dyn Answer>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (answer, stop) = (Arc::clone(&answer), stop.clone());
        connections.spawn(async move {
            connection(stream, answer, stop).await;
            drop(place);
        });
    }
    connections.close();
    connections.wait().await;
}

/// One connection, until it ends or `stop`.
async fn connection(stream: TcpStream, answer: Arc<dyn Answer>, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let reply = answer.answer(request.method(), request.uri());
        async move { Ok::<_, Infallible>(reply.into_response()) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // An error is the peer's going away, which is no news.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        () = tokio::time::sleep(LIFETIME) => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(LAST_ANSWER, connection).await;
}

// === impl Reply ===

impl Reply {
    /// Plain text with a line feed.
    pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        let mut body = text.into();
        body.push('\n');
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            allow: None,
            body,
        }
    }

    /// A scrape.
    pub(crate) fn metrics(body: String) -> Self {
        let content_type = crate::exposition::CONTENT_TYPE;
        Self {
            status: StatusCode::OK,
            content_type,
            allow: None,
            body,
        }
    }

    /// JSON for programs and people.
    pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        let body = format!("{value:#}\n");
        Self {
            status,
            content_type: "application/json",
            allow: None,
            body,
        }
    }

    /// Nothing is there; `known` is what is.
    pub(crate) fn not_found(known: &str) -> Self {
        Self::text(
            StatusCode::NOT_FOUND,
            format!("not found; here are {known}"),
        )
    }

    /// The path is right and the method is not.
    pub(crate) fn use_method(allow: &'static str) -> Self {
        let reply = Self::text(StatusCode::METHOD_NOT_ALLOWED, format!("use {allow}"));
        Self {
            allow: Some(allow),
            ..reply
        }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::builder()
            .status(self.status)
            .header(CONTENT_TYPE, self.content_type)
            .header(CACHE_CONTROL, "no-store");
        if let Some(allow) = self.allow {
            response = response.header(ALLOW, allow);
        }
        let body = Full::new(Bytes::from(self.body));
        response
            .body(body)
            .expect("status and header values are constants")
    }
}
