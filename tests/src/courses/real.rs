//! Plays scenarios on a real control plane, many at once, each in a namespace of its own: with
//! Argo's controller to record, with ours to compare.
//!
//! Those that kill the controller have one of their own that sees only their namespace; it is why
//! they are played first, before the one that sees all is started.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use controller::clock::Clock;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::DynamicObject;
use kube::{Api, Client, Config};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use super::answers::Answers;
use super::course::Course;
use super::play::play;
use super::recorder::{Recorder, resource};
use super::scenario::Scenario;
use super::stage::{Events, Restart, Stage};

/// How long anything may take that has no limit of its own: the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// A controller as a program.
pub trait Program: Send + Sync + 'static {
    /// Makes what it needs before it is started, in its namespace or for all of them.
    fn prepare<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, ()>;

    /// How it is started: for one namespace, or for all of them. `number` is another one for each
    /// that may run at the same time.
    fn command(&self, namespace: Option<&str>, number: u16) -> Command;

    /// A proxy for the Rollout `web` of a namespace, for the controller of that number; `None` if it
    /// needs none.
    fn proxy(&self, namespace: &str, number: u16) -> Option<Command>;

    /// The events of a namespace that its log tells of, as objects; `None` if what arrives is all.
    fn events(&self, log: &Path, namespace: &str) -> Option<Vec<Value>>;

    /// What it did that no course shows and that it must not do; asked for before it is ended.
    fn complaints<'a>(&'a self, log: &'a Path, number: u16) -> BoxFuture<'a, Vec<String>>;
}

/// A real control plane.
pub struct Real {
    client: Client,
    recorder: Arc<Recorder>,
    answers: Arc<Answers>,
    answers_at: String,
    program: Arc<dyn Program>,
    logs: PathBuf,
    at_once: Arc<Semaphore>,
    complaints: Mutex<Vec<String>>,
    _tasks: JoinSet<()>,
}

/// A process that runs, and can be killed and started again.
struct Running {
    command: Box<dyn Fn() -> Command + Send + Sync>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

// === impl Real ===

impl Real {
    /// The cluster that KUBECONFIG leads to.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn connect(program: Arc<dyn Program>, logs: PathBuf, at_once: usize) -> Self {
        let path = std::env::var("KUBECONFIG").expect("KUBECONFIG");
        let kubeconfig = Kubeconfig::read_from(path).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let client = Client::try_from(config.expect("a cluster")).expect("a client");
        let mut tasks = JoinSet::new();
        let recorder = Recorder::start(&client, &mut tasks).await;
        let answers = Arc::new(Answers::default());
        let address = answers.clone().serve().await;
        clean(&logs).expect("a directory for logs");
        Self {
            client,
            recorder,
            answers,
            answers_at: format!("http://{address}"),
            program,
            logs,
            at_once: Arc::new(Semaphore::new(at_once)),
            complaints: Mutex::default(),
            _tasks: tasks,
        }
    }

    /// Plays every scenario once. `round` makes namespaces different.
    ///
    /// # Panics
    ///
    /// When a namespace cannot be made.
    pub async fn play(self: &Arc<Self>, scenarios: &[Scenario], round: usize) -> Vec<Course> {
        let mut courses = vec![Course::default(); scenarios.len()];
        for restarts in [true, false] {
            let any = |it: &Scenario| it.restarts_controller() == restarts;
            if !scenarios.iter().any(any) {
                continue;
            }
            let whole = if restarts {
                None
            } else {
                Some(self.start(None, 0).await)
            };
            let mut playing = JoinSet::new();
            for (at, scenario) in scenarios.iter().enumerate() {
                if scenario.restarts_controller() == restarts {
                    let (real, scenario) = (self.clone(), scenario.clone());
                    playing.spawn(async move { (at, real.play_one(&scenario, round, at).await) });
                }
            }
            while let Some(played) = playing.join_next().await {
                let (at, course) = played.expect("no panic");
                courses[at] = course;
            }
            if let Some(whole) = whole {
                self.ask(None, 0).await;
                whole.kill().await;
            }
        }
        courses
    }

    /// What the controllers did wrong that no course shows.
    pub async fn complaints(&self) -> Vec<String> {
        self.complaints.lock().await.clone()
    }

    async fn ask(&self, namespace: Option<&str>, number: u16) {
        let found = self.program.complaints(&self.log(namespace), number).await;
        let of = namespace.unwrap_or("the controller");
        let found = found.into_iter().map(|what| format!("{of}: {what}"));
        self.complaints.lock().await.extend(found);
    }

    async fn play_one(self: Arc<Self>, scenario: &Scenario, round: usize, at: usize) -> Course {
        let _turn = self.at_once.acquire().await.expect("never closed");
        let namespace = format!("c{round}-{}", scenario.name);
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .expect("a namespace");
        let number = u16::try_from(at + 1).expect("few scenarios");
        let own = if scenario.restarts_controller() {
            Some(self.start(Some(&namespace), number).await)
        } else {
            None
        };
        let proxy = self
            .proxy(scenario, &namespace, own.as_ref().map_or(0, |_| number))
            .await;
        let stage = Stage {
            client: self.client.clone(),
            namespace: namespace.clone(),
            recorder: self.recorder.clone(),
            answers: self.answers.clone(),
            answers_at: format!("{}/{namespace}", self.answers_at),
            clock: Clock::system(),
            restart: restart(own.clone()),
            events: self.events(&namespace, own.is_some()),
            patience: PATIENCE,
        };
        let course = play(&stage, scenario).await;
        if own.is_some() {
            self.ask(Some(&namespace), number).await;
        }
        self.clear(&namespace).await;
        for process in own.iter().chain(&proxy) {
            process.kill().await;
        }
        course
    }

    /// Takes away what would go on and be work for others. The namespace stays: its end would be more
    /// work than the scenario was, and meanwhile every write in it is refused.
    async fn clear(&self, namespace: &str) {
        for kind in ["Rollout", "AnalysisRun", "Deployment"] {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), namespace, &resource(kind));
            let (how, all) = (DeleteParams::background(), ListParams::default());
            let deleted = api.delete_collection(&how, &all).await;
            deleted.expect("a collection that can be deleted");
        }
    }

    fn events(&self, namespace: &str, own: bool) -> Option<Events> {
        let log = self.log(own.then_some(namespace));
        let (program, namespace) = (self.program.clone(), namespace.to_owned());
        // Asked once beforehand, for whether it is to be asked at the end.
        program.events(&log, &namespace)?;
        Some(Arc::new(move || {
            program.events(&log, &namespace).unwrap_or_default()
        }))
    }

    fn log(&self, namespace: Option<&str>) -> PathBuf {
        self.logs
            .join(format!("{}.log", namespace.unwrap_or("controller")))
    }

    async fn start(&self, namespace: Option<&str>, number: u16) -> Arc<Running> {
        let (program, of) = (self.program.clone(), namespace.map(str::to_owned));
        program.prepare(namespace).await;
        let command = move || program.command(of.as_deref(), number);
        Running::start_with(Box::new(command), self.log(namespace)).await
    }

    async fn proxy(
        &self,
        scenario: &Scenario,
        namespace: &str,
        controller: u16,
    ) -> Option<Arc<Running>> {
        let wanted = scenario.is_routed() && self.program.proxy(namespace, controller).is_some();
        let (program, of) = (self.program.clone(), namespace.to_owned());
        let command = move || program.proxy(&of, controller).expect("as before");
        let log = self.logs.join(format!("{namespace}.proxy.log"));
        if wanted {
            Some(Running::start_with(Box::new(command), log).await)
        } else {
            None
        }
    }
}

/// A directory without the logs of another day: what stands in them would be complained about.
fn clean(logs: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(logs)?;
    for entry in std::fs::read_dir(logs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "log") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn restart(running: Option<Arc<Running>>) -> Restart {
    Arc::new(move || -> BoxFuture<'static, ()> {
        let running = running.clone();
        async move {
            let running = running.expect("a controller of the scenario's own");
            running.kill().await;
            running.start().await;
        }
        .boxed()
    })
}

// === impl Running ===

impl Running {
    async fn start_with(
        command: Box<dyn Fn() -> Command + Send + Sync>,
        log: PathBuf,
    ) -> Arc<Self> {
        let running = Arc::new(Self {
            command,
            log,
            child: Mutex::new(None),
        });
        running.start().await;
        running
    }

    async fn start(&self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log);
        let log = log.expect("a log");
        let mut command = (self.command)();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            // With what it starts: Argo's has a process for each plugin.
            .process_group(0)
            .kill_on_drop(true);
        *self.child.lock().await = Some(command.spawn().expect("a program"));
    }

    async fn kill(&self) {
        if let Some(mut child) = self.child.lock().await.take() {
            let group = child
                .id()
                .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            // It may have ended by itself; its log says why.
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            let _ = child.wait().await;
        }
    }
}
