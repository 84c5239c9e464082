//! The one way by which a controller under test reaches the API server.
//!
//! What goes through keeps its own token. Every answer is on record, so that a verb that is
//! forbidden is found whatever the controller makes of it. A test may shut the door (the API server
//! is gone), hold back some requests (a write that is on its way), or learn of the moment of a write.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::http::header::{CONNECTION, HOST};
use ::http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// More answers than this no test has.
const MAX_RECORD: usize = 200_000;

/// An answer of the API server.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What was asked.
    pub method: Method,
    /// Of what, with its query.
    pub path: String,
    /// What came back.
    pub status: u16,
}

/// On which side of a write something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The API server never sees it.
    Before,
    /// It is done, and the writer never learns of it.
    After,
}

/// A door. Dropping it cuts every connection.
pub struct Door {
    /// Where it listens, without TLS: it is on this machine.
    pub address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    client: Client,
    record: Mutex<Vec<Answered>>,
    open: watch::Sender<bool>,
    held: watch::Sender<Vec<Held>>,
    waiting: watch::Sender<usize>,
    ambush: Mutex<Option<Ambush>>,
}

/// Requests that wait: their method, and a part of their path.
type Held = (Method, &'static str);

struct Ambush {
    writes_left: usize,
    moment: Moment,
    tell: oneshot::Sender<Answered>,
}

// === impl Answered ===

impl Answered {
    /// Whether it was to change something that matters: Leases and Events come and go by
    /// themselves.
    pub fn is_write(&self) -> bool {
        is_write(&self.method, &self.path)
    }
}

fn is_write(method: &Method, path: &str) -> bool {
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let aside = ["/leases", "/events", "/tokenreviews"];
    writes.contains(method) && !aside.iter().any(|kind| path.contains(kind))
}

// === impl Door ===

impl Door {
    /// A door in front of where `client` leads; `client` must carry no token.
    pub async fn open(client: Client) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            client,
            record: Mutex::default(),
            open: watch::Sender::new(true),
            held: watch::Sender::default(),
            waiting: watch::Sender::new(0),
            ambush: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    /// Cuts every connection and lets nobody in: the API server is gone.
    pub fn shut(&self) {
        self.state.open.send_replace(false);
    }

    /// Lets everybody in again.
    pub fn reopen(&self) {
        self.state.open.send_replace(true);
    }

    /// Requests of this method whose path contains this wait until [`Self::release`].
    pub fn hold(&self, method: Method, part: &'static str) {
        self.state
            .held
            .send_modify(|held| held.push((method, part)));
    }

    /// Waits until a request is held.
    pub async fn holds_one(&self) {
        let mut waiting = self.state.waiting.subscribe();
        let held = waiting.wait_for(|waiting| *waiting > 0).await;
        drop(held.expect("the sender is ours"));
    }

    /// What was held with this part of its path goes on its way.
    pub fn release(&self, part: &'static str) {
        let goes_on = |held: &mut Vec<Held>| held.retain(|(_, of)| *of != part);
        self.state.held.send_modify(goes_on);
    }

    /// Tells of the `number`th write from now (1 is the next), which is never answered: before the
    /// API server sees it, or after.
    pub fn ambush(&self, number: usize, moment: Moment) -> oneshot::Receiver<Answered> {
        let (tell, told) = oneshot::channel();
        *locked(&self.state.ambush) = Some(Ambush {
            writes_left: number,
            moment,
            tell,
        });
        told
    }

    /// All answers so far.
    pub fn record(&self) -> Vec<Answered> {
        locked(&self.state.record).clone()
    }

    /// Answers that refused for want of a right: each is a gap in `deploy/`.
    pub fn forbidden(&self) -> Vec<Answered> {
        let mut record = self.record();
        record.retain(|answered| matches!(answered.status, 401 | 403));
        record
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        if *state.open.borrow() {
            connections.spawn(serve(stream, Arc::clone(&state)));
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let mut open = state.open.subscribe();
    let service = service_fn(|request| pass(Arc::clone(&state), request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = served => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

async fn pass(state: Arc<State>, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(HOST);
    parts.headers.remove(CONNECTION);
    let path = parts.uri.to_string();
    let mut answered = Answered {
        method: parts.method.clone(),
        path,
        status: 0,
    };
    state.wait_while_held(&answered).await;
    let sprung = state.spring(&answered);
    if let Some(Ambush {
        moment: Moment::Before,
        ..
    }) = &sprung
    {
        return never(sprung, answered).await;
    }
    let body = Body::from(body.collect().await?.to_bytes());
    let response = state
        .client
        .send(Request::from_parts(parts, body))
        .await
        .map_err(anyhow::Error::from)?;
    answered.status = response.status().as_u16();
    state.keep(answered.clone());
    match sprung {
        Some(_) => never(sprung, answered).await,
        None => Ok(response),
    }
}

/// Tells, and gives no answer.
async fn never(sprung: Option<Ambush>, answered: Answered) -> anyhow::Result<Response<Body>> {
    if let Some(ambush) = sprung {
        let _ = ambush.tell.send(answered);
    }
    std::future::pending().await
}

impl State {
    async fn wait_while_held(&self, asked: &Answered) {
        let holds = |(method, part): &Held| *method == asked.method && asked.path.contains(part);
        let free = |held: &Vec<Held>| !held.iter().any(holds);
        if free(&self.held.borrow()) {
            return;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        drop(self.held.subscribe().wait_for(free).await);
        self.waiting.send_modify(|waiting| *waiting -= 1);
    }

    fn keep(&self, answered: Answered) {
        let mut record = locked(&self.record);
        assert!(record.len() < MAX_RECORD, "a hot loop: {answered:?}");
        record.push(answered);
    }

    /// The ambush, if this is the write that it waits for.
    fn spring(&self, asked: &Answered) -> Option<Ambush> {
        let mut ambush = locked(&self.ambush);
        let waiting = ambush.as_mut().filter(|_| asked.is_write())?;
        waiting.writes_left = waiting.writes_left.saturating_sub(1);
        (waiting.writes_left == 0).then(|| ambush.take()).flatten()
    }
}

/// What the locks guard is never left half changed.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
