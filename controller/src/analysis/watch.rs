//! Watch: each AnalysisRun is looked at when it changes, when something of it is due, when a
//! measurement or a Job of it has ended, when its proxies have news, and, while the proxies' evidence
//! may decide it, ten times a second.
//!
//! A [`look`] reads memory; only what it changes is written, as a merge patch that relies on the
//! version that was looked at. Measurements outside take their time, so they are tasks of their own,
//! and what they bring is looked at when it comes.

mod events;
mod look;
mod patch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crds::AnalysisRun;
use crds::words::AnalysisPhase;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::{Client, ResourceExt as _};
use tokio::sync::{Notify, broadcast};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::jobs::{self, Concerned, Jobs};
use super::measure::{Means, Measurer, Outcome};
use super::plan::Taken;
use super::providers::job;
use super::providers::sluice_proxy::{Subject, Tests};
use crate::caches::kept::Keep as _;
use crate::caches::kinds::Parsed;
use crate::caches::{Caches, Key as Name};
use crate::clock::Clock;
use crate::kit::Kit;
use crate::metrics::Kind;
use crate::traffic::{RolloutKey, Traffic};

/// Time between two looks at the evidence of a run that it may decide.
const WATCHFUL: SignedDuration = SignedDuration::from_millis(100);

/// How long what one metric measured waits for the others that are being measured: those that end
/// about the same time are judged and written together.
const GATHER: SignedDuration = SignedDuration::from_millis(50);

/// The wait after an error of the API server.
const RETRY: SignedDuration = SignedDuration::from_secs(1);

/// The hash of the canary that a run is about.
const HASH_LABEL: &str = "rollouts-pod-template-hash";

/// What a run is for: `Step`, `Background`, …
const TYPE_LABEL: &str = "rollout-type";

/// Names a run.
type Key = (String, String);

/// What the controller of AnalysisRuns works with.
#[derive(Clone)]
pub struct Setup {
    /// The API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// What the proxies say.
    pub traffic: Arc<dyn Traffic>,
    /// How everything else is measured.
    pub means: Means,
}

/// A run that was seen, or is gone.
type News = (Key, Option<Arc<AnalysisRun>>);

/// Runs that changed since they were looked at last: as many as there are runs, at most.
#[derive(Default)]
struct Inbox {
    news: Mutex<BTreeMap<Key, Option<Arc<AnalysisRun>>>>,
    filled: Notify,
}

struct Controller {
    kit: Kit,
    client: Client,
    clock: Clock,
    traffic: Arc<dyn Traffic>,
    measurer: Arc<Measurer>,
    /// Where Jobs run.
    jobs_client: Client,
    jobs: Jobs,
    runs: BTreeMap<Key, AnalysisRun>,
    /// When each run is looked at next.
    due: BTreeMap<Key, Timestamp>,
    tests: Tests,
    /// Measurements under way.
    tasks: JoinSet<Measured>,
    outside: BTreeMap<Key, Outside>,
    told: u64,
}

/// What is measured outside of one run.
#[derive(Default)]
struct Outside {
    /// Of which run of that name.
    uid: Option<String>,
    /// Measurements under way, by metric, with what calls them off. The creation of a Job is not called
    /// off: somebody has to know that it is there.
    measuring: BTreeMap<String, Option<AbortHandle>>,
    /// Those that came and are not written yet.
    taken: BTreeMap<String, Taken>,
    /// Why the run cannot be carried out.
    unreadable: Option<String>,
}

/// A measurement that came.
struct Measured {
    key: Key,
    uid: Option<String>,
    metric: String,
    outcome: Outcome,
}

/// Measures AnalysisRuns until `stop`, alone.
pub async fn run(setup: Setup, stop: CancellationToken) {
    let over = stop.child_token();
    let Setup {
        client,
        clock,
        traffic,
        means,
    } = setup;
    work(Kit::alone(client, clock, traffic, &over), means, stop).await;
    over.cancel();
}

/// Measures AnalysisRuns until `stop`.
pub async fn work(kit: Kit, means: Means, stop: CancellationToken) {
    let (client, clock) = (kit.client.clone(), kit.clock);
    let news_of_jobs = jobs::watch(&client, &means.jobs, kit.caches.scope());
    let mut controller = Controller {
        jobs_client: means.jobs.cluster.clone().unwrap_or_else(|| client.clone()),
        client,
        clock,
        traffic: kit.traffic.clone(),
        measurer: Arc::new(Measurer::new(means, clock)),
        jobs: Jobs::default(),
        runs: BTreeMap::new(),
        due: BTreeMap::new(),
        tests: Tests::default(),
        tasks: JoinSet::new(),
        outside: BTreeMap::new(),
        told: 0,
        kit,
    };
    stop.run_until_cancelled(controller.work(news_of_jobs))
        .await;
}

// === impl Inbox ===

impl Inbox {
    /// From now on it holds what changes, beginning with what there is.
    fn open(caches: &Caches) -> Arc<Self> {
        let inbox = Arc::<Self>::default();
        let it = inbox.clone();
        caches
            .runs
            .listen(move |change| it.put(change.key, change.new));
        for run in caches.runs.all() {
            inbox.put(&Name::of(run.meta()), Some(&run));
        }
        inbox
    }

    fn put(&self, key: &Name, run: Option<&Arc<Parsed<AnalysisRun>>>) {
        let run = match run.map(|run| &run.object) {
            Some(Ok(run)) => Some(run.clone()),
            Some(Err(error)) => {
                tracing::warn!(key.namespace, key.name, %error, "an AnalysisRun cannot be read");
                return;
            }
            None => None,
        };
        self.news()
            .insert((key.namespace.clone(), key.name.clone()), run);
        self.filled.notify_one();
    }

    /// Takes all; waits until there is something. Cancel-safe.
    async fn take(&self) -> Vec<News> {
        loop {
            let news = std::mem::take(&mut *self.news());
            if !news.is_empty() {
                return news.into_iter().collect();
            }
            self.filled.notified().await;
        }
    }

    fn news(&self) -> MutexGuard<'_, BTreeMap<Key, Option<Arc<AnalysisRun>>>> {
        // Map operations only.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Controller ===

impl Controller {
    async fn work(&mut self, mut news_of_jobs: jobs::Stream) {
        let mut news = self.traffic.changed();
        let inbox = Inbox::open(&self.kit.caches);
        let (gate, clock) = (self.kit.gate.clone(), self.clock);
        loop {
            gate.opened(|| clock.now()).await;
            let wait = self.until_next();
            tokio::select! {
                biased; // The order is of no account, but always the same.
                seen = inbox.take() => seen.into_iter().for_each(|(key, run)| self.saw(key, run)),
                Some(said) = news_of_jobs.next() => self.heard_of_jobs(said),
                Some(measured) = self.tasks.join_next() => {
                    // A task that was called off has nothing to say.
                    if let Ok(measured) = measured {
                        self.came(measured).await;
                    }
                }
                heard = news.recv() => self.heard(heard),
                () = tokio::time::sleep(wait) => self.look_at_due().await,
            }
        }
    }

    fn count(&self, key: &Key, began: Timestamp, failed: bool) {
        let name = Name {
            namespace: key.0.clone(),
            name: key.1.clone(),
        };
        let took = self.clock.now().duration_since(began);
        let took = Duration::try_from(took).unwrap_or_default();
        self.kit.metrics.looked(Kind::AnalysisRun, &name, took);
        if failed {
            self.kit.metrics.failed(Kind::AnalysisRun, &name);
        }
    }

    fn until_next(&self) -> Duration {
        let Some(next) = self.due.values().min() else {
            return Duration::MAX;
        };
        Duration::try_from(next.duration_since(self.clock.now())).unwrap_or_default()
    }

    fn saw(&mut self, key: Key, run: Option<Arc<AnalysisRun>>) {
        let Some(run) = run else {
            return self.gone(&key);
        };
        self.runs.insert(key.clone(), AnalysisRun::clone(&run));
        self.due.insert(key, self.clock.now());
    }

    fn gone(&mut self, key: &Key) {
        self.due.remove(key);
        self.call_off(key);
        if let Some(uid) = self.runs.remove(key).and_then(|run| run.uid()) {
            self.tests.forget(&uid);
        }
    }

    /// The proxies of a Rollout have news: a fuse may have tripped.
    fn heard(&mut self, heard: Result<RolloutKey, broadcast::error::RecvError>) {
        let rollout = heard.ok();
        let now = self.clock.now();
        for (key, run) in &self.runs {
            let concerned = subject(run).is_some_and(|subject| {
                rollout
                    .as_ref()
                    .is_none_or(|rollout| subject.rollout == *rollout)
            });
            if concerned && !is_completed(run) {
                self.due.insert(key.clone(), now);
            }
        }
    }

    async fn look_at_due(&mut self) {
        let now = self.clock.now();
        let due: Vec<Key> = self
            .due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.due.remove(&key);
            let Some(run) = self.runs.get(&key).cloned() else {
                continue;
            };
            let began = self.clock.now();
            let looked = self.look(&run).await;
            self.count(&key, began, looked.is_err());
            match looked {
                Ok(Some(next)) => {
                    self.due.insert(key, next);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(namespace = key.0, name = key.1, %error, "an AnalysisRun could not be written");
                    self.due
                        .insert(key, now.saturating_add(RETRY).unwrap_or(now));
                }
            }
        }
    }

    /// A measurement came: it is looked at, if it is of the run that is there now.
    async fn came(&mut self, measured: Measured) {
        let Measured {
            key,
            uid,
            metric,
            outcome,
        } = measured;
        let taken = outcome.as_ref().ok();
        let job = taken.and_then(|it| job::of_measurement(&it.measurement.metadata, &key.0));
        let current = self.outside.get_mut(&key).filter(|it| it.uid == uid);
        let Some(outside) = current else {
            // The run ended while its Job was made.
            if let Some(job) = job
                && let Err(error) = jobs::delete(&self.jobs_client, &job).await
            {
                tracing::warn!(job = job.name, %error, "a Job of a run that is over could not be deleted");
            }
            return;
        };
        outside.measuring.remove(&metric);
        let now = self.clock.now();
        let at = if outside.measuring.is_empty() {
            now
        } else {
            now.saturating_add(GATHER).unwrap_or(now)
        };
        if let Some(job) = job {
            self.jobs.started(job, key.clone());
        }
        match outcome {
            Ok(taken) => drop(outside.taken.insert(metric, taken)),
            Err(reason) => outside.unreadable = Some(reason),
        }
        let due = self.due.entry(key).or_insert(at);
        *due = at.min(*due);
    }

    fn heard_of_jobs(&mut self, news: jobs::News) {
        let now = self.clock.now();
        match self.jobs.take(news) {
            Concerned::Run(Some(key)) => {
                if self.runs.get(&key).is_some_and(|run| !is_completed(run)) {
                    self.due.insert(key, now);
                }
            }
            Concerned::Run(None) => {}
            Concerned::All => {
                let open = self.runs.iter().filter(|(_, run)| !is_completed(run));
                self.due.extend(open.map(|(key, _)| (key.clone(), now)));
            }
        }
    }

    /// Nothing of the run is measured any more.
    fn call_off(&mut self, key: &Key) {
        self.jobs.forget(key);
        let outside = self.outside.remove(key).into_iter();
        let handles = outside.flat_map(|outside| outside.measuring.into_values());
        for handle in handles.flatten() {
            handle.abort();
        }
    }
}

/// The canary that a run is about: its owner's, with the hash of its label.
fn subject(run: &AnalysisRun) -> Option<Subject> {
    let owner = run
        .owner_references()
        .iter()
        .find(|owner| owner.kind == "Rollout")?;
    Some(Subject {
        rollout: RolloutKey {
            namespace: run.namespace()?,
            name: owner.name.clone(),
        },
        canary: run.labels().get(HASH_LABEL)?.clone(),
    })
}

fn is_completed(run: &AnalysisRun) -> bool {
    let phase = run.status.as_ref().and_then(|status| status.phase.as_ref());
    phase.is_some_and(AnalysisPhase::is_completed)
}

fn key_of(object: &impl kube::ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests;
