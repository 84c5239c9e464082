//! Upstream: this worker's own connections to an endpoint.
//!
//! HTTP/1.1 connections are kept in a stack, so that the one used last, the least likely to have been
//! closed, is used next. HTTP/2 connections are shared by many requests. Nothing here is shared between
//! workers, so nothing is locked. A connection's own task drives it; requests talk to it by its sender.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use uplink::document::Protocol;

use crate::cluster::LocalCluster;
use crate::error::Sent;
use crate::observe::open::Waiting;
use crate::relay::UpstreamBody;
use crate::state::EndpointState;
use crate::wire::Wire;
use crate::worker::LocalExecutor;

/// Requests at once on one HTTP/2 connection; further ones open another.
const STREAMS_PER_CONNECTION: u32 = 100;

/// HTTP/2 connections of a worker to one endpoint; beyond, the least busy is shared further.
const SHARED_CONNECTIONS: usize = 8;

/// An endpoint as one worker uses it.
#[derive(Debug)]
pub(crate) struct LocalEndpoint {
    pub(crate) state: Arc<EndpointState>,
    pub(crate) protocol: Protocol,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<Shared>>,
    /// One HTTP/2 connection is made at a time; those who wait find it made.
    connecting: Semaphore,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<UpstreamBody>,
    since: Instant,
}

#[derive(Clone, Debug)]
struct Shared {
    sender: http2::SendRequest<UpstreamBody>,
    streams: Rc<Cell<u32>>,
}

/// A connection in use by one request. Dropping it without [`Self::give_back`] closes an HTTP/1.1
/// connection, for its next bytes would be somebody else's answer.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) endpoint: Rc<LocalEndpoint>,
    pub(crate) reused: bool,
    sender: Option<Sender>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<UpstreamBody>),
    Http2(Shared),
}

/// How sending failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendFailure {
    pub(crate) kind: FailureKind,
    pub(crate) sent: Sent,
}

/// Who broke it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    Reset,
    Timeout,
    /// The client stopped sending its body.
    Client,
}

// === impl LocalEndpoint ===

impl LocalEndpoint {
    pub(crate) fn new(state: Arc<EndpointState>, protocol: Protocol) -> Self {
        Self {
            state,
            protocol,
            idle: RefCell::default(),
            shared: RefCell::default(),
            connecting: Semaphore::new(1),
        }
    }

    /// A connection: a kept one unless `fresh`, or a new one. Not cancel-safe beyond a wasted
    /// connection.
    pub(crate) async fn lease(
        self: &Rc<Self>,
        cluster: &Rc<LocalCluster>,
        worker: usize,
        fresh: bool,
    ) -> io::Result<Lease> {
        let kept = if fresh { None } else { self.kept() };
        let pool = cluster.state.pool(worker);
        let (sender, reused) = match (kept, self.protocol) {
            (Some(sender), _) => (sender, true),
            (None, Protocol::Http1) => (
                Sender::Http1(Box::pin(self.connect1(cluster, worker)).await?),
                false,
            ),
            (None, Protocol::H2c) => {
                let _permit = self.connecting.acquire().await.map_err(io::Error::other)?;
                match if fresh { None } else { self.kept() } {
                    Some(sender) => (sender, true),
                    None => (
                        Sender::Http2(Box::pin(self.connect2(cluster, worker)).await?),
                        false,
                    ),
                }
            }
        };
        if reused {
            pool.reused.add(1);
        }
        if let Sender::Http2(shared) = &sender {
            shared.streams.set(shared.streams.get() + 1);
        }
        self.state.begin();
        Ok(Lease {
            endpoint: Rc::clone(self),
            reused,
            sender: Some(sender),
        })
    }

    fn kept(&self) -> Option<Sender> {
        if self.protocol == Protocol::H2c {
            return self.kept2().map(Sender::Http2);
        }
        let mut idle = self.idle.borrow_mut();
        loop {
            let at = idle
                .iter()
                .rposition(|it| it.sender.is_ready() || it.sender.is_closed())?;
            let it = idle.remove(at);
            if it.sender.is_ready() {
                return Some(Sender::Http1(it.sender));
            }
        }
    }

    fn kept2(&self) -> Option<Shared> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|it| !it.sender.is_closed());
        let full = shared.len() >= SHARED_CONNECTIONS;
        let least = shared.iter().min_by_key(|it| it.streams.get())?;
        (full || least.streams.get() < STREAMS_PER_CONNECTION).then(|| least.clone())
    }

    async fn connect1(
        &self,
        cluster: &Rc<LocalCluster>,
        worker: usize,
    ) -> io::Result<http1::SendRequest<UpstreamBody>> {
        let io = self.connect(cluster, worker).await?;
        let handshake = http1::Builder::new().handshake(io).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        let cluster = Rc::clone(cluster);
        tokio::task::spawn_local(async move {
            let pool = cluster.state.pool(worker);
            pool.open.add(1);
            // Its failure is seen by the request that it belongs to.
            let _ = connection.with_upgrades().await;
            cluster.state.pool(worker).open.sub(1);
        });
        Ok(sender)
    }

    async fn connect2(&self, cluster: &Rc<LocalCluster>, worker: usize) -> io::Result<Shared> {
        let io = self.connect(cluster, worker).await?;
        let mut builder = http2::Builder::new(LocalExecutor);
        builder.timer(TokioTimer::new());
        let (sender, connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        let cluster = Rc::clone(cluster);
        tokio::task::spawn_local(async move {
            cluster.state.pool(worker).open.add(1);
            let _ = connection.await;
            cluster.state.pool(worker).open.sub(1);
        });
        let shared = Shared {
            sender,
            streams: Rc::default(),
        };
        self.shared.borrow_mut().push(shared.clone());
        Ok(shared)
    }

    async fn connect(&self, cluster: &LocalCluster, worker: usize) -> io::Result<TokioIo<Wire>> {
        let connecting = TcpStream::connect(self.state.address());
        let connected = tokio::time::timeout(cluster.connect_timeout, connecting).await;
        let pool = cluster.state.pool(worker);
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                pool.opened.add(1);
                stream.set_nodelay(true)?;
                Ok(TokioIo::new(Wire(stream)))
            }
            Err(error) => {
                pool.connect_failures.add(1);
                Err(error)
            }
        }
    }

    /// Closes connections that have been idle since before `oldest`.
    pub(crate) fn close_idle(&self, oldest: Instant) {
        self.idle
            .borrow_mut()
            .retain(|it| it.since >= oldest && !it.sender.is_closed());
    }
}

// === impl Lease ===

impl Lease {
    /// Sends the request and waits for the response head, or for the deadline. The request is put
    /// back into its place where nothing of it was sent.
    pub(crate) async fn send(
        &mut self,
        request: &mut Option<Request<UpstreamBody>>,
        waiting: &Waiting,
    ) -> Result<Response<Incoming>, SendFailure> {
        let never = SendFailure {
            kind: FailureKind::Reset,
            sent: Sent::Never,
        };
        let (Some(sender), Some(outgoing)) = (self.sender.as_mut(), request.take()) else {
            return Err(never);
        };
        let sent = match sender {
            Sender::Http1(sender) => {
                until_deadline(sender.try_send_request(outgoing), waiting).await
            }
            Sender::Http2(shared) => {
                until_deadline(shared.sender.try_send_request(outgoing), waiting).await
            }
        };
        match sent {
            Some(Ok(response)) => Ok(response),
            Some(Err(mut error)) => {
                *request = error.take_message();
                let unsent = request.is_some();
                Err(if unsent {
                    never
                } else {
                    SendFailure::of(&error.into_error(), self.reused)
                })
            }
            None => Err(SendFailure {
                kind: FailureKind::Timeout,
                sent: Sent::Maybe,
            }),
        }
    }

    /// The answer is complete: the connection may serve the next request.
    pub(crate) fn give_back(mut self, keep: usize, now: Instant) {
        if let Some(Sender::Http1(sender)) = self.sender.take()
            && !sender.is_closed()
        {
            let mut idle = self.endpoint.idle.borrow_mut();
            if idle.len() < keep {
                idle.push(Idle { sender, since: now });
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.state.end();
        if let Some(Sender::Http2(shared)) = &self.sender {
            shared.streams.set(shared.streams.get().saturating_sub(1));
        }
    }
}

/// `None` when the deadline passes first; the sending is cancelled then.
async fn until_deadline<T>(sending: impl Future<Output = T>, waiting: &Waiting) -> Option<T> {
    let mut sending = std::pin::pin!(sending);
    poll_fn(|context| match sending.as_mut().poll(context) {
        Poll::Ready(sent) => Poll::Ready(Some(sent)),
        Poll::Pending => waiting.poll_deadline(context).map(|()| None),
    })
    .await
}

// === impl SendFailure ===

impl SendFailure {
    fn of(error: &hyper::Error, reused: bool) -> Self {
        if error.is_user() {
            return Self {
                kind: FailureKind::Client,
                sent: Sent::Maybe,
            };
        }
        let sent = if reused { Sent::OnReused } else { Sent::Maybe };
        Self {
            kind: FailureKind::Reset,
            sent,
        }
    }
}
