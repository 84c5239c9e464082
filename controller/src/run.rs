//! The controller put together.
//!
//! Ports first, then the caches, then the lease. Whoever holds it reads the cluster to its end,
//! makes the first documents, and only then serves proxies and starts the planners. Whoever loses
//! it to another stops as a whole: the process ends and is started again as a follower. Whoever
//! cannot renew it only stops writing; its proxies keep their streams.

mod protect;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;

use crate::analysis::Means;
use crate::analysis::providers::{job, prometheus};
use crate::args::{Args, LogFormat};
use crate::caches::{Caches, Reach};
use crate::client::{self, Limits};
use crate::clock::Clock;
use crate::fleets::Fleets;
use crate::kit::Kit;
use crate::leader::{Election, Gate, Leadership, Lost};
use crate::metrics::Metrics;
use crate::publish::Watches;
use crate::uplink_server::{self, BindError, Protection, Serving};
use crate::{analysis, rollout, status_server};

pub use protect::UplinkTls;

/// How a controller runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is watched.
    pub reach: Reach,
    /// Where proxies connect.
    pub uplink_listen: SocketAddr,
    /// How the uplink is protected; without it, it is for loopback only.
    pub uplink_tls: Option<UplinkTls>,
    /// Where health and metrics are.
    pub status_listen: Vec<SocketAddr>,
    /// How many requests may be sent to the API server.
    pub limits: Limits,
    /// How many objects of a kind are looked at at the same time.
    pub looks_at_once: usize,
    /// How the lease is taken.
    pub election: Election,
    /// What metrics are measured with, beside the proxies.
    pub means: Means,
}

/// Why a controller does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The uplink's port.
    #[error("the uplink cannot be served")]
    Uplink(#[from] BindError),
    /// Its TLS.
    #[error("the uplink cannot be served over TLS")]
    Tls(#[from] rustls::Error),
    /// A port.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why a controller ended that nobody stopped.
#[derive(Debug, Error)]
pub enum RunError {
    /// Somebody else leads, or may.
    #[error("no longer the leader")]
    Lost(#[from] Lost),
    /// The uplink's server.
    #[error("the uplink broke")]
    Uplink(#[from] tonic::transport::Error),
}

/// A controller that runs.
#[derive(Debug)]
pub struct Running {
    /// Where proxies connect.
    pub uplink_addr: SocketAddr,
    /// Where health and metrics are.
    pub status_addrs: Vec<SocketAddr>,
    /// What the proxies have and say.
    pub fleets: Arc<Fleets>,
    /// Ends it; it then finishes what it does.
    pub stop: CancellationToken,
    /// Its end.
    pub join: JoinHandle<Result<(), RunError>>,
    serving: watch::Receiver<Serving>,
}

/// What the parts share.
#[derive(Clone)]
struct Shared {
    kit: Kit,
    /// The client that neither waits for turns nor for the lease: the lease's own.
    direct: Client,
    fleets: Arc<Fleets>,
    tasks: TaskTracker,
    stop: CancellationToken,
    means: Means,
}

// === impl Options ===

impl Options {
    /// For one machine: any free port of the uplink, no status port, the lease without competition.
    pub fn local(namespace: &str, identity: &str) -> Self {
        Self {
            reach: Reach::default(),
            uplink_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            uplink_tls: None,
            status_listen: Vec::new(),
            limits: Limits::NONE,
            looks_at_once: Kit::LOOKS_AT_ONCE,
            election: Election {
                competes: false,
                ..Election::new(namespace, identity)
            },
            means: Means::default(),
        }
    }
}

// === impl Running ===

impl Running {
    /// Waits until proxies are served; false when it ended before.
    pub async fn serves(&self) -> bool {
        self.serving
            .clone()
            .wait_for(|serving| *serving == Serving::Serves)
            .await
            .is_ok()
    }
}

/// Starts a controller in this process.
pub async fn start(client: Client, clock: Clock, options: Options) -> Result<Running, StartError> {
    let tls = options.uplink_tls.as_ref();
    let uplink = uplink_server::bind(options.uplink_listen, tls.is_some()).await?;
    let uplink_addr = local_address(&uplink, options.uplink_listen)?;
    let fleets = Arc::new(Fleets::gated(clock, Gate::default()));
    let stop = CancellationToken::new();
    let (told, serving) = watch::channel(Serving::Follows(None));
    let mut status = Vec::new();
    let mut status_addrs = Vec::new();
    for address in &options.status_listen {
        let listener = listen(*address).await?;
        status_addrs.push(local_address(&listener, *address)?);
        status.push(listener);
    }
    let shared = share(client, clock, &options, (fleets.clone(), stop.clone()));
    let shown = Arc::new(status_server::Shown::new(
        &shared.kit,
        fleets.clone(),
        serving.clone(),
    ));
    for listener in status {
        let served = status_server::serve(listener, shown.clone(), stop.clone());
        shared.tasks.spawn(served);
    }
    let protection = protect::protect(&shared, tls, &options.reach.scope, told.subscribe())?;
    let join = tokio::spawn(run(shared, options, (uplink, protection), told));
    Ok(Running {
        uplink_addr,
        status_addrs,
        fleets,
        stop,
        join,
        serving,
    })
}

/// The watches begin here: followers watch too.
fn share(
    direct: Client,
    clock: Clock,
    options: &Options,
    (fleets, stop): (Arc<Fleets>, CancellationToken),
) -> Shared {
    let (tasks, metrics) = (TaskTracker::new(), Arc::<Metrics>::default());
    let gate = fleets.gate().clone();
    let client = client::guarded(
        direct.clone(),
        options.limits,
        gate.clone(),
        clock,
        metrics.clone(),
    );
    let kit = Kit {
        caches: Caches::start(&client, &options.reach, &tasks, &stop),
        client,
        clock,
        traffic: fleets.clone(),
        gate,
        metrics,
        looks_at_once: options.looks_at_once,
    };
    Shared {
        kit,
        direct,
        fleets,
        tasks,
        stop,
        means: options.means.clone(),
    }
}

/// Runs until stopped or until something broke; every task has ended then.
async fn run(
    shared: Shared,
    options: Options,
    uplink: (TcpListener, Protection),
    told: watch::Sender<Serving>,
) -> Result<(), RunError> {
    let Shared {
        kit,
        fleets,
        tasks,
        stop,
        ..
    } = shared.clone();
    let watches = Watches::new(kit.caches.clone(), &kit.client, &tasks, &stop);
    tasks.spawn({
        let (fleets, stop) = (fleets.clone(), stop.clone());
        async move { fleets.watch_deadlines(stop).await }
    });
    let serving = told.subscribe();
    let served = async {
        let served = uplink_server::serve(uplink, fleets, serving, stop.clone()).await;
        stop.cancel();
        served.map_err(RunError::from)
    };
    let led = async {
        let led = lead(shared.clone(), options, watches, told).await;
        stop.cancel();
        led
    };
    let (served, led) = tokio::join!(served, led);
    tasks.close();
    tasks.wait().await;
    // Nothing writes any more: the next leader need not wait.
    if let Some(leadership) = led? {
        leadership.release().await;
    }
    served
}

/// Takes the lease, reads the cluster, serves, and keeps the lease; the lease, where it is still held
/// in the end.
async fn lead(
    shared: Shared,
    options: Options,
    watches: Watches,
    told: watch::Sender<Serving>,
) -> Result<Option<Leadership>, RunError> {
    let Shared {
        kit,
        direct,
        fleets,
        tasks,
        stop,
        ..
    } = shared.clone();
    let follow = |leader| drop(told.send_replace(Serving::Follows(Some(leader))));
    let acquired = options
        .election
        .acquire(direct, kit.clock, kit.gate, follow);
    let mut leadership = tokio::select! {
        leadership = acquired => leadership,
        () = stop.cancelled() => return Ok(None),
    };
    told.send_replace(Serving::Syncing);
    fleets.begin_term(leadership.term);
    tasks.spawn(act(shared, watches, told));
    leadership.keep(&stop).await?;
    Ok(Some(leadership))
}

/// What only the leader does.
async fn act(shared: Shared, watches: Watches, told: watch::Sender<Serving>) {
    let Shared {
        kit,
        fleets,
        tasks,
        stop,
        means,
        ..
    } = shared;
    tokio::select! {
        () = watches.synced() => {}
        () = stop.cancelled() => return,
    }
    let begin = || {
        told.send_replace(Serving::Serves);
        tracing::info!("serving proxies");
        tasks.spawn(rollout::work(kit.clone(), stop.clone()));
        tasks.spawn(analysis::work(kit, means, stop.clone()));
    };
    watches.publish(&fleets, begin).await;
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Listen { address, source };
    TcpListener::bind(address).await.map_err(failed)
}

fn local_address(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    listener
        .local_addr()
        .map_err(|source| StartError::Listen { address, source })
}

/// The program: parses `args` (the first is the program's name), runs, and says how it ended.
pub fn main_from(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    // The first thing of all: rustls takes the process-wide provider when a client is made.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = match Args::read(args) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    log(&args);
    if let Err(message) = args.check() {
        tracing::error!("{message}");
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ended = runtime
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(serve(&args)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is logged. Whatever is asked for, the client of the API server does not tell what that
/// refused: it may quote a Job with the value of a Secret in it.
pub(crate) fn log_filter(level: &str) -> EnvFilter {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let quiet = "kube_client::client=info".parse();
    filter.add_directive(quiet.expect("a constant that parses"))
}

fn log(args: &Args) {
    let filter = log_filter(&args.loglevel);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A program that contains this one may have set up its log before.
    let _ = match args.logformat {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let config = config(args).await.context("no way to an API server")?;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(named(config)).context("no client for the API server")?;
    let clock = Clock::system();
    let mut options = args.options(&namespace, identity(clock));
    options.means = means().await?;
    let running = start(client, clock, options).await?;
    let stop = running.stop.clone();
    tokio::spawn(async move {
        signalled().await;
        stop.cancel();
    });
    if running.serves().await {
        announce(args, &running).context("cannot say where this serves")?;
    }
    running.join.await.context("the controller panicked")??;
    Ok(())
}

async fn config(args: &Args) -> anyhow::Result<Config> {
    let chosen = KubeConfigOptions {
        context: args.context.clone(),
        cluster: args.cluster.clone(),
        user: args.user.clone(),
    };
    let is_chosen = chosen.context.is_some() || chosen.cluster.is_some() || chosen.user.is_some();
    match &args.kubeconfig {
        Some(path) => of_file(path, &chosen).await,
        None if is_chosen => {
            Ok(Config::from_custom_kubeconfig(Kubeconfig::read()?, &chosen).await?)
        }
        None => Ok(Config::infer().await?),
    }
}

async fn of_file(path: &Path, chosen: &KubeConfigOptions) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, chosen).await?)
}

/// The API server's log and metrics then say who asked.
fn named(mut config: Config) -> Config {
    let name = concat!("sluice-controller/", env!("CARGO_PKG_VERSION"));
    let name = http::HeaderValue::from_static(name);
    config.headers.push((http::header::USER_AGENT, name));
    config
}

/// What metrics are measured with, by the variables that Argo has for it.
async fn means() -> anyhow::Result<Means> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let mut means = Means {
        prometheus_address: variable(prometheus::ADDRESS_VARIABLE),
        ..Means::default()
    };
    means.jobs.namespace = variable(job::NAMESPACE_VARIABLE);
    let config = match variable(job::KUBECONFIG_VARIABLE).as_deref() {
        None => return Ok(means),
        Some(job::IN_CLUSTER) => Config::incluster()?,
        Some(path) => of_file(Path::new(path), &KubeConfigOptions::default())
            .await
            .with_context(|| format!("{}={path}", job::KUBECONFIG_VARIABLE))?,
    };
    means.jobs.cluster = Some(Client::try_from(config)?);
    Ok(means)
}

/// Different for each process, so that each start is a transition of the lease.
fn identity(clock: Clock) -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
    format!(
        "{host}_{}_{:x}",
        std::process::id(),
        clock.now().as_microsecond()
    )
}

/// One line of JSON on stdout, and in a file where one is wanted: written aside and renamed, so that
/// nobody reads half of it.
fn announce(args: &Args, running: &Running) -> anyhow::Result<()> {
    use std::io::Write as _;
    let address = |address: SocketAddr| format!("http://{address}");
    let scheme = if args.serves_tls() { "https" } else { "http" };
    let line = serde_json::json!({
        "uplink": format!("{scheme}://{}", running.uplink_addr),
        "status": running.status_addrs.first().copied().map(address),
    });
    if let Some(path) = &args.ready_file {
        let aside = path.with_extension("partial");
        std::fs::write(&aside, format!("{line}\n"))?;
        std::fs::rename(&aside, path)?;
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    Ok(())
}

/// SIGTERM or SIGINT; where neither can be waited for, never.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
