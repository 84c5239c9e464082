//! A cluster for one release: API server, controllers, kubelet, proxies, and the controller under
//! test, which can be killed and started again.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crds::rollout::RolloutStatus;
use crds::words::RolloutPhase;
use crds::{AnalysisRun, AnalysisTemplate, Rollout};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Event, Pod, Service};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use local::api::{ApiServer, Config as ApiConfig, Verdict};
use local::controllers;
use local::kubelet::runtime::pretend::Pretend;
use local::kubelet::{Config as KubeletConfig, Kubelet};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::run::{self, Options, Running};
use crate::traffic::RolloutKey;
use crate::traffic::pretended::Pretended;

/// How much virtual time anything may take before a test fails.
const PATIENCE: Duration = Duration::from_mins(30);
/// How often a test looks, in virtual time.
const LOOK: Duration = Duration::from_millis(50);

/// Whose writes those of the controller are.
const CONTROLLER: &str = "controller";

pub(super) struct Cluster {
    pub(super) server: Arc<ApiServer>,
    pub(super) client: Client,
    pub(super) pretend: Pretend,
    pub(super) traffic: Arc<Pretended>,
    clock: Clock,
    controller: CancellationToken,
    tasks: JoinSet<()>,
}

impl Cluster {
    /// A cluster with one connected proxy and a running controller.
    pub(super) async fn start() -> Self {
        let cluster = Self::without_controller().await;
        cluster.with_controller(CONTROLLER)
    }

    pub(super) async fn without_controller() -> Self {
        let origin: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let local_clock = local::clock::Clock::starting_at(origin);
        let config = ApiConfig {
            clock: local_clock,
            data_dir: None,
            seed: 1,
            history: 10_000,
        };
        let server = ApiServer::new(config).unwrap();
        server.install_crds(&crds::all()).unwrap();
        let client = server.client();
        let pretend = Pretend::new(Duration::from_secs(2));
        let traffic = Arc::new(Pretended::new(1));
        let mut tasks = JoinSet::new();
        let stop = CancellationToken::new();
        tasks.spawn(controllers::run_all(
            client.clone(),
            local_clock,
            stop.clone(),
        ));
        let kubelet = Kubelet {
            client: client.clone(),
            clock: local_clock,
            config: KubeletConfig::default(),
            runtime: Arc::new(pretend.clone()),
        };
        tasks.spawn(kubelet.run(stop));
        tasks.spawn(discover(client.clone(), traffic.clone()));
        let cluster = Self {
            server,
            client,
            pretend,
            traffic,
            clock: Clock::starting_at(origin),
            controller: CancellationToken::new(),
            tasks,
        };
        cluster.services().await;
        cluster
    }

    /// Starts a controller whose writes carry that name.
    pub(super) fn with_controller(mut self, name: &str) -> Self {
        self.controller = self.spawn_controller(name);
        self
    }

    pub(super) fn spawn_controller(&mut self, name: &str) -> CancellationToken {
        let stop = CancellationToken::new();
        let client = self.server.client_named(name);
        let run = super::super::run(client, self.clock, self.traffic.clone(), stop.clone());
        self.tasks.spawn(run);
        stop
    }

    /// Starts the controller with all of its parts.
    pub(super) async fn start_whole(&self) -> Running {
        let client = self.server.client_named(CONTROLLER);
        let options = Options::local("default", CONTROLLER);
        let running = run::start(client, self.clock, options).await.unwrap();
        assert!(running.serves().await);
        running
    }

    /// What the controller writes from now on, by kind.
    pub(super) fn count_writes(&self) -> Arc<Mutex<BTreeMap<String, usize>>> {
        let written = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let counted = written.clone();
        self.server.on_write(move |write| {
            if write.client == CONTROLLER {
                let mut counted = counted.lock().unwrap();
                *counted.entry(write.resource.clone()).or_default() += 1;
            }
            Verdict::Proceed
        });
        written
    }

    /// Ends the controller as SIGKILL would: nothing of it runs any more.
    pub(super) fn kill_controller(&mut self) {
        self.controller.cancel();
    }

    async fn services(&self) {
        for name in ["web-stable", "web-canary"] {
            let service = json!({
                "metadata": {"name": name},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
            });
            self.create::<Service>(service).await;
        }
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(super) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    pub(super) async fn rollout(&self) -> Rollout {
        self.api::<Rollout>().get("web").await.unwrap()
    }

    pub(super) async fn status(&self) -> RolloutStatus {
        self.rollout().await.status.unwrap_or_default()
    }

    pub(super) async fn patch(&self, patch: Value) {
        let params = PatchParams::default();
        self.api::<Rollout>()
            .patch("web", &params, &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    pub(super) async fn patch_status(&self, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.api::<Rollout>()
            .patch_status("web", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Deploys the web application with these steps, and waits until it is healthy.
    pub(super) async fn deploy(&self, steps: Value) {
        self.create::<Rollout>(rollout(steps)).await;
        self.until("the first deployment is healthy", |status| {
            is(status, "Healthy")
        })
        .await;
    }

    /// The same without proxies.
    pub(super) async fn deploy_unrouted(&self, steps: Value) {
        let mut rollout = rollout(json!([]));
        rollout["spec"]["strategy"] = json!({"canary": {"steps": steps}});
        self.create::<Rollout>(rollout).await;
        self.until("the first deployment is healthy", |status| {
            is(status, "Healthy")
        })
        .await;
    }

    pub(super) async fn release(&self, version: &str) {
        self.patch(json!({"spec": {"template": template(version)}}))
            .await;
    }

    /// Waits for a status, and shows the last one if it does not come.
    pub(super) async fn until(
        &self,
        what: &str,
        fits: impl Fn(&RolloutStatus) -> bool,
    ) -> RolloutStatus {
        let looks = PATIENCE.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            let rollout = self.rollout().await;
            let status = rollout.status.clone().unwrap_or_default();
            let seen = status.observed_generation
                == rollout.metadata.generation.map(|number| number.to_string());
            if seen && fits(&status) {
                return status;
            }
            tokio::time::sleep(LOOK).await;
        }
        let status = serde_json::to_string_pretty(&self.status().await).unwrap();
        panic!(
            "it never came to this: {what}\n{status}\n{:#?}",
            self.events().await
        );
    }

    pub(super) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    pub(super) async fn events(&self) -> Vec<String> {
        let mut events = self
            .api::<Event>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items;
        events.retain(|event| event.involved_object.kind.as_deref() == Some("Rollout"));
        events.sort_by_key(|event| event.metadata.creation_timestamp.clone());
        let text = |event: Event| {
            format!(
                "{}: {}",
                event.reason.unwrap_or_default(),
                event.message.unwrap_or_default()
            )
        };
        events.into_iter().map(text).collect()
    }

    /// Pods wanted of each revision number.
    pub(super) async fn sizes(&self) -> BTreeMap<String, i32> {
        let sets = self
            .api::<ReplicaSet>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items;
        let size = |set: &ReplicaSet| {
            set.spec
                .as_ref()
                .and_then(|spec| spec.replicas)
                .unwrap_or_default()
        };
        let number = |set: &ReplicaSet| set.annotations()["rollout.argoproj.io/revision"].clone();
        sets.iter().map(|set| (number(set), size(set))).collect()
    }

    pub(super) async fn selected(&self, service: &str) -> String {
        let service = self.api::<Service>().get(service).await.unwrap();
        let selector = service.spec.unwrap().selector.unwrap_or_default();
        selector
            .get("rollouts-pod-template-hash")
            .cloned()
            .unwrap_or_default()
    }

    pub(super) async fn runs(&self) -> Vec<AnalysisRun> {
        let mut runs = self
            .api::<AnalysisRun>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items;
        runs.sort_by_key(AnalysisRun::name_any);
        runs
    }

    pub(super) async fn until_run(&self, count: usize) -> AnalysisRun {
        for _ in 0..1000 {
            let runs = self.runs().await;
            if runs.len() >= count {
                return runs.into_iter().nth(count - 1).unwrap();
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("there never were {count} runs: {:#?}", self.events().await);
    }

    /// Says how a run ended, as the analysis would.
    pub(super) async fn end_run(&self, name: &str, phase: &str, message: &str) {
        let patch = json!({"status": {"phase": phase, "message": message}});
        let runs = self.api::<AnalysisRun>();
        runs.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    pub(super) async fn template(&self) {
        self.create::<AnalysisTemplate>(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
            "metadata": {"name": "errors"},
            "spec": {"metrics": [{"name": "errors", "count": 1,
                "provider": {"plugin": {"sluice/proxy": {"compare": "errors"}}}}]},
        }))
        .await;
    }

    /// The canary's weights as the proxies had them, one after the other.
    pub(super) fn weights(&self) -> Vec<u32> {
        let mut weights: Vec<u32> = self
            .traffic
            .history()
            .iter()
            .map(|order| order.weight)
            .collect();
        weights.dedup();
        weights
    }
}

pub(super) fn key() -> RolloutKey {
    RolloutKey {
        namespace: "default".to_owned(),
        name: "web".to_owned(),
    }
}

pub(super) fn is(status: &RolloutStatus, phase: &str) -> bool {
    status.phase.as_ref().map(RolloutPhase::as_str) == Some(phase)
}

pub(super) fn is_at(status: &RolloutStatus, phase: &str, index: i32) -> bool {
    is(status, phase) && status.current_step_index == Some(index)
}

pub(super) fn template(version: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": format!("web:{version}")}]},
    })
}

pub(super) fn rollout(steps: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 5,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template("1"),
            "strategy": {"canary": {
                "stableService": "web-stable",
                "canaryService": "web-canary",
                "trafficRouting": {
                    "plugins": {"sluice/proxy": {"port": 80}},
                    "managedRoutes": [{"name": "beta"}],
                },
                "steps": steps,
            }},
        },
    })
}

/// The proxies know the ready pods of each revision, half a second after they are.
async fn discover(client: Client, traffic: Arc<Pretended>) {
    let (seen, writer) = reflector::store();
    let pods: Api<Pod> = Api::all(client);
    let events = reflector(writer, watcher(pods, watcher::Config::default())).default_backoff();
    let mut events = pin!(events);
    let mut before = BTreeMap::new();
    while events.next().await.is_some() {
        let later = tokio::time::sleep(Duration::from_millis(500));
        let mut later = pin!(later);
        loop {
            tokio::select! {
                event = events.next() => assert!(event.is_some(), "a watch never ends"),
                () = &mut later => break,
            }
        }
        let mut endpoints: BTreeMap<String, usize> = BTreeMap::new();
        for pod in seen.state().iter().filter(|pod| is_ready(pod)) {
            if let Some(hash) = pod.labels().get("rollouts-pod-template-hash") {
                *endpoints.entry(hash.clone()).or_default() += 1;
            }
        }
        if endpoints != before {
            traffic.reach(endpoints.clone());
            before = endpoints;
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
}
