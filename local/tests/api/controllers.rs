//! What the controllers of a cluster make of objects: ours here, kube-controller-manager's and kwok's
//! on a real one.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use kube::api::{Api, EvictParams, ListParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::support::{busy_place, eventually, refusal};

fn typed<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn deployment(replicas: i32) -> Deployment {
    typed(
        json!({"metadata": {"name": "d"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "d"}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}}),
    )
}

fn holds(deployment: &Deployment, kind: &str, reason: &str) -> bool {
    let status = deployment.status.as_ref();
    let mut conditions = status
        .into_iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|one| {
        one.type_ == kind && one.reason.as_deref() == Some(reason) && one.status == "True"
    })
}

async fn is_rolled_out(deployments: &Api<Deployment>, replicas: i32) -> bool {
    let deployment = deployments.get("d").await.unwrap();
    let status = deployment.status.clone().unwrap_or_default();
    status.observed_generation == deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) == replicas
        && status.replicas.unwrap_or(0) == replicas
        && status.available_replicas.unwrap_or(0) == replicas
        && holds(&deployment, "Available", "MinimumReplicasAvailable")
        && holds(&deployment, "Progressing", "NewReplicaSetAvailable")
}

#[tokio::test(start_paused = true)]
async fn a_deployment_rolls_from_one_template_to_the_next() {
    let Some(place) = busy_place().await else {
        return;
    };
    let deployments: Api<Deployment> = place.api();
    deployments
        .create(&PostParams::default(), &deployment(2))
        .await
        .unwrap();
    eventually(async || is_rolled_out(&deployments, 2).await).await;
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}});
    deployments
        .patch("d", &PatchParams::default(), &Patch::Strategic(&image))
        .await
        .unwrap();
    eventually(async || is_rolled_out(&deployments, 2).await).await;
    let sets: Api<ReplicaSet> = place.api();
    let sets = sets
        .list(&ListParams::default().labels("app=d"))
        .await
        .unwrap();
    let mut told: Vec<(String, i32)> = sets
        .items
        .iter()
        .map(|set| {
            let revision = set.annotations()["deployment.kubernetes.io/revision"].clone();
            assert!(set.labels().contains_key("pod-template-hash"));
            (revision, set.spec.as_ref().unwrap().replicas.unwrap())
        })
        .collect();
    told.sort();
    assert_eq!(told, [("1".to_owned(), 0), ("2".to_owned(), 2)]);
    let patch = json!({"spec": {"replicas": 3}});
    deployments
        .patch_scale("d", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    eventually(async || is_rolled_out(&deployments, 3).await).await;
    let deployment = deployments.get("d").await.unwrap();
    assert_eq!(
        deployment.annotations()["deployment.kubernetes.io/revision"],
        "2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_budget_stands_against_an_eviction_until_it_allows_one() {
    let Some(place) = busy_place().await else {
        return;
    };
    let deployments: Api<Deployment> = place.api();
    deployments
        .create(&PostParams::default(), &deployment(2))
        .await
        .unwrap();
    eventually(async || is_rolled_out(&deployments, 2).await).await;
    let budgets: Api<PodDisruptionBudget> = place.api();
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "d"}}}});
    budgets
        .create(&PostParams::default(), &typed(budget))
        .await
        .unwrap();
    let allows = async |number: i32, generation: i64| {
        let status = budgets.get("b").await.unwrap().status.unwrap_or_default();
        status.disruptions_allowed == number
            && status.observed_generation == Some(generation)
            && status.current_healthy == 2
    };
    eventually(async || allows(0, 1).await).await;
    let pods: Api<Pod> = place.api();
    let name = pods
        .list(&ListParams::default().labels("app=d"))
        .await
        .unwrap()
        .items[0]
        .name_any();
    let status = refusal(pods.evict(&name, &EvictParams::default()).await);
    assert_eq!(
        (status.code, status.reason.as_str()),
        (429, "TooManyRequests")
    );
    assert_eq!(
        status.message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    let cause = &status.details.as_ref().unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.message.as_str()),
        (
            "DisruptionBudget",
            "The disruption budget b needs 2 healthy pods and has 2 currently"
        )
    );
    let less = json!({"spec": {"minAvailable": "50%"}});
    budgets
        .patch("b", &PatchParams::default(), &Patch::Merge(&less))
        .await
        .unwrap();
    eventually(async || allows(1, 2).await).await;
    pods.evict(&name, &EvictParams::default()).await.unwrap();
    eventually(async || pods.get_opt(&name).await.unwrap().is_none()).await;
    eventually(async || is_rolled_out(&deployments, 2).await).await;
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_keeps_its_target_within_bounds() {
    let Some(place) = busy_place().await else {
        return;
    };
    let deployments: Api<Deployment> = place.api();
    deployments
        .create(&PostParams::default(), &deployment(1))
        .await
        .unwrap();
    let autoscalers: Api<HorizontalPodAutoscaler> = place.api();
    let autoscaler = json!({"metadata": {"name": "a"}, "spec": {"minReplicas": 2, "maxReplicas": 4,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}});
    autoscalers
        .create(&PostParams::default(), &typed(autoscaler))
        .await
        .unwrap();
    eventually(async || is_rolled_out(&deployments, 2).await).await;
    let status = autoscalers.get("a").await.unwrap().status.unwrap();
    let able = status
        .conditions
        .iter()
        .flatten()
        .any(|one| one.type_ == "AbleToScale" && one.status == "True");
    assert!(able, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_of_pretended_pods_completes() {
    let Some(place) = busy_place().await else {
        return;
    };
    let jobs: Api<Job> = place.api();
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}}}});
    jobs.create(&PostParams::default(), &typed(job))
        .await
        .unwrap();
    eventually(async || {
        let status = jobs.get("j").await.unwrap().status.unwrap_or_default();
        let complete = status
            .conditions
            .iter()
            .flatten()
            .any(|one| one.type_ == "Complete" && one.status == "True");
        complete && status.succeeded == Some(1)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_selector_matches_no_node_stays_pending() {
    let Some(place) = busy_place().await else {
        return;
    };
    let pods: Api<Pod> = place.api();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeSelector": {"there": "is-none"},
        "containers": [{"name": "c", "image": "i:1"}]}});
    pods.create(&PostParams::default(), &typed(pod))
        .await
        .unwrap();
    eventually(async || {
        let status = pods.get("p").await.unwrap().status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        conditions.iter().any(|one| {
            one.type_ == "PodScheduled"
                && one.status == "False"
                && one.reason.as_deref() == Some("Unschedulable")
        })
    })
    .await;
    let pod = pods.get("p").await.unwrap();
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Pending"));
}
