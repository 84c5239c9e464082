//! Watches: from a revision, from the beginning, through a selector.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

use super::support::{config_map, place};

fn told(event: &WatchEvent<ConfigMap>) -> String {
    match event {
        WatchEvent::Added(object) => format!("+{}", object.name_any()),
        WatchEvent::Modified(object) => format!("~{}", object.name_any()),
        WatchEvent::Deleted(object) => format!("-{}", object.name_any()),
        WatchEvent::Bookmark(mark) => {
            let end = mark
                .metadata
                .annotations
                .contains_key("k8s.io/initial-events-end");
            (if end {
                "initial-events-end"
            } else {
                "bookmark"
            })
            .to_owned()
        }
        WatchEvent::Error(status) => format!("!{}", status.code),
    }
}

async fn first(
    maps: &Api<ConfigMap>,
    params: &WatchParams,
    from: &str,
    count: usize,
) -> Vec<String> {
    let events = maps.watch(params, from).await.unwrap().take(count);
    events
        .map_ok(|event| told(&event))
        .try_collect()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_watch_tells_everything_since_its_revision_in_order() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let begin = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    maps.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    maps.create(&PostParams::default(), &config_map("b", json!({})))
        .await
        .unwrap();
    let patch = json!({"data": {"x": "1"}});
    maps.patch("a", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    maps.delete("b", &DeleteParams::default()).await.unwrap();
    let params = WatchParams::default()
        .timeout(10)
        .fields("metadata.name!=kube-root-ca.crt");
    assert_eq!(
        first(&maps, &params, &begin, 4).await,
        ["+a", "+b", "~a", "-b"]
    );
}

#[tokio::test]
async fn a_selector_makes_changes_look_like_comings_and_goings() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let begin = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    maps.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let label = async |value: serde_json::Value| {
        let patch = json!({"metadata": {"labels": {"on": value}}});
        maps.patch("a", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    };
    label(json!("y")).await;
    label(json!("z")).await;
    label(json!(null)).await;
    let params = WatchParams::default().timeout(10).labels("on");
    assert_eq!(first(&maps, &params, &begin, 3).await, ["+a", "~a", "-a"]);
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark_that_says_so() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    for name in ["a", "b"] {
        maps.create(&PostParams::default(), &config_map(name, json!({})))
            .await
            .unwrap();
    }
    let mine = WatchParams::default()
        .timeout(10)
        .fields("metadata.name!=kube-root-ca.crt");
    let params = WatchParams {
        send_initial_events: true,
        ..mine
    };
    let mut events = maps
        .watch(&params, "")
        .await
        .unwrap()
        .map_ok(|event| told(&event))
        .boxed();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(events.try_next().await.unwrap().unwrap());
    }
    assert_eq!(seen, ["+a", "+b", "initial-events-end"]);
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(events.try_next().await.unwrap().unwrap(), "-a");
}

#[tokio::test]
async fn a_runtime_watcher_sees_what_others_do_in_either_strategy() {
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let place = place().await;
        let maps: Api<ConfigMap> = place.api();
        maps.create(&PostParams::default(), &config_map("a", json!({})))
            .await
            .unwrap();
        let config = config.fields("metadata.name!=kube-root-ca.crt");
        let mut seen = watcher(maps.clone(), config).applied_objects().boxed();
        assert_eq!(seen.try_next().await.unwrap().unwrap().name_any(), "a");
        maps.create(&PostParams::default(), &config_map("b", json!({})))
            .await
            .unwrap();
        assert_eq!(seen.try_next().await.unwrap().unwrap().name_any(), "b");
    }
}
