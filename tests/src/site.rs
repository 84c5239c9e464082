//! A whole cluster: the API server, controllers and kubelet in this process; the controller, the
//! proxies and the pods as processes of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use cli::part::Exe;
use cli::up::{Cluster, Options};
use ipnet::Ipv4Net;
use serde_json::Value;

use crate::http::get;
use crate::objects::Objects;
use crate::wait::{LONG, eventually};

/// As much of the end of a log as helps who reads a failure.
const TAIL_LINES: usize = 60;
/// Ranges of pods begin behind the one that people get by default.
const FIRST_RANGE: u8 = 43;

/// A cluster. If a test fails its logs are printed.
pub struct Site {
    /// Dropped first, while the logs are there.
    _logs: PrintLogs,
    /// The cluster itself.
    pub cluster: Cluster,
    objects: Objects,
}

/// A proxy's listeners, for as long as its process lives.
#[derive(Clone, Copy, Debug)]
pub struct ProxyAt {
    /// Users.
    pub data: SocketAddr,
    /// `/metrics /livez /readyz`.
    pub status: SocketAddr,
    /// `/config /clusters`.
    pub admin: SocketAddr,
}

/// The range of pods of the `number`th cluster: those that run at the same time need their own.
pub fn pod_range(number: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(127, FIRST_RANGE + number, 0, 0), 16)
}

// === impl Site ===

impl Site {
    /// A cluster whose parts are run by `program`, with so many proxies in each fleet.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start(program: &Path, number: u8, proxies: usize) -> Self {
        let options = Options {
            exe: Exe::at(program),
            pod_range: pod_range(number),
            proxies,
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.expect("a cluster");
        let objects = Objects::of(cluster.client(), "default");
        Self {
            _logs: PrintLogs::of(&cluster.dir),
            cluster,
            objects,
        }
    }

    /// Waits until everything that was asked for listens.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn ready(&self) {
        self.cluster.ready().await.expect("everything ready");
    }

    /// Where users reach a fleet.
    ///
    /// # Panics
    ///
    /// When there is no such fleet.
    pub async fn fleet(&self, name: &str) -> SocketAddr {
        self.cluster.fleets().addresses().await[name]
    }

    /// The listeners of a fleet's proxies, of those that have told.
    pub fn proxies(&self, fleet: &str) -> Vec<ProxyAt> {
        ProxyAt::of_fleet(&self.cluster.dir.join("proxies").join(fleet))
    }

    /// Ends everything.
    pub async fn stop(self) {
        self.cluster.shutdown().await;
    }
}

/// Most of what is asked of a site is asked of its default namespace.
impl Deref for Site {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

/// Prints the logs of a cluster when it is dropped by a panic.
pub(crate) struct PrintLogs(PathBuf);

impl PrintLogs {
    /// Those in `dir/logs`.
    pub(crate) fn of(dir: &Path) -> Self {
        Self(dir.to_owned())
    }
}

impl Drop for PrintLogs {
    fn drop(&mut self) {
        if std::thread::panicking() {
            print_logs(&self.0);
        }
    }
}

/// Prints the ends of all logs of a cluster's parts.
#[expect(clippy::print_stderr, reason = "what a failed test says")]
pub fn print_logs(dir: &Path) {
    let entries = std::fs::read_dir(dir.join("logs"))
        .into_iter()
        .flatten()
        .flatten();
    for path in entries.map(|entry| entry.path()) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        eprintln!("=== the end of {}\n{}\n", path.display(), tail.join("\n"));
    }
}

// === impl ProxyAt ===

impl ProxyAt {
    /// Those of a fleet whose proxies keep their state in `dir`, of those that have told.
    pub(crate) fn of_fleet(dir: &Path) -> Vec<Self> {
        let numbers = (0..).map(|number| dir.join(format!("{number}")));
        let existing = numbers.take_while(|dir| dir.is_dir());
        existing
            .filter_map(|dir| Self::told(&dir.join("addresses.json")))
            .collect()
    }

    fn told(file: &Path) -> Option<Self> {
        let told: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let address = |name: &str| told[name].as_str()?.parse().ok();
        Some(Self {
            data: address("data")?,
            status: address("status")?,
            admin: address("admin")?,
        })
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        get(self.status, "/readyz")
            .await
            .is_some_and(|answer| answer.status == 200)
    }

    /// What it shows of its configuration.
    pub async fn config(&self) -> Option<Value> {
        let answer = get(self.admin, "/config").await?;
        serde_json::from_str(&answer.body).ok()
    }

    /// The first series of a metric. Fleets of these tests have one split.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let answer = get(self.status, "/metrics").await?;
        let mut lines = answer.body.lines();
        let of_metric = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        lines.find(of_metric)?.rsplit_once(' ')?.1.parse().ok()
    }

    /// The canary's weight in force: 0 where the fuse has tripped.
    pub async fn weight(&self) -> Option<f64> {
        self.metric("sluice_weight_applied").await
    }

    /// Waits until the canary has this weight.
    ///
    /// # Panics
    ///
    /// When it has not in time.
    pub async fn weight_is(&self, weight: u32) {
        let wanted = f64::from(weight);
        let what = format!("weight {weight} in force");
        let is = async || {
            let now = self.weight().await?;
            ((now - wanted).abs() < f64::EPSILON).then_some(())
        };
        eventually(&what, LONG, is).await;
    }
}
