//! Blue-green, by its Services and through the proxies; pods that are taken from a Deployment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crds::{AnalysisTemplate, Rollout};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use local::api::Verdict;
use serde_json::{Value, json};

use super::cluster::{Cluster, is, key, rollout, template};

/// A blue-green Rollout of the web application.
fn blue_green(settings: &Value) -> Value {
    let mut rollout = rollout(json!([]));
    let mut way = json!({"activeService": "web-stable", "previewService": "web-canary"});
    json_patch::merge(&mut way, settings);
    rollout["spec"]["strategy"] = json!({"blueGreen": way});
    rollout
}

fn routed(settings: &Value) -> Value {
    let mut rollout = blue_green(settings);
    rollout["metadata"]["annotations"] = json!({"sluice/proxy": "port: 80"});
    rollout
}

async fn deployed(rollout: Value) -> Cluster {
    let cluster = Cluster::start().await;
    // One that compares nothing: blue-green never has two versions to compare.
    let template = json!({
        "metadata": {"name": "errors"},
        "spec": {"metrics": [{"name": "errors", "count": 1,
            "provider": {"plugin": {"sluice/proxy": {"successRate": {"min": 0.9}}}}}]},
    });
    cluster.create::<AnalysisTemplate>(template).await;
    cluster.create::<Rollout>(rollout).await;
    cluster
        .until("it is healthy", |status| is(status, "Healthy"))
        .await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_release_pauses_is_promoted_and_takes_its_old_pods_down() {
    let cluster = deployed(blue_green(&json!({"autoPromotionEnabled": false}))).await;
    let old = cluster.selected("web-stable").await;
    cluster.release("2").await;
    let status = cluster
        .until("it pauses", |status| is(status, "Paused"))
        .await;
    assert_eq!(status.message.as_deref(), Some("BlueGreenPause"));
    assert_eq!(cluster.selected("web-stable").await, old);
    let new = cluster.selected("web-canary").await;
    assert_ne!(new, old);
    let sizes: Vec<_> = cluster.sizes().await.into_values().collect();
    assert_eq!(sizes, [5, 5]);
    cluster.patch_status(json!({"pauseConditions": null})).await;
    let status = cluster
        .until("it is promoted", |status| {
            is(status, "Healthy") && status.stable_rs.as_deref() == Some(new.as_str())
        })
        .await;
    assert_eq!(cluster.selected("web-stable").await, new);
    let selector = format!("app=web,rollouts-pod-template-hash={new}");
    assert_eq!(status.selector, Some(selector));
    cluster
        .until("the old pods are gone", |status| status.replicas == Some(5))
        .await;
    let sizes: Vec<_> = cluster.sizes().await.into_values().collect();
    assert_eq!(sizes, [0, 5]);
    let version = cluster.rollout().await.metadata.resource_version;
    cluster.pass(Duration::from_mins(40)).await;
    assert_eq!(cluster.rollout().await.metadata.resource_version, version);
}

#[tokio::test(start_paused = true)]
async fn a_bad_verdict_after_the_switch_takes_users_back() {
    let analysis = json!({"templates": [{"templateName": "errors"}]});
    let cluster = deployed(routed(&json!({"postPromotionAnalysis": analysis}))).await;
    let old = cluster.selected("web-stable").await;
    cluster.release("2").await;
    let run = cluster.until_run(1).await;
    let name = run.metadata.name.unwrap();
    assert!(name.ends_with("-2-post"), "{name}");
    assert_eq!(
        run.metadata.labels.unwrap()["rollout-type"],
        "PostPromotion"
    );
    let new = cluster.selected("web-stable").await;
    assert_ne!(new, old);
    cluster.end_run(&name, "Failed", "too slow").await;
    let status = cluster
        .until("it is aborted", |status| is(status, "Degraded"))
        .await;
    let message = "RolloutAborted: Rollout aborted update to revision 2: \
                   Blue/green post-promotion analysis phase error/failed: too slow";
    assert_eq!(status.message.as_deref(), Some(message));
    assert_eq!(cluster.selected("web-stable").await, old);
    assert_eq!(cluster.weights(), [0, 100, 0]);
    let order = cluster.traffic.ordered(&key()).unwrap();
    assert_eq!((order.stable, order.canary), (old, Some(new)));
    cluster
        .until("the new pods are gone", |status| status.replicas == Some(5))
        .await;
}

#[tokio::test(start_paused = true)]
async fn pods_come_from_a_deployment_that_goes_as_they_come() {
    let cluster = Cluster::start().await;
    let deployment = json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 5, "selector": {"matchLabels": {"app": "web"}}, "template": template("1")},
    });
    cluster.create::<Deployment>(deployment).await;
    let mut rollout = blue_green(&json!({}));
    let spec = rollout["spec"].as_object_mut().unwrap();
    spec.remove("template");
    spec.remove("selector");
    spec.insert("workloadRef".to_owned(), json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "scaleDown": "progressively",
    }));
    cluster.create::<Rollout>(rollout).await;
    let status = cluster
        .until("it is healthy", |status| is(status, "Healthy"))
        .await;
    let first = status.current_pod_hash;
    let deployments = cluster.api::<Deployment>();
    let replicas = async || deployments.get("web").await.unwrap().spec.unwrap().replicas;
    for _ in 0..100 {
        if replicas().await == Some(0) {
            break;
        }
        cluster.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(replicas().await, Some(0));
    let patch = Patch::Merge(json!({"spec": {"template": template("2")}}));
    let patched = deployments
        .patch("web", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let generation = patched.metadata.generation.unwrap().to_string();
    let status = cluster
        .until("it has followed", |status| {
            is(status, "Healthy") && status.current_pod_hash != first
        })
        .await;
    assert_eq!(
        status.workload_observed_generation,
        Some(generation.clone())
    );
    let rollout = cluster.rollout().await;
    assert_eq!(
        rollout.metadata.annotations.unwrap()["rollout.argoproj.io/workload-generation"],
        generation
    );
    assert_eq!(
        (rollout.spec.template, rollout.spec.selector),
        (None, None),
        "they are never written"
    );
    assert_eq!(replicas().await, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_comes_late_is_noticed() {
    let cluster = Cluster::start().await;
    let mut rollout = blue_green(&json!({}));
    let spec = rollout["spec"].as_object_mut().unwrap();
    spec.remove("template");
    spec.insert(
        "workloadRef".to_owned(),
        json!({"apiVersion": "v1", "kind": "PodTemplate", "name": "web"}),
    );
    cluster.create::<Rollout>(rollout).await;
    let status = cluster
        .until("it is degraded", |status| is(status, "Degraded"))
        .await;
    let message =
        "InvalidSpec: The Rollout \"web\" is invalid: podtemplates \"default/web\" not found";
    assert_eq!(status.message.as_deref(), Some(message));
    let late = json!({"metadata": {"name": "web"}, "template": template("1")});
    cluster
        .create::<k8s_openapi::api::core::v1::PodTemplate>(late)
        .await;
    cluster
        .until("it is healthy", |status| is(status, "Healthy"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_pass_wrote_is_told_though_it_met_another_write_after_that() {
    let cluster = Cluster::without_controller().await;
    let met = AtomicBool::new(false);
    cluster.server.on_write(move |write| {
        let is_size = write.resource == "replicasets" && write.method == http::Method::PATCH;
        if write.client != "controller" || !is_size || met.swap(true, Ordering::Relaxed) {
            return Verdict::Proceed;
        }
        let status = kube::core::Status::failure("somebody was faster", "Conflict");
        Verdict::Refuse(Box::new(status.with_code(409)))
    });
    let cluster = cluster.with_controller("controller");
    cluster.create::<Rollout>(blue_green(&json!({}))).await;
    cluster
        .until("it is healthy", |status| is(status, "Healthy"))
        .await;
    let begin = "SwitchService: Switched selector for service 'web-canary' from '' to";
    let events = cluster.events().await;
    let told = events.iter().filter(|event| event.starts_with(begin));
    assert_eq!(told.count(), 1, "{events:#?}");
}
