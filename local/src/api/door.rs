//! The two doors: a [`tower::Service`] for clients in this process, and a port. Both lead to the
//! same [`route`](super::route).

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::answer::{self, Answer};
use super::refuse::{self, Refusal};
use super::request::{Query, Request};
use super::route;
use super::server::ApiServer;

/// Bodies may be as large as Kubernetes allows.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Connections open at once; one more is closed as it comes.
const CONNECTIONS: usize = 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The door of this process.
#[derive(Clone)]
pub(super) struct Door {
    server: Arc<ApiServer>,
    client: Arc<str>,
}

impl Door {
    pub(super) fn new(server: Arc<ApiServer>, client: &str) -> Self {
        Self {
            server,
            client: Arc::from(client),
        }
    }
}

impl<B> Service<http::Request<B>> for Door
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let Self { server, client } = self.clone();
        Box::pin(async move { Ok(admit(&server, &client, request).await) })
    }
}

async fn admit<B>(server: &Arc<ApiServer>, client: &str, request: http::Request<B>) -> Answer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    match read(server, client, request).await {
        Ok(request) => route::answer(server, request).await,
        Err(refusal) => answer::refusal(&refusal),
    }
}

async fn read<B>(
    server: &ApiServer,
    client: &str,
    request: http::Request<B>,
) -> Result<Request, Refusal>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                refuse::too_large(BODY_LIMIT)
            } else {
                refuse::bad_request(&format!("the body broke off: {error}"))
            }
        })?;
    let text = |name| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let client = if client.is_empty() {
        text(header::USER_AGENT)
    } else {
        client.to_owned()
    };
    Ok(Request {
        path: head.uri.path().to_owned(),
        query: Query::parse(head.uri.query().unwrap_or_default()),
        accept: text(header::ACCEPT),
        content_type: text(header::CONTENT_TYPE),
        method: head.method,
        body: body.to_bytes(),
        client,
        now: server.now(),
    })
}

/// Accepts connections until told to stop, then ends them.
pub(super) async fn serve(server: Arc<ApiServer>, listener: TcpListener, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((_, peer)) if connections.len() >= CONNECTIONS => {
                tracing::warn!(%peer, "a connection was closed: there are too many");
            }
            Ok((stream, _)) => {
                connections.spawn(connection(server.clone(), stream, stop.clone()));
            }
            // Out of descriptors, mostly: the next accept may find some free.
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::task::yield_now().await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(server: Arc<ApiServer>, stream: TcpStream, stop: CancellationToken) {
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let server = server.clone();
        async move {
            if is_from_a_page(request.headers()) {
                return Ok::<_, Infallible>(answer::refusal(&refuse::from_a_page()));
            }
            Ok(admit(&server, "", request).await)
        }
    });
    // Small JSON lines of a watch must not wait for Nagle's algorithm.
    let _ = stream.set_nodelay(true);
    let http = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = http => if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        },
        () = stop.cancelled() => {}
    }
}

/// A port without users is open to every web page that a browser on this machine shows, unless it
/// looks at what browsers cannot forge: `Origin`, and the `Host` of a rebound DNS name.
fn is_from_a_page(headers: &http::HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_own = name == "localhost" || name.parse::<IpAddr>().is_ok();
    headers.contains_key(header::ORIGIN) || !is_own
}
