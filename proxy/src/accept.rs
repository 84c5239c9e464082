//! Accepting connections: a listener per worker on the same port, and what is done with each client.
//!
//! Plain ports tell HTTP/2 by its preface, TLS ports by ALPN. An accept that fails for want of file
//! descriptors waits a little and goes on; a connection beyond the limit is closed at once, so that
//! those that are open keep being served.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::observe::series::Rejection;
use crate::request;
use crate::wire::Wire;
use crate::worker::connection::Connection;
use crate::worker::{LocalExecutor, Worker};

pub(crate) mod head_timer;

use head_timer::HeadPlace;

/// Connections that the kernel keeps for a listener that is busy.
const BACKLOG: i32 = 4096;

/// How long an accept that failed waits before the next.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(20);

/// How long to wait for more of a first packet that could still be a preface.
const PREFACE_POLL: Duration = Duration::from_millis(20);

/// What tells HTTP/2 by prior knowledge (`PRI * HTTP/2.0`) from every HTTP/1 method.
const PREFACE: &[u8] = b"PRI";

/// What clients of a port speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// HTTP/1.1, or HTTP/2 by prior knowledge.
    Plain,
    /// TLS, then HTTP/1.1 or HTTP/2 by ALPN.
    Tls,
}

/// One worker's listener on a port.
#[derive(Debug)]
pub struct Listener {
    /// What clients speak.
    pub kind: ListenerKind,
    /// The socket, bound and listening.
    pub socket: TcpListener,
}

/// Counts a client connection while it exists.
struct Counted(Rc<Worker>);

/// A server connection that can be told to finish.
trait Finish: Future {
    fn finish(self: Pin<&mut Self>);
}

/// Binds a listener per worker on one address. With port 0 the system chooses a port, the same for
/// all: read it from the first socket's `local_addr`.
pub fn bind(address: SocketAddr, kind: ListenerKind, workers: usize) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::with_capacity(workers);
    let mut address = address;
    for _ in 0..workers {
        let socket = bind_one(address)?;
        address = socket.local_addr()?;
        listeners.push(Listener { kind, socket });
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the worker closes its listeners, and then what the kernel has accepted already: a
/// client whose connection is established has done nothing to be reset for.
pub(crate) async fn accept(
    worker: Rc<Worker>,
    listener: tokio::net::TcpListener,
    kind: ListenerKind,
) {
    let mut place = None;
    loop {
        let accepted = poll_fn(|context| {
            if place.is_none() {
                place = Some(worker.connections.enter(context.waker()));
            }
            match listener.poll_accept(context) {
                Poll::Pending if worker.is_closing() => Poll::Ready(None),
                polled => polled.map(Some),
            }
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, peer))) => admit(&worker, stream, peer, kind),
            // Out of descriptors or memory: spinning would only make it worse.
            Some(Err(_)) => tokio::time::sleep(ACCEPT_BACKOFF).await,
        }
    }
}

fn admit(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, kind: ListenerKind) {
    // An IPv4 client of a dual-stack listener is known by its IPv4 address.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let process = worker.process();
    process.accepted.add(1);
    if process.connections.get() >= worker.shared.limits().connections_per_worker as u64 {
        process.rejected[Rejection::Connections as usize].add(1);
        return;
    }
    let counted = Counted::new(worker);
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let _counted = counted;
        // Without it small answers wait for the client's acknowledgements.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match kind {
            ListenerKind::Plain => serve_plain(worker, stream, peer).await,
            ListenerKind::Tls => serve_tls(worker, stream, peer).await,
        }
    });
}

async fn serve_plain(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    let limit = worker.shared.limits().head_timeout;
    let Some(Ok(is_http2)) = before(&worker, limit, begins_with_preface(&stream)).await else {
        return;
    };
    let connection = Rc::new(Connection::plain(peer, worker.shared.limits()));
    let io = TokioIo::new(Wire(stream));
    if is_http2 {
        serve_http2(worker, connection, io).await;
    } else {
        serve_http1(worker, connection, io).await;
    }
}

/// What comes before the first request must come in time, and before the proxy stops: a connection
/// that was made in advance and never used holds up no drain.
async fn before<T>(
    worker: &Worker,
    limit: Duration,
    preparing: impl Future<Output = T>,
) -> Option<T> {
    let mut preparing = std::pin::pin!(tokio::time::timeout(limit, preparing));
    let mut place = None;
    poll_fn(|context| {
        if worker.is_stopping() {
            return Poll::Ready(None);
        }
        if place.is_none() {
            place = Some(worker.connections.enter(context.waker()));
        }
        preparing.as_mut().poll(context).map(Result::ok)
    })
    .await
}

/// Looks at the first bytes without taking them.
async fn begins_with_preface(stream: &TcpStream) -> io::Result<bool> {
    let mut bytes = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut bytes).await?;
        let begun = &bytes[..seen];
        if begun == PREFACE {
            return Ok(true);
        }
        if seen == 0 || !PREFACE.starts_with(begun) {
            return Ok(false);
        }
        tokio::time::sleep(PREFACE_POLL).await;
    }
}

async fn serve_tls(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    let snapshot = worker.shared.snapshot();
    let rejected = &worker.process().rejected[Rejection::TlsHandshake as usize];
    let Some(config) = snapshot.tls.server.clone() else {
        rejected.add(1);
        return;
    };
    let names = snapshot.tls.names.clone();
    drop(snapshot);
    let limit = worker.shared.limits().handshake_timeout;
    let handshake = TlsAcceptor::from(config).accept(stream);
    let Some(Ok(stream)) = before(&worker, limit, handshake).await else {
        rejected.add(1);
        return;
    };
    let session = stream.get_ref().1;
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let sni = session.server_name().map(str::to_ascii_lowercase);
    let connection = Connection::tls(peer, worker.shared.limits(), &names, sni.as_deref());
    let io: TokioIo<TlsStream<TcpStream>> = TokioIo::new(stream);
    if is_http2 {
        serve_http2(worker, Rc::new(connection), io).await;
    } else {
        serve_http1(worker, Rc::new(connection), io).await;
    }
}

async fn serve_http1<I>(worker: Rc<Worker>, connection: Rc<Connection>, io: I)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let limits = worker.shared.limits();
    let place = HeadPlace::enter();
    let mut builder = http1::Builder::new();
    builder
        .timer(place.timer())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_head_bytes)
        .keep_alive(!worker.is_draining());
    let on = Rc::clone(&worker);
    let service = service_fn(move |it| request::serve(Rc::clone(&on), Rc::clone(&connection), it));
    let served = std::pin::pin!(builder.serve_connection(io, service).with_upgrades());
    let served = drive(&worker, served).await;
    if let Err(error) = served {
        count_malformed(&worker, &error);
    }
}

async fn serve_http2<I>(worker: Rc<Worker>, connection: Rc<Connection>, io: I)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let limits = worker.shared.limits();
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.head_timeout)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX));
    let on = Rc::clone(&worker);
    let service = service_fn(move |it| request::serve(Rc::clone(&on), Rc::clone(&connection), it));
    let mut served = std::pin::pin!(builder.serve_connection(io, service));
    if worker.is_draining() {
        // HTTP/2 has no single request; what comes before the client learns of it is answered.
        served.as_mut().graceful_shutdown();
    }
    let served = drive(&worker, served).await;
    if let Err(error) = served {
        count_malformed(&worker, &error);
    }
}

/// What hyper refused by itself (it answers 400 or 431 and closes).
fn count_malformed(worker: &Worker, error: &hyper::Error) {
    let rejection = match error {
        error if error.is_parse_too_large() => Rejection::HeadTooLarge,
        error if error.is_parse() => Rejection::BadRequest,
        _ => return,
    };
    worker.process().rejected[rejection as usize].add(1);
}

/// Drives a connection to its end, and tells it once when the proxy leaves. One that was accepted
/// while it leaves knows already: it was made for a single request.
async fn drive<C: Finish>(worker: &Worker, mut connection: Pin<&mut C>) -> C::Output {
    let told = Cell::new(worker.is_draining());
    let mut place = None;
    let poll = |context: &mut Context<'_>| -> Poll<C::Output> {
        if worker.is_draining() && !told.replace(true) {
            connection.as_mut().finish();
        }
        if place.is_none() {
            place = Some(worker.connections.enter(context.waker()));
        }
        connection.as_mut().poll(context)
    };
    poll_fn(poll).await
}

// === impl Counted ===

impl Counted {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.process().connections.add(1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.process().connections.sub(1);
    }
}

// === impl Finish ===

impl<I, S, B> Finish for http1::UpgradeableConnection<I, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Finish for http2::Connection<I, S, LocalExecutor>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    LocalExecutor: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

#[cfg(test)]
mod tests;
