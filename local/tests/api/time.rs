//! Watches in virtual time: their end, their bookmarks, and the end of history.

use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use super::support::{HISTORY, config_map, on_a_cluster, place};

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_its_time_is_up() {
    if on_a_cluster() {
        return; // A cluster does not know our time.
    }
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let begin = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let clock = sluice_local::clock::Clock::system();
    let before = clock.now();
    let events = maps
        .watch(
            &WatchParams::default().timeout(30).disable_bookmarks(),
            &begin,
        )
        .await
        .unwrap();
    let events: Vec<WatchEvent<ConfigMap>> = events.try_collect().await.unwrap();
    assert!(events.is_empty());
    let lasted = clock.now().duration_since(before);
    assert_eq!(lasted.as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_bring_a_quiet_watcher_up_to_date() {
    if on_a_cluster() {
        return;
    }
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let begin = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let params = WatchParams::default().timeout(200).labels("none=matches");
    let watch = maps.watch(&params, &begin).await.unwrap();
    let mut watch = std::pin::pin!(watch);
    maps.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let now = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let Some(WatchEvent::Bookmark(mark)) = watch.try_next().await.unwrap() else {
        panic!("a bookmark was expected");
    };
    assert_eq!(mark.metadata.resource_version, now);
    assert_ne!(now, begin);
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_before_history_is_gone() {
    if on_a_cluster() {
        return;
    }
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    maps.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    for round in 0..=HISTORY {
        let patch = json!({"data": {"round": round.to_string()}});
        maps.patch("a", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }
    let watch = maps
        .watch(&WatchParams::default().timeout(10), "2")
        .await
        .unwrap();
    let mut watch = std::pin::pin!(watch);
    let Some(WatchEvent::Error(status)) = watch.try_next().await.unwrap() else {
        panic!("an error was expected");
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(watch.try_next().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_does_not_read_is_closed_and_holds_nobody_up() {
    if on_a_cluster() {
        return;
    }
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let begin = made.metadata.resource_version.unwrap();
    let watch = maps
        .watch(
            &WatchParams::default().timeout(280).disable_bookmarks(),
            &begin,
        )
        .await
        .unwrap();
    for round in 0..2000 {
        let patch = json!({"data": {"round": round.to_string()}});
        maps.patch("a", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }
    let read: Vec<WatchEvent<ConfigMap>> =
        tokio::time::timeout(Duration::from_secs(5), watch.try_collect())
            .await
            .unwrap()
            .unwrap();
    assert!(read.len() < 2000, "{} were queued", read.len());
}
