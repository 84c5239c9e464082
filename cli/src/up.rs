//! `sluice up`: a whole cluster on this machine.
//!
//! A [`cluster`] is an API server in this process and, as processes of their own that are [`keep`]
//! running, the controller and the proxies of each fleet ([`fleets`]). Then the [`manifests`] are
//! read and [`apply`]ed, and when all is ready it is told how to reach it. It stays up until
//! SIGINT or SIGTERM; a second one ends it at once.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use ipnet::Ipv4Net;
use local::kubelet::address::DEFAULT_RANGE;
use local::kubelet::images::ImageCommands;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::part::Exe;

pub mod cluster;

pub mod keep;
pub mod log_file;

pub mod fleets;

pub mod apply;
pub mod manifests;

pub mod ask;

pub use cluster::{Cluster, ClusterError, Options};
pub use fleets::Fleets;
pub use keep::Keeper;

/// More proxies of a fleet than this help nobody on one machine.
const MAX_PROXIES: usize = 32;
/// The exit code of who is interrupted twice, as shells have it.
const INTERRUPTED: i32 = 130;

const EXAMPLES: &str = "\
Examples:
  # The manifests of a directory, with a command for an image that has none in them.
  sluice up -f deploy/ --image my-app=./target/debug/my-app

  # Kept over restarts, and told to a script.
  sluice up -f rollout.yaml --data-dir ./cluster --json";

/// What `sluice up` is told.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct UpArgs {
    /// Manifests to apply: a file, or a directory with *.yaml, *.yml and *.json. May be repeated.
    #[arg(short = 'f', long = "filename", value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    /// Where pods get their addresses from. All of 127.0.0.0/8 works without any setup on Linux.
    #[arg(long, value_name = "CIDR", default_value_t = DEFAULT_RANGE)]
    pod_range: Ipv4Net,
    /// The command of an image whose containers have none. May be repeated.
    #[arg(long = "image", value_name = "NAME=COMMAND", value_parser = image)]
    images: Vec<String>,
    /// Where the cluster is kept over restarts. Default: a temporary directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Proxies of each fleet; they share its port.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = proxies)]
    proxies: usize,
    /// Print one line of JSON when everything is ready, and nothing else.
    #[arg(long)]
    json: bool,
}

fn image(text: &str) -> Result<String, String> {
    ImageCommands::default()
        .add(text)
        .map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn proxies(text: &str) -> Result<usize, String> {
    let number = text
        .parse()
        .map_err(|_| format!("{text:?} is not a number"))?;
    let accepted = (1..=MAX_PROXIES).contains(&number);
    accepted
        .then_some(number)
        .ok_or_else(|| format!("1 to {MAX_PROXIES} are accepted"))
}

/// What is told when everything is ready.
#[derive(Debug, Serialize)]
struct Ready<'a> {
    kubeconfig: &'a std::path::Path,
    api: String,
    /// The first fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    fleets: BTreeMap<String, String>,
}

/// Runs `sluice up`.
pub fn main(args: UpArgs) -> ExitCode {
    begin_log();
    let ran = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
        .and_then(|runtime| runtime.block_on(run(args)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("sluice up: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: UpArgs) -> anyhow::Result<()> {
    let mut signals = Signals::watch()?;
    // Before anything starts: a manifest that cannot be read needs no cluster to be found out.
    let manifests = manifests::read_all(&args.files)?;
    let cluster = Cluster::start(args.options()?).await?;
    let stay = async {
        begin(&cluster, &manifests, args.json).await?;
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = stay => ended,
        () = signals.next() => Ok(()),
    };
    if !args.json {
        say("stopping (once more to stop at once)");
    }
    tokio::select! {
        () = cluster.shutdown() => {}
        // Supervisors end whatever is left.
        () = signals.next() => std::process::exit(INTERRUPTED),
    }
    ended
}

/// Applies the manifests, waits until all is ready, and tells so.
async fn begin(
    cluster: &Cluster,
    manifests: &[manifests::Manifest],
    json: bool,
) -> anyhow::Result<()> {
    for manifest in manifests {
        let applied = apply::apply(&cluster.client(), manifest).await?;
        if !json {
            say(&applied.to_string());
        }
    }
    let fleets = cluster.ready().await?;
    let ready = Ready::of(cluster, &fleets);
    if json {
        say(&serde_json::to_string(&ready)?);
    } else {
        say(&ready.in_words(cluster, &cluster.logs().await));
    }
    Ok(())
}

impl UpArgs {
    fn options(&self) -> anyhow::Result<Options> {
        let mut images = ImageCommands::default();
        for image in &self.images {
            images.add(image)?;
        }
        Ok(Options {
            exe: Exe::current(),
            data_dir: self.data_dir.clone(),
            pod_range: self.pod_range,
            images,
            proxies: self.proxies,
        })
    }
}

// === impl Ready ===

impl<'a> Ready<'a> {
    fn of(cluster: &'a Cluster, fleets: &BTreeMap<String, SocketAddr>) -> Self {
        let url = |address: &SocketAddr| format!("http://{address}");
        Self {
            kubeconfig: &cluster.kubeconfig,
            api: url(&cluster.api),
            proxy: fleets.values().next().map(url),
            fleets: fleets
                .iter()
                .map(|(name, address)| (name.clone(), url(address)))
                .collect(),
        }
    }

    fn in_words(&self, cluster: &Cluster, logs: &[PathBuf]) -> String {
        let mut lines = vec![
            String::new(),
            format!("API server   {}", self.api),
            format!("kubeconfig   {}", self.kubeconfig.display()),
        ];
        lines.extend(
            self.fleets
                .iter()
                .map(|(name, url)| format!("fleet        {name}: {url}")),
        );
        lines.push(format!(
            "pods' logs   {}",
            cluster.dir.join("pods").display()
        ));
        lines.extend(
            logs.iter()
                .map(|log| format!("log          {}", log.display())),
        );
        lines.push(String::new());
        lines.push(format!("  export KUBECONFIG={}", self.kubeconfig.display()));
        lines.push("  kubectl get rollouts".to_owned());
        lines.push(String::new());
        lines.push("Ready. Ctrl-C stops everything.".to_owned());
        lines.join("\n")
    }
}

/// What ends us.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

// === impl Signals ===

impl Signals {
    /// From now on signals are ours.
    pub fn watch() -> anyhow::Result<Self> {
        let watch = |kind| signal(kind).context("cannot watch signals");
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one. Cancel-safe.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Warnings of the local cluster go to standard error, more with SLUICE_LOG.
pub(crate) fn begin_log() {
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    // A second start in the same process (tests) keeps the first one's log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}

/// A reader that is gone stops nothing.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}").and_then(|()| std::io::stdout().flush());
}

pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
