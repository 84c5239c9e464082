//! Plays a scenario: makes its objects, does its actions, and says what happened.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;

use super::course::{Course, Happening};
use super::scenario::{Action, Scenario, Target};
use super::stage::Stage;
use super::symbols::{HASH, Symbols};

/// The annotation with a revision's number.
const REVISION: &str = "rollout.argoproj.io/revision";
/// How long nothing may change before a scenario is over.
const QUIET: u64 = 4;
/// The condition that sets its own limit.
const WITHIN: &str = "within";
/// The field that says whether the spec was observed.
const OBSERVED: &str = "rollout.~observed";

/// Why a scenario was not played to its end.
#[derive(Debug, Error)]
pub enum PlayError {
    /// It never came to something.
    #[error("it never came to {wanted}; there was:\n{state}")]
    Never {
        /// To what.
        wanted: String,
        /// What there was instead.
        state: String,
    },
    /// The API server refused something.
    #[error("refused")]
    Refused(#[from] kube::Error),
    /// There is no such revision.
    #[error("no revision {0} to go back to")]
    NoRevision(u64),
}

/// A scenario under way.
struct Play<'a> {
    stage: &'a Stage,
    news: watch::Receiver<u64>,
}

/// Plays a scenario to its end.
pub async fn play(stage: &Stage, scenario: &Scenario) -> Course {
    let script = scenario.script(&stage.namespace, &stage.answers_at);
    let symbols = Symbols::new(&stage.namespace, &stage.answers_at);
    let news = stage.recorder.listen(&stage.namespace, symbols);
    let mut play = Play { stage, news };
    let mut failure = None;
    for object in script.objects() {
        if let Err(error) = stage.apply(&object).await {
            let name = &object["metadata"]["name"];
            failure = Some(format!("{} {name}: {error}", object["kind"]));
        }
    }
    let actions = script.actions.iter().enumerate();
    let over = Action::Settle(QUIET);
    for (at, action) in actions.chain([(script.actions.len(), &over)]) {
        if failure.is_some() {
            break;
        }
        if let Err(error) = play.act(action).await {
            failure = Some(format!("action {at} ({action:?}): {}", told(&error)));
        }
    }
    if let Some(events) = &stage.events {
        stage.recorder.replace_events(&stage.namespace, &events());
    }
    let mut course = stage.recorder.finish(&stage.namespace);
    course.failure = failure;
    course
}

fn told(error: &PlayError) -> String {
    match error {
        PlayError::Refused(cause) => format!("{error}: {cause}"),
        other => other.to_string(),
    }
}

// === impl Play ===

impl Play<'_> {
    async fn act(&mut self, action: &Action) -> Result<(), PlayError> {
        let stage = self.stage;
        match action {
            Action::Until(conditions) => self.until(conditions).await?,
            Action::Settle(seconds) => self.settle(Duration::from_secs(*seconds)).await?,
            Action::Promote => self.promote().await?,
            Action::Undo(revision) => self.undo(*revision).await?,
            Action::Scale(replicas) => stage.scale(*replicas).await?,
            Action::Answer(answers) => {
                for (key, answer) in answers {
                    stage.answers.set(&stage.namespace, key, answer.clone());
                }
            }
            Action::Terminate(name) => {
                let name = self.look(|now| now.name(name));
                let patch = json!({"spec": {"terminate": true}});
                stage.patch("AnalysisRun", &name, &patch).await?;
            }
            Action::Patch(Target { kind, name, patch }) => {
                let name = self.look(|now| now.name(name));
                stage.patch(kind, &name, patch).await?;
            }
            Action::Delete(Target { kind, name, .. }) => {
                let name = self.look(|now| now.name(name));
                stage.delete(kind, &name).await?;
            }
            Action::Apply(object) => stage.apply(object).await?,
            Action::RestartController => (stage.restart)().await,
            other => self.write(other).await?,
        }
        Ok(())
    }

    /// What is done with one patch of the Rollout.
    async fn write(&self, action: &Action) -> Result<(), PlayError> {
        let stage = self.stage;
        let spec = |spec: Value| json!({ "spec": spec });
        let image = |tag: &str| format!("web:{tag}");
        let patch = match action {
            Action::SetImage(tag) => {
                let path = "/spec/template/spec/containers/0/image";
                let patch = json!([{"op": "replace", "path": path, "value": image(tag)}]);
                return Ok(stage.edit("Rollout", "web", &patch).await?);
            }
            Action::PromoteFull => return self.promote_full().await,
            Action::Abort => return Ok(stage.patch_status(&json!({"abort": true})).await?),
            Action::Retry => return Ok(stage.patch_status(&json!({"abort": false})).await?),
            Action::NeverReady(tag) => spec(json!({"template": {
                // kwok's nodes have no such label, and on `local` the pod's own says it.
                "metadata": {"labels": {"ready": "never"}},
                "spec": {
                    "nodeSelector": {"ready": "never"},
                    "containers": [{"name": "web", "image": image(tag), "ports": [{"containerPort": 8080}]}],
                },
            }})),
            Action::Pause => spec(json!({"paused": true})),
            Action::Unpause => spec(json!({"paused": false})),
            Action::RestartPods => spec(json!({"restartAt": self.whole_second()})),
            Action::Change(patch) => patch.clone(),
            other => unreachable!("{other:?} is no single patch"),
        };
        Ok(stage.patch("Rollout", "web", &patch).await?)
    }

    /// Now, as Argo's plugin writes it.
    fn whole_second(&self) -> String {
        let now = self.stage.clock.now();
        let second = now.round(jiff::Unit::Second).unwrap_or(now);
        // Rounded up, it would be in the future.
        let past = if second > now {
            second - SignedDuration::from_secs(1)
        } else {
            second
        };
        past.to_string()
    }

    /// What Argo's plugin does: one of unpausing, ending the pause, and skipping the step.
    async fn promote(&self) -> Result<(), PlayError> {
        let stage = self.stage;
        let rollout = stage.get("Rollout", "web").await?;
        let status = &rollout["status"];
        let steps = rollout.pointer("/spec/strategy/canary/steps");
        let steps = steps.and_then(Value::as_array).map_or(0, Vec::len);
        let index = status["currentStepIndex"].as_u64().unwrap_or(0);
        let next = (index + 1).min(steps as u64);
        let paused = status["pauseConditions"]
            .as_array()
            .is_some_and(|pauses| !pauses.is_empty());
        let run = status.pointer("/canary/currentStepAnalysisRunStatus/status");
        let inconclusive = run.is_some_and(|status| status == "Inconclusive");
        let patch = if inconclusive && paused && status["controllerPause"] == true {
            Some(json!({
                "pauseConditions": null, "controllerPause": false, "currentStepIndex": next,
            }))
        } else if paused {
            Some(json!({"pauseConditions": null}))
        } else if steps > 0 {
            Some(json!({"pauseConditions": null, "currentStepIndex": next}))
        } else {
            None
        };
        if let Some(patch) = patch {
            stage.patch_status(&patch).await?;
        }
        self.unpause(&rollout).await
    }

    async fn promote_full(&self) -> Result<(), PlayError> {
        let rollout = self.stage.get("Rollout", "web").await?;
        let status = &rollout["status"];
        if status["currentPodHash"] != status["stableRS"] {
            self.stage
                .patch_status(&json!({"promoteFull": true}))
                .await?;
        }
        self.unpause(&rollout).await
    }

    async fn unpause(&self, rollout: &Value) -> Result<(), PlayError> {
        if rollout["spec"]["paused"] == true {
            let patch = json!({"spec": {"paused": false}});
            self.stage.patch("Rollout", "web", &patch).await?;
        }
        Ok(())
    }

    /// Copies a revision's template back, to the workload if there is one.
    async fn undo(&self, wanted: u64) -> Result<(), PlayError> {
        let stage = self.stage;
        let rollout = stage.get("Rollout", "web").await?;
        let mut revisions: BTreeMap<u64, Value> = BTreeMap::new();
        for set in stage.list("ReplicaSet").await? {
            let number = set["metadata"]["annotations"][REVISION].as_str();
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                revisions.insert(number, set["spec"]["template"].clone());
            }
        }
        let found = match wanted {
            0 => revisions.values().rev().nth(1).cloned(),
            number => revisions.get(&number).cloned(),
        };
        let mut template = found.ok_or(PlayError::NoRevision(wanted))?;
        if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
            labels.remove(HASH);
        }
        let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
        let workload = &rollout["spec"]["workloadRef"];
        let (kind, name) = match (workload["kind"].as_str(), workload["name"].as_str()) {
            (Some(kind), Some(name)) => (kind, name),
            _ => ("Rollout", "web"),
        };
        Ok(stage.edit(kind, name, &patch).await?)
    }

    async fn until(&mut self, conditions: &BTreeMap<String, Value>) -> Result<(), PlayError> {
        let limit = conditions.get(WITHIN).and_then(Value::as_u64);
        let limit = limit.map_or(self.stage.patience, Duration::from_secs);
        let came = timeout(limit, async {
            while !self.look(|now| is_so(now, conditions)) {
                self.changed().await;
            }
        });
        came.await
            .map_err(|_| self.never(&format!("{conditions:?}")))
    }

    async fn settle(&mut self, quiet: Duration) -> Result<(), PlayError> {
        let limit = self.stage.patience + quiet;
        let settled = timeout(limit, async {
            while timeout(quiet, self.changed()).await.is_ok() {}
        });
        settled.await.map_err(|_| self.never("rest"))
    }

    async fn changed(&mut self) {
        // The recorder listens as long as the scenario lasts.
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn never(&self, wanted: &str) -> PlayError {
        PlayError::Never {
            wanted: wanted.to_owned(),
            state: self.look(Happening::state),
        }
    }

    fn look<T>(&self, look: impl FnOnce(&Happening) -> T) -> T {
        self.stage.recorder.look(&self.stage.namespace, look)
    }
}

fn is_so(now: &Happening, conditions: &BTreeMap<String, Value>) -> bool {
    let unobserved = now.now(OBSERVED) == "false" && !conditions.contains_key(OBSERVED);
    let fits = |(field, wanted): (&String, &Value)| {
        let value = now.now(field);
        let wanted = match wanted {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match (wanted.strip_prefix('!'), wanted.strip_suffix('*')) {
            (Some(other), _) => value != other,
            (None, Some(begin)) => value.starts_with(begin),
            (None, None) => value == wanted,
        }
    };
    let conditions = conditions.iter().filter(|(field, _)| *field != WITHIN);
    !unobserved && conditions.into_iter().all(fits)
}
