//! Patches: three kinds, as tables of object, patch and outcome.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::support::{config_map, place, refusal};

fn deployment() -> Deployment {
    let object = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"app": "d"}}, "replicas": 0,
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [
            {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
             "ports": [{"containerPort": 80, "name": "http"}], "args": ["one", "two"]},
            {"name": "b", "image": "b:1"}]}}}});
    serde_json::from_value(object).unwrap()
}

/// Patch, pointer, what stands there afterwards.
type Row = (Value, &'static str, Value);

fn container_rows() -> Vec<Row> {
    let containers = |list: Value| json!({"spec": {"template": {"spec": {"containers": list}}}});
    vec![
        (
            containers(json!([{"name": "a", "image": "a:2"}])),
            "/spec/template/spec/containers/1/image",
            json!("b:1"),
        ),
        (
            containers(json!([{"name": "a", "image": "a:2"}])),
            "/spec/template/spec/containers/0/image",
            json!("a:2"),
        ),
        (
            containers(json!([{"name": "a", "args": ["three"]}])),
            "/spec/template/spec/containers/0/args",
            json!(["three"]),
        ),
        (
            containers(json!([{"name": "a", "env": [{"name": "X", "$patch": "delete"}]}])),
            "/spec/template/spec/containers/0/env",
            json!([{"name": "Y", "value": "2"}]),
        ),
        (
            containers(
                json!([{"name": "a", "env": [{"$patch": "replace"}, {"name": "Z", "value": "3"}]}]),
            ),
            "/spec/template/spec/containers/0/env",
            json!([{"name": "Z", "value": "3"}]),
        ),
        (
            containers(json!([{"name": "a", "ports": [{"containerPort": 80, "name": "web"}]}])),
            "/spec/template/spec/containers/0/ports",
            json!([{"containerPort": 80, "name": "web", "protocol": "TCP"}]),
        ),
        (
            containers(json!([{"name": "b", "$patch": "delete"}])),
            "/spec/template/spec/containers/1",
            Value::Null,
        ),
    ]
}

/// The same, for what is no list of containers.
fn other_rows() -> Vec<Row> {
    vec![
        (
            json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}}}),
            "/spec/template/spec/containers/0/name",
            json!("b"),
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "c:1"}]}}}}),
            "/spec/template/spec/containers/0/name",
            json!("c"),
        ),
        (
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            "/spec/strategy",
            json!({"type": "Recreate"}),
        ),
        (
            json!({"metadata": {"finalizers": ["x.example.com/a"]}}),
            "/metadata/finalizers",
            json!(["x.example.com/a"]),
        ),
    ]
}

#[tokio::test]
async fn a_strategic_merge_patch_merges_lists_by_their_keys() {
    let place = place().await;
    let deployments: Api<Deployment> = place.api();
    deployments
        .create(&PostParams::default(), &deployment())
        .await
        .unwrap();
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    for (patch, pointer, wanted) in container_rows().into_iter().chain(other_rows()) {
        let patched = deployments
            .patch("d", &dry, &Patch::Strategic(&patch))
            .await
            .unwrap();
        let patched = serde_json::to_value(patched).unwrap();
        assert_eq!(
            patched.pointer(pointer).unwrap_or(&Value::Null),
            &wanted,
            "{patch}"
        );
    }
}

#[tokio::test]
async fn a_merge_patch_replaces_lists_and_removes_nulls() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    maps.create(
        &PostParams::default(),
        &config_map("a", json!({"x": "1", "y": "2"})),
    )
    .await
    .unwrap();
    let patch = json!({"data": {"x": null, "z": "3"}});
    let patched = maps
        .patch("a", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    let wanted = config_map("a", json!({"y": "2", "z": "3"})).data;
    assert_eq!(patched.data, wanted);
}

#[tokio::test]
async fn a_json_patch_holds_to_its_tests() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    maps.create(&PostParams::default(), &config_map("a", json!({"x": "1"})))
        .await
        .unwrap();
    let patch = |test: &str| -> Patch<ConfigMap> {
        let operations = json!([{"op": "test", "path": "/data/x", "value": test},
                                {"op": "replace", "path": "/data/x", "value": "2"}]);
        Patch::Json(serde_json::from_value(operations).unwrap())
    };
    let params = PatchParams::default();
    assert_eq!(
        refusal(maps.patch("a", &params, &patch("0")).await).code,
        422
    );
    let patched = maps.patch("a", &params, &patch("1")).await.unwrap();
    assert_eq!(patched.data, config_map("a", json!({"x": "2"})).data);
}

#[tokio::test]
async fn a_patch_can_rely_on_a_version() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let version = made.resource_version().unwrap();
    let patch = json!({"metadata": {"resourceVersion": version}, "data": {"x": "1"}});
    maps.patch("a", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    let again = json!({"metadata": {"resourceVersion": version}, "data": {"x": "2"}});
    let stale = refusal(
        maps.patch("a", &PatchParams::default(), &Patch::Merge(&again))
            .await,
    );
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
}

#[tokio::test]
async fn a_patch_that_changes_nothing_is_no_change() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({"x": "1"})))
        .await
        .unwrap();
    let patch = json!({"data": {"x": "1"}});
    let patched = maps
        .patch("a", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_eq!(patched.resource_version(), made.resource_version());
}

#[tokio::test]
async fn strategic_merge_is_not_for_custom_kinds() {
    let place = place().await;
    let widgets = place
        .define(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}))
        .await;
    widgets
        .create(&PostParams::default(), &place.widget("w", json!({})))
        .await
        .unwrap();
    let patch = json!({"spec": {"a": 1}});
    let status = refusal(
        widgets
            .patch("w", &PatchParams::default(), &Patch::Strategic(&patch))
            .await,
    );
    assert_eq!(
        (status.code, status.reason.as_str()),
        (415, "UnsupportedMediaType")
    );
}

#[tokio::test]
async fn a_pod_keeps_its_spec_but_for_its_images() {
    let place = place().await;
    let pods: Api<Pod> = place.api();
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    pods.create(
        &PostParams::default(),
        &serde_json::from_value(pod).unwrap(),
    )
    .await
    .unwrap();
    let image = json!({"spec": {"containers": [{"name": "c", "image": "i:2"}]}});
    pods.patch("p", &PatchParams::default(), &Patch::Strategic(&image))
        .await
        .unwrap();
    let node = json!({"spec": {"nodeName": "elsewhere"}});
    let status = refusal(
        pods.patch("p", &PatchParams::default(), &Patch::Strategic(&node))
            .await,
    );
    assert_eq!(status.code, 422);
    assert_eq!(
        pods.list(&ListParams::default()).await.unwrap().items.len(),
        1
    );
}
