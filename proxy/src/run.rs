//! From the command line to the exit code.
//!
//! Arguments, log, TLS provider, listeners, workers, the control thread; then wait for the end. Every
//! listener is bound before anything starts, so that a taken port is an error and not half a proxy.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use clap::Parser;
use serde::Serialize;
use thiserror::Error;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

use crate::accept::{self, Listener, ListenerKind};
use crate::access_log::{AccessLog as Log, AccessLogWriter};
use crate::args::{AccessLog, Command, LogFormat, ServeArgs, Settings, SettingsError, Typed};
use crate::clock::Clock;
use crate::drain::Drain;
use crate::kept::{KeptError, Store};
use crate::state::State;
use crate::worker::{self, Limits, Shared, WorkerConfig, WorkerHandle};

mod ask;
mod check_file;
mod thread;

/// BSD's sysexits and linkerd say 64; the shell and clap say 2.
const WRONG_USAGE: u8 = 2;

/// A running proxy.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    drain: Drain,
    thread: JoinHandle<bool>,
}

/// Where a proxy listens.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    /// Users, in clear.
    pub data: SocketAddr,
    /// Users, over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<SocketAddr>,
    /// `/metrics /livez /readyz`.
    pub status: SocketAddr,
    /// `/config /clusters /drain /fuse/reset`.
    pub admin: SocketAddr,
}

/// Whether SIGTERM and SIGINT drain this proxy. A process that runs several has signals of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// They do.
    Obey,
    /// Only [`Running::drain`] does.
    Ignore,
}

/// Why a proxy did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The arguments make no sense together.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log level is no level.
    #[error("--log-level {0:?} is neither a level nor a list of directives")]
    LogLevel(String),
    /// A port is taken, or not ours to take.
    #[error("cannot listen on {address} (--{flag})")]
    Bind {
        /// Which listener.
        flag: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The access log cannot be opened.
    #[error("cannot open the access log {path}")]
    AccessLog {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The state directory cannot be made.
    #[error("cannot use --state-dir")]
    State(#[from] KeptError),
    /// No thread could be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The addresses cannot be told.
    #[error("cannot write the bound addresses to {path}")]
    Announce {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// All sockets, bound.
struct Listeners {
    data: Vec<Listener>,
    tls: Vec<Listener>,
    status: TcpListener,
    admin: TcpListener,
    addresses: Addresses,
}

/// Does what the command line says; the first argument is the program's name.
pub fn main_from<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let typed = match Typed::try_parse_from(arguments) {
        Ok(typed) => typed,
        Err(usage) => {
            // Help and version go to stdout and are no failure.
            let _ = usage.print();
            return if usage.use_stderr() {
                WRONG_USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match &typed.command {
        Some(Command::Drain(args)) => ask::drain(args),
        Some(Command::Check { file }) => check_file::check(file),
        None => serve(&typed.serve),
    }
}

/// Serves until drained.
fn serve(args: &ServeArgs) -> ExitCode {
    match started(args) {
        Ok(running) => {
            if running.wait() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(problem) => {
            let usage = matches!(problem, StartError::Settings(_) | StartError::LogLevel(_));
            tell(&format!("sluice-proxy: {:#}", anyhow::Error::new(problem)));
            if usage {
                WRONG_USAGE.into()
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn started(args: &ServeArgs) -> Result<Running, StartError> {
    let settings = args.settings()?;
    begin_log(&args.log_level, args.log_format)?;
    let running = start(settings, Signals::Obey)?;
    let line = serde_json::to_string(running.addresses()).expect("addresses are plain strings");
    if let Some(path) = &args.ready_file {
        announce(path, &line).map_err(|source| StartError::Announce {
            path: path.clone(),
            source,
        })?;
    }
    if args.print_addresses {
        // A supervisor that closed our stdout has read what it wanted.
        let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
    }
    Ok(running)
}

/// Starts a proxy in this process.
pub fn start(settings: Settings, signals: Signals) -> Result<Running, StartError> {
    install_tls_provider();
    let store = Store::open(settings.state_dir.clone())?;
    let listeners = Listeners::bind(&settings)?;
    let (log, log_writer) = access_log(&settings.access_log)?;
    let state = State::new(settings.workers, Clock.now());
    let shared = Shared::new(state, log, Limits::default());
    let addresses = listeners.addresses.clone();
    info!(data = %addresses.data, tls = ?addresses.tls, status = %addresses.status,
          admin = %addresses.admin, workers = settings.workers, "listening");
    let workers = spawn_workers(listeners.data, listeners.tls, &shared)?;
    let drain = Drain::new();
    let parts = thread::Parts {
        settings,
        signals,
        store,
        shared,
        workers,
        drain: drain.clone(),
        status: listeners.status,
        admin: listeners.admin,
        log_writer,
    };
    let thread = std::thread::Builder::new().name("control".to_owned());
    let thread = thread
        .spawn(move || thread::run(parts))
        .map_err(StartError::Thread)?;
    Ok(Running {
        addresses,
        drain,
        thread,
    })
}

/// aws-lc-rs is the one provider; whoever installed it before us installed the same.
pub(crate) fn install_tls_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The log of whoever runs several proxies in one process stays.
fn begin_log(level: &str, format: LogFormat) -> Result<(), StartError> {
    let filter = EnvFilter::try_new(level).map_err(|_| StartError::LogLevel(level.to_owned()))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    Ok(())
}

fn access_log(to: &AccessLog) -> Result<(Log, Option<AccessLogWriter>), StartError> {
    let sink: Box<dyn Write + Send> = match to {
        AccessLog::Off => return Ok((Log::off(), None)),
        AccessLog::Stdout => Box::new(io::stdout()),
        AccessLog::File(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let failed = |source| StartError::AccessLog {
                path: path.clone(),
                source,
            };
            Box::new(file.map_err(failed)?)
        }
    };
    let (log, writer) = Log::start(sink).map_err(StartError::Thread)?;
    Ok((log, Some(writer)))
}

fn spawn_workers(
    data: Vec<Listener>,
    tls: Vec<Listener>,
    shared: &Arc<Shared>,
) -> Result<Vec<WorkerHandle>, StartError> {
    let mut tls = tls.into_iter();
    let workers = data.into_iter().enumerate().map(|(index, plain)| {
        let listeners = std::iter::once(plain).chain(tls.next()).collect();
        worker::spawn(WorkerConfig {
            index,
            listeners,
            shared: Arc::clone(shared),
        })
    });
    workers
        .collect::<io::Result<_>>()
        .map_err(StartError::Thread)
}

/// Written beside and renamed, so that whoever waits for the file reads all of it.
fn announce(path: &Path, line: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, format!("{line}\n"))?;
    std::fs::rename(&new, path)
}

/// A line for the person at the terminal, before or without a log.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

// === impl Running ===

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its way to end.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Waits until it has drained; true where that went well. Blocks the calling thread.
    pub fn wait(self) -> bool {
        self.thread.join().unwrap_or_else(|_| {
            error!("the control thread panicked");
            false
        })
    }
}

// === impl Listeners ===

impl Listeners {
    fn bind(settings: &Settings) -> Result<Self, StartError> {
        let workers = settings.workers;
        let plain = |address| accept::bind(address, ListenerKind::Plain, workers);
        let tls = |address| accept::bind(address, ListenerKind::Tls, workers);
        let failed = |flag, address| {
            move |source| StartError::Bind {
                flag,
                address,
                source,
            }
        };
        let data = plain(settings.listen).map_err(failed("listen", settings.listen))?;
        let tls = match settings.listen_tls {
            Some(address) => tls(address).map_err(failed("listen-tls", address))?,
            None => Vec::new(),
        };
        let status =
            TcpListener::bind(settings.status).map_err(failed("status", settings.status))?;
        let admin = TcpListener::bind(settings.admin).map_err(failed("admin", settings.admin))?;
        let first = |listeners: &[Listener]| listeners.first()?.socket.local_addr().ok();
        let addresses = Addresses {
            data: first(&data).unwrap_or(settings.listen),
            tls: first(&tls),
            status: status.local_addr().unwrap_or(settings.status),
            admin: admin.local_addr().unwrap_or(settings.admin),
        };
        Ok(Self {
            data,
            tls,
            status,
            admin,
            addresses,
        })
    }
}
