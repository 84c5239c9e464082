//! The life of one container: start, watch, end, and again as the restart policy says.
//!
//! One async method per state, the program counter is the state: [`Life::live`] is the whole life,
//! [`Life::once`] one run of it, [`Life::watch`] a run that has started, [`Life::end`] its end.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
        ContainerStateWaiting, ContainerStatus, Pod,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use tokio::sync::{mpsc, watch};

use super::{
    backoff::Backoff,
    events::{Events, Tone},
    hook,
    probe::{NEWS, News, Probes},
    runtime::{Exec, Exit, Happening, Process, Runtime, Start},
    status::View,
};
use crate::clock::Clock;

/// The pause before a container that could not be started is tried again.
const RETRY_START: Duration = Duration::from_secs(5);
/// The grace of a pod that does not say, as Kubernetes has it.
pub(super) const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Why and how a pod is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) grace: Duration,
    pub(super) why: Why,
}

/// Who ends a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody deleted it, and we report when it has ended.
    Deleted,
    /// It is not there any more: there is nobody to report to.
    Vanished,
    /// The kubelet stops.
    Shutdown,
}

/// What all containers of a pod share.
pub(super) struct Shared {
    pub(super) pod: Arc<Pod>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) view: watch::Sender<View>,
    pub(super) ending: watch::Receiver<Option<Ending>>,
}

/// Which container of a pod.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Init(usize),
    Main(usize),
}

/// One container and its pod.
pub(super) struct Life<'a> {
    pub(super) shared: &'a Shared,
    pub(super) which: Which,
    pub(super) container: Arc<Container>,
    pub(super) pod_ip: std::net::Ipv4Addr,
}

impl Life<'_> {
    /// Until the container has ended for good; true if it ended well.
    pub(super) async fn live(&self) -> bool {
        let mut backoff = Backoff::default();
        let mut attempt = self.restarts_so_far();
        loop {
            let Some((exit, began)) = self.once(attempt).await else {
                return false;
            };
            let ended = self.shared.clock.now();
            self.report_end(&exit, began, ended);
            if self.is_ending() || !self.restarts(exit.code) {
                return exit.code == 0;
            }
            let pause = backoff.after(ended.duration_since(began).unsigned_abs());
            if !pause.is_zero() && !self.back_off(pause).await {
                return false;
            }
            attempt = attempt.saturating_add(1);
        }
    }

    /// One run; none if the pod was ended before it began.
    async fn once(&self, attempt: u32) -> Option<(Exit, Timestamp)> {
        let process = loop {
            let start = Start {
                pod: Arc::clone(&self.shared.pod),
                container: Arc::clone(&self.container),
                pod_ip: self.pod_ip,
                attempt,
            };
            let started = tokio::select! {
                biased;
                started = self.shared.runtime.start(start) => started,
                () = self.ending() => return None,
            };
            match started {
                Ok(process) => break process,
                Err(error) => {
                    self.wait_because(error.reason, &error.message);
                    self.tell(
                        Tone::Warning,
                        "Failed",
                        &format!("Error: {}", error.message),
                    );
                }
            }
            if !self.pause(RETRY_START).await {
                return None;
            }
        };
        let began = self.shared.clock.now();
        self.report_start(began, attempt, process.id());
        self.tell(
            Tone::Normal,
            "Started",
            &format!("Started container {}", self.container.name),
        );
        Some((self.watch(process).await, began))
    }

    /// A running container, until it has ended.
    async fn watch(&self, mut process: Box<dyn Process>) -> Exit {
        let exec = process.exec();
        let (sender, mut news) = mpsc::channel(NEWS);
        let mut probes = std::pin::pin!(self.probes(exec.clone(), sender));
        let mut gates = Gates::default();
        let mut told = None;
        loop {
            let heard = tokio::select! {
                biased;
                happening = process.next() => Heard::Runtime(happening),
                Some(news) = news.recv() => Heard::Probes(news),
                () = &mut probes => continue,
                () = self.ending() => Heard::Ending,
            };
            match heard {
                Heard::Runtime(Happening::Exited(exit)) => return exit,
                Heard::Runtime(Happening::Ready(ready)) => gates.runtime = ready,
                Heard::Probes(News::Started) => gates.started = true,
                Heard::Probes(News::Ready(ready)) => gates.probes = ready,
                Heard::Probes(News::Unhealthy(kind, why)) => {
                    let message = format!("{} probe failed: {why}", kind.word());
                    // The same failure is told once, not with every look.
                    if told.replace(message.clone()) != Some(message.clone()) {
                        self.tell(Tone::Warning, "Unhealthy", &message);
                    }
                }
                Heard::Probes(News::Restart(kind)) => {
                    let name = &self.container.name;
                    let kind = kind.word().to_lowercase();
                    let why = format!("Container {name} failed {kind} probe, will be restarted");
                    return self.end(process, &exec, &why).await;
                }
                Heard::Ending => {
                    let why = format!("Stopping container {}", self.container.name);
                    return self.end(process, &exec, &why).await;
                }
            }
            self.report_gates(gates);
        }
    }

    async fn probes(&self, exec: Exec, news: mpsc::Sender<News>) {
        if self.shared.runtime.probes() && matches!(self.which, Which::Main(_)) {
            return Probes {
                container: &self.container,
                pod_ip: self.pod_ip,
                exec,
                news,
            }
            .watch()
            .await;
        }
        // Both fit into the queue, and the loop that reads it is polling this.
        let _ = news.send(News::Started).await;
        let _ = news.send(News::Ready(true)).await;
        std::future::pending::<()>().await;
    }

    /// The hook, SIGTERM, and SIGKILL when the grace is over.
    async fn end(&self, mut process: Box<dyn Process>, exec: &Exec, why: &str) -> Exit {
        self.tell(Tone::Normal, "Killing", why);
        self.report_gates(Gates::default());
        let polite = async {
            let hook = hook::pre_stop(&self.container, self.pod_ip, exec);
            tokio::select! {
                biased;
                ran = hook => if let Err(why) = ran {
                    self.tell(Tone::Warning, "FailedPreStopHook", &format!("PreStopHook failed: {why}"));
                },
                exit = exited(&mut *process) => return exit,
            }
            process.terminate().await;
            exited(&mut *process).await
        };
        tokio::select! {
            biased;
            exit = polite => return exit,
            () = self.grace_over() => {}
        }
        process.kill().await;
        exited(&mut *process).await
    }

    /// The pod's grace, or what is left of it when somebody shortens it.
    async fn grace_over(&self) {
        let mut ending = self.shared.ending.clone();
        loop {
            let grace = ending
                .borrow_and_update()
                .map_or_else(|| grace_of(&self.shared.pod), |e| e.grace);
            tokio::select! {
                biased;
                () = tokio::time::sleep(grace) => return,
                changed = ending.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Waits in CrashLoopBackOff; false if the pod was ended meanwhile.
    async fn back_off(&self, pause: Duration) -> bool {
        let name = &self.container.name;
        let message = format!(
            "back-off {}s restarting failed container={name}",
            pause.as_secs()
        );
        self.wait_because("CrashLoopBackOff", &message);
        self.tell(
            Tone::Warning,
            "BackOff",
            &format!("Back-off restarting failed container {name}"),
        );
        let again = self.pause(pause).await;
        if !again {
            self.report(|status| status.state = status.last_state.clone());
        }
        again
    }

    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = tokio::time::sleep(pause) => true,
            () = self.ending() => false,
        }
    }

    async fn ending(&self) {
        let mut ending = self.shared.ending.clone();
        // Whoever ends pods outlives them; if it does not, that is an end too.
        let _ = ending.wait_for(Option::is_some).await;
    }

    fn is_ending(&self) -> bool {
        self.shared.ending.borrow().is_some()
    }

    fn restarts(&self, code: i32) -> bool {
        let spec = self.shared.pod.spec.as_ref();
        let policy = spec
            .and_then(|spec| spec.restart_policy.as_deref())
            .unwrap_or("Always");
        match (policy, self.which) {
            ("Never", _) => false,
            ("OnFailure", _) | (_, Which::Init(_)) => code != 0,
            _ => true,
        }
    }

    fn tell(&self, tone: Tone, reason: &str, message: &str) {
        self.shared
            .events
            .tell(&self.shared.pod, tone, reason, message);
    }

    fn restarts_so_far(&self) -> u32 {
        let view = self.shared.view.borrow();
        let status = match self.which {
            Which::Init(at) => view.inits.get(at),
            Which::Main(at) => view.mains.get(at),
        };
        status.map_or(0, |status| u32::try_from(status.restart_count).unwrap_or(0))
    }

    fn wait_because(&self, reason: &str, message: &str) {
        let waiting = ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
        };
        self.report(|status| {
            status.state = Some(ContainerState {
                waiting: Some(waiting.clone()),
                ..ContainerState::default()
            });
        });
    }

    fn report_start(&self, began: Timestamp, attempt: u32, id: String) {
        let running = ContainerStateRunning {
            started_at: Some(Time(began)),
        };
        self.report(|status| {
            status.state = Some(ContainerState {
                running: Some(running.clone()),
                ..ContainerState::default()
            });
            status.restart_count = i32::try_from(attempt).unwrap_or(i32::MAX);
            status.container_id = Some(id.clone());
        });
    }

    fn report_end(&self, exit: &Exit, began: Timestamp, ended: Timestamp) {
        let reason = if exit.code == 0 { "Completed" } else { "Error" };
        self.report(|status| {
            let terminated = ContainerStateTerminated {
                exit_code: exit.code,
                reason: Some(reason.to_owned()),
                message: exit.message.clone(),
                started_at: Some(Time(began)),
                finished_at: Some(Time(ended)),
                container_id: status.container_id.clone(),
                signal: None,
            };
            let state = ContainerState {
                terminated: Some(terminated),
                ..ContainerState::default()
            };
            status.last_state = Some(state.clone());
            status.state = Some(state);
            status.started = Some(false);
            status.ready = matches!(self.which, Which::Init(_)) && exit.code == 0;
        });
    }

    fn report_gates(&self, gates: Gates) {
        self.report(|status| {
            status.started = Some(gates.started);
            status.ready = matches!(self.which, Which::Main(_))
                && gates.started
                && gates.runtime
                && gates.probes;
        });
    }

    /// Changes this container's status and wakes the reporter if that changed anything.
    fn report(&self, change: impl FnOnce(&mut ContainerStatus)) {
        self.shared.view.send_if_modified(|view| {
            let status = match self.which {
                Which::Init(at) => view.inits.get_mut(at),
                Which::Main(at) => view.mains.get_mut(at),
            };
            let Some(status) = status else { return false };
            let before = status.clone();
            change(status);
            *status != before
        });
    }
}

/// What must hold for a container to be ready.
#[derive(Clone, Copy, Debug, Default)]
struct Gates {
    runtime: bool,
    started: bool,
    probes: bool,
}

enum Heard {
    Runtime(Happening),
    Probes(News),
    Ending,
}

async fn exited(process: &mut dyn Process) -> Exit {
    loop {
        if let Happening::Exited(exit) = process.next().await {
            return exit;
        }
    }
}

/// The grace that the pod's spec gives.
pub(super) fn grace_of(pod: &Pod) -> Duration {
    let seconds = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.termination_grace_period_seconds);
    seconds.map_or(DEFAULT_GRACE, |s| {
        Duration::from_secs(u64::try_from(s).unwrap_or(0))
    })
}
