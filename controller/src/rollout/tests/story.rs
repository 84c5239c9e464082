//! Releases that go well, or that people steer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::cluster::{Cluster, is, is_at, key, template};

#[tokio::test(start_paused = true)]
async fn a_first_deployment_skips_the_steps_and_becomes_healthy() {
    let cluster = Cluster::start().await;
    cluster
        .deploy(json!([{"setWeight": 10}, {"pause": {}}]))
        .await;
    let status = cluster
        .until("all conditions are good", |status| {
            status
                .conditions
                .iter()
                .any(|c| c.type_ == "Healthy" && c.status == "True")
        })
        .await;
    assert_eq!(status.stable_rs, status.current_pod_hash);
    assert_eq!(status.current_step_index, Some(2));
    assert_eq!(
        (status.replicas, status.available_replicas),
        (Some(5), Some(5))
    );
    assert_eq!(status.selector.as_deref(), Some("app=web"));
    assert_eq!(status.observed_generation.as_deref(), Some("1"));
    let progressing = status
        .conditions
        .iter()
        .find(|c| c.type_ == "Progressing")
        .unwrap();
    assert_eq!(progressing.reason, "NewReplicaSetAvailable");
    let hash = status.stable_rs.unwrap();
    assert_eq!(cluster.selected("web-stable").await, hash);
    assert_eq!(cluster.selected("web-canary").await, hash);
    let order = cluster.traffic.ordered(&key()).unwrap();
    assert_eq!((order.stable, order.canary, order.weight), (hash, None, 0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_rollout_costs_no_write() {
    let cluster = Cluster::start().await;
    cluster.deploy(json!([{"setWeight": 10}])).await;
    cluster.release("2").await;
    cluster
        .until("it is promoted", |status| is_at(status, "Healthy", 1))
        .await;
    cluster.pass(Duration::from_mins(2)).await;
    let written = cluster.count_writes();
    cluster.pass(Duration::from_hours(1)).await;
    assert_eq!(*written.lock().unwrap(), BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn an_idle_controller_writes_nothing_but_its_lease() {
    let cluster = Cluster::without_controller().await;
    let controller = cluster.start_whole().await;
    cluster
        .deploy_unrouted(json!([{"setWeight": 50}, {"pause": {"duration": "1s"}}]))
        .await;
    cluster.release("2").await;
    cluster
        .until("it is promoted", |status| is_at(status, "Healthy", 2))
        .await;
    cluster.pass(Duration::from_mins(2)).await;
    let written = cluster.count_writes();
    cluster.pass(Duration::from_hours(1)).await;
    let written = written.lock().unwrap().clone();
    assert_eq!(written.keys().collect::<Vec<_>>(), ["leases"]);
    let renewals = written["leases"];
    assert!((1_790..=1_810).contains(&renewals), "{renewals} renewals");
    controller.stop.cancel();
    controller.join.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_release_goes_through_its_steps_without_anybody() {
    let cluster = Cluster::start().await;
    let steps = json!([
        {"setWeight": 10}, {"pause": {"duration": "30s"}}, {"setWeight": 30}, {"pause": {"duration": 30}},
        {"setWeight": 60}, {"pause": {"duration": "1m"}}, {"setWeight": 100},
    ]);
    cluster.deploy(steps).await;
    cluster.release("2").await;
    cluster
        .until("it pauses at the first pause", |status| {
            is_at(status, "Paused", 1)
        })
        .await;
    assert_eq!(
        cluster.sizes().await.values().copied().collect::<Vec<_>>(),
        [5, 1]
    );
    cluster
        .until("it pauses at the second pause", |status| {
            is_at(status, "Paused", 3)
        })
        .await;
    assert_eq!(
        cluster.sizes().await.values().copied().collect::<Vec<_>>(),
        [5, 2]
    );
    let status = cluster
        .until("it is promoted", |status| is_at(status, "Healthy", 7))
        .await;
    assert_eq!(status.stable_rs, status.current_pod_hash);
    assert_eq!(cluster.weights(), [0, 10, 30, 60, 100, 0]);
    // The old pods go after their delay, and both Services follow.
    cluster.pass(Duration::from_mins(1)).await;
    assert_eq!(
        cluster.sizes().await.values().copied().collect::<Vec<_>>(),
        [0, 5]
    );
    assert_eq!(Some(cluster.selected("web-stable").await), status.stable_rs);
    let events = cluster.events().await;
    let completed = "RolloutStepCompleted: Rollout step 2/7 completed (pause: 30s)";
    assert!(events.iter().any(|event| event == completed), "{events:#?}");
    assert!(
        events
            .iter()
            .any(|event| event.contains("Completed all 7 canary steps")),
        "{events:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_manual_gate_waits_until_somebody_promotes() {
    let cluster = Cluster::start().await;
    cluster
        .deploy(json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}]))
        .await;
    cluster.release("2").await;
    cluster
        .until("it pauses", |status| is_at(status, "Paused", 1))
        .await;
    cluster.pass(Duration::from_mins(30)).await;
    let status = cluster.status().await;
    assert_eq!(status.message.as_deref(), Some("CanaryPauseStep"));
    assert_eq!(status.controller_pause, Some(true));
    cluster.patch_status(json!({"pauseConditions": null})).await;
    cluster
        .until("it is promoted", |status| is_at(status, "Healthy", 3))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_takes_the_traffic_back_and_a_retry_starts_again() {
    let cluster = Cluster::start().await;
    cluster
        .deploy(json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}]))
        .await;
    cluster.release("2").await;
    cluster
        .until("it pauses", |status| is_at(status, "Paused", 1))
        .await;
    cluster.patch_status(json!({"abort": true})).await;
    let status = cluster
        .until("it is aborted", |status| is_at(status, "Degraded", 0))
        .await;
    assert_eq!(
        status.message.as_deref(),
        Some("RolloutAborted: Rollout aborted update to revision 2")
    );
    assert_eq!(cluster.traffic.ordered(&key()).unwrap().weight, 0);
    assert!(status.aborted_at.is_some() && status.pause_conditions.is_empty());
    assert_eq!(
        cluster.sizes().await["2"],
        1,
        "the canary stays for a while"
    );
    cluster.pass(Duration::from_mins(1)).await;
    assert_eq!(cluster.sizes().await["2"], 0);
    assert_eq!(Some(cluster.selected("web-canary").await), status.stable_rs);
    cluster.patch_status(json!({"abort": false})).await;
    let status = cluster
        .until("it pauses again", |status| is_at(status, "Paused", 1))
        .await;
    // What the retry wrote stays, as with Argo.
    assert_eq!((status.abort, status.aborted_at), (Some(false), None));
    cluster.patch_status(json!({"pauseConditions": null})).await;
    cluster
        .until("it is promoted", |status| is_at(status, "Healthy", 3))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_change_in_mid_rollout_starts_again_with_the_newest_version() {
    let cluster = Cluster::start().await;
    cluster
        .deploy(json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]))
        .await;
    cluster.release("2").await;
    cluster
        .until("version 2 pauses", |status| is_at(status, "Paused", 1))
        .await;
    cluster.patch_status(json!({"pauseConditions": null})).await;
    cluster
        .until("version 2 pauses at 50", |status| {
            is_at(status, "Paused", 3)
        })
        .await;
    cluster.release("3").await;
    cluster
        .until("version 3 pauses", |status| is_at(status, "Paused", 1))
        .await;
    cluster.pass(Duration::from_secs(40)).await;
    let sizes = cluster.sizes().await;
    assert_eq!((sizes["1"], sizes["2"], sizes["3"]), (5, 0, 1));
    assert_eq!(cluster.weights(), [0, 20, 50, 0, 20]);
    let history = cluster.traffic.history();
    let first_of_three = history
        .iter()
        .find(|order| Some(&order.canary) == history.last().map(|o| &o.canary));
    assert_eq!(
        first_of_three.unwrap().weight,
        0,
        "version 3 begins with nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn going_back_to_the_stable_version_skips_the_steps() {
    let cluster = Cluster::start().await;
    cluster
        .deploy(json!([{"setWeight": 20}, {"pause": {}}]))
        .await;
    cluster.release("2").await;
    cluster
        .until("it pauses", |status| is_at(status, "Paused", 1))
        .await;
    cluster.release("1").await;
    cluster
        .until("it is back", |status| is_at(status, "Healthy", 2))
        .await;
    assert_eq!(cluster.traffic.ordered(&key()).unwrap().weight, 0);
    cluster.pass(Duration::from_secs(90)).await;
    // Version 1 is revision 3 now.
    assert_eq!(
        cluster.sizes().await,
        [("2".to_owned(), 0), ("3".to_owned(), 5)].into()
    );
    let events = cluster.events().await;
    assert!(
        events
            .iter()
            .any(|event| event == "SkipSteps: Rollback to stable ReplicaSets"),
        "{events:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_promotion_skips_what_is_left() {
    let cluster = Cluster::start().await;
    cluster
        .deploy(json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]))
        .await;
    cluster.release("2").await;
    cluster
        .until("it pauses", |status| is_at(status, "Paused", 1))
        .await;
    cluster.patch_status(json!({"promoteFull": true})).await;
    let status = cluster
        .until("it is promoted", |status| is_at(status, "Healthy", 4))
        .await;
    assert_eq!(
        (status.promote_full, &status.stable_rs),
        (None, &status.current_pod_hash)
    );
    let events = cluster.events().await;
    assert!(
        events
            .iter()
            .any(|event| event.contains("Full promotion requested")),
        "{events:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn sizes_and_header_routes_follow_the_steps() {
    let cluster = Cluster::start().await;
    let matches = json!([{"headerName": "X-Beta", "headerValue": {"exact": "yes"}}]);
    cluster
        .deploy(json!([
            {"setCanaryScale": {"replicas": 3}},
            {"setHeaderRoute": {"name": "beta", "match": matches}},
            {"pause": {}},
            {"setHeaderRoute": {"name": "beta"}},
            {"setCanaryScale": {"matchTrafficWeight": true}},
            {"setWeight": 20},
            {"pause": {}},
        ]))
        .await;
    cluster.release("2").await;
    cluster
        .until("it pauses", |status| is_at(status, "Paused", 2))
        .await;
    assert_eq!(cluster.sizes().await["2"], 3);
    let order = cluster.traffic.ordered(&key()).unwrap();
    assert_eq!(order.weight, 0);
    assert_eq!(order.header_routes.len(), 1);
    assert_eq!(
        order.header_routes[0].headers[0].exact.as_deref(),
        Some("yes")
    );
    cluster.patch_status(json!({"pauseConditions": null})).await;
    cluster
        .until("it pauses again", |status| is_at(status, "Paused", 6))
        .await;
    assert_eq!(cluster.sizes().await["2"], 1);
    let order = cluster.traffic.ordered(&key()).unwrap();
    assert_eq!((order.weight, order.header_routes.len()), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn another_size_is_followed_in_mid_release_and_a_pause_by_hand_holds_everything() {
    let cluster = Cluster::start().await;
    cluster.deploy(json!([{"setWeight": 50}, {"pause": {"duration": 5}}, {"setWeight": 80}, {"pause": {}}])).await;
    cluster.patch(json!({"spec": {"paused": true}})).await;
    cluster
        .until("it is paused by hand", |status| {
            status.message.as_deref() == Some("manually paused")
        })
        .await;
    cluster.release("2").await;
    cluster.pass(Duration::from_secs(100)).await;
    assert_eq!(cluster.sizes().await["2"], 0, "nothing moves while paused");
    cluster.patch(json!({"spec": {"paused": false}})).await;
    cluster
        .until("it pauses by itself", |status| is_at(status, "Paused", 3))
        .await;
    cluster.patch(json!({"spec": {"replicas": 10}})).await;
    cluster
        .until("it has grown", |status| {
            status.available_replicas == Some(18)
        })
        .await;
    assert_eq!(
        cluster.weights().last(),
        Some(&80),
        "the weight did not move"
    );
    assert_eq!(template("1")["spec"]["containers"][0]["image"], "web:1");
    assert!(is(&cluster.status().await, "Paused"));
}
