//! The traces that every write leaves in `metadata.managedFields`.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DynamicObject, Patch};
use serde_json::json;

use super::applies::{apply, by, managed, map, patch_by, schema, typed, widget, workload};
use super::support::{config_map, place, refusal};

#[tokio::test]
async fn other_writes_take_fields_from_whoever_applied_them() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let made = maps
        .create(
            &by("maker"),
            &typed(
                json!({"metadata": {"name": "m", "labels": {"l": "1"}, "finalizers": ["x.io/f"]},
                          "data": {"a": "1"}}),
            ),
        )
        .await
        .unwrap();
    let wanted = json!({"maker Update": {
        "f:data": {".": {}, "f:a": {}},
        "f:metadata": {"f:finalizers": {".": {}, "v:\"x.io/f\"": {}},
                       "f:labels": {".": {}, "f:l": {}}}}});
    assert_eq!(managed(&made), wanted);
    apply(&maps, "one", map(json!({"a": "1", "b": "2"})))
        .await
        .unwrap();
    let patch = json!({"data": {"b": "3", "c": "4"}, "metadata": {"finalizers": null}});
    let patched = maps
        .patch("m", &patch_by("two"), &Patch::Merge(&patch))
        .await
        .unwrap();
    let wanted = json!({
        "one Apply": {"f:data": {"f:a": {}}},
        "maker Update": {"f:data": {".": {}, "f:a": {}}, "f:metadata": {"f:labels": {".": {}, "f:l": {}}}},
        "two Update": {"f:data": {"f:b": {}, "f:c": {}}}});
    assert_eq!(managed(&patched), wanted);
}

#[tokio::test]
async fn a_deployment_is_managed_field_by_field() {
    let place = place().await;
    let deployments: Api<Deployment> = place.api();
    let template = json!({"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [
        {"name": "a", "image": "a:1", "args": ["x"], "ports": [{"containerPort": 80}],
         "env": [{"name": "E", "value": "1"}],
         "resources": {"limits": {"cpu": "1"}}}]}});
    let object = workload(
        json!({"replicas": 0, "selector": {"matchLabels": {"app": "d"}}, "template": template}),
    );
    let made = deployments
        .create(&by("maker"), &typed(object))
        .await
        .unwrap();
    let container = json!({
        ".": {}, "f:args": {}, "f:env": {".": {}, "k:{\"name\":\"E\"}": {".": {}, "f:name": {}, "f:value": {}}},
        "f:image": {}, "f:imagePullPolicy": {}, "f:name": {},
        "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
            {".": {}, "f:containerPort": {}, "f:protocol": {}}},
        "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}},
        "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}});
    let wanted = json!({"maker Update": {"f:spec": {
        "f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:revisionHistoryLimit": {}, "f:selector": {},
        "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
        "f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {
            "f:containers": {"k:{\"name\":\"a\"}": container},
            "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {},
            "f:terminationGracePeriodSeconds": {}}}}}});
    assert_eq!(managed(&made)["maker Update"], wanted["maker Update"]);
    let patch = json!({"spec": {"replicas": 1}});
    deployments
        .patch_scale("d", &patch_by("scaler"), &Patch::Merge(&patch))
        .await
        .unwrap();
    let scaled = deployments.get("d").await.unwrap();
    let scaler = &managed(&scaled)["scaler Update scale"];
    assert_eq!(*scaler, json!({"f:spec": {"f:replicas": {}}}));
}

#[tokio::test]
async fn an_update_of_a_custom_object_leaves_its_trace() {
    let place = place().await;
    let widgets: Api<DynamicObject> = place.define(schema()).await;
    let made = widgets
        .create(
            &by("maker"),
            &typed(widget(&place, json!({"size": 1, "tags": ["t"]}))),
        )
        .await
        .unwrap();
    let wanted = json!({"maker Update": {"f:spec": {".": {}, "f:color": {}, "f:size": {},
        "f:tags": {".": {}, "v:\"t\"": {}}}}});
    assert_eq!(managed(&made), wanted);
    let status = json!({"status": {"replicas": 1, "deep": {"a": 1}}});
    let patched = widgets
        .patch_status("w", &patch_by("worker"), &Patch::Merge(&status))
        .await
        .unwrap();
    let wanted = json!({".": {}, "f:deep": {".": {}, "f:a": {}}, "f:replicas": {}});
    assert_eq!(
        managed(&patched)["worker Update status"],
        json!({"f:status": wanted})
    );
}

#[tokio::test]
async fn a_pod_status_is_managed_by_whoever_writes_it() {
    let place = place().await;
    let pods: Api<Pod> = place.api();
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "nodeName": "node-of-this-test", "containers": [{"name": "c", "image": "i:1"}]}});
    pods.create(&by("maker"), &typed(pod)).await.unwrap();
    let status = json!({"status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}]}});
    let patched = pods
        .patch_status("p", &patch_by("runner"), &Patch::Strategic(&status))
        .await
        .unwrap();
    let wanted = json!({"f:status": {
        "f:conditions": {".": {}, "k:{\"type\":\"Ready\"}": {".": {}, "f:status": {}, "f:type": {}}},
        "f:podIP": {}, "f:podIPs": {".": {}, "k:{\"ip\":\"10.0.0.1\"}": {".": {}, "f:ip": {}}}}});
    let mut told = managed(&patched)["runner Update status"].clone();
    // What a server of a certain age adds to every condition is not the point.
    if let Some(condition) = told.pointer_mut("/f:status/f:conditions/k:{\"type\":\"Ready\"}") {
        condition
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !key.contains("Time") && !key.contains("observed"));
    }
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn managers_can_be_forgotten_and_come_back_with_an_apply() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    maps.create(&by("maker"), &config_map("m", json!({"a": "1"})))
        .await
        .unwrap();
    let forget = json!({"metadata": {"managedFields": [{}]}});
    let bare = maps
        .patch("m", &patch_by("two"), &Patch::Merge(&forget))
        .await
        .unwrap();
    assert_eq!(managed(&bare), json!({}));
    let patch = json!({"data": {"b": "2"}});
    let bare = maps
        .patch("m", &patch_by("two"), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_eq!(managed(&bare), json!({}));
    let refused = refusal(apply(&maps, "one", map(json!({"a": "9"}))).await);
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a"
    );
    let applied = apply(&maps, "one", map(json!({"a": "1"}))).await.unwrap();
    let wanted = json!({
        "before-first-apply Update": {"f:data": {".": {}, "f:a": {}, "f:b": {}}},
        "one Apply": {"f:data": {"f:a": {}}}});
    assert_eq!(managed(&applied), wanted);
}
