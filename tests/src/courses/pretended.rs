//! Plays scenarios on `local`, under virtual time: the API server, the controllers and ours in this
//! process, pods and proxies only pretended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use controller::fetch::pretended::Pretended as Network;
use controller::fetch::{Answer, FetchError};
use controller::traffic::pretended::Pretended;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};
use local::api::{ApiServer, Config as ApiConfig, Verdict};
use local::kubelet::runtime::pretend::{Labels, Pretend};
use local::kubelet::{Config as KubeletConfig, Kubelet};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::answers::Answers;
use super::course::Course;
use super::play::play;
use super::recorder::Recorder;
use super::scenario::Scenario;
use super::stage::{Restart, Stage};
use super::symbols::HASH;

/// How long pods take, as kwok's do.
const READY_AFTER: Duration = Duration::from_millis(300);
/// How often the pretended proxies look for pods.
const DISCOVER_EVERY: Duration = Duration::from_millis(100);
/// How long anything may take, in virtual time.
const PATIENCE: Duration = Duration::from_mins(5);
/// Versions that watchers may be behind.
const HISTORY: usize = 100_000;
/// The namespace; a word that stands in no message.
const NAMESPACE: &str = "c0-pretended";
/// Where answers are; nobody resolves it.
const ANSWERS_AT: &str = "http://answers.test/c0-pretended";
/// The beginning of that, before the path.
const ANSWERS_HOST: &str = "http://answers.test";

/// What came of it.
#[derive(Clone, Debug)]
pub struct Played {
    /// The course.
    pub course: Course,
    /// How many writes the controller made, events not counted.
    pub writes: usize,
}

/// A controller that can be killed.
struct Ours {
    server: Arc<ApiServer>,
    clock: controller::clock::Clock,
    traffic: Arc<Pretended>,
    /// What its metrics are measured with: it reaches the scenario's answers and nobody else.
    means: controller::analysis::Means,
    now: Mutex<CancellationToken>,
}

/// Plays a scenario. With `cut`, the controller dies instead of making its write of that number
/// (from 0), and another one is started.
///
/// # Panics
///
/// When `local` does not start.
pub async fn play_pretended(scenario: &Scenario, cut: Option<usize>) -> Played {
    let origin: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
    let config = ApiConfig {
        clock: local::clock::Clock::starting_at(origin),
        data_dir: None,
        seed: 1,
        history: HISTORY,
    };
    let server = ApiServer::new(config).expect("a server");
    server.install_crds(&crds::all()).expect("our kinds");
    let mut tasks = JoinSet::new();
    let stop = CancellationToken::new();
    let traffic = Arc::new(Pretended::new(usize::from(scenario.is_routed())));
    cluster(&server, origin, (&mut tasks, &stop));
    if scenario.is_routed() {
        tasks.spawn(discover(server.client(), traffic.clone()));
    }
    let clock = controller::clock::Clock::starting_at(origin);
    let answers = Arc::new(Answers::default());
    let ours = Arc::new(Ours {
        server: server.clone(),
        clock,
        traffic,
        means: means(answers.clone()),
        now: Mutex::new(CancellationToken::new()),
    });
    let (writes, dead) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    count(&server, &writes, cut.map(|cut| (cut, dead.clone())));
    tasks.spawn({
        let ours = ours.clone();
        async move {
            dead.notified().await;
            ours.restart();
        }
    });
    make_namespace(server.client()).await;
    let recorder = Recorder::start(&server.client(), &mut tasks).await;
    ours.start();
    let stage = Stage {
        client: server.client(),
        namespace: NAMESPACE.to_owned(),
        recorder,
        answers,
        answers_at: ANSWERS_AT.to_owned(),
        clock,
        restart: restart(ours.clone()),
        events: None,
        patience: PATIENCE,
    };
    let course = play(&stage, scenario).await;
    ours.kill();
    stop.cancel();
    tasks.shutdown().await;
    Played {
        course,
        writes: writes.load(Ordering::Relaxed),
    }
}

/// Whoever kills a controller for what it did is never as fast as it: what it tells of that is told.
const BEFORE_A_KILL: Duration = Duration::from_millis(10);

/// A network on which there is only the service of the answers.
fn means(answers: Arc<Answers>) -> controller::analysis::Means {
    let network = Network::new(move |request| {
        let path = request.url.strip_prefix(ANSWERS_HOST);
        let path = path.ok_or(FetchError::NoSuchHost)?;
        let path = path.split('?').next().unwrap_or_default();
        let (status, body) = answers.get(path);
        Ok(Answer {
            status,
            content_type: Some("application/json".to_owned()),
            body: body.into_bytes(),
        })
    });
    controller::analysis::Means {
        fetch: Arc::new(network),
        ..controller::analysis::Means::default()
    }
}

async fn make_namespace(client: Client) {
    let object = Namespace {
        metadata: ObjectMeta {
            name: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let namespaces: Api<Namespace> = Api::all(client);
    let made = namespaces.create(&PostParams::default(), &object).await;
    made.expect("a namespace");
}

/// Counts the controller's writes; from the deadly one on, they do not arrive.
fn count(server: &ApiServer, writes: &Arc<AtomicUsize>, cut: Option<(usize, Arc<Notify>)>) {
    let writes = writes.clone();
    let deadly = AtomicUsize::new(cut.as_ref().map_or(usize::MAX, |(cut, _)| *cut));
    server.on_write(move |write| {
        if write.client != OURS || write.resource == "events" {
            return Verdict::Proceed;
        }
        let number = writes.fetch_add(1, Ordering::Relaxed);
        if number != deadly.load(Ordering::Relaxed) {
            return Verdict::Proceed;
        }
        if let Some((_, dead)) = &cut {
            dead.notify_one();
        }
        let status = kube::core::Status::failure("the controller is dead", "InternalError");
        Verdict::Refuse(Box::new(status.with_code(500)))
    });
}

/// What the controller's client is called.
const OURS: &str = "ours";

/// Everything of a cluster but the controller.
fn cluster(
    server: &Arc<ApiServer>,
    origin: Timestamp,
    (tasks, stop): (&mut JoinSet<()>, &CancellationToken),
) {
    let clock = local::clock::Clock::starting_at(origin);
    let client = server.client();
    let pretend = Pretend::new(READY_AFTER);
    pretend.never_ready(Labels::from([("ready".to_owned(), "never".to_owned())]));
    tasks.spawn(local::controllers::run_all(
        client.clone(),
        clock,
        stop.clone(),
    ));
    let kubelet = Kubelet {
        client,
        clock,
        config: KubeletConfig::default(),
        runtime: Arc::new(pretend),
    };
    tasks.spawn(kubelet.run(stop.clone()));
}

fn restart(ours: Arc<Ours>) -> Restart {
    Arc::new(move || -> BoxFuture<'static, ()> {
        let ours = ours.clone();
        let killed = async move {
            tokio::time::sleep(BEFORE_A_KILL).await;
            ours.restart();
        };
        killed.boxed()
    })
}

// === impl Ours ===

impl Ours {
    fn start(&self) {
        let stop = CancellationToken::new();
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = stop.clone();
        let client = self.server.client_named(OURS);
        let traffic = self.traffic.clone();
        tokio::spawn(controller::rollout::run(
            client.clone(),
            self.clock,
            traffic.clone(),
            stop.clone(),
        ));
        let setup = controller::analysis::Setup {
            client,
            clock: self.clock,
            traffic,
            means: self.means.clone(),
        };
        tokio::spawn(controller::analysis::run(setup, stop));
    }

    /// As SIGKILL would: nothing of it runs any more.
    fn kill(&self) {
        self.now
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancel();
    }

    fn restart(&self) {
        self.kill();
        self.start();
    }
}

/// The proxies know the ready pods of each revision.
async fn discover(client: Client, traffic: Arc<Pretended>) {
    let pods: Api<Pod> = Api::all(client);
    let mut before = BTreeMap::new();
    loop {
        let list = pods.list(&ListParams::default()).await;
        let mut endpoints: BTreeMap<String, usize> = BTreeMap::new();
        let items = list.map(|list| list.items).unwrap_or_default();
        for pod in items.iter().filter(|pod| is_ready(pod)) {
            if let Some(hash) = pod.labels().get(HASH) {
                *endpoints.entry(hash.clone()).or_default() += 1;
            }
        }
        if endpoints != before {
            traffic.reach(endpoints.clone());
            before = endpoints;
        }
        tokio::time::sleep(DISCOVER_EVERY).await;
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|conditions| {
            let ready = |condition: &k8s_openapi::api::core::v1::PodCondition| {
                condition.type_ == "Ready" && condition.status == "True"
            };
            conditions.iter().any(ready)
        })
}
