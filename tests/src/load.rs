//! Users: so many requests a second over keep-alive connections, and a ledger of what came of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::{Request, header};
use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Connections, each of which is used by one request at a time.
const CONNECTIONS: u32 = 32;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Failures that are told in full.
const MAX_TOLD: usize = 10;
/// Where the app says which version it is.
const VERSION: &str = "x-demo-version";
/// Where the proxy says that stable answered in the canary's place.
const FALLBACK: &str = "x-sluice-fallback";

/// What users experienced.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Requests.
    pub requests: u64,
    /// Requests without a good answer.
    pub failures: u64,
    /// The first of those, in words.
    pub told: Vec<String>,
    /// Good answers by version, of an app that says which it is.
    pub versions: BTreeMap<u8, u64>,
    /// Good answers that stable gave in the canary's place.
    pub fallbacks: u64,
}

/// Running users.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    users: JoinSet<()>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Load {
    /// Sends `rate` requests a second until stopped.
    pub fn start(target: SocketAddr, rate: u32) -> Self {
        let stop = CancellationToken::new();
        let ledger = Arc::<Mutex<Ledger>>::default();
        let mut users = JoinSet::new();
        let pace = Duration::from_secs(1) * CONNECTIONS / rate;
        for number in 0..CONNECTIONS {
            // One after the other: all at the same moment would be a flood and then silence.
            let first = pace * number / CONNECTIONS;
            users.spawn(user(
                target,
                (first, pace),
                stop.clone(),
                Arc::clone(&ledger),
            ));
        }
        Self {
            stop,
            users,
            ledger,
        }
    }

    /// The ledger as it stands.
    pub fn so_far(&self) -> Ledger {
        locked(&self.ledger).clone()
    }

    /// Sends no more, waits for the outstanding answers, and gives the ledger.
    pub async fn stop(self) -> Ledger {
        self.stop.cancel();
        self.users.join_all().await;
        locked(&self.ledger).clone()
    }
}

async fn user(
    target: SocketAddr,
    (first, pace): (Duration, Duration),
    stop: CancellationToken,
    ledger: Arc<Mutex<Ledger>>,
) {
    let mut connection = None;
    tokio::time::sleep(first).await;
    let mut due = interval(pace);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = stop.cancelled() => return,
        }
        let asked = timeout(PATIENCE, ask(&mut connection, target)).await;
        let asked = asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {PATIENCE:?}")));
        if asked.is_err() {
            connection = None;
        }
        locked(&ledger).record(asked);
    }
}

/// A good answer.
#[derive(Clone, Copy, Debug)]
struct Good {
    /// Only the app of these tests says it.
    version: Option<u8>,
    fallback: bool,
}

async fn ask(
    connection: &mut Option<SendRequest<Empty<Bytes>>>,
    target: SocketAddr,
) -> anyhow::Result<Good> {
    if connection
        .as_mut()
        .is_none_or(|connection| connection.is_closed())
    {
        *connection = Some(connect(target).await.context("cannot connect")?);
    }
    let sender = connection.as_mut().context("just connected")?;
    sender.ready().await?;
    let request = Request::get("/")
        .header(header::HOST, "shop")
        .body(Empty::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let version = response.headers().get(VERSION);
    let version = version.and_then(|version| version.to_str().ok()?.parse().ok());
    let fallback = response.headers().contains_key(FALLBACK);
    let body = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        anyhow::bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(Good { version, fallback })
}

async fn connect(target: SocketAddr) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when its sender is dropped.
    tokio::spawn(connection);
    Ok(sender)
}

impl Ledger {
    fn record(&mut self, asked: anyhow::Result<Good>) {
        self.requests += 1;
        match asked {
            Ok(good) => {
                if let Some(version) = good.version {
                    *self.versions.entry(version).or_default() += 1;
                }
                self.fallbacks += u64::from(good.fallback);
            }
            Err(error) => {
                self.failures += 1;
                if self.told.len() < MAX_TOLD {
                    self.told.push(format!("{error:#}"));
                }
            }
        }
    }

    /// Good answers of a version.
    pub fn of(&self, version: u8) -> u64 {
        self.versions.get(&version).copied().unwrap_or_default()
    }
}

/// What the lock guards is never left half changed.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
