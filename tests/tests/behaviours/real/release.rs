//! Releases that Argo's controller and ours both know: no router, pods that do nothing.

use serde_json::{Value, json};
use sluice_tests::real::ground::Space;

/// The kind of all of them.
pub(super) const ROLLOUTS: &str = "argoproj.io/v1alpha1/rollouts";

/// Pods before and after a release.
pub(super) const PODS: i64 = 4;

/// A strategy, where a release of it stops by itself, and how it goes on.
pub(super) struct Release {
    strategy: Value,
    services: &'static [&'static str],
    /// What the status says at the first gate.
    pub(super) at_gate: fn(&Value) -> bool,
    /// Pods at every gate.
    pub(super) pods_at_gate: i64,
    /// Gates behind the first.
    pub(super) gates_left: usize,
}

// === impl Release ===

impl Release {
    pub(super) fn canary() -> Self {
        Self {
            strategy: json!({"canary": {"steps": [
                {"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}},
            ]}}),
            services: &[],
            at_gate: |status| status["phase"] == "Paused" && status["currentStepIndex"] == 1,
            pods_at_gate: PODS,
            gates_left: 1,
        }
    }

    pub(super) fn blue_green() -> Self {
        Self {
            strategy: json!({"blueGreen": {
                "activeService": "web-active", "previewService": "web-preview",
                "autoPromotionEnabled": false, "scaleDownDelaySeconds": 1,
                "abortScaleDownDelaySeconds": 1,
            }}),
            services: &["web-active", "web-preview"],
            at_gate: |status| {
                let services = &status["blueGreen"];
                status["phase"] == "Paused"
                    && services["activeSelector"] != services["previewSelector"]
            },
            pods_at_gate: 2 * PODS,
            gates_left: 0,
        }
    }

    /// Its Services.
    pub(super) fn services(&self) -> Vec<Value> {
        self.services.iter().map(|name| service(name)).collect()
    }
}

/// The Rollout `web` with an image.
pub(super) fn web(release: &Release, image: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "app",
                    "image": image,
                    "command": ["sleep", "infinity"],
                    // Quantities as people write them, which Kubernetes writes otherwise.
                    "resources": {"requests": {"cpu": "0.001", "memory": "1024Ki"}},
                }]},
            },
            "strategy": release.strategy,
        },
    })
}

/// Its path in the API.
pub(super) fn path(space: &Space) -> String {
    space.path(&format!("{ROLLOUTS}/web"))
}

/// Whether so many pods are wanted, all are there and ready, and no other is.
pub(super) async fn at_rest(space: &Space, pods: i64) -> bool {
    let sets = space.list("apps/v1/replicasets").await;
    let sum = |of: &str, field: &str| -> i64 {
        let numbers = sets.iter().filter_map(|set| set[of][field].as_i64());
        numbers.sum()
    };
    let there = space.list("v1/pods").await.len();
    sum("spec", "replicas") == pods
        && sum("status", "readyReplicas") == pods
        && i64::try_from(there) == Ok(pods)
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    })
}
