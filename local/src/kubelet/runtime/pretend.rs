//! Containers that are nothing but a promise, for tests in virtual time: they run, become ready
//! after a settable delay, never become ready, or crash, by the labels of their pod. Without a rule
//! of its own a Job's pod ends well, and a pod whose selector matches no node stays where it is: both
//! as with kwok, so that a test sees the same pods here and on a real control plane.
//!
//! Rules are looked at from the newest to the oldest, and a change reaches pods that run already.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Exec, Exit, Happening, Process, Runtime, Start, StartError};

/// The exit code of what a rule crashes.
const CRASHED: i32 = 1;
/// The exit code of what SIGTERM ended.
const TERMINATED: i32 = 128 + 15;
/// The exit code of what SIGKILL ended.
const KILLED: i32 = 128 + 9;

/// Labels that a pod must have for a rule to apply; an empty map is every pod.
pub type Labels = BTreeMap<String, String>;

/// A runtime that pretends. Clones share their rules.
#[derive(Clone, Debug)]
pub struct Pretend {
    rules: Arc<watch::Sender<Vec<Rule>>>,
}

#[derive(Clone, Debug)]
struct Rule {
    labels: Labels,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    ReadyAfter(Duration),
    NeverReady,
    /// Every run ends after the time given, with the code given.
    EndAfter(Duration, i32),
}

impl Pretend {
    /// Every pod is ready `delay` after its start; those of a Job have then done their work instead.
    pub fn new(delay: Duration) -> Self {
        let rule = Rule {
            labels: Labels::new(),
            what: What::ReadyAfter(delay),
        };
        Self {
            rules: Arc::new(watch::Sender::new(vec![rule])),
        }
    }

    /// Pods with `labels` are ready `delay` after their start.
    pub fn ready_after(&self, labels: Labels, delay: Duration) {
        self.rule(labels, What::ReadyAfter(delay));
    }

    /// Pods with `labels` are not ready, from now on.
    pub fn never_ready(&self, labels: Labels) {
        self.rule(labels, What::NeverReady);
    }

    /// Containers of pods with `labels` exit with code 1 `after` their start, again and again.
    pub fn crash(&self, labels: Labels, after: Duration) {
        self.rule(labels, What::EndAfter(after, CRASHED));
    }

    /// Containers of pods with `labels` exit with code 0 `after` their start, as a Job's do.
    pub fn succeed(&self, labels: Labels, after: Duration) {
        self.rule(labels, What::EndAfter(after, 0));
    }

    /// Takes back all rules for exactly these `labels`.
    pub fn forget(&self, labels: &Labels) {
        self.rules
            .send_modify(|rules| rules.retain(|rule| rule.labels != *labels));
    }

    /// A later rule for the same labels replaces the earlier one.
    fn rule(&self, labels: Labels, what: What) {
        self.rules.send_modify(|rules| {
            rules.retain(|rule| rule.labels != labels);
            rules.push(Rule { labels, what });
        });
    }
}

impl Runtime for Pretend {
    fn refuse(&self, _: &Pod) -> Option<String> {
        None
    }

    fn probes(&self) -> bool {
        false
    }

    fn selectors(&self) -> bool {
        true
    }

    fn start(&self, start: Start) -> BoxFuture<'_, Result<Box<dyn Process>, StartError>> {
        let id = format!(
            "{}-{}-{}",
            start.pod.uid().unwrap_or_default(),
            start.container.name,
            start.attempt
        );
        let pretended = Pretended {
            id,
            labels: start.pod.labels().clone(),
            of_a_job: is_of_a_job(&start.pod),
            rules: self.rules.subscribe(),
            started: started(),
            ready: None,
            ended: None,
        };
        Box::pin(async { Ok(Box::new(pretended) as Box<dyn Process>) })
    }

    fn forget(&self, _: &Pod) {}
}

fn is_of_a_job(pod: &Pod) -> bool {
    let mut owners = pod.owner_references().iter();
    owners.any(|owner| owner.controller == Some(true) && owner.kind == "Job")
}

/// The present, as tokio's timer counts it.
fn started() -> Instant {
    tokio::time::sleep(Duration::ZERO).deadline()
}

struct Pretended {
    id: String,
    labels: Labels,
    of_a_job: bool,
    rules: watch::Receiver<Vec<Rule>>,
    started: Instant,
    /// What was told last.
    ready: Option<bool>,
    ended: Option<i32>,
}

impl Pretended {
    fn what(&mut self) -> What {
        let rules = self.rules.borrow_and_update();
        let applies = |rule: &&Rule| {
            rule.labels
                .iter()
                .all(|(key, value)| self.labels.get(key) == Some(value))
        };
        match rules.iter().rev().find(applies) {
            Some(Rule {
                labels,
                what: What::ReadyAfter(delay),
            }) if self.of_a_job && labels.is_empty() => What::EndAfter(*delay, 0),
            Some(rule) => rule.what,
            None => What::NeverReady,
        }
    }

    fn told(&mut self, ready: bool) -> Option<Happening> {
        (self.ready.replace(ready) != Some(ready)).then_some(Happening::Ready(ready))
    }

    async fn happen(&mut self) -> Happening {
        loop {
            if let Some(code) = self.ended {
                return Happening::Exited(Exit {
                    code,
                    message: None,
                });
            }
            let what = self.what();
            let (until, told) = match what {
                What::ReadyAfter(delay) => (Some(delay), self.ready == Some(true)),
                What::EndAfter(delay, _) => (Some(delay), false),
                What::NeverReady => (None, false),
            };
            if told && until.is_some() {
                // Ready and said so: only a rule can change that.
                if self.rules.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            if let Some(happening) = self.wait(what, until).await {
                return happening;
            }
        }
    }

    /// Waits for the time or for another rule.
    async fn wait(&mut self, what: What, until: Option<Duration>) -> Option<Happening> {
        if what == What::NeverReady && self.ready != Some(false) {
            return self.told(false);
        }
        let deadline = until.map(|delay| self.started + delay);
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = due => {}
            changed = self.rules.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
                return None;
            }
        }
        match what {
            What::ReadyAfter(_) => self.told(true),
            What::EndAfter(_, code) => {
                self.ended = Some(code);
                None
            }
            What::NeverReady => None,
        }
    }
}

impl Process for Pretended {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn next(&mut self) -> BoxFuture<'_, Happening> {
        Box::pin(self.happen())
    }

    fn terminate(&mut self) -> BoxFuture<'_, ()> {
        self.ended.get_or_insert(TERMINATED);
        Box::pin(std::future::ready(()))
    }

    fn kill(&mut self) -> BoxFuture<'_, ()> {
        self.ended.get_or_insert(KILLED);
        Box::pin(std::future::ready(()))
    }

    fn exec(&self) -> Exec {
        Arc::new(|_, _| Box::pin(std::future::ready(Ok(()))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(app: &str) -> Labels {
        Labels::from([("app".to_owned(), app.to_owned())])
    }

    async fn started(pretend: &Pretend, app: &str) -> Box<dyn Process> {
        let pod = json!({"metadata": {"name": "p", "uid": "u", "labels": {"app": app}}});
        process(pretend, pod).await
    }

    async fn process(pretend: &Pretend, pod: serde_json::Value) -> Box<dyn Process> {
        let start = Start {
            pod: Arc::new(serde_json::from_value(pod).unwrap()),
            container: Arc::default(),
            pod_ip: std::net::Ipv4Addr::LOCALHOST,
            attempt: 0,
        };
        pretend.start(start).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_follows_the_rules_in_virtual_time() {
        let pretend = Pretend::new(Duration::from_hours(1));
        let mut process = started(&pretend, "a").await;
        let early = tokio::time::timeout(Duration::from_secs(3599), process.next()).await;
        assert!(early.is_err(), "{early:?}");
        assert_eq!(process.next().await, Happening::Ready(true));
        pretend.never_ready(labels("a"));
        assert_eq!(process.next().await, Happening::Ready(false));
        pretend.forget(&labels("a"));
        assert_eq!(process.next().await, Happening::Ready(true));
    }

    #[tokio::test(start_paused = true)]
    async fn crashes_and_successes_reach_only_their_labels() {
        let pretend = Pretend::new(Duration::ZERO);
        pretend.crash(labels("bad"), Duration::from_secs(1));
        pretend.succeed(labels("job"), Duration::from_secs(1));
        let exit = |code| {
            Happening::Exited(Exit {
                code,
                message: None,
            })
        };
        let table = [
            ("bad", exit(1)),
            ("job", exit(0)),
            ("good", Happening::Ready(true)),
        ];
        for (app, expected) in table {
            assert_eq!(started(&pretend, app).await.next().await, expected, "{app}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_of_a_job_ends_well_unless_its_labels_say_otherwise() {
        let pretend = Pretend::new(Duration::ZERO);
        pretend.crash(labels("bad"), Duration::ZERO);
        for (app, code) in [("good", 0), ("bad", 1)] {
            let pod = json!({"metadata": {"name": "p", "labels": {"app": app}, "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true}]}});
            let exit = Exit {
                code,
                message: None,
            };
            let happened = process(&pretend, pod).await.next().await;
            assert_eq!(happened, Happening::Exited(exit), "{app}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminated_container_says_so() {
        let mut process = started(&Pretend::new(Duration::from_secs(9)), "a").await;
        process.terminate().await;
        process.kill().await;
        assert_eq!(
            process.next().await,
            Happening::Exited(Exit {
                code: 143,
                message: None
            })
        );
    }
}
