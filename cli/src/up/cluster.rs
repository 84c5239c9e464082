//! The cluster: an API server, what makes its objects live, the controller and the proxies.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crds::Rollout;
use ipnet::Ipv4Net;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use local::api::{self, ApiServer, kubeconfig};
use local::clock::Clock;
use local::controllers;
use local::kubelet::images::ImageCommands;
use local::kubelet::logs::Logs;
use local::kubelet::runtime::processes::{Processes, Settings};
use local::kubelet::supervisor::Job;
use local::kubelet::{self, Kubelet};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ask;
use super::fleets::{self, Fleets, Plan};
use super::keep::{Keeper, Kept};
use crate::part::{Exe, Part};

/// How long everything may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(45);
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the controller may take to end when asked to.
const CONTROLLER_GRACE: Duration = Duration::from_secs(4);
/// How long pods and the API server may take to end.
const REST_WITHIN: Duration = Duration::from_secs(5);
/// How many changes a watcher may be behind.
const HISTORY: usize = 10_000;
/// What children inherit of the environment.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "RUST_BACKTRACE"];

/// What a cluster is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the program is, to start its parts.
    pub exe: Exe,
    /// Where everything is kept; a temporary directory if nowhere.
    pub data_dir: Option<PathBuf>,
    /// Where pods get their addresses from.
    pub pod_range: Ipv4Net,
    /// Commands for images that have none in the manifest.
    pub images: ImageCommands,
    /// Proxies of each fleet.
    pub proxies: usize,
}

/// A running cluster. Dropping it ends all its processes, without grace.
pub struct Cluster {
    server: Arc<ApiServer>,
    /// The API server's address.
    pub api: SocketAddr,
    /// The kubeconfig file.
    pub kubeconfig: PathBuf,
    /// Where everything is kept.
    pub dir: PathBuf,
    /// Goes with the cluster if nobody asked for it to be kept.
    _temporary: Option<tempfile::TempDir>,
    /// Holds the controller's port while it is not running.
    _uplink_port: TcpSocket,
    controller: Keeper,
    controller_ready: PathBuf,
    fleets: Arc<Fleets>,
    stop_fleets: CancellationToken,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// Why a cluster does not start.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file or directory cannot be used.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No port of this machine can be had.
    #[error("cannot listen on a port of 127.0.0.1")]
    Port(#[source] io::Error),
    /// The API server does not start.
    #[error("the API server does not start")]
    Server(#[from] api::StartError),
    /// Something is not ready in time.
    #[error("not ready after {READY_WITHIN:?}: {}", .0.join("; "))]
    Late(Vec<String>),
    /// The API server refused.
    #[error("cannot read the Rollouts")]
    Rollouts(#[source] Box<kube::Error>),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            exe: Exe::current(),
            data_dir: None,
            pod_range: kubelet::address::DEFAULT_RANGE,
            images: ImageCommands::default(),
            proxies: 2,
        }
    }
}

/// A range for the pods of one process, so that several clusters on a machine do not take each
/// other's addresses: 127.128.0.0/10 in pieces of 254 addresses (Services have 127.96.0.0/16).
pub fn range_of_process(pid: u32) -> Ipv4Net {
    let [.., high, low] = pid.to_be_bytes();
    Ipv4Net::new_assert(Ipv4Addr::new(127, 128 | (high & 63), low, 0), 24)
}

// === impl Cluster ===

impl Cluster {
    /// Starts everything but the proxies: those start when a Rollout names their fleet. Must be
    /// called inside a tokio runtime.
    pub async fn start(options: Options) -> Result<Self, ClusterError> {
        let (dir, temporary) = directory(options.data_dir.as_deref())?;
        let clock = Clock::system();
        let server = ApiServer::new(api::Config {
            clock,
            // Without a directory of the user's, nobody will ever read it again.
            data_dir: options.data_dir.is_some().then(|| dir.join("api")),
            seed: clock.now().as_nanosecond() as u64,
            history: HISTORY,
        })?;
        server.install_crds(&crds::all())?;
        let logs = Logs::new(dir.join("pods"), clock);
        server.set_log_source(logs.clone());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let api = serve(&server, &mut tasks, &stop).await?;
        let kubeconfig = write_kubeconfig(&dir, api)?;
        let client = server.client_named("sluice-local");
        tasks.spawn(controllers::run_all(client.clone(), clock, stop.clone()));
        tasks.spawn(kubelet(&options, client, clock, logs).run(stop.clone()));
        let (uplink_port, uplink) = hold_port().map_err(ClusterError::Port)?;
        let (controller, controller_ready) = controller(&options.exe, &dir, &kubeconfig, uplink)?;
        let fleets = Fleets::new(Plan {
            exe: options.exe,
            env: inherited(),
            proxies: options.proxies,
            uplink,
            state: dir.join("proxies"),
            logs: dir.join("logs"),
        });
        let stop_fleets = CancellationToken::new();
        let watching = server.client_named("sluice-up");
        tasks.spawn(Arc::clone(&fleets).follow(watching, stop_fleets.clone()));
        Ok(Self {
            server,
            api,
            kubeconfig,
            dir,
            _temporary: temporary,
            _uplink_port: uplink_port,
            controller,
            controller_ready,
            fleets,
            stop_fleets,
            stop,
            tasks,
        })
    }

    /// A client of the API server.
    pub fn client(&self) -> Client {
        self.server.client_named("sluice")
    }

    /// The API server itself.
    pub fn server(&self) -> &Arc<ApiServer> {
        &self.server
    }

    /// The controller's process.
    pub fn controller(&self) -> &Keeper {
        &self.controller
    }

    /// The proxies.
    pub fn fleets(&self) -> &Arc<Fleets> {
        &self.fleets
    }

    /// Where the controller's and the proxies' logs are.
    pub async fn logs(&self) -> Vec<PathBuf> {
        let proxies = self.fleets.logs().await;
        std::iter::once(self.controller.log().to_owned())
            .chain(proxies)
            .collect()
    }

    /// Waits until the controller serves and every proxy of the fleets that Rollouts name listens;
    /// the fleets' addresses.
    pub async fn ready(&self) -> Result<BTreeMap<String, SocketAddr>, ClusterError> {
        let mut missing = Vec::new();
        let wait = async {
            loop {
                missing = self.missing().await?;
                if missing.is_empty() {
                    return Ok(self.fleets.addresses().await);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let waited = tokio::time::timeout(READY_WITHIN, wait).await;
        waited.unwrap_or_else(|_| Err(ClusterError::Late(missing)))
    }

    /// What is not ready yet, in words.
    async fn missing(&self) -> Result<Vec<String>, ClusterError> {
        let mut missing: Vec<_> = self.controller_missing().await.into_iter().collect();
        missing.extend(self.fleets.missing(&self.named_fleets().await?).await);
        Ok(missing)
    }

    async fn controller_missing(&self) -> Option<String> {
        let log = self.controller.log().display();
        let Some(status) = status_of(&self.controller_ready) else {
            return Some(format!("the controller does not listen (its log: {log})"));
        };
        match ask::get(status, "/readyz").await {
            Ok((status, _)) if status.is_success() => None,
            Ok((_, why)) => Some(format!(
                "the controller is not ready: {why} (its log: {log})"
            )),
            Err(why) => Some(format!(
                "the controller does not answer: {why} (its log: {log})"
            )),
        }
    }

    async fn named_fleets(&self) -> Result<BTreeSet<String>, ClusterError> {
        let rollouts: Api<DynamicObject> =
            Api::all_with(self.client(), &ApiResource::erase::<Rollout>(&()));
        let rollouts = rollouts.list(&ListParams::default()).await;
        let rollouts = rollouts.map_err(|error| ClusterError::Rollouts(Box::new(error)))?;
        Ok(fleets::named(&rollouts.items))
    }

    /// Ends everything: proxies finish what is in flight, then the controller, then the pods, then
    /// the API server. Each has its limit. Not cancel-safe: a caller that stops waiting ends the
    /// rest without grace.
    pub async fn shutdown(mut self) {
        self.stop_fleets.cancel();
        self.fleets.stop().await;
        self.controller.stop().await;
        self.stop.cancel();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(REST_WITHIN, rest).await.is_err() {
            tracing::warn!("something of the cluster did not end within {REST_WITHIN:?}");
        }
    }
}

fn directory(
    data_dir: Option<&Path>,
) -> Result<(PathBuf, Option<tempfile::TempDir>), ClusterError> {
    let Some(dir) = data_dir else {
        let made = tempfile::Builder::new().prefix("sluice-").tempdir();
        let made = made.map_err(cannot("make a directory in", &std::env::temp_dir()))?;
        return Ok((made.path().to_owned(), Some(made)));
    };
    std::fs::create_dir_all(dir).map_err(cannot("make", dir))?;
    let dir = std::path::absolute(dir).map_err(cannot("find", dir))?;
    Ok((dir, None))
}

async fn serve(
    server: &Arc<ApiServer>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<SocketAddr, ClusterError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(ClusterError::Port)?;
    let address = listener.local_addr().map_err(ClusterError::Port)?;
    let serving = server.serve(listener, stop.clone());
    tasks.spawn(async move {
        if let Err(error) = serving.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    });
    Ok(address)
}

fn write_kubeconfig(dir: &Path, api: SocketAddr) -> Result<PathBuf, ClusterError> {
    let path = dir.join("kubeconfig");
    let text = kubeconfig(&format!("http://{api}"));
    std::fs::write(&path, text).map_err(cannot("write", &path))?;
    Ok(path)
}

fn kubelet(options: &Options, client: Client, clock: Clock, logs: Arc<Logs>) -> Kubelet {
    let config = kubelet::Config {
        pod_range: options.pod_range,
        ..kubelet::Config::default()
    };
    let settings = Settings {
        shim: options.exe.shim(),
        images: options.images.clone(),
        caller: inherited().into_iter().collect(),
        host_ip: config.host_ip,
    };
    let runtime = Arc::new(Processes::new(client.clone(), settings, logs));
    Kubelet {
        client,
        clock,
        config,
        runtime,
    }
}

fn controller(
    exe: &Exe,
    dir: &Path,
    kubeconfig: &Path,
    uplink: SocketAddr,
) -> Result<(Keeper, PathBuf), ClusterError> {
    let ready_file = dir.join("controller.json");
    // That of an earlier run says nothing about this one.
    let _ = std::fs::remove_file(&ready_file);
    let arguments = [
        ("--kubeconfig", kubeconfig.to_string_lossy().into_owned()),
        ("--uplink-listen", uplink.to_string()),
        ("--status-listen", "127.0.0.1:0".to_owned()),
        // Nobody else competes, and one that was killed must not wait for its own lease to end.
        ("--leader-elect", "false".to_owned()),
        ("--ready-file", ready_file.to_string_lossy().into_owned()),
    ];
    let arguments = arguments
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value]);
    let argv = exe.command(Part::Controller, arguments);
    let log = dir.join("logs").join("controller.log");
    let kept = Kept {
        name: "controller".to_owned(),
        shim: exe.shim(),
        job: Job {
            argv,
            env: inherited(),
            cwd: None,
        },
        log: log.clone(),
        grace: CONTROLLER_GRACE,
    };
    let keeper = Keeper::start(kept).map_err(cannot("write", &log))?;
    Ok((keeper, ready_file))
}

/// The controller's port, also over restarts; proxies know no other. The socket is bound and never
/// listens: the controller may still bind the port, and nobody who asks for any port gets it.
fn hold_port() -> io::Result<(TcpSocket, SocketAddr)> {
    let held = TcpSocket::new_v4()?;
    held.set_reuseaddr(true)?;
    held.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = held.local_addr()?;
    Ok((held, address))
}

fn inherited() -> Vec<(String, String)> {
    let known = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    INHERITED.into_iter().filter_map(known).collect()
}

/// The status address in a file of addresses.
fn status_of(file: &Path) -> Option<SocketAddr> {
    let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    addresses["status"]
        .as_str()?
        .trim_start_matches("http://")
        .parse()
        .ok()
}

fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError + use<> {
    let path = path.to_owned();
    move |source| ClusterError::File {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_have_ranges_of_their_own_that_are_loopback() {
        assert_eq!(range_of_process(1).to_string(), "127.128.1.0/24");
        assert_eq!(range_of_process(0x3fff).to_string(), "127.191.255.0/24");
        assert_ne!(range_of_process(300), range_of_process(301));
        assert!(!range_of_process(4_194_304).contains(&kubelet::address::DEFAULT_RANGE.network()));
    }
}
