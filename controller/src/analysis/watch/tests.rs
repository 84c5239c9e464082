//! Whole runs in virtual time, against the local API server, with a pretended fleet.

use std::sync::Arc;
use std::time::Duration;

use judgement::{Arm, EpochEvidence, Stratum};
use k8s_openapi::api::core::v1::Event as CoreEvent;
use kube::Api;
use kube::api::{ListParams, PostParams};
use local::api::{ApiServer, Config};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::traffic::pretended::Pretended;
use crate::traffic::{Evidence, FuseTrip};

/// How much virtual time a test waits for anything.
const PATIENCE: Duration = Duration::from_mins(10);

struct Stage {
    server: Arc<ApiServer>,
    traffic: Arc<Pretended>,
    means: Means,
    clock: Clock,
    controller: CancellationToken,
    tasks: JoinSet<()>,
    owner: Value,
}

impl Stage {
    async fn set(proxies: usize) -> Self {
        Self::with(proxies, Means::default()).await
    }

    async fn with(proxies: usize, means: Means) -> Self {
        let origin: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let config = Config {
            clock: local::clock::Clock::starting_at(origin),
            data_dir: None,
            seed: 1,
            history: 10_000,
        };
        let server = ApiServer::new(config).unwrap();
        server.install_crds(&crds::all()).unwrap();
        let rollouts: Api<crds::Rollout> = Api::namespaced(server.client(), "default");
        let rollout = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "my-app"}, "spec": {},
        }));
        let made = rollouts
            .create(&PostParams::default(), &rollout.unwrap())
            .await
            .unwrap();
        let owner = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
                           "name": "my-app", "uid": made.uid(), "controller": true});
        let mut stage = Self {
            server,
            traffic: Arc::new(Pretended::new(proxies)),
            means,
            clock: Clock::starting_at(origin),
            controller: CancellationToken::new(),
            tasks: JoinSet::new(),
            owner,
        };
        stage.start_controller();
        stage
    }

    fn start_controller(&mut self) {
        self.controller = CancellationToken::new();
        let setup = Setup {
            client: self.server.client(),
            clock: self.clock,
            traffic: self.traffic.clone(),
            means: self.means.clone(),
        };
        self.tasks.spawn(run(setup, self.controller.clone()));
    }

    fn api(&self) -> Api<AnalysisRun> {
        Api::namespaced(self.server.client(), "default")
    }

    async fn start(&self, kind: &str, spec: Value) {
        let run = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "run", "ownerReferences": [self.owner],
                         "labels": {HASH_LABEL: "abc", TYPE_LABEL: kind}},
            "spec": spec,
        });
        let run = serde_json::from_value(run).unwrap();
        self.api()
            .create(&PostParams::default(), &run)
            .await
            .unwrap();
    }

    /// The run, once it is as wanted.
    async fn until(&self, wanted: impl Fn(&AnalysisRun) -> bool) -> AnalysisRun {
        let waiting = async {
            loop {
                let run = self.api().get("run").await.unwrap();
                if wanted(&run) {
                    return run;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("the run never became as wanted")
    }

    fn count(&self, canary_bad: u64, canary: u64, stable: u64) {
        let arms = Stratum {
            stable: Arm {
                exposed: stable,
                bad: 0,
            },
            canary: Arm {
                exposed: canary,
                bad: canary_bad,
            },
        };
        let epoch = EpochEvidence {
            epoch: 1,
            unkeyed: arms,
            ..EpochEvidence::default()
        };
        self.traffic.count(
            &key(),
            Evidence {
                errors: vec![epoch],
                canary_requests: canary,
                canary_failures: canary_bad,
                share: 0.1,
                ..Evidence::default()
            },
        );
    }
}

fn key() -> RolloutKey {
    RolloutKey {
        namespace: "default".to_owned(),
        name: "my-app".to_owned(),
    }
}

fn errors(more: Value) -> Value {
    let mut metric =
        json!({"name": "errors", "provider": {"plugin": {"sluice/proxy": {"compare": "errors"}}}});
    metric
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"metrics": [metric]})
}

fn phase(run: &AnalysisRun) -> &str {
    let phase = run.status.as_ref().and_then(|status| status.phase.as_ref());
    phase.map_or("", AnalysisPhase::as_str)
}

fn taken(run: &AnalysisRun) -> i32 {
    let results = run.status.as_ref().map(|status| &status.metric_results);
    results
        .and_then(|results| results.first()?.count)
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_bad_canary_fails_its_run_at_once_and_the_message_says_why() {
    let stage = Stage::set(1).await;
    stage
        .start(
            "Background",
            errors(json!({"interval": "10m", "failureLimit": 3})),
        )
        .await;
    let first = stage.until(|run| taken(run) == 1).await;
    let values = &first.status.as_ref().unwrap().metric_results[0].measurements;
    assert_eq!(values[0].value.as_deref(), Some("insufficient (0 of 20)"));
    let before = stage.clock.now();
    stage.count(30, 100, 900);
    let run = stage.until(is_completed).await;
    let lag = stage.clock.now().duration_since(before);
    assert!(lag <= SignedDuration::from_millis(300), "{lag}");
    let status = run.status.as_ref().unwrap();
    let message = status.message.as_deref().unwrap();
    let expected = "Metric \"errors\" assessed Failed due to failed (4) > failureLimit (3): \"Error Message: worse: canary 30 of 100 failed, stable 0 of 900 at 10.000 % share (e-value ";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(phase(&run), "Failed");
    let metadata = &status.metric_results[0].measurements[1].metadata;
    assert_eq!(
        (metadata["errors"].as_str(), metadata["alpha"].as_str()),
        ("30", "0.01")
    );

    let events: Api<CoreEvent> = Api::namespaced(stage.server.client(), "default");
    let wanted = ["MetricFailed", "AnalysisRunFailed"];
    let told = async {
        loop {
            let events = events.list(&ListParams::default()).await.unwrap();
            let reasons: Vec<_> = events.items.into_iter().filter_map(|e| e.reason).collect();
            if wanted
                .iter()
                .all(|reason| reasons.iter().any(|told| told == reason))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("events were told");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_changes_nothing_writes_nothing() {
    let stage = Stage::set(1).await;
    stage.count(0, 100, 900);
    stage
        .start("Background", errors(json!({"interval": "10m"})))
        .await;
    let before = stage.until(|run| taken(run) == 1).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    let after = stage.until(|_| true).await;
    assert_eq!(before.resource_version(), after.resource_version());
}

#[tokio::test(start_paused = true)]
async fn a_step_without_traffic_ends_inconclusive_and_one_in_the_background_goes_along() {
    for (kind, expected) in [("Step", "Inconclusive"), ("Background", "Successful")] {
        let stage = Stage::set(0).await;
        stage
            .start(kind, errors(json!({"interval": "10s", "count": 3})))
            .await;
        let run = stage.until(is_completed).await;
        assert_eq!(phase(&run), expected, "{kind}");
        let result = &run.status.as_ref().unwrap().metric_results[0];
        let silent = "insufficient (0 of 20): no proxy of fleet my-app is connected";
        assert_eq!(
            result.measurements.last().unwrap().value.as_deref(),
            Some(silent)
        );
        assert_eq!((result.count, result.error), (Some(3), None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_controller_carries_a_run_on() {
    let mut stage = Stage::set(1).await;
    stage.count(0, 100, 900);
    stage
        .start("Step", errors(json!({"interval": "10s", "count": 4})))
        .await;
    stage.until(|run| taken(run) == 2).await;
    stage.controller.cancel();
    stage.tasks.join_next().await.unwrap().unwrap();
    stage.start_controller();
    let run = stage.until(is_completed).await;
    assert_eq!((phase(&run), taken(&run)), ("Successful", 4));
}

#[tokio::test(start_paused = true)]
async fn a_tripped_fuse_fails_the_run_of_its_canary() {
    let stage = Stage::set(1).await;
    stage
        .start("Background", errors(json!({"interval": "10m"})))
        .await;
    stage.until(|run| taken(run) == 1).await;
    let reason = "fuse of proxy p-1 tripped: canary 9 of 9 failed".to_owned();
    let trip = |revision: &str| FuseTrip {
        proxy: "p-1".to_owned(),
        revision: revision.to_owned(),
        reason: reason.clone(),
    };
    stage.traffic.trip(&key(), trip("another"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(phase(&stage.until(|_| true).await), "Running");
    stage.traffic.trip(&key(), trip("abc"));
    let run = stage.until(is_completed).await;
    assert_eq!(phase(&run), "Failed");
    assert_eq!(run.status.unwrap().message, Some(reason));
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_ends_the_run_with_a_sentence() {
    let stage = Stage::set(1).await;
    let mut spec = errors(json!({"successCondition": "result.e < {{args.limit}}"}));
    spec["args"] =
        json!([{"name": "limit", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    stage.start("Step", spec).await;
    let run = stage.until(is_completed).await;
    assert_eq!(phase(&run), "Error");
    let message = run.status.unwrap().message.unwrap();
    assert!(
        message.starts_with("Unable to resolve metric arguments: secrets \"s\" not found"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_finished_run_is_deleted_when_its_time_is_over() {
    let stage = Stage::set(1).await;
    let mut spec = errors(json!({}));
    spec["ttlStrategy"] = json!({"secondsAfterCompletion": 30});
    stage.start("Background", spec).await;
    stage.until(is_completed).await;
    let gone = async {
        while stage.api().get_opt("run").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("the run was deleted");
}

mod outside;
mod secrets;
