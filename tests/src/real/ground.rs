//! A namespace of its own, with what a cluster would have: a controller, and a fleet of proxies.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cli::part::{Exe, Part};
use cli::up::fleets::{Fleets, Plan};
use cli::up::keep::{Keeper, Kept};
use local::kubelet::supervisor::{Job, SUPERVISE};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::Plane;
use super::door::Door;
use super::rights::{self, Install};
use super::service::Service;
use crate::http::get;
use crate::objects::Objects;
use crate::processes;
use crate::shop::{Shop, Version};
use crate::site::{PrintLogs, ProxyAt};
use crate::wait::{LONG, eventually};

/// How long a controller may take to end when asked to.
const GRACE: Duration = Duration::from_secs(4);
/// A Lease that is short, so that a controller that was killed is soon followed by another.
pub(super) const SHORT_LEASE: [&str; 4] = [
    "--leader-elect=true",
    "--leader-election-lease-duration=3s",
    "--leader-election-renew-deadline=2s",
    "--leader-election-retry-period=500ms",
];

/// A namespace of its own.
pub struct Space {
    /// Dropped first, while the logs are there.
    _logs: PrintLogs,
    /// The control plane.
    pub plane: Plane,
    objects: Objects,
    install: Install,
    program: PathBuf,
    dir: tempfile::TempDir,
}

/// A namespace with a controller and proxies.
pub struct Ground {
    /// Its controller.
    pub controller: Controller,
    /// Where proxies reach it, or another one.
    pub service: Service,
    fleets: Arc<Fleets>,
    space: Space,
}

/// A controller of ours: a process with the rights of `deploy/`, behind a door.
pub struct Controller {
    /// Its way to the API server.
    pub door: Door,
    /// What keeps it running.
    pub keeper: Keeper,
    /// Where proxies reach it.
    pub uplink: SocketAddr,
    ready_file: PathBuf,
    /// Holds its port while it is not running: proxies know no other.
    _port: TcpSocket,
}

// === impl Space ===

impl Space {
    /// Makes the namespace, for controllers that see nothing else. `program` is what runs everything.
    pub async fn new(plane: &Plane, program: &Path, namespace: &str) -> Self {
        Self::with(Install::Namespaced, plane, program, namespace).await
    }

    /// Makes the namespace, for controllers that see the whole cluster.
    pub async fn of_cluster(plane: &Plane, program: &Path, namespace: &str) -> Self {
        Self::with(Install::Cluster, plane, program, namespace).await
    }

    async fn with(install: Install, plane: &Plane, program: &Path, namespace: &str) -> Self {
        plane.kubectl.run(&["create", "namespace", namespace]).await;
        let dir = tempfile::tempdir().expect("a directory");
        Self {
            _logs: PrintLogs::of(dir.path()),
            plane: plane.clone(),
            objects: Objects::of(plane.client.clone(), namespace),
            install,
            program: program.to_owned(),
            dir,
        }
    }

    /// Starts a controller of ours that competes for the namespace's Lease.
    pub async fn controller(&self, name: &str) -> Controller {
        Controller::start(self, name).await
    }

    /// Keeps a program running; its log is printed when the test fails.
    pub fn keep(&self, name: &str, argv: Vec<String>, env: &[(&str, &str)]) -> Keeper {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let kept = Kept {
            name: name.to_owned(),
            shim: Exe::at(&self.program).shim(),
            job: Job {
                argv,
                env: inherited().into_iter().chain(env.iter().map(own)).collect(),
                cwd: None,
            },
            log: self.dir.path().join("logs").join(format!("{name}.log")),
            grace: GRACE,
        };
        Keeper::start(kept).expect("a log that can be written")
    }

    /// The names and numbers of all pods, which say whether any was started again.
    pub async fn pods(&self) -> Vec<Value> {
        let mut pods: Vec<Value> = self.list("v1/pods").await;
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let mut pods: Vec<Value> = pods.iter().map(pod).collect();
        pods.sort_by_key(ToString::to_string);
        pods
    }

    /// Removes it. What it held is waited for, as far as a controller of another test would act on it.
    pub async fn remove(self) {
        let namespace = &self.objects.namespace;
        let rollouts = ["delete", "rollouts", "--all", "-n", namespace];
        self.plane.kubectl.run(&rollouts).await;
        let all = ["delete", "namespace", namespace, "--wait=false"];
        self.plane.kubectl.run(&all).await;
        rights::revoke(&self.plane, namespace).await;
    }
}

fn pod(pod: &Value) -> Value {
    let containers = pod["status"]["containerStatuses"].as_array();
    let restarts = containers.into_iter().flatten();
    let restarts: i64 = restarts
        .filter_map(|container| container["restartCount"].as_i64())
        .sum();
    json!([pod["metadata"]["name"], pod["metadata"]["uid"], restarts])
}

impl Deref for Space {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

// === impl Ground ===

impl Ground {
    /// A controller in a namespace, and so many proxies in each fleet that is started.
    ///
    /// # Panics
    ///
    /// When something does not start.
    pub async fn start(space: Space, proxies: usize) -> Self {
        let controller = space.controller("controller").await;
        let service = Service::to(controller.uplink).await;
        let fleets = Fleets::new(Plan {
            exe: Exe::at(&space.program),
            env: inherited(),
            proxies,
            uplink: service.address,
            state: space.dir.path().join("proxies"),
            logs: space.dir.path().join("logs"),
        });
        Self {
            controller,
            service,
            fleets,
            space,
        }
    }

    /// Starts the proxies of a fleet of this namespace.
    pub async fn start_fleet(&self, name: &str) {
        self.fleets.start(&self.fleet_name(name)).await;
    }

    fn fleet_name(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    /// Applies the shop and waits until its first version serves users.
    pub async fn open(&self, shop: &Shop, version: Version) {
        self.apply(shop.objects(version)).await;
        self.start_fleet("shop").await;
        self.phase("Healthy").await;
        self.proxies_ready("shop").await;
    }

    /// Where users reach a fleet.
    pub async fn fleet(&self, name: &str) -> SocketAddr {
        self.fleets.addresses().await[&self.fleet_name(name)]
    }

    /// The listeners of a fleet's proxies, of those that have told.
    pub fn proxies(&self, name: &str) -> Vec<ProxyAt> {
        let all = self.space.dir.path().join("proxies");
        ProxyAt::of_fleet(&all.join(self.fleet_name(name)))
    }

    /// What all proxies logged.
    pub async fn proxy_logs(&self) -> String {
        let logs = self.fleets.logs().await;
        logs.iter()
            .map(|log| std::fs::read_to_string(log).unwrap_or_default())
            .collect()
    }

    /// Waits until all proxies of a fleet are ready.
    pub async fn proxies_ready(&self, name: &str) -> Vec<ProxyAt> {
        eventually("proxies that are ready", LONG, async || {
            let missing = self.fleets.missing(&[self.fleet_name(name)].into()).await;
            let proxies = self.proxies(name);
            for proxy in &proxies {
                proxy.is_ready().await.then_some(())?;
            }
            missing.is_empty().then_some(proxies)
        })
        .await
    }

    /// Ends everything.
    ///
    /// # Panics
    ///
    /// When the controller lacked a right at any time.
    pub async fn stop(self) {
        self.fleets.stop().await;
        self.controller.stop().await;
        self.space.remove().await;
    }
}

impl Deref for Ground {
    type Target = Space;

    fn deref(&self) -> &Space {
        &self.space
    }
}

// === impl Controller ===

impl Controller {
    async fn start(space: &Space, name: &str) -> Self {
        let door = Door::open(space.plane.passing_client().await).await;
        let own = space.dir.path().join(name);
        std::fs::create_dir_all(&own).expect("a directory");
        let server = format!("http://{}", door.address);
        let place = (space.install, space.namespace.as_str());
        let kubeconfig = rights::grant(&space.plane, place, &own, &server).await;
        let (port, uplink) = hold_port();
        let ready_file = own.join("ready.json");
        let path = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let mut arguments = SHORT_LEASE.map(str::to_owned).to_vec();
        arguments.extend([
            format!("--kubeconfig={}", path(&kubeconfig)),
            format!("--uplink-listen={uplink}"),
            format!("--ready-file={}", path(&ready_file)),
            "--status-listen=127.0.0.1:0".to_owned(),
        ]);
        if space.install == Install::Namespaced {
            arguments.push("--namespaced".to_owned());
        }
        let argv = Exe::at(&space.program).command(Part::Controller, arguments);
        Self {
            door,
            keeper: space.keep(name, argv, &[]),
            uplink,
            ready_file,
            _port: port,
        }
    }

    /// Waits until it leads and serves proxies.
    pub async fn serves(&self) {
        eventually("a controller that serves", LONG, async || {
            let told: Value =
                serde_json::from_slice(&std::fs::read(&self.ready_file).ok()?).ok()?;
            let status = told["status"].as_str()?.trim_start_matches("http://");
            let ready = get(status.parse().ok()?, "/readyz").await?;
            (ready.status == 200).then_some(())
        })
        .await;
    }

    /// Sends a signal to the process itself, which its supervisor does not notice.
    pub fn signal(&self, signal: Signal) {
        let marks = self.ready_file.to_string_lossy().into_owned();
        let ours = i32::try_from(std::process::id()).expect("a process number");
        let all = processes::descendants(ours);
        // Its supervisor's command line is longer by one word, and has the same end.
        let its = all.iter().find(|process| {
            let line = processes::command_line(**process);
            line.contains(&marks) && !line.contains(SUPERVISE)
        });
        let its = its.expect("a controller that runs");
        let pid = Pid::from_raw(its.pid).expect("a process number");
        kill_process(pid, signal).expect("a process of ours");
    }

    /// Everything that it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.keeper.log()).unwrap_or_default()
    }

    /// Ends it.
    ///
    /// # Panics
    ///
    /// When it lacked a right at any time.
    pub async fn stop(self) {
        let log = self.keeper.log().to_owned();
        self.keeper.stop().await;
        let forbidden = self.door.forbidden();
        assert!(forbidden.is_empty(), "deploy/ lacks rights: {forbidden:#?}");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        assert!(!log.contains("forbidden"), "deploy/ lacks rights: {log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// A port that is bound and never listens: its owner may still bind it, nobody else gets it.
fn hold_port() -> (TcpSocket, SocketAddr) {
    let held = TcpSocket::new_v4().expect("a socket");
    held.set_reuseaddr(true).expect("a socket");
    held.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .expect("a free port");
    let address = held.local_addr().expect("an address");
    (held, address)
}

fn inherited() -> Vec<(String, String)> {
    let known = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    ["PATH", "HOME", "LANG", "RUST_BACKTRACE"]
        .into_iter()
        .filter_map(known)
        .collect()
}
