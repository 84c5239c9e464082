//! Health and metrics: `/livez` (and Argo's `/healthz`), `/readyz`, `/metrics`. Followers serve them
//! too, for they are healthy.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fleets::Fleets;
use crate::uplink_server::Serving;

/// Connections at once; a probe and a few scrapers need no more.
const MAX_CONNECTIONS: usize = 64;

/// What is shown.
#[derive(Debug)]
struct Shown {
    fleets: Arc<Fleets>,
    serving: watch::Receiver<Serving>,
}

/// Serves until `stop`; every connection has ended when this returns.
pub async fn serve(
    listener: TcpListener,
    fleets: Arc<Fleets>,
    serving: watch::Receiver<Serving>,
    stop: CancellationToken,
) {
    let shown = Arc::new(Shown { fleets, serving });
    let (connections, room) = (
        TaskTracker::new(),
        Arc::new(Semaphore::new(MAX_CONNECTIONS)),
    );
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, shown.clone(), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
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

async fn connection(stream: TcpStream, shown: Arc<Shown>, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&shown, request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let http = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = http => if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        },
        () = stop.cancelled() => {}
    }
}

fn answer(shown: &Shown, path: &str) -> Response<Full<Bytes>> {
    match path {
        "/healthz" | "/livez" => text(StatusCode::OK, "ok"),
        "/readyz" => match &*shown.serving.borrow() {
            Serving::Syncing => text(StatusCode::SERVICE_UNAVAILABLE, "still reading the cluster"),
            Serving::Serves | Serving::Follows(_) => text(StatusCode::OK, "ok"),
        },
        "/metrics" => text(StatusCode::OK, metrics(shown)),
        _ => text(
            StatusCode::NOT_FOUND,
            "here are /metrics, /livez, /readyz and /healthz",
        ),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn metrics(shown: &Shown) -> String {
    let leads = !matches!(&*shown.serving.borrow(), Serving::Follows(_));
    let mut text = format!(
        "# HELP argo_rollouts_controller_info Information about the running controller\n\
         # TYPE argo_rollouts_controller_info gauge\n\
         argo_rollouts_controller_info{{version=\"{}\"}} 1\n\
         # HELP sluice_controller_leader Whether this controller holds the lease\n\
         # TYPE sluice_controller_leader gauge\n\
         sluice_controller_leader {}\n\
         # HELP sluice_controller_proxies_connected Proxies connected, by fleet\n\
         # TYPE sluice_controller_proxies_connected gauge\n",
        env!("CARGO_PKG_VERSION"),
        u8::from(leads),
    );
    for (fleet, connected) in shown.fleets.connected() {
        // Names of fleets are DNS labels and need no escaping.
        let _ = writeln!(
            text,
            "sluice_controller_proxies_connected{{fleet=\"{fleet}\"}} {connected}"
        );
    }
    text
}
