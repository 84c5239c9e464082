//! A controller that says what a test tells it to, and remembers what it hears.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use uplink::document::{RoutingConfig, to_json};
use uplink::proto::controller_message::Kind;
use uplink::proto::proxy_message::Kind as Heard;
use uplink::proto::uplink_server::{Uplink, UplinkServer};
use uplink::proto::{self, ControllerMessage, ProxyMessage};

use crate::eventually;

/// A running controller; it dies, streams and all, when it is dropped.
pub(crate) struct FakeController {
    address: SocketAddr,
    shared: Arc<Shared>,
    dead: CancellationToken,
    listening: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Vec<Heard>>,
    stream: Mutex<Option<mpsc::Sender<Result<ControllerMessage, Status>>>>,
    /// What it says instead of serving.
    following: Mutex<Option<&'static str>>,
}

struct Service(Arc<Shared>, CancellationToken);

impl FakeController {
    pub(crate) async fn start() -> Self {
        Self::start_on("127.0.0.1:0".parse().expect("an address")).await
    }

    pub(crate) async fn start_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::<Shared>::default();
        let dead = CancellationToken::new();
        let service = UplinkServer::new(Service(Arc::clone(&shared), dead.clone()));
        let until = dead.clone();
        let listening = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            let serving = server.serve_with_incoming(TcpListenerStream::new(listener));
            tokio::select! {
                ended = serving => ended.expect("served"),
                () = until.cancelled() => {}
            }
        });
        Self {
            address,
            shared,
            dead,
            listening: Mutex::new(Some(listening)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses streams with this message until it leads.
    pub(crate) fn follow(&self, message: &'static str) {
        *self.shared.following.lock().expect("no panic") = Some(message);
    }

    pub(crate) fn lead(&self) {
        *self.shared.following.lock().expect("no panic") = None;
    }

    /// Dies without a word: nobody listens any more when this returns.
    pub(crate) async fn kill(&self) {
        self.die();
        let listening = self.listening.lock().expect("no panic").take();
        listening.expect("it dies once").await.expect("no panic");
    }

    fn die(&self) {
        self.dead.cancel();
        *self.shared.stream.lock().expect("no panic") = None;
    }

    pub(crate) async fn send(&self, kind: Kind) {
        let stream = eventually("a proxy connects", async || {
            self.shared.stream.lock().expect("no panic").clone()
        })
        .await;
        stream
            .send(Ok(ControllerMessage { kind: Some(kind) }))
            .await
            .expect("an open stream");
    }

    pub(crate) async fn snapshot(&self, counter: u64, document: &RoutingConfig) {
        self.send(Kind::Snapshot(snapshot(counter, document))).await;
    }

    pub(crate) async fn weight(&self, counter: u64, weight: u32, epoch: u64, revision: &str) {
        let version = Some(proto::Version { term: 1, counter });
        let (split, canary_revision) = (crate::files::SPLIT.to_owned(), revision.to_owned());
        let weights = proto::Weights {
            version,
            split,
            weight,
            epoch,
            canary_revision,
        };
        self.send(Kind::Weights(weights)).await;
    }

    /// The first thing heard that is what the test waits for; nothing is forgotten.
    pub(crate) async fn heard<T>(&self, what: &str, is: impl Fn(&Heard) -> Option<T>) -> T {
        eventually(what, async || self.heard_so_far(&is)).await
    }

    pub(crate) fn heard_so_far<T>(&self, is: impl Fn(&Heard) -> Option<T>) -> Option<T> {
        self.shared
            .heard
            .lock()
            .expect("no panic")
            .iter()
            .find_map(is)
    }

    pub(crate) async fn acked(&self, counter: u64) {
        let version = Some(proto::Version { term: 1, counter });
        self.heard("an ack", |heard| match heard {
            Heard::Ack(ack) if ack.version == version => Some(()),
            Heard::Nack(nack) if nack.version == version => panic!("refused: {nack:?}"),
            _ => None,
        })
        .await;
    }

    pub(crate) async fn nacked(&self, counter: u64) -> Vec<proto::ConfigError> {
        let version = Some(proto::Version { term: 1, counter });
        self.heard("a nack", |heard| match heard {
            Heard::Nack(nack) if nack.version == version => Some(nack.errors.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn weight_acked(&self, epoch: u64) {
        self.heard("a weight's ack", |heard| self::weight_acked(heard, epoch))
            .await;
    }

    /// The fuse of the newest report about the split.
    pub(crate) fn fuse(&self) -> Option<proto::Fuse> {
        let heard = self.shared.heard.lock().expect("no panic");
        let reports = heard.iter().rev().filter_map(|heard| match heard {
            Heard::Report(report) => report.splits.first(),
            _ => None,
        });
        reports.into_iter().next()?.fuse.clone()
    }
}

impl Drop for FakeController {
    fn drop(&mut self) {
        self.die();
    }
}

#[tonic::async_trait]
impl Uplink for Service {
    type ExchangeStream = ReceiverStream<Result<ControllerMessage, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<ProxyMessage>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        if let Some(message) = *self.0.following.lock().expect("no panic") {
            return Err(Status::unavailable(message));
        }
        // Connections outlive their listener; the dead do not serve on them.
        if self.1.is_cancelled() {
            return Err(Status::unavailable("dead"));
        }
        let (sender, receiver) = mpsc::channel(64);
        *self.0.stream.lock().expect("no panic") = Some(sender);
        let shared = Arc::clone(&self.0);
        let mut incoming = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                shared.heard.lock().expect("no panic").extend(message.kind);
            }
            *shared.stream.lock().expect("no panic") = None;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

pub(crate) fn weight_acked(heard: &Heard, epoch: u64) -> Option<()> {
    match heard {
        Heard::WeightsAck(ack) if ack.epoch == epoch => Some(()),
        _ => None,
    }
}

pub(crate) fn snapshot(counter: u64, document: &RoutingConfig) -> proto::Snapshot {
    proto::Snapshot {
        version: Some(proto::Version { term: 1, counter }),
        document: to_json(document).into_bytes(),
        key_pairs: Vec::new(),
        fleet_size: 1,
    }
}
