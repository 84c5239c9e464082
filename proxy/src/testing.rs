//! Support of the tests: an origin that can misbehave, a proxy on a port of its own, raw requests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uplink::check::CheckedConfig;

use crate::accept::{self, ListenerKind};
use crate::access_log::AccessLog;
use crate::clock::Clock;
use crate::observe::Role;
use crate::observe::evidence::EpochCounts;
use crate::observe::series::SeriesTotals;
use crate::snapshot::compile;
use crate::state::State;
use crate::tls::{KeyPairBytes, TlsSetup, rehearse};
use crate::worker::{Limits, Shared, WorkerConfig, WorkerHandle, spawn};

/// What an origin does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Answers this status, its name as the body.
    Answer(u16),
    /// Answers with what it was sent.
    Echo,
    /// Answers with this, byte by byte as given, and closes.
    Raw(&'static str),
    /// Reads and never answers.
    Hang,
    /// Reads and closes.
    Close,
    /// Answers the first request of each connection, and closes on the second without an answer.
    CloseOnSecond,
}

/// An HTTP/1.1 server.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

/// A proxy on ports of its own; it is stopped when dropped.
pub(crate) struct TestProxy {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    workers: Vec<WorkerHandle>,
}

/// The longest that any test waits for something.
const PATIENCE: Duration = Duration::from_secs(20);

/// Checks a document.
pub(crate) fn checked(document: Value) -> CheckedConfig {
    let document = serde_json::from_value(document).expect("the document has the schema's form");
    uplink::check::check(&document).expect("the document is right")
}

/// A split of everything between two origins, with further settings.
pub(crate) fn split_config(stable: SocketAddr, canary: SocketAddr, settings: Value) -> Value {
    let mut split = json!({"stable": "s", "canary": "c", "weight": 100, "epoch": 1});
    let fields = settings
        .as_object()
        .expect("settings are an object")
        .clone();
    split
        .as_object_mut()
        .expect("a split is an object")
        .extend(fields);
    json!({
        "routes": [{"name": "all", "backend": {"split": "app"}}],
        "splits": {"app": split},
        "clusters": {
            "s": {"revision": "one", "endpoints": [stable.to_string()]},
            "c": {"revision": "two", "endpoints": [canary.to_string()]},
        },
    })
}

/// Everything to one cluster.
pub(crate) fn plain_config(endpoints: &[SocketAddr]) -> Value {
    let endpoints: Vec<_> = endpoints.iter().map(SocketAddr::to_string).collect();
    json!({
        "routes": [{"name": "all", "backend": {"cluster": "s"}}],
        "clusters": {"s": {"revision": "one", "endpoints": endpoints}},
    })
}

/// An address at which nobody listens: bound, so that nobody else can, until the process ends.
pub(crate) fn nobody() -> SocketAddr {
    static BOUND: Mutex<Vec<Socket>> = Mutex::new(Vec::new());
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port");
    let address = socket
        .local_addr()
        .expect("an address")
        .as_socket()
        .expect("IPv4");
    BOUND.lock().expect("not poisoned").push(socket);
    address
}

/// Sends bytes and reads until the proxy closes.
pub(crate) async fn call(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the proxy accepts");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the proxy reads");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset after the answer is an end too.
    let _ = read.expect("the proxy answers in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A GET with these header lines.
pub(crate) async fn get(address: SocketAddr, headers: &str) -> String {
    let request = format!("GET /x HTTP/1.1\r\nhost: app\r\nconnection: close\r\n{headers}\r\n");
    call(address, &request).await
}

pub(crate) fn status(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no status in {answer:?}"))
}

pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "waited in vain: {what}"
    );
}

// === impl Origin ===

impl Origin {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = Self {
            address: listener.local_addr().expect("an address"),
            behaviour: Arc::new(Mutex::new(Behaviour::Answer(200))),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let (behaviour, requests, connections) = (
            origin.behaviour.clone(),
            origin.requests.clone(),
            origin.connections.clone(),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, name, behaviour.clone(), requests.clone()));
            }
        });
        origin
    }

    pub(crate) fn does(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("not poisoned") = behaviour;
    }

    /// Heads and bodies of what it received.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut stream: TcpStream,
    name: &'static str,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<String>>>,
) {
    let mut served = 0;
    while let Some(request) = read_request(&mut stream).await {
        requests.lock().expect("not poisoned").push(request.clone());
        served += 1;
        let now = behaviour.lock().expect("not poisoned").clone();
        let text = match now {
            Behaviour::Answer(code) => answer(code, name),
            Behaviour::CloseOnSecond if served == 1 => answer(200, name),
            Behaviour::Echo => answer(200, body(&request)),
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Close | Behaviour::CloseOnSecond => return,
            Behaviour::Raw(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
        };
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(code: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {code} X\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let wanted: usize = length.map_or(0, |it| it.trim().parse().expect("a length"));
            let chunked = lower.contains("transfer-encoding: chunked");
            if (chunked && rest.ends_with("0\r\n\r\n")) || (!chunked && rest.len() >= wanted) {
                return Some(text);
            }
        }
        let read = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
    }
}

// === impl TestProxy ===

impl TestProxy {
    pub(crate) fn start(document: Value) -> Self {
        Self::with(document, 2, AccessLog::off(), Limits::default())
    }

    pub(crate) fn with(document: Value, workers: usize, log: AccessLog, limits: Limits) -> Self {
        let state = State::new(workers, Clock.now());
        let shared = Shared::new(state, log, limits);
        let local = "127.0.0.1:0".parse().expect("an address");
        let plain = accept::bind(local, ListenerKind::Plain, workers).expect("a port");
        let tls = accept::bind(local, ListenerKind::Tls, workers).expect("a port");
        let address = |it: &accept::Listener| it.socket.local_addr().expect("an address");
        let addresses = (address(&plain[0]), address(&tls[0]));
        let listeners = plain.into_iter().zip(tls).enumerate();
        let workers = listeners.map(|(index, (plain, tls))| {
            let shared = Arc::clone(&shared);
            spawn(WorkerConfig {
                index,
                listeners: vec![plain, tls],
                shared,
            })
            .expect("a thread")
        });
        let workers = workers.collect();
        let proxy = Self {
            plain: addresses.0,
            tls: addresses.1,
            shared,
            workers,
        };
        proxy.install(document);
        proxy
    }

    pub(crate) fn install(&self, document: Value) {
        self.install_with(document, &HashMap::new());
    }

    pub(crate) fn install_with(&self, document: Value, secrets: &HashMap<String, KeyPairBytes>) {
        let config = checked(document);
        let tls = if config.certificates.is_empty() {
            TlsSetup::default()
        } else {
            rehearse(&config, secrets, Clock.wall()).expect("the certificates are right")
        };
        self.shared.install(compile(
            &config,
            tls,
            self.shared.state(),
            self.shared.clock().now(),
        ));
    }

    /// The evidence of an arm of the only split, over all epochs.
    pub(crate) fn evidence(&self, role: Role) -> EpochCounts {
        let splits = self.shared.state().collect();
        let arms = splits.into_iter().flat_map(|split| split.arms);
        let epochs = arms
            .filter(|arm| arm.role == role)
            .flat_map(|arm| arm.epochs);
        epochs.last().unwrap_or_default()
    }

    pub(crate) fn series(&self, role: Role) -> SeriesTotals {
        let mut all = self.shared.state().series_totals().into_iter();
        all.find(|series| series.key.role == role)
            .expect("the series exists")
    }

    /// Whether every worker has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.workers.iter().all(WorkerHandle::is_finished)
    }

    /// Stops it and returns what its threads returned.
    pub(crate) fn stop(&mut self) -> std::io::Result<()> {
        self.shared.drain().stop(Clock.now());
        self.join()
    }

    pub(crate) fn join(&mut self) -> std::io::Result<()> {
        self.workers.drain(..).try_for_each(WorkerHandle::join)
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        let stopped = self.stop();
        if !std::thread::panicking() {
            stopped.expect("the workers ended well");
        }
    }
}
