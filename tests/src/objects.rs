//! The objects of one namespace, and what becomes of the Rollout `shop` in it.

use std::path::PathBuf;
use std::time::Duration;

use ::http::Request;
use cli::up::apply::apply;
use cli::up::manifests::{Manifest, Place};
use kube::Client;
use serde_json::{Value, json};

use crate::shop::{Shop, Version};
use crate::wait::{LONG, LOOK_EVERY};

/// A namespace of a cluster.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    /// Its name.
    pub namespace: String,
}

// === impl Objects ===

impl Objects {
    /// The objects of `namespace`.
    pub fn of(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
        }
    }

    /// The client that they are reached with.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Applies objects of namespaced kinds as `kubectl apply -n` does.
    ///
    /// # Panics
    ///
    /// When one is refused.
    pub async fn apply(&self, objects: impl IntoIterator<Item = Value>) {
        for mut object in objects {
            if object["metadata"]["namespace"].is_null() {
                object["metadata"]["namespace"] = json!(self.namespace);
            }
            let place = Place {
                file: PathBuf::from("test"),
                document: 1,
            };
            let applied = apply(&self.client, &Manifest { place, object }).await;
            applied.unwrap_or_else(|error| panic!("{error:?}"));
        }
    }

    /// Reads an object or a list by its path in the API.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    pub async fn read(&self, path: &str) -> Value {
        let request = Request::get(path).body(Vec::new()).expect("a path");
        let read = self.client.request(request).await;
        read.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Merges a patch into an object.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn patch(&self, path: &str, patch: &Value) -> Value {
        let request = Request::patch(path)
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .expect("a path");
        let patched = self.client.request(request).await;
        patched.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// All objects of a kind: `apps/v1/replicasets`, `v1/pods`.
    pub async fn list(&self, kind: &str) -> Vec<Value> {
        items(self.read(&self.path(kind)).await)
    }

    /// The path of a kind, or of an object behind it: `v1/pods/a`.
    pub fn path(&self, of: &str) -> String {
        let namespace = &self.namespace;
        let (version, rest) = if let Some(rest) = of.strip_prefix("v1/") {
            ("/api/v1".to_owned(), rest)
        } else {
            let kind = of.match_indices('/').nth(1).map_or(of.len(), |(at, _)| at);
            let (version, rest) = of.split_at(kind);
            (format!("/apis/{version}"), rest.trim_start_matches('/'))
        };
        format!("{version}/namespaces/{namespace}/{rest}")
    }

    /// Applies another version.
    pub async fn release(&self, shop: &Shop, version: Version) {
        self.apply([shop.rollout(version)]).await;
    }

    /// The Rollout.
    pub async fn rollout(&self) -> Value {
        self.read(&self.path("argoproj.io/v1alpha1/rollouts/shop"))
            .await
    }

    /// Waits until the Rollout is so, and gives it.
    pub async fn rollout_is(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.rollout_is_within(LONG, what, is_so).await
    }

    /// Waits until the Rollout is so within a time of the test's own, and gives it.
    ///
    /// # Panics
    ///
    /// When it is not; the message shows how it stands.
    pub async fn rollout_is_within(
        &self,
        within: Duration,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let look = async {
            loop {
                last = self.rollout().await;
                if is_so(&last) {
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let in_time = tokio::time::timeout(within, look).await.is_ok();
        assert!(
            in_time,
            "{what}: not within {within:?}; status {:#}",
            last["status"]
        );
        last
    }

    /// Waits until the controller has seen the newest spec and says this phase of it.
    pub async fn phase(&self, phase: &str) -> Value {
        let is = |it: &Value| it["status"]["phase"] == phase && observed(it);
        self.rollout_is(&format!("phase {phase}"), is).await
    }

    /// Waits until the proxies have acknowledged this weight and the Rollout says so.
    pub async fn weight_verified(&self, weight: u32) -> Value {
        let is = |it: &Value| {
            let weights = &it["status"]["canary"]["weights"];
            observed(it) && weights["canary"]["weight"] == weight && weights["verified"] == true
        };
        self.rollout_is(&format!("weight {weight} verified"), is)
            .await
    }

    /// Ends a pause.
    pub async fn go_on(&self) {
        self.patch_status(&json!({"pauseConditions": null})).await;
    }

    /// Aborts the release.
    pub async fn abort(&self) {
        self.patch_status(&json!({"abort": true})).await;
    }

    async fn patch_status(&self, status: &Value) {
        let path = self.path("argoproj.io/v1alpha1/rollouts/shop/status");
        self.patch(&path, &json!({"status": status})).await;
    }

    /// All AnalysisRuns.
    pub async fn runs(&self) -> Vec<Value> {
        self.list("argoproj.io/v1alpha1/analysisruns").await
    }

    /// How a release ended: everything that must not depend on what happened on the way.
    pub async fn end_state(&self) -> Value {
        let rollout = self.rollout().await;
        let status = &rollout["status"];
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let mut conditions: Vec<_> = conditions
            .map(|it| format!("{} {} {}", it["type"], it["status"], it["reason"]))
            .collect();
        conditions.sort();
        let sets = self.list("apps/v1/replicasets").await;
        let mut sets: Vec<_> = sets.iter().map(set).collect();
        sets.sort_by_key(ToString::to_string);
        let services = self.list("v1/services").await;
        let services: Vec<_> = services
            .iter()
            .map(|it| json!([it["metadata"]["name"], it["spec"]["selector"]]))
            .collect();
        let mut runs: Vec<_> = self.runs().await.iter().map(run).collect();
        runs.sort_by_key(ToString::to_string);
        json!({
            "phase": status["phase"],
            "message": status["message"],
            "abort": status["abort"],
            "stable": status["stableRS"],
            "current": status["currentPodHash"],
            "step": status["currentStepIndex"],
            "weights": status["canary"]["weights"],
            "replicas": [status["replicas"], status["updatedReplicas"], status["availableReplicas"]],
            "conditions": conditions,
            "replicaSets": sets,
            "services": services,
            "runs": runs,
            "rollouts": self.list("argoproj.io/v1alpha1/rollouts").await.len(),
        })
    }
}

/// What a list holds.
pub fn items(list: Value) -> Vec<Value> {
    list["items"].as_array().cloned().unwrap_or_default()
}

fn set(it: &Value) -> Value {
    let revision = &it["metadata"]["annotations"]["rollout.argoproj.io/revision"];
    json!([
        it["metadata"]["name"],
        it["spec"]["replicas"],
        it["status"]["replicas"],
        revision
    ])
}

fn run(it: &Value) -> Value {
    json!([it["metadata"]["name"], it["status"]["phase"]])
}

/// Whether the status is about the newest spec. Argo's `observedGeneration` is a string.
pub fn observed(rollout: &Value) -> bool {
    let generation = rollout["metadata"]["generation"]
        .as_i64()
        .map(|it| it.to_string());
    generation.as_deref() == rollout["status"]["observedGeneration"].as_str()
}
