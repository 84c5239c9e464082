//! The application of these tests: one Rollout, `default/shop`, of the demo's app.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::site::{ProxyAt, Site};
use crate::wait::{LONG, eventually};

/// Its fleet, unless it is in another namespace.
pub const FLEET: &str = "default/shop";

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
    /// Its namespace.
    pub namespace: String,
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
            namespace: "default".to_owned(),
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
        let mut objects = vec![template(), service("shop-stable"), service("shop-canary")];
        for object in &mut objects {
            object["metadata"]["namespace"] = json!(self.namespace);
        }
        objects.push(self.rollout(version));
        objects
    }

    /// The Rollout with this version of the app.
    pub fn rollout(&self, version: Version) -> Value {
        let mut rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": "shop", "namespace": self.namespace},
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
        "metadata": {"name": name},
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
        "metadata": {"name": "errors"},
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
}
