//! Label and field selectors.

use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use k8s_openapi::api::events::v1::Event as NewEvent;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use super::support::{Place, place, refusal};

async fn with_maps() -> Place {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    for (name, labels) in [
        ("a", json!({"app": "web", "tier": "front"})),
        ("b", json!({"app": "web", "tier": "back"})),
        ("c", json!({"app": "db"})),
    ] {
        let object = json!({"metadata": {"name": name, "labels": labels}});
        let object = serde_json::from_value(object).unwrap();
        maps.create(&PostParams::default(), &object).await.unwrap();
    }
    place
}

#[tokio::test]
async fn labels_select_by_equality_and_by_sets() {
    let place = with_maps().await;
    let maps: Api<ConfigMap> = place.api();
    let rows: &[(&str, &[&str])] = &[
        ("app=web", &["a", "b"]),
        ("app==web,tier=back", &["b"]),
        ("app,app!=web", &["c"]),
        ("tier", &["a", "b"]),
        ("app,!tier", &["c"]),
        ("app in (web, db)", &["a", "b", "c"]),
        ("app in (db),!tier", &["c"]),
        ("app,tier notin (front)", &["b", "c"]),
        ("app=none", &[]),
    ];
    for (selector, wanted) in rows {
        let found = maps
            .list(&ListParams::default().labels(selector))
            .await
            .unwrap();
        let names: Vec<String> = found.items.iter().map(ResourceExt::name_any).collect();
        assert_eq!(&names, wanted, "{selector}");
    }
    let wrong = maps.list(&ListParams::default().labels("app in web")).await;
    assert_eq!(refusal(wrong).code, 400);
}

#[tokio::test]
async fn fields_select_where_the_kind_knows_them() {
    let place = with_maps().await;
    let maps: Api<ConfigMap> = place.api();
    let named = maps
        .list(&ListParams::default().fields("metadata.name=b"))
        .await
        .unwrap();
    assert_eq!(named.items.len(), 1);
    let unknown = maps
        .list(&ListParams::default().fields("spec.nodeName=b"))
        .await;
    assert_eq!(refusal(unknown).code, 400);
    let pods: Api<Pod> = place.api();
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "nodeName": "n", "containers": [{"name": "c", "image": "i:1"}]}});
    pods.create(
        &PostParams::default(),
        &serde_json::from_value(pod).unwrap(),
    )
    .await
    .unwrap();
    for (selector, wanted) in [
        ("spec.nodeName=n", 1),
        ("spec.nodeName!=n", 0),
        ("spec.nodeName=n,status.phase=Pending", 1),
        ("status.phase=Running", 0),
    ] {
        let found = pods
            .list(&ListParams::default().fields(selector))
            .await
            .unwrap();
        assert_eq!(found.items.len(), wanted, "{selector}");
    }
}

#[tokio::test]
async fn both_kinds_of_events_are_the_same_objects() {
    let place = place().await;
    let newer: Api<NewEvent> = place.api();
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p",
        "namespace": place.namespace}, "note": "it happened", "reason": "Happened",
        "action": "Happening", "type": "Normal", "reportingController": "example.com/test",
        "reportingInstance": "one", "eventTime": "2026-01-02T03:04:05.000000Z"});
    newer
        .create(
            &PostParams::default(),
            &serde_json::from_value(event).unwrap(),
        )
        .await
        .unwrap();
    let older: Api<Event> = place.api();
    let params = ListParams::default().fields("involvedObject.name=p,involvedObject.kind=Pod");
    let found = older.list(&params).await.unwrap();
    assert_eq!(found.items[0].message.as_deref(), Some("it happened"));
    assert_eq!(found.items[0].involved_object.name.as_deref(), Some("p"));
    assert_eq!(
        newer.get("e").await.unwrap().note.as_deref(),
        Some("it happened")
    );
}
