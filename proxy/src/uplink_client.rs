//! The stream to the controller, opened again for as long as the proxy lives.
//!
//! Two tasks share the work. The *stream* task, here, connects, says hello, takes what comes and
//! sends reports; a weight or a fuse reset is done the moment it arrives, whatever else goes on. The
//! *source* task ([`source`]) applies snapshots and endpoints, which takes a while; they wait for it
//! in an [`Inbox`] that holds only the newest. So nobody's large configuration holds up anybody's
//! abort.
//!
//! A controller that does not lead answers UNAVAILABLE and names the leader; the next attempt,
//! shortly after, reaches whoever the address leads to then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tracing::{info, warn};
use uplink::limits::{MAX_CONTROLLER_MESSAGE_BYTES, MAX_PROXY_MESSAGE_BYTES};
use uplink::proto::proxy_message::Kind;
use uplink::proto::uplink_client::UplinkClient;
use uplink::proto::{ControllerMessage, Hello, ProxyMessage};

use crate::args::Membership;
use crate::control::Control;
use crate::control::backoff::Backoff;
use crate::random;

mod credentials;
mod inbox;
mod order;
mod session;
pub(crate) mod source;

use credentials::CredentialError;
pub(crate) use inbox::{Inbox, Work};
pub(crate) use order::Order;
use session::Session;

/// Messages that may wait for a controller that reads slowly; with more the stream is given up.
const OUTBOX: usize = 256;

/// How long connecting and the answer to the first message may each take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the controller may take to read a goodbye.
const GOODBYE_WAIT: Duration = Duration::from_millis(500);

/// What to do when the controller does not know this proxy.
const REMEDY: &str = "a proxy of Kubernetes needs --controller-token with a projected ServiceAccount \
                      token, and joins only fleets of its own namespace (docs/uplink.md)";

/// What to do when this proxy does not know the controller.
const CA_REMEDY: &str = "--controller-ca must hold the authorities that the controller publishes as \
                         the ConfigMap sluice-uplink-ca, and its certificate must have the name";

/// A peer that answers no ping for this long is gone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The uplink, as its tasks share it and as people see it.
#[derive(Debug)]
pub(crate) struct Uplink {
    membership: Membership,
    process_id: String,
    connected: AtomicBool,
    connects: AtomicU64,
    order: Mutex<Order>,
    inbox: Inbox,
    outbox: Mutex<Option<Outbox>>,
    last_error: Mutex<Option<String>>,
}

/// The way to the controller while a stream is open.
#[derive(Clone, Debug)]
struct Outbox {
    messages: mpsc::Sender<ProxyMessage>,
    /// Ends the stream.
    broken: CancellationToken,
}

/// Why a stream ended.
#[derive(Debug, Error)]
enum StreamError {
    #[error("cannot connect to {address}")]
    Connect {
        address: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("{address} did not answer within {CONNECT_TIMEOUT:?}")]
    Silent { address: String },
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error("the controller ended the stream: {message} ({code:?})")]
    Ended { code: Code, message: String },
    /// Trying again alone will not help.
    #[error("the controller refuses this proxy: {message}; {REMEDY}")]
    Refused { message: String },
    #[error("the controller closed the stream")]
    Closed,
    #[error("the controller reads too slowly: {OUTBOX} messages wait for it")]
    Full,
}

// === impl Uplink ===

impl Uplink {
    /// Nobody is connected yet.
    pub(crate) fn new(membership: Membership) -> Self {
        Self {
            membership,
            process_id: random::hex_id(&mut random::generator()),
            connected: AtomicBool::new(false),
            connects: AtomicU64::new(0),
            order: Mutex::default(),
            inbox: Inbox::default(),
            outbox: Mutex::new(None),
            last_error: Mutex::new(None),
        }
    }

    /// Which controller, and as whom.
    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Whether a stream is open.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Streams opened so far.
    pub(crate) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    /// Why there is no stream, as far as is known.
    pub(crate) fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }

    /// Keeps a stream open until `stop`.
    pub(crate) async fn run(&self, control: &Arc<Control>, stop: &CancellationToken) {
        let mut backoff = Backoff::new(random::generator());
        loop {
            let opened = self.connects();
            match self.stream(control, stop).await {
                Ok(()) => return,
                Err(error) => self.note(&error),
            }
            if self.connects() > opened {
                backoff.reset();
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.wait()) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One stream, from connecting to its end; Ok where this proxy ended it.
    async fn stream(
        &self,
        control: &Arc<Control>,
        stop: &CancellationToken,
    ) -> Result<(), StreamError> {
        let (messages, waiting) = mpsc::channel(OUTBOX);
        let hello = ProxyMessage {
            kind: Some(Kind::Hello(self.hello(control))),
        };
        messages.try_send(hello).map_err(|_| StreamError::Full)?;
        let mut incoming = tokio::select! {
            opened = self.open(waiting) => opened?,
            () = stop.cancelled() => return Ok(()),
        };
        let outbox = Outbox {
            messages,
            broken: CancellationToken::new(),
        };
        self.opened(outbox.clone());
        let ended = self.exchange(control, &mut incoming, &outbox, stop).await;
        self.closed();
        drop(outbox);
        if ended.is_ok() {
            hear_out(incoming).await;
        }
        ended
    }

    async fn open(
        &self,
        messages: mpsc::Receiver<ProxyMessage>,
    ) -> Result<Streaming<ControllerMessage>, StreamError> {
        let mut client = self.connect().await?;
        let mut request = Request::new(ReceiverStream::new(messages));
        if let Some(credentials) = &self.membership.credentials {
            credentials.sign(&mut request).await?;
        }
        let exchange = client.exchange(request);
        let incoming = tokio::time::timeout(CONNECT_TIMEOUT, exchange).await;
        Ok(incoming.map_err(|_| self.silent())??.into_inner())
    }

    async fn connect(&self) -> Result<UplinkClient<Channel>, StreamError> {
        let address = self.membership.controller.as_str().to_owned();
        let failed = |source| StreamError::Connect {
            address: address.clone(),
            source,
        };
        let mut endpoint = Endpoint::from_shared(address.clone())
            .map_err(failed)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        if let Some(credentials) = &self.membership.credentials {
            endpoint = endpoint
                .tls_config(credentials.tls().await?)
                .map_err(failed)?;
        }
        let channel = endpoint.connect().await.map_err(failed)?;
        Ok(UplinkClient::new(channel)
            .max_decoding_message_size(MAX_CONTROLLER_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_PROXY_MESSAGE_BYTES))
    }

    async fn exchange(
        &self,
        control: &Arc<Control>,
        incoming: &mut Streaming<ControllerMessage>,
        outbox: &Outbox,
        stop: &CancellationToken,
    ) -> Result<(), StreamError> {
        let mut session = Session::new(self, control);
        let mut reports = tokio::time::interval(uplink::limits::REPORT_INTERVAL);
        loop {
            tokio::select! {
                message = incoming.message() => match message? {
                    Some(message) => session.take(message),
                    None => return Err(StreamError::Closed),
                },
                _ = reports.tick() => session.report(&outbox.messages),
                () = control.fuses.changed() => session.report(&outbox.messages),
                () = control.leaving.cancelled(), if !session.said_goodbye() => session.goodbye(),
                () = outbox.broken.cancelled() => return Err(StreamError::Full),
                () = stop.cancelled() => {
                    session.goodbye();
                    return Ok(());
                }
            }
        }
    }

    /// Sends a message on the stream that is open; without one nobody waits for it.
    fn send(&self, kind: Kind) {
        let Some(outbox) = lock(&self.outbox).clone() else {
            return;
        };
        if outbox
            .messages
            .try_send(ProxyMessage { kind: Some(kind) })
            .is_err()
        {
            outbox.broken.cancel();
        }
    }

    fn hello(&self, control: &Control) -> Hello {
        let in_force = control.board.in_force();
        Hello {
            fleet: self.membership.fleet.clone(),
            proxy: self.membership.proxy.clone(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            process_id: self.process_id.clone(),
            in_force: in_force
                .and_then(|it| it.candidate.origin.version())
                .map(Into::into),
        }
    }

    fn opened(&self, outbox: Outbox) {
        *lock(&self.outbox) = Some(outbox);
        *lock(&self.last_error) = None;
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.connected.store(true, Ordering::Relaxed);
        info!(
            controller = self.membership.controller.as_str(),
            "uplink connected"
        );
    }

    fn closed(&self) {
        self.connected.store(false, Ordering::Relaxed);
        *lock(&self.outbox) = None;
    }

    fn silent(&self) -> StreamError {
        StreamError::Silent {
            address: self.membership.controller.as_str().to_owned(),
        }
    }

    /// Logs an error once for as long as it stays the same.
    fn note(&self, error: &StreamError) {
        let mut text = with_causes(error);
        let credentials = self.membership.credentials.as_ref();
        if let Some(known) = credentials.filter(|_| text.contains("invalid peer certificate")) {
            text = format!("{text}; {CA_REMEDY} {}", known.name);
        }
        let mut last = lock(&self.last_error);
        if last.as_ref() != Some(&text) {
            warn!(error = text, "no uplink, what is in force stays");
            *last = Some(text);
        }
    }
}

// === impl StreamError ===

impl From<Status> for StreamError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Self::Refused { message },
            code => Self::Ended { code, message },
        }
    }
}

/// Our half is closed; the controller closes its own when it has read the goodbye.
async fn hear_out(mut incoming: Streaming<ControllerMessage>) {
    let closed = async { while let Ok(Some(_)) = incoming.message().await {} };
    let _ = tokio::time::timeout(GOODBYE_WAIT, closed).await;
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
