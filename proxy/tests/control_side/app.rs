//! An application that answers with its name, fails, or hangs, and counts.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// 200 with its name.
    Well = 0,
    /// 500.
    Badly = 1,
    /// Never.
    Never = 2,
    /// 200, after [`SLOW`].
    Slowly = 3,
}

/// Slow, but not too slow.
pub(crate) const SLOW: Duration = Duration::from_millis(400);

/// A running application.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    manner: AtomicU8,
    requests: AtomicU64,
}

impl App {
    pub(crate) async fn start(name: &'static str, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let manner = AtomicU8::new(manner as u8);
        let shared = Arc::new(Shared {
            name,
            manner,
            requests: AtomicU64::new(0),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.shared.manner.store(manner as u8, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |_| answer(Arc::clone(&shared)));
        tokio::spawn(async move {
            // The proxy may close its connections whenever it likes.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Infallible> {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let manner = shared.manner.load(Ordering::SeqCst);
    if manner == Manner::Never as u8 {
        std::future::pending::<()>().await;
    }
    if manner == Manner::Slowly as u8 {
        tokio::time::sleep(SLOW).await;
    }
    let status = if manner == Manner::Badly as u8 {
        500
    } else {
        200
    };
    let body = Full::new(Bytes::from_static(shared.name.as_bytes()));
    Ok(Response::builder()
        .status(status)
        .body(body)
        .expect("constant"))
}
