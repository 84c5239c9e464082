//! The proxies: a fleet for each that a Rollout names, started when it is first named.
//!
//! The proxies of a fleet share one data port (SO_REUSEPORT). A socket of ours is bound to the port
//! and never listens: it gets no connection, and nobody else can take the port while a proxy is
//! started again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crds::{PLUGIN_NAME, Rollout};
use futures::StreamExt as _;
use futures::future::join_all;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use local::kubelet::supervisor::Job;
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::ask;
use super::keep::{Keeper, Kept};
use crate::part::{Exe, Part};

/// More fleets than one machine should run; later ones are refused with a line in the log.
const MAX_FLEETS: usize = 64;
/// How long a proxy may finish what is in flight when it is asked to stop.
const DRAIN: &str = "3s";
/// A little more than that.
const GRACE: Duration = Duration::from_secs(4);

/// What all proxies have in common.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How to start a proxy.
    pub exe: Exe,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Proxies of a fleet.
    pub proxies: usize,
    /// The controller's uplink.
    pub uplink: SocketAddr,
    /// Where proxies keep their state, by fleet and number.
    pub state: PathBuf,
    /// Where their logs go.
    pub logs: PathBuf,
}

/// All fleets that run.
#[derive(Debug)]
pub struct Fleets {
    plan: Plan,
    /// By `namespace/name`; locked while one is started, so that none is started twice.
    running: Mutex<BTreeMap<String, Fleet>>,
}

#[derive(Debug)]
struct Fleet {
    address: SocketAddr,
    /// Holds the port; see the module.
    _port: TcpSocket,
    proxies: Vec<Proxy>,
}

#[derive(Debug)]
struct Proxy {
    keeper: Keeper,
    ready_file: PathBuf,
}

// === impl Fleets ===

impl Fleets {
    /// No fleet yet.
    pub fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            plan,
            running: Mutex::default(),
        })
    }

    /// Starts the fleets of all Rollouts, those to come included, until `stop`.
    pub async fn follow(self: Arc<Self>, client: Client, stop: CancellationToken) {
        let rollouts: Api<DynamicObject> =
            Api::all_with(client, &ApiResource::erase::<Rollout>(&()));
        let changes = watcher(rollouts, watcher::Config::default()).default_backoff();
        let mut seen = pin!(changes.applied_objects());
        loop {
            let rollout = tokio::select! {
                next = seen.next() => next,
                () = stop.cancelled() => return,
            };
            match rollout {
                Some(Ok(rollout)) => self.start_for(&rollout).await,
                Some(Err(error)) => tracing::warn!(%error, "the watch of Rollouts broke"),
                None => return,
            }
        }
    }

    async fn start_for(&self, rollout: &DynamicObject) {
        if let Some(name) = fleet_of(rollout) {
            self.start(&name).await;
        }
    }

    /// Starts the fleet `namespace/name`, unless it runs.
    pub async fn start(&self, name: &str) {
        let mut running = self.running.lock().await;
        if running.contains_key(name) {
            return;
        }
        if running.len() >= MAX_FLEETS {
            tracing::error!(
                fleet = name,
                "is not started: {MAX_FLEETS} fleets run already"
            );
            return;
        }
        match self.plan.start(name) {
            Ok(fleet) => drop(running.insert(name.to_owned(), fleet)),
            Err(error) => tracing::error!(fleet = name, %error, "cannot start a fleet"),
        }
    }

    /// Where each fleet is reached.
    pub async fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        let running = self.running.lock().await;
        running
            .iter()
            .map(|(name, fleet)| (name.clone(), fleet.address))
            .collect()
    }

    /// Which of `wanted` do not listen with every proxy, in words.
    pub async fn missing(&self, wanted: &BTreeSet<String>) -> Vec<String> {
        let running = self.running.lock().await;
        let mut missing = Vec::new();
        for name in wanted {
            match running.get(name) {
                None => missing.push(format!("fleet {name} is not started")),
                Some(fleet) => missing.extend(fleet.missing().await),
            }
        }
        missing
    }

    /// Does something with one proxy of a fleet; false if there is no such proxy.
    pub async fn with_proxy(
        &self,
        fleet: &str,
        number: usize,
        deed: impl AsyncFnOnce(&Keeper),
    ) -> bool {
        let running = self.running.lock().await;
        let Some(proxy) = running
            .get(fleet)
            .and_then(|fleet| fleet.proxies.get(number))
        else {
            return false;
        };
        deed(&proxy.keeper).await;
        true
    }

    /// The status addresses of a fleet's proxies that listen.
    pub async fn status_addresses(&self, fleet: &str) -> Vec<SocketAddr> {
        let running = self.running.lock().await;
        let proxies = running
            .get(fleet)
            .into_iter()
            .flat_map(|fleet| &fleet.proxies);
        proxies.filter_map(Proxy::status).collect()
    }

    /// The logs of all proxies.
    pub async fn logs(&self) -> Vec<PathBuf> {
        let running = self.running.lock().await;
        let proxies = running.values().flat_map(|fleet| &fleet.proxies);
        proxies.map(|proxy| proxy.keeper.log().to_owned()).collect()
    }

    /// Stops all proxies; each has its grace, and all end at the same time.
    pub async fn stop(&self) {
        let fleets = std::mem::take(&mut *self.running.lock().await);
        let proxies = fleets.into_values().flat_map(|fleet| fleet.proxies);
        join_all(proxies.map(|proxy| proxy.keeper.stop())).await;
    }
}

/// The fleets that these Rollouts name.
pub fn named<'a>(rollouts: impl IntoIterator<Item = &'a DynamicObject>) -> BTreeSet<String> {
    rollouts.into_iter().filter_map(fleet_of).collect()
}

/// `namespace/name` of the fleet that a Rollout names: its own name unless another is given. What
/// is wrong with the block otherwise is the controller's to say.
fn fleet_of(rollout: &DynamicObject) -> Option<String> {
    let block = rollout
        .data
        .pointer("/spec/strategy/canary/trafficRouting/plugins")?
        .get(PLUGIN_NAME)?;
    let name = match block.get("fleet") {
        None | Some(Value::Null) => rollout.name_any(),
        Some(name) => name.as_str().filter(|name| is_label(name))?.to_owned(),
    };
    Some(format!("{}/{name}", rollout.namespace()?))
}

/// It becomes part of paths.
fn is_label(name: &str) -> bool {
    let of_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(of_label)
}

// === impl Plan ===

impl Plan {
    fn start(&self, fleet: &str) -> io::Result<Fleet> {
        let port = TcpSocket::new_v4()?;
        port.set_reuseport(true)?;
        port.set_reuseaddr(true)?;
        port.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = port.local_addr()?;
        let proxies = (0..self.proxies).map(|number| self.proxy(fleet, number, address));
        let proxies = proxies.collect::<io::Result<_>>()?;
        Ok(Fleet {
            address,
            _port: port,
            proxies,
        })
    }

    fn proxy(&self, fleet: &str, number: usize, address: SocketAddr) -> io::Result<Proxy> {
        let name = format!("{}-{number}", fleet.replace('/', "-"));
        let state = self.state.join(fleet).join(number.to_string());
        std::fs::create_dir_all(&state)?;
        let ready_file = state.join("addresses.json");
        // That of an earlier run says nothing about this one.
        let _ = std::fs::remove_file(&ready_file);
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let arguments = [
            ("--listen", address.to_string()),
            ("--status", "127.0.0.1:0".to_owned()),
            ("--admin", "127.0.0.1:0".to_owned()),
            ("--controller", format!("http://{}", self.uplink)),
            ("--fleet", fleet.to_owned()),
            ("--proxy-name", name.clone()),
            ("--state-dir", path(&state.join("state"))),
            ("--ready-file", path(&ready_file)),
            ("--drain-delay", "0s".to_owned()),
            ("--drain-timeout", DRAIN.to_owned()),
        ];
        let arguments = arguments
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        let argv = self.exe.command(Part::Proxy, arguments);
        let keeper = Keeper::start(Kept {
            name: format!("proxy {name}"),
            shim: self.exe.shim(),
            job: Job {
                argv,
                env: self.env.clone(),
                cwd: None,
            },
            log: self.logs.join(format!("proxy-{name}.log")),
            grace: GRACE,
        })?;
        Ok(Proxy { keeper, ready_file })
    }
}

// === impl Fleet ===

impl Fleet {
    async fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for proxy in &self.proxies {
            let alive = match proxy.status() {
                Some(status) => ask::get(status, "/livez").await.is_ok(),
                None => false,
            };
            if !alive {
                let log = proxy.keeper.log().display();
                missing.push(format!(
                    "{} does not listen (its log: {log})",
                    proxy.keeper.name()
                ));
            }
        }
        missing
    }
}

// === impl Proxy ===

impl Proxy {
    /// Its status address, once it has told.
    fn status(&self) -> Option<SocketAddr> {
        let text = std::fs::read(&self.ready_file).ok()?;
        let addresses: Value = serde_json::from_slice(&text).ok()?;
        addresses["status"].as_str()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rollout(name: &str, plugins: Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"strategy": {"canary": {"trafficRouting": {"plugins": plugins}}}},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_rollout_names_its_fleet_or_gives_it_its_own_name() {
        let table = [
            (json!({"sluice/proxy": {}}), Some("shop/a")),
            (json!({"sluice/proxy": null}), Some("shop/a")),
            (json!({"sluice/proxy": {"fleet": "web"}}), Some("shop/web")),
            (json!({"sluice/proxy": {"fleet": "../web"}}), None),
            (json!({"sluice/proxy": {"fleet": 3}}), None),
            (json!({"other/plugin": {"fleet": "web"}}), None),
        ];
        for (plugins, expected) in table {
            let found = fleet_of(&rollout("a", plugins.clone()));
            assert_eq!(found.as_deref(), expected, "{plugins}");
        }
    }

    #[test]
    fn rollouts_may_share_a_fleet() {
        let shared = json!({"sluice/proxy": {"fleet": "web"}});
        let rollouts = [rollout("a", shared.clone()), rollout("b", shared)];
        assert_eq!(named(&rollouts), BTreeSet::from(["shop/web".to_owned()]));
    }
}
