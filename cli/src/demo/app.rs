//! The demo's application: a small HTTP server, three versions of which are released. It keeps a
//! [`ledger`] of its own, so that what the demo says about a version does not come from the proxy
//! that judged it.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Parser;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use local::clock::Clock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub mod ledger;

use ledger::Ledger;

/// The header that names the version which answered.
pub const VERSION_HEADER: &str = "x-demo-version";
/// Where probes go; they are in no ledger.
pub const READINESS_PATH: &str = "/ready";

/// How often a changed ledger is written.
const WRITE_EVERY: Duration = Duration::from_millis(50);
/// How long requests in flight may take once the app is told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// One version of the demo's application.
#[derive(Clone, Debug, Parser)]
#[command(name = "sluice-demo-app")]
struct AppArgs {
    /// Which version to be.
    #[arg(long)]
    version: u8,
    /// The share of requests answered with 500.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    failure_rate: f64,
    /// How long each answer takes, in milliseconds.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// The address to listen on.
    #[arg(long, env = "POD_IP")]
    address: IpAddr,
    /// The port to listen on.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where the ledger goes, as a file of this process's own.
    #[arg(long)]
    ledger_dir: PathBuf,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
    let accepted = (0.0..=1.0).contains(&share);
    accepted
        .then_some(share)
        .ok_or_else(|| format!("{share} is not a share: 0 to 1 is accepted"))
}

/// Runs until SIGTERM; the first argument is the program's name.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let args = match AppArgs::try_parse_from(arguments) {
        Ok(args) => args,
        Err(usage) => usage.exit(),
    };
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
        .and_then(|runtime| runtime.block_on(serve(args)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("demo app: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "standard error is the container's log")]
fn tell(line: &str) {
    eprintln!("{line}");
}

async fn serve(args: AppArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch SIGTERM")?;
    let address = SocketAddr::new(args.address, args.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let app = Arc::new(App::new(args));
    tell(&format!(
        "version {} listens on {address}",
        app.args.version
    ));
    let stop = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut ticks = tokio::time::interval(WRITE_EVERY);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("cannot accept")?;
                stream.set_nodelay(true)?;
                connections.spawn(connection(Arc::clone(&app), stream, stop.clone()));
            }
            _ = ticks.tick() => app.write_if_changed()?,
            Some(ended) = connections.join_next() => ended.context("a connection's task broke")?,
            _ = terminate.recv() => break,
        }
    }
    stop.cancel();
    let last = async { while connections.join_next().await.is_some() {} };
    // Whatever is still open then is cut: the kubelet's patience is longer than ours.
    let _ = tokio::time::timeout(LAST_REQUESTS, last).await;
    app.write_if_changed()
}

async fn connection(app: Arc<App>, stream: tokio::net::TcpStream, stop: CancellationToken) {
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, std::convert::Infallible>(app.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // How a peer leaves is its own affair.
    let _ = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
}

/// The application's state.
struct App {
    args: AppArgs,
    clock: Clock,
    file: PathBuf,
    /// The counts, the dice that decide which request fails, and whether the file lacks something.
    counted: Mutex<Counted>,
}

struct Counted {
    ledger: Ledger,
    random: fastrand::Rng,
    changed: bool,
}

impl App {
    fn new(args: AppArgs) -> Self {
        let pid = std::process::id();
        let file = args
            .ledger_dir
            .join(ledger::file_name(args.version, args.address, pid));
        let counted = Counted {
            ledger: Ledger {
                version: args.version,
                ..Ledger::default()
            },
            // Another seed for each pod, and the same demo every time.
            random: fastrand::Rng::with_seed(match args.address {
                IpAddr::V4(address) => u64::from(u32::from(address)),
                IpAddr::V6(_) => 0,
            }),
            changed: true,
        };
        Self {
            args,
            clock: Clock::system(),
            file,
            counted: Mutex::new(counted),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == READINESS_PATH {
            return self.response(StatusCode::OK, "ready\n".to_owned());
        }
        let fails = self.begin();
        if self.args.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.args.delay_ms)).await;
        }
        if !fails {
            return self.response(StatusCode::OK, format!("version {}\n", self.args.version));
        }
        self.failed();
        self.response(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this version is broken\n".to_owned(),
        )
    }

    /// Counts a request that has come in; whether it is to fail.
    fn begin(&self) -> bool {
        let now = self.clock.now();
        let mut counted = self.counted();
        counted.ledger.received(now);
        counted.changed = true;
        counted.random.f64() < self.args.failure_rate
    }

    /// Counts a request that is about to be answered with a failure.
    fn failed(&self) {
        let now = self.clock.now();
        let mut counted = self.counted();
        counted.ledger.failed(now);
        counted.changed = true;
    }

    fn response(&self, status: StatusCode, text: String) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(VERSION_HEADER, u16::from(self.args.version).into());
        response
    }

    fn write_if_changed(&self) -> anyhow::Result<()> {
        let ledger = {
            let mut counted = self.counted();
            if !std::mem::take(&mut counted.changed) {
                return Ok(());
            }
            counted.ledger.clone()
        };
        ledger
            .write(&self.file)
            .with_context(|| format!("cannot write {}", self.file.display()))
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
