//! Watch: each AnalysisRun is looked at when it changes, when something of it is due, when its
//! proxies have news, and, while the proxies' evidence may decide it, ten times a second. A look
//! reads memory; only what it changes is written, as a merge patch that relies on the version that
//! was looked at.

mod events;
mod patch;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crds::AnalysisRun;
use crds::words::AnalysisPhase;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::arguments::{self, SecretKey};
use super::plan::{self, Observed, Plan};
use super::providers::sluice_proxy::{Subject, Tests};
use crate::clock::Clock;
use crate::traffic::{RolloutKey, Traffic};

/// Time between two looks at the evidence of a run that it may decide.
const WATCHFUL: SignedDuration = SignedDuration::from_millis(100);

/// The wait after an error of the API server.
const RETRY: SignedDuration = SignedDuration::from_secs(1);

/// The hash of the canary that a run is about.
const HASH_LABEL: &str = "rollouts-pod-template-hash";

/// What a run is for: `Step`, `Background`, …
const TYPE_LABEL: &str = "rollout-type";

/// Names a run.
type Key = (String, String);

struct Controller {
    client: Client,
    clock: Clock,
    traffic: Arc<dyn Traffic>,
    runs: BTreeMap<Key, AnalysisRun>,
    /// When each run is looked at next.
    due: BTreeMap<Key, Timestamp>,
    /// Runs seen since a list began.
    listed: BTreeSet<Key>,
    tests: Tests,
    told: u64,
}

/// Measures AnalysisRuns until `stop`.
pub async fn run(client: Client, clock: Clock, traffic: Arc<dyn Traffic>, stop: CancellationToken) {
    let mut controller = Controller {
        client,
        clock,
        traffic,
        runs: BTreeMap::new(),
        due: BTreeMap::new(),
        listed: BTreeSet::new(),
        tests: Tests::default(),
        told: 0,
    };
    stop.run_until_cancelled(controller.work()).await;
}

// === impl Controller ===

impl Controller {
    async fn work(&mut self) {
        let mut news = self.traffic.changed();
        let all: Api<DeserializeGuard<AnalysisRun>> = Api::all(self.client.clone());
        let events = watcher(all, watcher::Config::default()).default_backoff();
        let mut events = pin!(events);
        loop {
            let wait = self.until_next();
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.saw(event),
                    None => return,
                },
                heard = news.recv() => self.heard(heard),
                () = tokio::time::sleep(wait) => self.look_at_due().await,
            }
        }
    }

    fn until_next(&self) -> Duration {
        let Some(next) = self.due.values().min() else {
            return Duration::MAX;
        };
        Duration::try_from(next.duration_since(self.clock.now())).unwrap_or_default()
    }

    fn saw(&mut self, event: Result<Event<DeserializeGuard<AnalysisRun>>, watcher::Error>) {
        match event {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(run)) => {
                self.listed.insert(key_of(&run));
                self.changed(run);
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<Key> = self
                    .runs
                    .keys()
                    .filter(|key| !listed.contains(*key))
                    .cloned()
                    .collect();
                for key in &gone {
                    self.gone(key);
                }
            }
            Ok(Event::Apply(run)) => self.changed(run),
            Ok(Event::Delete(run)) => self.gone(&key_of(&run)),
            Err(error) => {
                tracing::warn!(%error, "the watch of AnalysisRuns broke; it is started again");
            }
        }
    }

    fn changed(&mut self, run: DeserializeGuard<AnalysisRun>) {
        let key = key_of(&run);
        match run.0 {
            Ok(run) => {
                self.runs.insert(key.clone(), run);
                self.due.insert(key, self.clock.now());
            }
            Err(error) => {
                tracing::warn!(namespace = key.0, name = key.1, %error, "an AnalysisRun cannot be read");
            }
        }
    }

    fn gone(&mut self, key: &Key) {
        self.due.remove(key);
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
            match self.look(&run).await {
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

    /// Looks at a run and does what the plan says; when to look again.
    async fn look(&mut self, run: &AnalysisRun) -> Result<Option<Timestamp>, kube::Error> {
        if run.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let now = self.clock.now();
        let observed = self.observe(run, now).await;
        let plan = plan::plan(run, &observed, now);
        if plan.delete {
            return self.delete(run).await.map(|()| None);
        }
        if !self.write(run, &plan).await? {
            // Somebody else wrote: look again, at what they wrote.
            return Ok(Some(now.saturating_add(WATCHFUL).unwrap_or(now)));
        }
        self.tell(run, &plan.notes).await;
        if plan
            .status
            .phase
            .as_ref()
            .is_some_and(AnalysisPhase::is_completed)
            && let Some(uid) = run.uid()
        {
            self.tests.forget(&uid);
        }
        let watchful = plan
            .watching
            .then(|| now.saturating_add(WATCHFUL).unwrap_or(now));
        Ok(plan.again.into_iter().chain(watchful).min())
    }

    /// What there is to know about a run that is not over.
    async fn observe(&self, run: &AnalysisRun, now: Timestamp) -> Observed {
        let label = |name: &str| run.labels().get(name).map(String::as_str);
        let mut observed = Observed {
            step: label(TYPE_LABEL) != Some("Background"),
            ..Observed::default()
        };
        if is_completed(run) {
            return observed;
        }
        let subject = subject(run);
        observed.fuse = subject.as_ref().and_then(|subject| self.fuse(subject));
        let Ok(checked) = plan::checked(&run.spec, &BTreeMap::new()) else {
            return observed;
        };
        let uid = run.uid().unwrap_or_default();
        for metric in &checked.metrics {
            let look = match &subject {
                Some(subject) => Ok(self
                    .tests
                    .look(&uid, metric, subject, self.traffic.as_ref())),
                None => Err(format!(
                    "no Rollout to measure: the run needs a Rollout as owner and the label {HASH_LABEL}"
                )),
            };
            observed.looks.insert(metric.name.clone(), look);
        }
        let decided = observed
            .looks
            .values()
            .flatten()
            .any(|look| look.verdict.is_worse());
        if decided || plan::is_due(run, &checked, now) {
            self.read_secrets(run, &mut observed).await;
        }
        observed
    }

    fn fuse(&self, subject: &Subject) -> Option<String> {
        let view = self.traffic.view(&subject.rollout, &subject.canary);
        view.fuse
            .filter(|trip| trip.revision == subject.canary)
            .map(|trip| trip.reason)
    }

    /// The Secrets that the run's arguments refer to, read anew each time.
    async fn read_secrets(&self, run: &AnalysisRun, observed: &mut Observed) {
        let secrets: Api<Secret> =
            Api::namespaced(self.client.clone(), &run.namespace().unwrap_or_default());
        for wanted in arguments::secrets(&run.spec) {
            match read_secret(&secrets, &wanted).await {
                Ok(value) => {
                    observed.secrets.insert(wanted, value);
                }
                Err(reason) => observed.unreadable = Some(reason),
            }
        }
    }

    /// Writes what differs. False where the run has changed meanwhile.
    async fn write(&mut self, run: &AnalysisRun, plan: &Plan) -> Result<bool, kube::Error> {
        let before = run.status.clone().unwrap_or_default();
        let Some(change) = patch::of_status(run, &before, &plan.status) else {
            return Ok(true);
        };
        let runs = self.api(run);
        let written = runs
            .patch(
                &run.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&change),
            )
            .await;
        match written {
            Ok(written) => {
                self.runs.insert(key_of(&written), written);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, run: &AnalysisRun) -> Result<(), kube::Error> {
        let only_this = Preconditions {
            uid: run.uid(),
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(only_this),
            ..DeleteParams::background()
        };
        match self.api(run).delete(&run.name_any(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn api(&self, run: &AnalysisRun) -> Api<AnalysisRun> {
        Api::namespaced(self.client.clone(), &run.namespace().unwrap_or_default())
    }

    async fn tell(&mut self, run: &AnalysisRun, notes: &[plan::Note]) {
        for note in notes {
            self.told += 1;
            events::tell(&self.client, run, note, (self.clock.now(), self.told)).await;
        }
    }
}

async fn read_secret(secrets: &Api<Secret>, wanted: &SecretKey) -> Result<String, String> {
    let secret = secrets
        .get(&wanted.secret)
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) => status.message.clone(),
            error => error.to_string(),
        })?;
    let data = secret.data.unwrap_or_default();
    let value = data.get(&wanted.key).ok_or_else(|| {
        format!(
            "key '{}' does not exist in secret '{}'",
            wanted.key, wanted.secret
        )
    })?;
    let text = std::str::from_utf8(&value.0);
    text.map(str::to_owned).map_err(|_| {
        format!(
            "key '{}' of secret '{}' is not UTF-8",
            wanted.key, wanted.secret
        )
    })
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
