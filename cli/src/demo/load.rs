//! The demo's users: an open loop (a request is due when it is due, however slow the answers are)
//! over keep-alive connections, with everything that could grow bounded.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use local::clock::Clock;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::app::VERSION_HEADER;
use super::ledger::{Answer, Exchange, Ledger, Outcome};

/// Requests a second.
pub const RATE: u64 = 330;
/// Users.
pub const USERS: usize = 200;
/// The header that says who asks.
const USER_HEADER: &str = "x-user-id";
/// The header of an answer that stable gave in place of the canary.
const FALLBACK_HEADER: &str = "x-sluice-fallback";

/// Connections made before the first request, so that every proxy and worker has its part of them.
const CONNECTIONS: usize = 48;
/// Requests under way at once; more than RATE times the timeout would need is never reached.
const MAX_UNDER_WAY: usize = 1024;
/// How long a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often requests that are due are sent.
const PACE: Duration = Duration::from_millis(5);
/// The same users in the same order in every demo.
const SEED: u64 = 20_261_123;

/// A running load.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    pacer: JoinHandle<()>,
    ledger: Arc<Mutex<Ledger>>,
}

/// What all requests share.
struct Shared {
    target: SocketAddr,
    clock: Clock,
    /// Idle connections; the one that has been idle longest is used first, so that all stay in use.
    idle: Mutex<VecDeque<SendRequest<Empty<Bytes>>>>,
    ledger: Arc<Mutex<Ledger>>,
    tasks: TaskTracker,
    room: Arc<Semaphore>,
}

// === impl Load ===

impl Load {
    /// Starts sending requests to `target`.
    pub fn start(target: SocketAddr, clock: Clock) -> Self {
        let ledger = Arc::<Mutex<Ledger>>::default();
        let shared = Arc::new(Shared {
            target,
            clock,
            idle: Mutex::default(),
            ledger: Arc::clone(&ledger),
            tasks: TaskTracker::new(),
            room: Arc::new(Semaphore::new(MAX_UNDER_WAY)),
        });
        let stop = CancellationToken::new();
        let pacer = tokio::spawn(pace(shared, stop.clone()));
        Self {
            stop,
            pacer,
            ledger,
        }
    }

    /// Looks at the ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        locked(&self.ledger)
    }

    /// Sends no more, waits for the answers that are outstanding, and gives the ledger.
    pub async fn stop(self) -> Ledger {
        self.stop.cancel();
        if let Err(error) = self.pacer.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
        locked(&self.ledger).clone()
    }
}

/// Sends what is due until `stop`, then waits for the answers: each has its own limit.
async fn pace(shared: Arc<Shared>, stop: CancellationToken) {
    shared.open_connections().await;
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut ticks = tokio::time::interval(PACE);
    let began = shared.clock.now();
    let mut sent = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        let due = due(shared.clock.now().duration_since(began).as_millis());
        for _ in sent..due {
            shared.send(random.usize(0..USERS));
        }
        sent = sent.max(due);
    }
    shared.tasks.close();
    // Under way are requests, each with a limit; connections end when they are dropped.
    while shared.room.available_permits() < MAX_UNDER_WAY {
        tokio::time::sleep(PACE).await;
    }
    locked(&shared.idle).clear();
    let _ = tokio::time::timeout(PATIENCE, shared.tasks.wait()).await;
}

/// The requests that are due after so many milliseconds.
fn due(elapsed: i128) -> u64 {
    u64::try_from(elapsed).unwrap_or(0) * RATE / 1000
}

// === impl Shared ===

impl Shared {
    async fn open_connections(&self) {
        for _ in 0..CONNECTIONS {
            // One that cannot be made now is tried again by the request that needs it.
            if let Ok(connection) = self.connect().await {
                locked(&self.idle).push_back(connection);
            }
        }
    }

    fn send(self: &Arc<Self>, user: usize) {
        let sent = self.clock.now();
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            let exchange = Exchange {
                user,
                sent,
                ended: sent,
                outcome: Outcome::NotSent,
            };
            locked(&self.ledger).record(&exchange);
            return;
        };
        let shared = Arc::clone(self);
        self.tasks
            .spawn(async move { shared.exchange(user, permit).await });
    }

    async fn exchange(&self, user: usize, permit: OwnedSemaphorePermit) {
        let sent = self.clock.now();
        let outcome = tokio::time::timeout(PATIENCE, self.ask(user))
            .await
            .unwrap_or(Ok(Outcome::TimedOut))
            .unwrap_or(Outcome::Broken);
        let exchange = Exchange {
            user,
            sent,
            ended: self.clock.now(),
            outcome,
        };
        locked(&self.ledger).record(&exchange);
        drop(permit);
    }

    async fn ask(&self, user: usize) -> anyhow::Result<Outcome> {
        let mut connection = self.connection().await?;
        let request = Request::get("/")
            .header(header::HOST, "demo")
            .header(USER_HEADER, format!("user-{user}"))
            .body(Empty::new())?;
        let response = connection.send_request(request).await?;
        let outcome = outcome(response.status().as_u16(), response.headers());
        // An answer counts when all of it has come.
        response.into_body().collect().await?;
        if connection.ready().await.is_ok() {
            locked(&self.idle).push_back(connection);
        }
        Ok(outcome)
    }

    async fn connection(&self) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
        loop {
            let idle = locked(&self.idle).pop_front();
            match idle {
                Some(connection) if connection.is_ready() => return Ok(connection),
                // Closed while it was idle.
                Some(_) => {}
                None => return self.connect().await,
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn(async move {
            // How it ended, the request on it has been told.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

fn outcome(status: u16, headers: &HeaderMap) -> Outcome {
    const OK: u16 = 200;
    let version = headers
        .get(VERSION_HEADER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    match version {
        Some(version) if status == OK => Outcome::Answered(Answer {
            version,
            fallback: headers.contains_key(FALLBACK_HEADER),
        }),
        _ => Outcome::Refused(status),
    }
}

/// What the locks guard is never left half changed.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_by_the_clock() {
        let table = [
            (0, 0),
            (1, 0),
            (4, 1),
            (1000, RATE),
            (60_000, 60 * RATE),
            (-5, 0),
        ];
        for (elapsed, expected) in table {
            assert_eq!(due(elapsed), expected, "{elapsed} ms");
        }
    }

    #[test]
    fn an_answer_counts_if_the_app_gave_it_and_it_is_good() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
                .collect()
        };
        let answered = |version, fallback| Outcome::Answered(Answer { version, fallback });
        let table = [
            (200, headers(&[(VERSION_HEADER, "2")]), answered(2, false)),
            (
                200,
                headers(&[(VERSION_HEADER, "1"), (FALLBACK_HEADER, "stable")]),
                answered(1, true),
            ),
            (
                500,
                headers(&[(VERSION_HEADER, "3")]),
                Outcome::Refused(500),
            ),
            (503, headers(&[]), Outcome::Refused(503)),
            // A proxy's own page is no answer of the app.
            (200, headers(&[]), Outcome::Refused(200)),
        ];
        for (status, headers, expected) in table {
            assert_eq!(outcome(status, &headers), expected, "{status} {headers:?}");
        }
    }
}
