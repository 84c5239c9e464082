//! The application of these tests: one Rollout, `default/shop`, of the demo's app.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::site::{ProxyAt, Site};
use crate::wait::{LONG, eventually};

/// Its fleet.
pub const FLEET: &str = "default/shop";

const ROLLOUTS: &str = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts";
const ROLLOUT: &str = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts/shop";
const STATUS: &str = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts/shop/status";
const RUNS: &str = "/apis/argoproj.io/v1alpha1/namespaces/default/analysisruns";
const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// A version of the app.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Its number, which it says in each answer.
    pub number: u8,
    /// The share of requests that it answers with 500.
    pub failing: f64,
}

/// How the shop is released.
#[derive(Clone, Debug)]
pub struct Shop {
    /// What runs the app.
    pub program: PathBuf,
    /// Where its versions count what they receive.
    pub ledgers: PathBuf,
    /// Pods.
    pub replicas: u32,
    /// The steps of a release.
    pub steps: Value,
    /// The block of our plugin.
    pub proxy: Value,
    /// Whether there is a background analysis.
    pub analysis: bool,
}

impl Version {
    /// One that fails nothing.
    pub fn good(number: u8) -> Self {
        Self {
            number,
            failing: 0.0,
        }
    }

    /// One that fails half of what it is asked.
    pub fn bad(number: u8) -> Self {
        Self {
            number,
            failing: 0.5,
        }
    }
}

// === impl Shop ===

impl Shop {
    /// Two pods, no analysis, and what the canary fails is answered by stable.
    pub fn new(program: &Path, ledgers: &Path, steps: Value) -> Self {
        Self {
            program: program.to_owned(),
            ledgers: ledgers.to_owned(),
            replicas: 2,
            steps,
            proxy: json!({"fallback": {"to": "stable"}}),
            analysis: false,
        }
    }

    /// Everything that has to be applied.
    pub fn objects(&self, version: Version) -> Vec<Value> {
        vec![
            template(),
            service("shop-stable"),
            service("shop-canary"),
            self.rollout(version),
        ]
    }

    /// The Rollout with this version of the app.
    pub fn rollout(&self, version: Version) -> Value {
        let mut rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": "shop", "namespace": "default"},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": {"app": "shop"}},
                "template": self.template(version),
                "strategy": {"canary": {
                    "stableService": "shop-stable",
                    "canaryService": "shop-canary",
                    "trafficRouting": {"plugins": {"sluice/proxy": self.proxy}},
                    "steps": self.steps,
                    "scaleDownDelaySeconds": 1,
                }},
            },
        });
        if self.analysis {
            let analysis = json!({"templates": [{"templateName": "errors"}]});
            rollout["spec"]["strategy"]["canary"]["analysis"] = analysis;
        }
        rollout
    }

    fn template(&self, version: Version) -> Value {
        let command = [
            self.program.to_string_lossy().into_owned(),
            "__app".to_owned(),
            format!("--version={}", version.number),
            format!("--failure-rate={}", version.failing),
            format!("--ledger-dir={}", self.ledgers.display()),
        ];
        let ready = json!({"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1});
        json!({
            "metadata": {"labels": {"app": "shop"}},
            "spec": {"containers": [{
                "name": "app",
                "image": format!("shop:v{}", version.number),
                "command": command,
                "ports": [{"containerPort": 8080}],
                "readinessProbe": ready,
            }]},
        })
    }
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"app": "shop"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
        },
    })
}

fn template() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "errors", "namespace": "default"},
        "spec": {"metrics": [{
            "name": "errors",
            "interval": "1s",
            "provider": {"plugin": {"sluice/proxy": {"compare": "errors"}}},
        }]},
    })
}

/// The shop on a site.
impl Site {
    /// Applies the shop and waits until its first version serves users.
    pub async fn open(&self, shop: &Shop, version: Version) {
        self.apply(shop.objects(version)).await;
        self.ready().await;
        self.phase("Healthy").await;
        self.proxies_ready(1).await;
    }

    /// Applies another version.
    pub async fn release(&self, shop: &Shop, version: Version) {
        self.apply([shop.rollout(version)]).await;
    }

    /// The Rollout.
    pub async fn rollout(&self) -> Value {
        self.read(ROLLOUT).await
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
                tokio::time::sleep(crate::wait::LOOK_EVERY).await;
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

    /// Waits until so many proxies are ready, and gives them.
    pub async fn proxies_ready(&self, count: usize) -> Vec<ProxyAt> {
        eventually("proxies that are ready", LONG, async || {
            let proxies = self.proxies(FLEET);
            let mut ready = 0;
            for proxy in &proxies {
                ready += usize::from(proxy.is_ready().await);
            }
            (ready >= count && ready == proxies.len()).then_some(proxies)
        })
        .await
    }

    /// Ends a pause.
    pub async fn go_on(&self) {
        self.patch(STATUS, &json!({"status": {"pauseConditions": null}}))
            .await;
    }

    /// Aborts the release.
    pub async fn abort(&self) {
        self.patch(STATUS, &json!({"status": {"abort": true}}))
            .await;
    }

    /// All AnalysisRuns.
    pub async fn runs(&self) -> Vec<Value> {
        items(self.read(RUNS).await)
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
        let mut sets: Vec<_> = items(self.read(REPLICA_SETS).await)
            .iter()
            .map(set)
            .collect();
        sets.sort_by_key(ToString::to_string);
        let services: Vec<_> = items(self.read(SERVICES).await)
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
            "rollouts": items(self.read(ROLLOUTS).await).len(),
        })
    }
}

fn items(list: Value) -> Vec<Value> {
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
fn observed(rollout: &Value) -> bool {
    let generation = rollout["metadata"]["generation"]
        .as_i64()
        .map(|it| it.to_string());
    generation.as_deref() == rollout["status"]["observedGeneration"].as_str()
}
