//! The uplink's end at the controller: a gRPC service, one task per stream.
//!
//! A stream begins with a Hello; then whatever the proxy says goes to the [`Fleets`], and whatever
//! they say goes to the proxy through a bounded outbox. Only the leader serves, and only once every
//! watch has synced; everybody else answers UNAVAILABLE and names the leader. Plaintext is for
//! loopback alone: anything else is refused before the port is opened. Over TLS ([`accept`]) a proxy
//! shows a ServiceAccount token ([`identity`]) and joins only fleets of its own namespace.

mod accept;
pub mod identity;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use uplink::limits::{MAX_CONTROLLER_MESSAGE_BYTES, MAX_NAME_BYTES, MAX_PROXY_MESSAGE_BYTES};
use uplink::proto::proxy_message::Kind;
use uplink::proto::uplink_server::{Uplink, UplinkServer};
use uplink::proto::{ControllerMessage, Hello, ProxyMessage};

use crate::fleets::{ConnectionId, Fleets, Outbox};
use identity::{Caller, Reviewer};

/// Messages that may wait for a proxy that reads slowly; with more it is disconnected. A proxy that
/// connects is told the weight of every Rollout of its fleet at once.
const OUTBOX: usize = 16_384;

/// How long a stream may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer that answers no ping for this long is gone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a proxy that does not read may hold up the end of this server.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// Whether this controller serves proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It does not lead; who does, as far as known.
    Follows(Option<String>),
    /// It leads, but has not seen all of Kubernetes yet.
    Syncing,
    /// It leads and knows what to say.
    Serves,
}

/// Why the uplink is not served.
#[derive(Debug, Error)]
pub enum BindError {
    /// Plaintext beyond this machine.
    #[error(
        "uplink address {0} would carry plaintext beyond this machine; only loopback addresses \
         (127.0.0.0/8, [::1]) may be used without TLS"
    )]
    BeyondLoopback(SocketAddr),
    /// The port cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// How the uplink is protected.
#[derive(Clone, Debug)]
pub enum Protection {
    /// In clear, for processes on this machine.
    Loopback,
    /// TLS, and a token of each proxy.
    Tls {
        /// Certificate, protocol versions, ALPN.
        config: Arc<rustls::ServerConfig>,
        /// Knows whose tokens they are.
        reviewer: Arc<Reviewer>,
    },
}

/// Opens the uplink's port. In clear only on loopback.
pub async fn bind(address: SocketAddr, tls: bool) -> Result<TcpListener, BindError> {
    if !tls && !address.ip().is_loopback() {
        return Err(BindError::BeyondLoopback(address));
    }
    TcpListener::bind(address)
        .await
        .map_err(|source| BindError::Listen { address, source })
}

/// Serves proxies until `stop`; every stream has ended when this returns.
pub async fn serve(
    (listener, protection): (TcpListener, Protection),
    fleets: Arc<Fleets>,
    serving: watch::Receiver<Serving>,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let streams = TaskTracker::new();
    let reviewer = match &protection {
        Protection::Loopback => None,
        Protection::Tls { reviewer, .. } => Some(reviewer.clone()),
    };
    let service = Service {
        fleets,
        serving,
        reviewer,
        stop: stop.clone(),
        streams: streams.clone(),
    };
    let service = UplinkServer::new(service)
        .max_decoding_message_size(MAX_PROXY_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_CONTROLLER_MESSAGE_BYTES);
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(service);
    let stopped = stop.clone().cancelled_owned();
    let server = async {
        match protection {
            Protection::Loopback => {
                let incoming = accept::plain(listener);
                server.serve_with_incoming_shutdown(incoming, stopped).await
            }
            Protection::Tls { config, .. } => {
                let incoming = accept::over_tls(listener, config);
                server.serve_with_incoming_shutdown(incoming, stopped).await
            }
        }
    };
    let waited = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_WAIT).await;
    };
    let served = tokio::select! {
        served = server => served,
        () = waited => Ok(()),
    };
    stop.cancel();
    streams.close();
    streams.wait().await;
    served
}

struct Service {
    fleets: Arc<Fleets>,
    serving: watch::Receiver<Serving>,
    /// Without one, callers are on this machine.
    reviewer: Option<Arc<Reviewer>>,
    stop: CancellationToken,
    streams: TaskTracker,
}

type Outgoing = Pin<Box<dyn Stream<Item = Result<ControllerMessage, Status>> + Send>>;

// === impl Service ===

#[tonic::async_trait]
impl Uplink for Service {
    type ExchangeStream = Outgoing;

    async fn exchange(
        &self,
        request: Request<Streaming<ProxyMessage>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        ready(&self.serving.borrow())?;
        let caller = match &self.reviewer {
            Some(reviewer) => reviewer.caller(request.metadata()).await?,
            None => Caller::Neighbour,
        };
        let mut incoming = request.into_inner();
        let hello = tokio::time::timeout(HELLO_TIMEOUT, hello(&mut incoming)).await;
        let mut hello = hello.map_err(|_| Status::deadline_exceeded("no hello in time"))??;
        hello.proxy = caller.join(&hello.fleet, &hello.proxy)?;
        ready(&self.serving.borrow())?;
        let (messages, waiting) = mpsc::channel(OUTBOX);
        let close = self.stop.child_token();
        let outbox = Outbox {
            messages,
            close: close.clone(),
        };
        let id = self
            .fleets
            .connect(&hello, outbox)
            .map_err(Status::resource_exhausted)?;
        tracing::info!(
            fleet = hello.fleet,
            proxy = hello.proxy,
            version = hello.program_version,
            "proxy connected"
        );
        let stream = ProxyStream {
            id,
            hello,
            fleets: self.fleets.clone(),
            close: close.clone(),
        };
        self.streams.spawn(stream.listen(incoming));
        let outgoing = until(ReceiverStream::new(waiting).map(Ok), close);
        Ok(Response::new(Box::pin(outgoing)))
    }
}

/// Only who leads and knows everything may say anything.
fn ready(serving: &Serving) -> Result<(), Status> {
    match serving {
        Serving::Serves => Ok(()),
        Serving::Syncing => Err(Status::unavailable(
            "this controller is still reading the cluster",
        )),
        Serving::Follows(Some(leader)) => {
            Err(Status::unavailable(format!("the leader is {leader}")))
        }
        Serving::Follows(None) => Err(Status::unavailable("there is no leader yet")),
    }
}

/// The first message; names are bounded, for they are kept and shown.
async fn hello(incoming: &mut Streaming<ProxyMessage>) -> Result<Hello, Status> {
    let first = incoming.message().await?.and_then(|message| message.kind);
    let Some(Kind::Hello(hello)) = first else {
        return Err(Status::invalid_argument(
            "the first message of a stream must be a hello",
        ));
    };
    let is_name = |name: &str| !name.is_empty() && name.len() <= MAX_NAME_BYTES;
    let fleet = hello.fleet.split_once('/');
    if !fleet
        .is_some_and(|(namespace, name)| is_name(namespace) && is_name(name) && !name.contains('/'))
    {
        let fleet: String = hello.fleet.chars().take(MAX_NAME_BYTES).collect();
        return Err(Status::invalid_argument(format!(
            "fleet {fleet:?}: expected namespace/name"
        )));
    }
    if !is_name(&hello.proxy) || !is_name(&hello.process_id) {
        let message = "proxy and process_id: expected 1 to 253 bytes each";
        return Err(Status::invalid_argument(message));
    }
    Ok(hello)
}

/// Ends a stream with UNAVAILABLE when it is to be closed: the proxy shall try again.
fn until(
    messages: impl Stream<Item = Result<ControllerMessage, Status>> + Send + 'static,
    close: CancellationToken,
) -> impl Stream<Item = Result<ControllerMessage, Status>> + Send {
    let closed = futures::stream::once(async move {
        close.cancelled().await;
        Err(Status::unavailable(
            "this stream was closed: replaced, too slow, or the controller stops",
        ))
    });
    let mut over = false;
    tokio_stream::StreamExt::merge(messages, closed).take_while(move |message| {
        let go_on = !over;
        over |= message.is_err();
        go_on
    })
}

/// What a proxy says.
struct ProxyStream {
    id: ConnectionId,
    hello: Hello,
    fleets: Arc<Fleets>,
    close: CancellationToken,
}

// === impl ProxyStream ===

impl ProxyStream {
    async fn listen(self, mut incoming: Streaming<ProxyMessage>) {
        let why = loop {
            let message = tokio::select! {
                message = incoming.message() => message,
                () = self.close.cancelled() => break "closed by the controller".to_owned(),
            };
            match message {
                Ok(Some(message)) => self.fleets.receive(self.id, message),
                Ok(None) => break "closed by the proxy".to_owned(),
                Err(status) => break status.message().to_owned(),
            }
        };
        self.fleets.disconnect(self.id);
        self.close.cancel();
        tracing::info!(
            fleet = self.hello.fleet,
            proxy = self.hello.proxy,
            why,
            "proxy disconnected"
        );
    }
}

#[cfg(test)]
mod tests;
