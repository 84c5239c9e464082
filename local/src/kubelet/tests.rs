//! The kubelet and the controllers against the API server of this crate, in virtual time and with
//! containers that pretend.

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::ReplicaSet,
        batch::v1::Job,
        core::v1::{Event as CoreEvent, Service},
        discovery::v1::EndpointSlice,
    },
};
use kube::{
    Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{runtime::pretend::Pretend, *};
use crate::{
    api::{ApiServer, Config as ApiConfig, Faults},
    controllers,
};

/// How much virtual time anything may take before a test fails.
const PATIENCE: Duration = Duration::from_hours(1);

/// A server, the controllers, and a kubelet that pretends.
struct Cluster {
    server: Arc<ApiServer>,
    client: Client,
    clock: Clock,
    pretend: Pretend,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    /// Named by a failing test.
    seed: u64,
}

impl Cluster {
    fn start(ready_after: u64) -> Self {
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let config = ApiConfig {
            clock,
            data_dir: None,
            seed: 1,
            history: 1000,
        };
        Self::on(ApiServer::new(config).unwrap(), clock, ready_after)
    }

    /// The controllers and a kubelet on a server that may have been there before.
    fn on(server: Arc<ApiServer>, clock: Clock, ready_after: u64) -> Self {
        let client = server.client();
        let pretend = Pretend::new(Duration::from_secs(ready_after));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(controllers::run_all(client.clone(), clock, stop.clone()));
        let kubelet = Kubelet {
            client: client.clone(),
            clock,
            config: Config::default(),
            runtime: Arc::new(pretend.clone()),
        };
        tasks.spawn(kubelet.run(stop.clone()));
        Self {
            server,
            client,
            clock,
            pretend,
            stop,
            tasks,
            seed: 0,
        }
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), "default")
    }

    async fn create<K>(&self, object: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + serde::Serialize
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    async fn pods(&self) -> Vec<Pod> {
        self.api::<Pod>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
    }

    async fn set(&self) -> ReplicaSet {
        self.api::<ReplicaSet>().get("rs").await.unwrap()
    }

    async fn available(&self) -> i32 {
        self.set()
            .await
            .status
            .and_then(|status| status.available_replicas)
            .unwrap_or(0)
    }

    /// The second at which `what` holds.
    async fn when(&self, what: impl AsyncFn() -> bool) -> i64 {
        let look = async {
            while !what().await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.clock.now().as_second()
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| panic!("it never holds (seed {})", self.seed))
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while let Some(task) = self.tasks.join_next().await {
            task.unwrap();
        }
    }
}

fn replica_set(replicas: i32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": template()}}})
}

fn template() -> Value {
    json!({"terminationGracePeriodSeconds": 5, "containers":
        [{"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": 8080}]}]})
}

fn labels() -> runtime::pretend::Labels {
    [("app".to_owned(), "a".to_owned())].into()
}

#[tokio::test(start_paused = true)]
async fn a_replica_set_becomes_ready_pods_with_addresses_of_their_own_and_endpoints() {
    let cluster = Cluster::start(30);
    cluster
        .create::<Service>(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": "http"}]}}),
        )
        .await;
    cluster.create::<ReplicaSet>(replica_set(3)).await;
    let second = cluster.when(async || cluster.available().await == 3).await;
    assert!((30..40).contains(&second), "available after {second} s");
    let pods = cluster.pods().await;
    let mut ips: Vec<String> = pods
        .iter()
        .filter_map(|pod| pod.status.clone().unwrap().pod_ip)
        .collect();
    ips.sort();
    ips.dedup();
    assert_eq!(ips.len(), 3);
    let ready = async || {
        let slices = cluster
            .api::<EndpointSlice>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let endpoints: Vec<_> = slices
            .items
            .into_iter()
            .flat_map(|slice| slice.endpoints)
            .collect();
        endpoints
            .iter()
            .filter(|e| e.conditions.as_ref().unwrap().ready == Some(true))
            .count()
            == 3
    };
    cluster.when(ready).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn scaling_down_ends_pods_and_deleting_the_set_ends_all() {
    let cluster = Cluster::start(1);
    cluster.create::<ReplicaSet>(replica_set(3)).await;
    cluster.when(async || cluster.available().await == 3).await;
    let fewer = Patch::Merge(json!({"spec": {"replicas": 1}}));
    cluster
        .api::<ReplicaSet>()
        .patch("rs", &PatchParams::default(), &fewer)
        .await
        .unwrap();
    cluster.when(async || cluster.pods().await.len() == 1).await;
    assert_eq!(cluster.set().await.status.unwrap().replicas, 1);
    cluster
        .api::<ReplicaSet>()
        .delete("rs", &DeleteParams::background())
        .await
        .unwrap();
    cluster.when(async || cluster.pods().await.is_empty()).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_replaced() {
    let cluster = Cluster::start(1);
    cluster.create::<ReplicaSet>(replica_set(1)).await;
    cluster.when(async || cluster.available().await == 1).await;
    let first = cluster.pods().await[0].name_any();
    cluster
        .api::<Pod>()
        .delete(&first, &DeleteParams::default())
        .await
        .unwrap();
    let replaced = async || {
        let pods = cluster.pods().await;
        pods.len() == 1 && pods[0].name_any() != first && cluster.available().await == 1
    };
    cluster.when(replaced).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn readiness_taken_back_is_seen_in_the_set() {
    let cluster = Cluster::start(1);
    cluster.create::<ReplicaSet>(replica_set(2)).await;
    cluster.when(async || cluster.available().await == 2).await;
    cluster.pretend.never_ready(labels());
    cluster.when(async || cluster.available().await == 0).await;
    assert_eq!(cluster.pods().await.len(), 2);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_backs_off_and_says_so() {
    let cluster = Cluster::start(1);
    cluster.pretend.crash(labels(), Duration::from_secs(1));
    cluster.create::<ReplicaSet>(replica_set(1)).await;
    let backing_off = |restarts: i32| {
        let cluster = &cluster;
        async move || {
            let pods = cluster.pods().await;
            let status = pods
                .first()
                .and_then(|pod| pod.status.clone())
                .unwrap_or_default();
            let container = status.container_statuses.unwrap_or_default();
            container.iter().any(|container| {
                let waiting = container.state.clone().and_then(|state| state.waiting);
                let reason = waiting.and_then(|waiting| waiting.reason);
                container.restart_count == restarts && reason.as_deref() == Some("CrashLoopBackOff")
            })
        }
    };
    let mut seconds = Vec::new();
    for restarts in 1..=4 {
        seconds.push(cluster.when(backing_off(restarts)).await);
    }
    // A run lasts a second; the pauses between are 10, 20 and 40.
    let gaps: Vec<i64> = seconds.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [11, 21, 41]);
    let events = async || {
        let events = cluster
            .api::<CoreEvent>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items;
        events
            .iter()
            .any(|e| e.reason.as_deref() == Some("BackOff") && e.count == Some(4))
    };
    cluster.when(events).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_to_completion_and_goes() {
    let cluster = Cluster::start(0);
    cluster.pretend.succeed(
        [("job".to_owned(), "j".to_owned())].into(),
        Duration::from_secs(20),
    );
    let mut pod = template();
    pod["restartPolicy"] = json!("Never");
    cluster
        .create::<Job>(
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
            "spec": {"completions": 2, "parallelism": 1, "ttlSecondsAfterFinished": 60,
                "template": {"metadata": {"labels": {"job": "j"}}, "spec": pod}}}),
        )
        .await;
    let complete = async || {
        let job = cluster
            .api::<Job>()
            .get("j")
            .await
            .unwrap()
            .status
            .unwrap_or_default();
        job.succeeded == Some(2)
            && job
                .conditions
                .iter()
                .flatten()
                .any(|c| c.type_ == "Complete" && c.status == "True")
    };
    let done = cluster.when(complete).await;
    assert!((40..50).contains(&done), "complete after {done} s");
    let gone = async || {
        cluster.api::<Job>().get_opt("j").await.unwrap().is_none()
            && cluster.pods().await.is_empty()
    };
    let gone = cluster.when(gone).await;
    assert!(
        (done + 60..done + 70).contains(&gone),
        "gone after {gone} s"
    );
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_nothing_changes() {
    let cluster = Cluster::start(1);
    cluster.create::<ReplicaSet>(replica_set(2)).await;
    cluster.when(async || cluster.available().await == 2).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let before = cluster.server.revision();
    tokio::time::sleep(Duration::from_mins(100)).await;
    assert_eq!(cluster.server.revision(), before);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn errors_conflicts_and_broken_watches_change_nothing_in_the_end() {
    const SEEDS: u64 = 20;
    for seed in 0..SEEDS {
        let cluster = Cluster {
            seed,
            ..Cluster::start(1)
        };
        let faults = Faults {
            seed,
            delay: Duration::from_millis(50),
            errors: 0.2,
            conflicts: 0.2,
            dropped_watches: 0.1,
        };
        cluster.create::<ReplicaSet>(replica_set(4)).await;
        cluster.server.set_faults(faults.clone());
        tokio::time::sleep(Duration::from_mins(2)).await;
        cluster.server.set_faults(Faults::default());
        cluster.when(async || cluster.available().await == 4).await;
        let fewer = Patch::Merge(json!({"spec": {"replicas": 1}}));
        cluster
            .api::<ReplicaSet>()
            .patch("rs", &PatchParams::default(), &fewer)
            .await
            .unwrap();
        cluster.server.set_faults(faults);
        tokio::time::sleep(Duration::from_mins(2)).await;
        cluster.server.set_faults(Faults::default());
        let settled = async || cluster.pods().await.len() == 1 && cluster.available().await == 1;
        cluster.when(settled).await;
        cluster.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_kubelet_starts_what_the_last_one_left() {
    let cluster = Cluster::start(1);
    cluster.create::<ReplicaSet>(replica_set(2)).await;
    cluster.when(async || cluster.available().await == 2).await;
    let before: Vec<Pod> = cluster.pods().await;
    let (server, clock) = (Arc::clone(&cluster.server), cluster.clock);
    cluster.stop().await;
    let cluster = Cluster::on(server, clock, 1);
    let restarted = async || {
        cluster.pods().await.iter().all(|pod| {
            let statuses = pod.status.clone().unwrap_or_default().container_statuses;
            statuses
                .iter()
                .flatten()
                .all(|status| status.restart_count == 1 && status.ready)
        })
    };
    cluster.when(restarted).await;
    let ip = |pod: &Pod| pod.status.clone().unwrap_or_default().pod_ip;
    let known = |pods: &[Pod]| -> Vec<_> { pods.iter().map(|pod| (pod.uid(), ip(pod))).collect() };
    assert_eq!(known(&cluster.pods().await), known(&before));
    cluster.stop().await;
}
