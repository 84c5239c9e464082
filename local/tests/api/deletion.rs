//! Delete: finalizers, grace, preconditions, and what follows its owner.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use kube::api::{
    Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use serde_json::json;

use super::support::{
    Place, config_map, eventually, has_no_controllers, on_a_cluster, place, refusal,
};

async fn make(maps: &Api<ConfigMap>, name: &str, owner: Option<&ConfigMap>) -> ConfigMap {
    let mut object = config_map(name, json!({}));
    object.metadata.owner_references = owner.map(|owner| vec![reference(owner)]);
    maps.create(&PostParams::default(), &object).await.unwrap()
}

fn reference(owner: &ConfigMap) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: owner.name_any(),
        uid: owner.uid().unwrap(),
        block_owner_deletion: Some(true),
        controller: Some(true),
    }
}

async fn gone(maps: &Api<ConfigMap>, name: &str) {
    eventually(async || maps.get_opt(name).await.unwrap().is_none()).await;
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_off() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let mut object = config_map("a", json!({}));
    object.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    maps.create(&PostParams::default(), &object).await.unwrap();
    let left = maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(left.left().unwrap().metadata.deletion_timestamp.is_some());
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let params = PatchParams::default();
    assert_eq!(
        refusal(maps.patch("a", &params, &Patch::Merge(&more)).await).code,
        422
    );
    let none = json!({"metadata": {"finalizers": null}});
    maps.patch("a", &params, &Patch::Merge(&none))
        .await
        .unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_is_a_conflict() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let made = make(&maps, "a", None).await;
    let uid = |uid: &str| DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let wrong = uid("11111111-2222-4333-8444-555555555555");
    assert_eq!(refusal(maps.delete("a", &wrong).await).code, 409);
    maps.delete("a", &uid(&made.uid().unwrap())).await.unwrap();
    assert_eq!(
        refusal(maps.delete("a", &DeleteParams::default()).await).code,
        404
    );
}

#[tokio::test]
async fn dependents_follow_their_owner_in_the_background() {
    if has_no_controllers() {
        return;
    }
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let owner = make(&maps, "owner", None).await;
    let child = make(&maps, "child", Some(&owner)).await;
    make(&maps, "grandchild", Some(&child)).await;
    maps.delete("owner", &DeleteParams::background())
        .await
        .unwrap();
    gone(&maps, "child").await;
    gone(&maps, "grandchild").await;
}

#[tokio::test]
async fn a_foreground_owner_goes_after_its_dependents() {
    if has_no_controllers() {
        return;
    }
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let owner = make(&maps, "owner", None).await;
    let mut child = config_map("child", json!({}));
    child.metadata.owner_references = Some(vec![reference(&owner)]);
    child.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    maps.create(&PostParams::default(), &child).await.unwrap();
    maps.delete("owner", &DeleteParams::foreground())
        .await
        .unwrap();
    let doomed = async || {
        maps.get("child")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    };
    eventually(doomed).await;
    assert!(maps.get_opt("owner").await.unwrap().is_some());
    let none = json!({"metadata": {"finalizers": null}});
    maps.patch("child", &PatchParams::default(), &Patch::Merge(&none))
        .await
        .unwrap();
    gone(&maps, "owner").await;
}

#[tokio::test]
async fn orphans_outlive_their_owner() {
    if has_no_controllers() {
        return;
    }
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let owner = make(&maps, "owner", None).await;
    make(&maps, "child", Some(&owner)).await;
    maps.delete("owner", &DeleteParams::orphan()).await.unwrap();
    gone(&maps, "owner").await;
    let freed = async || {
        maps.get("child")
            .await
            .unwrap()
            .owner_references()
            .is_empty()
    };
    eventually(freed).await;
}

#[tokio::test]
async fn an_owner_that_never_was_counts_as_gone() {
    if has_no_controllers() {
        return;
    }
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let mut never = config_map("never", json!({}));
    never.metadata.uid = Some("11111111-2222-4333-8444-555555555555".to_owned());
    make(&maps, "child", Some(&never)).await;
    gone(&maps, "child").await;
}

#[tokio::test]
async fn a_namespace_takes_everything_along() {
    if has_no_controllers() {
        return;
    }
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    make(&maps, "a", None).await;
    let namespaces: Api<Namespace> = Api::all(place.client.clone());
    namespaces
        .delete(&place.namespace, &DeleteParams::default())
        .await
        .unwrap();
    eventually(async || {
        namespaces
            .get_opt(&place.namespace)
            .await
            .unwrap()
            .is_none()
    })
    .await;
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_collection_goes_as_far_as_the_selector_reaches() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    for (name, tier) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let object = json!({"metadata": {"name": name, "labels": {"tier": tier}}});
        let object = serde_json::from_value(object).unwrap();
        maps.create(&PostParams::default(), &object).await.unwrap();
    }
    let params = ListParams::default().labels("tier=x");
    maps.delete_collection(&DeleteParams::default(), &params)
        .await
        .unwrap();
    let left = maps
        .list(&ListParams::default().labels("tier"))
        .await
        .unwrap();
    assert_eq!(
        left.items
            .iter()
            .map(kube::ResourceExt::name_any)
            .collect::<Vec<_>>(),
        ["c"]
    );
}

async fn scheduled_pod(place: &Place, name: &str) -> Api<Pod> {
    let pods: Api<Pod> = place.api();
    let pod = json!({"metadata": {"name": name}, "spec": {
        "nodeName": "node-of-this-test", "containers": [{"name": "c", "image": "i:1"}]}});
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    pods
}

#[tokio::test]
async fn a_running_pod_gets_its_grace_and_goes_with_none() {
    let place = place().await;
    let pods = scheduled_pod(&place, "p").await;
    let left = pods
        .delete("p", &DeleteParams::default().grace_period(20))
        .await
        .unwrap();
    let pod = left.left().unwrap();
    assert_eq!(pod.metadata.deletion_grace_period_seconds, Some(20));
    let shorter = pods
        .delete("p", &DeleteParams::default().grace_period(5))
        .await
        .unwrap();
    assert_eq!(
        shorter
            .left()
            .unwrap()
            .metadata
            .deletion_grace_period_seconds,
        Some(5)
    );
    pods.delete("p", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
}

#[tokio::test]
async fn a_pod_that_runs_nowhere_goes_at_once_and_a_bound_one_can_be_evicted() {
    let place = place().await;
    let pods: Api<Pod> = place.api();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}],
        // Where there is a scheduler, it is told to leave this pod alone.
        "schedulerName": "none"}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
    pods.create(&PostParams::default(), &pod).await.unwrap();
    bind(&place, "p").await;
    let bound = pods.get("p").await.unwrap();
    assert_eq!(
        bound.spec.unwrap().node_name.as_deref(),
        Some("node-of-this-test")
    );
    pods.evict("p", &EvictParams::default()).await.unwrap();
    let evicted = pods.get_opt("p").await.unwrap();
    assert!(on_a_cluster() || evicted.unwrap().metadata.deletion_timestamp.is_some());
}

async fn bind(place: &Place, pod: &str) {
    let uri = format!("/api/v1/namespaces/{}/pods/{pod}/binding", place.namespace);
    let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
                      "target": {"apiVersion": "v1", "kind": "Node", "name": "node-of-this-test"}});
    let request = http::Request::post(uri)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    place.client.request_text(request).await.unwrap();
}
