//! A kubelet: a client of the API server like any other, that runs each pod of its node.
//!
//! The story, in the order of the modules: the [`node`] is registered; a pod without a node is
//! bound to it ([`schedule`]); every pod gets a worker of its own ([`pod`]) and an [`address`]. The
//! worker takes each container through its life ([`container`], with [`backoff`], [`probe`] and
//! [`hook`]), writes the [`status`] that follows, and tells [`events`]. What starts containers is a
//! [`runtime`]: real processes, with an [`environment`] ([`expand`], [`images`]), [`logs`] and a
//! [`supervisor`] that lets none of them outlive us, or a pretence for tests in virtual time. What
//! processes cannot do is [`refuse`]d.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::{
    address::Addresses,
    container::{DEFAULT_GRACE, Ending, Shared, Why, grace_of},
    events::Events,
    pod::{Worker, first_view},
    runtime::Runtime,
};
use crate::clock::Clock;

mod node;
mod schedule;

pub mod address;
mod pod;

mod backoff;
mod container;
mod hook;
mod probe;

mod events;
mod status;

pub mod runtime;

pub mod environment;
pub mod expand;
pub mod images;
pub mod logs;
mod refuse;
pub mod supervisor;

#[cfg(test)]
mod tests;

/// The pause before the node's registration is tried again.
const RETRY_REGISTER: Duration = Duration::from_secs(1);
/// The longest grace of pods whose object has vanished or whose kubelet stops: nobody waits for
/// them any more.
const SHORT_GRACE: Duration = Duration::from_secs(2);

/// What a kubelet is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of its node.
    pub node: String,
    /// The address of its node.
    pub host_ip: Ipv4Addr,
    /// Where pods get their addresses from.
    pub pod_range: Ipv4Net,
}

/// A kubelet.
pub struct Kubelet {
    /// Its way to the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// What it is to be.
    pub config: Config,
    /// What runs its containers.
    pub runtime: Arc<dyn Runtime>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: "local".to_owned(),
            host_ip: Ipv4Addr::LOCALHOST,
            pod_range: address::DEFAULT_RANGE,
        }
    }
}

impl Kubelet {
    /// Runs pods until `stop`, then ends them all. Not cancel-safe: a caller that drops it leaves
    /// the ending of processes to their supervisors.
    pub async fn run(self, stop: CancellationToken) {
        let registered = tokio::select! {
            biased;
            () = self.register() => true,
            () = stop.cancelled() => false,
        };
        if !registered {
            return;
        }
        let (events, writer) = events::events(self.client.clone(), self.clock, &self.config.node);
        let mut chores = JoinSet::new();
        chores.spawn(writer.run());
        let addresses = Addresses::new(self.config.pod_range);
        let mut workers = Workers {
            kubelet: self,
            events,
            addresses,
            known: HashMap::new(),
            listed: HashSet::new(),
            tasks: JoinSet::new(),
            chores,
        };
        workers.follow(&stop).await;
        workers.end().await;
    }

    async fn register(&self) {
        let config = &self.config;
        while let Err(error) = node::register(
            self.client.clone(),
            self.clock,
            &config.node,
            config.host_ip,
        )
        .await
        {
            tracing::warn!(node = config.node, %error, "cannot register the node");
            tokio::time::sleep(RETRY_REGISTER).await;
        }
    }
}

/// The pods of this node and what runs them.
struct Workers {
    kubelet: Kubelet,
    events: Events,
    addresses: Arc<Addresses>,
    /// By uid: a pod that takes the name of another is another pod.
    known: HashMap<String, Handle>,
    /// The uids that a list in progress has shown so far.
    listed: HashSet<String>,
    /// The workers; each ends with its pod's uid.
    tasks: JoinSet<String>,
    /// Bindings on their way, and the writer of events.
    chores: JoinSet<()>,
}

/// How a worker is told about its pod.
struct Handle {
    seen: watch::Sender<Arc<Pod>>,
    ending: watch::Sender<Option<Ending>>,
}

impl Workers {
    /// Gives every change of a pod to its worker.
    async fn follow(&mut self, stop: &CancellationToken) {
        let pods = Api::<Pod>::all(self.kubelet.client.clone());
        let changes = watcher(pods, watcher::Config::default()).default_backoff();
        let mut changes = pin!(changes);
        loop {
            tokio::select! {
                biased;
                change = changes.next() => match change {
                    Some(change) => self.on(change),
                    None => return,
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                Some(done) = self.chores.join_next() => rethrow(done),
                () = stop.cancelled() => return,
            }
        }
    }

    fn on(&mut self, change: Result<Event<Pod>, watcher::Error>) {
        match change {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(pod)) => {
                self.listed.extend(pod.uid());
                self.seen(pod);
            }
            Ok(Event::InitDone) => self.missing(),
            Ok(Event::Apply(pod)) => self.seen(pod),
            Ok(Event::Delete(pod)) => self.vanished(&pod.uid().unwrap_or_default()),
            Err(error) => tracing::warn!(%error, "the watch of pods broke: starting it again"),
        }
    }

    fn seen(&mut self, pod: Pod) {
        let node = &self.kubelet.config.node;
        if schedule::is_unscheduled(&pod) {
            let client = self.kubelet.client.clone();
            if self.kubelet.runtime.selectors() && !schedule::fits(&pod, &node::labels(node)) {
                let now = self.kubelet.clock.now();
                self.chores.spawn(schedule::turn_down(client, pod, now));
            } else {
                self.chores.spawn(schedule::bind(client, pod, node.clone()));
            }
            return;
        }
        let bound_to = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        let Some(uid) = pod.uid().filter(|_| bound_to == Some(node)) else {
            return;
        };
        let ending = pod.metadata.deletion_timestamp.as_ref().map(|_| {
            let grace = pod.metadata.deletion_grace_period_seconds;
            let seconds = grace.map(|seconds| u64::try_from(seconds).unwrap_or(0));
            Ending {
                grace: seconds.map_or(DEFAULT_GRACE, Duration::from_secs),
                why: Why::Deleted,
            }
        });
        let pod = Arc::new(pod);
        let Some(handle) = self.known.get(&uid) else {
            let handle = self.start(&uid, pod, ending);
            self.known.insert(uid, handle);
            return;
        };
        if let Some(ending) = ending {
            handle.end(ending);
        }
        handle.seen.send_replace(pod);
    }

    fn start(&mut self, uid: &str, pod: Arc<Pod>, ending: Option<Ending>) -> Handle {
        let seen = watch::Sender::new(Arc::clone(&pod));
        let handle = Handle {
            seen,
            ending: watch::Sender::new(ending),
        };
        let worker = Worker {
            client: self.kubelet.client.clone(),
            host_ip: self.kubelet.config.host_ip,
            addresses: Arc::clone(&self.addresses),
            seen: handle.seen.subscribe(),
            shared: Shared {
                view: watch::Sender::new(first_view(&pod)),
                pod,
                runtime: Arc::clone(&self.kubelet.runtime),
                clock: self.kubelet.clock,
                events: self.events.clone(),
                ending: handle.ending.subscribe(),
            },
        };
        let uid = uid.to_owned();
        self.tasks.spawn(async move {
            worker.run().await;
            uid
        });
        handle
    }

    /// What is known and was not in a complete list is gone.
    fn missing(&mut self) {
        let gone: Vec<String> = self
            .known
            .keys()
            .filter(|uid| !self.listed.contains(*uid))
            .cloned()
            .collect();
        for uid in gone {
            self.vanished(&uid);
        }
        self.listed.clear();
    }

    fn vanished(&self, uid: &str) {
        if let Some(handle) = self.known.get(uid) {
            handle.end_shortly(Why::Vanished);
        }
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => drop(self.known.remove(&uid)),
            Err(error) => rethrow(Err(error)),
        }
    }

    /// Ends every pod.
    async fn end(mut self) {
        for handle in self.known.values() {
            handle.end_shortly(Why::Shutdown);
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended);
        }
        self.chores.shutdown().await;
    }
}

impl Handle {
    fn end_shortly(&self, why: Why) {
        let grace = grace_of(&self.seen.borrow()).min(SHORT_GRACE);
        self.end(Ending { grace, why });
    }

    /// An ending may become another one, and only shorter.
    fn end(&self, ending: Ending) {
        self.ending.send_if_modified(|known| {
            let grace = known.map_or(ending.grace, |known| known.grace.min(ending.grace));
            let new = Some(Ending { grace, ..ending });
            let changed = *known != new;
            *known = new;
            changed
        });
    }
}

/// A panic of a task is a panic of the kubelet, not a pod that silently stands still.
fn rethrow(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
