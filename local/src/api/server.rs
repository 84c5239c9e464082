//! The server as its users hold it: made from a [`Config`], reached through a client or a port,
//! stopped by dropping it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::Status;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::create::Creation;
use super::door::{self, Door};
use super::faults::{Dice, Faults};
use super::journal::{Journal, JournalError};
use super::kinds::Kind;
use super::logs::LogSource;
use super::refuse::Refusal;
use super::store::State;
use super::tokens::Tokens;
use super::{collect, create};
use crate::clock::Clock;

/// Namespaces that every cluster has.
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public"];

/// How a server is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it gets its time from.
    pub clock: Clock,
    /// Where its state is kept over restarts; without it, it is not.
    pub data_dir: Option<PathBuf>,
    /// The seed of uids and generated names: the same seed and requests give the same names.
    pub seed: u64,
    /// How many changes a watcher may be behind before it is told 410 Gone.
    pub history: usize,
}

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its data directory cannot be used.
    #[error("the data directory cannot be used")]
    Journal(#[from] JournalError),
    /// A definition was refused.
    #[error("definition {name} was refused")]
    Definition {
        /// The definition's name.
        name: String,
        /// Why.
        #[source]
        source: Box<Status>,
    },
    /// An object of the server's own was refused.
    #[error("a first object was refused")]
    First(#[source] Box<Status>),
}

/// A write that is about to be done, as the hook of [`ApiServer::on_write`] sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Who writes: the name given to [`ApiServer::client_named`], or the user agent.
    pub client: String,
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: http::Method,
    /// The plural of the kind.
    pub resource: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Empty for a create and for a delete of a collection.
    pub name: String,
    /// `status`, `scale`, …
    pub subresource: String,
}

/// What the hook decides.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The write goes on.
    Proceed,
    /// The write is refused with this, and nothing changes.
    Refuse(Box<Status>),
}

/// Sees each write before it is done.
type Hook = Arc<dyn Fn(&Write) -> Verdict + Send + Sync>;

/// An in-memory Kubernetes API server.
pub struct ApiServer {
    clock: Clock,
    state: Mutex<State>,
    logs: Mutex<Option<Arc<dyn LogSource>>>,
    hook: Mutex<Option<Hook>>,
    dice: Mutex<Dice>,
    tokens: Mutex<Tokens>,
    /// Wakes the collector of what lost its owner.
    pub(super) garbage: Arc<Notify>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer")
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

impl ApiServer {
    /// A server with what its data directory keeps, or with the first namespaces only. Must be
    /// called inside a tokio runtime, which then runs the collector until the server is dropped.
    pub fn new(config: Config) -> Result<Arc<Self>, StartError> {
        let kept = config.data_dir.as_deref().map(Journal::open).transpose()?;
        // A restart must not hand out the uids of the run before again.
        let begun = kept.as_ref().map_or(0, |(_, _, revision)| *revision);
        let random =
            fastrand::Rng::with_seed(config.seed ^ begun.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut state = State::new(config.history, random);
        if let Some((journal, entries, revision)) = kept {
            state.restore(entries, revision, journal);
        }
        let server = Self::with(config.clock, state);
        server.create_namespaces()?;
        Ok(server)
    }

    /// Another server that begins with everything that this one has (objects, definitions,
    /// revision), in memory only and without its faults, hooks and logs. Cheap: many tests need not
    /// install the same definitions over and over. Must be called inside a tokio runtime.
    pub fn fork(&self, clock: Clock, seed: u64) -> Arc<Self> {
        let state = self.state().fork(fastrand::Rng::with_seed(seed));
        Self::with(clock, state)
    }

    /// A server around a state, with its collector.
    fn with(clock: Clock, state: State) -> Arc<Self> {
        let server = Arc::new(Self {
            clock,
            state: Mutex::new(state),
            logs: Mutex::new(None),
            hook: Mutex::new(None),
            dice: Mutex::new(Dice::default()),
            tokens: Mutex::new(Tokens::default()),
            garbage: Arc::new(Notify::new()),
        });
        tokio::spawn(collect::run(
            Arc::downgrade(&server),
            server.garbage.clone(),
        ));
        server.garbage.notify_one();
        server
    }

    /// A client in this process.
    pub fn client(self: &Arc<Self>) -> kube::Client {
        self.client_named("")
    }

    /// A client in this process whose writes carry a name to the hook of [`Self::on_write`].
    pub fn client_named(self: &Arc<Self>, name: &str) -> kube::Client {
        kube::Client::new(Door::new(self.clone(), name), "default")
    }

    /// Serves a port until told to stop. Open watches end with it.
    pub fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        tokio::spawn(door::serve(self.clone(), listener, stop))
    }

    /// Stores definitions, or brings stored ones up to date. They take effect at once.
    pub fn install_crds(&self, crds: &[CustomResourceDefinition]) -> Result<(), StartError> {
        for crd in crds {
            let name = crd.metadata.name.clone().unwrap_or_default();
            self.install(crd)
                .map_err(|source| StartError::Definition { name, source })?;
        }
        Ok(())
    }

    /// Registers where pod logs come from.
    pub fn set_log_source(&self, source: Arc<dyn LogSource>) {
        *locked(&self.logs) = Some(source);
    }

    /// Puts faults between clients and the store, for tests. Off by default.
    pub fn set_faults(&self, faults: Faults) {
        *locked(&self.dice) = Dice::new(faults);
    }

    /// Calls `hook` before each write (not for dry runs), which may refuse it. Tests count writes
    /// with it, or stop a client for good after any one of them.
    pub fn on_write(&self, hook: impl Fn(&Write) -> Verdict + Send + Sync + 'static) {
        *locked(&self.hook) = Some(Arc::new(hook));
    }

    /// Closes every open watch, as a restart would.
    pub fn drop_watches(&self) {
        self.state().drop_watches();
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.state().revision()
    }

    pub(super) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    pub(super) fn log_source(&self) -> Option<Arc<dyn LogSource>> {
        locked(&self.logs).clone()
    }

    pub(super) fn dice(&self) -> MutexGuard<'_, Dice> {
        locked(&self.dice)
    }

    pub(super) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        locked(&self.tokens)
    }

    pub(super) fn ask_hook(&self, write: &Write) -> Result<(), Refusal> {
        let hook = locked(&self.hook).clone();
        match hook.map_or(Verdict::Proceed, |hook| hook(write)) {
            Verdict::Proceed => Ok(()),
            Verdict::Refuse(status) => Err(status),
        }
    }

    fn create_namespaces(&self) -> Result<(), StartError> {
        let mut state = self.state();
        let Some(kind) = state.kinds.find("", "v1", "namespaces").cloned() else {
            return Ok(());
        };
        for name in NAMESPACES {
            if state.get(&kind, "", name).is_none() {
                let object = json!({"metadata": {"name": name}});
                self.create(&mut state, &kind, object)
                    .map_err(StartError::First)?;
            }
        }
        Ok(())
    }

    fn create(&self, state: &mut State, kind: &Arc<Kind>, object: Value) -> Result<(), Refusal> {
        let creation = Creation::plain(kind.clone(), self.now());
        create::create(state, &creation, object).map(drop)
    }

    fn install(&self, crd: &CustomResourceDefinition) -> Result<(), Refusal> {
        let object = serde_json::to_value(crd)
            .map_err(|error| super::refuse::bad_request(&error.to_string()))?;
        let mut state = self.state();
        let kind = state
            .kinds
            .find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        let Some(kind) = kind.cloned() else {
            return Ok(());
        };
        let name = super::object::name(&object).to_owned();
        let Some(stored) = state.get(&kind, "", &name).cloned() else {
            return self.create(&mut state, &kind, object);
        };
        let mut changed = Value::clone(&stored);
        changed["spec"] = object["spec"].clone();
        let update = super::update::Update::plain(kind, "", &name, self.now());
        super::update::update(&mut state, &update, changed).map(drop)
    }
}

/// No method leaves what a lock guards half changed, so a panic elsewhere does not spoil it.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.garbage.notify_one();
    }
}

/// A server that may be gone.
pub(super) type WeakServer = Weak<ApiServer>;
