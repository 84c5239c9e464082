//! Health and metrics: `/livez` (and Argo's `/healthz`), `/readyz`, `/metrics`. Followers serve them
//! too, for they are healthy.

use std::convert::Infallible;
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

use crate::caches::Caches;
use crate::clock::Clock;
use crate::fleets::Fleets;
use crate::kit::Kit;
use crate::leader::Gate;
use crate::metrics::{Metrics, Text};
use crate::uplink_server::Serving;

/// Connections at once; a probe and a few scrapers need no more.
const MAX_CONNECTIONS: usize = 64;

/// What is shown.
#[derive(Debug)]
pub struct Shown {
    caches: Arc<Caches>,
    metrics: Arc<Metrics>,
    gate: Gate,
    clock: Clock,
    fleets: Arc<Fleets>,
    serving: watch::Receiver<Serving>,
}

// === impl Shown ===

impl Shown {
    /// What these say when somebody asks.
    pub fn new(kit: &Kit, fleets: Arc<Fleets>, serving: watch::Receiver<Serving>) -> Self {
        Self {
            caches: kit.caches.clone(),
            metrics: kit.metrics.clone(),
            gate: kit.gate.clone(),
            clock: kit.clock,
            fleets,
            serving,
        }
    }
}

/// Serves until `stop`; every connection has ended when this returns.
pub async fn serve(listener: TcpListener, shown: Arc<Shown>, stop: CancellationToken) {
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
    let now = shown.clock.now();
    let leads = !matches!(&*shown.serving.borrow(), Serving::Follows(_));
    let mut text = Text::default();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let info = "argo_rollouts_controller_info";
    text.metric(info, "gauge", "The controller that runs.");
    text.sample(info, &version, 1.0);
    text.metric("build_info", "gauge", "How this was built.");
    text.sample("build_info", &version, 1.0);
    let leader = "sluice_controller_leader";
    text.metric(leader, "gauge", "Whether this controller holds the lease.");
    text.sample(leader, &[], f64::from(u8::from(leads)));
    let writes = "sluice_controller_writes_allowed";
    text.metric(
        writes,
        "gauge",
        "Whether it may write: 0 while the lease cannot be renewed.",
    );
    text.sample(writes, &[], f64::from(u8::from(shown.gate.is_open(now))));
    let connected = "sluice_controller_proxies_connected";
    text.metric(connected, "gauge", "Proxies connected, by fleet.");
    for (fleet, count) in shown.fleets.connected() {
        text.sample(connected, &[("fleet", &fleet)], count as f64);
    }
    shown.metrics.render(text, Some(&shown.caches), now)
}
