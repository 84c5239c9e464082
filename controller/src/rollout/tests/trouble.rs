//! Releases that go badly.

use std::time::Duration;

use serde_json::json;

use super::cluster::{Cluster, is, is_at, key, rollout};
use crate::traffic::FuseTrip;

fn with_analysis(place: &str) -> serde_json::Value {
    let analysis = json!({"templates": [{"templateName": "errors"}]});
    match place {
        "background" => {
            let mut rollout = rollout(json!([{"setWeight": 20}, {"pause": {}}]));
            rollout["spec"]["strategy"]["canary"]["analysis"] = analysis;
            rollout
        }
        _ => rollout(json!([{"setWeight": 20}, {"analysis": analysis}, {"pause": {}}])),
    }
}

async fn deployed(place: &str) -> Cluster {
    let cluster = Cluster::start().await;
    cluster.template().await;
    cluster.create::<crds::Rollout>(with_analysis(place)).await;
    cluster
        .until("it is healthy", |status| is(status, "Healthy"))
        .await;
    cluster.release("2").await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_failed_background_analysis_aborts_with_its_message() {
    let cluster = deployed("background").await;
    cluster
        .until("it pauses", |status| is_at(status, "Paused", 1))
        .await;
    let run = cluster.until_run(1).await;
    let name = run.metadata.name.clone().unwrap();
    assert!(name.ends_with("-2"), "{name}");
    assert_eq!(
        run.metadata.labels.as_ref().unwrap()["rollout-type"],
        "Background"
    );
    cluster.end_run(&name, "Failed", "too many errors").await;
    let status = cluster
        .until("it is aborted", |status| is_at(status, "Degraded", 0))
        .await;
    let message = "RolloutAborted: Rollout aborted update to revision 2: Background analysis phase error/failed: \
                   too many errors";
    assert_eq!(status.message.as_deref(), Some(message));
    assert_eq!(cluster.weights(), [0, 20, 0]);
    // A retry measures anew.
    cluster.patch_status(json!({"abort": false})).await;
    let again = cluster.until_run(2).await;
    assert_eq!(again.metadata.name, Some(format!("{name}.1")));
    cluster
        .until("it pauses again", |status| is_at(status, "Paused", 1))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_step_waits_for_its_analysis_and_an_inconclusive_one_for_people() {
    let cluster = deployed("step").await;
    let run = cluster.until_run(1).await.metadata.name.unwrap();
    assert!(run.ends_with("-2-1"), "{run}");
    cluster.end_run(&run, "Inconclusive", "").await;
    let status = cluster
        .until("it pauses", |status| is(status, "Paused"))
        .await;
    assert_eq!(status.message.as_deref(), Some("InconclusiveAnalysisRun"));
    cluster.patch_status(json!({"pauseConditions": null})).await;
    let again = cluster.until_run(2).await.metadata.name.unwrap();
    cluster.end_run(&again, "Successful", "").await;
    cluster
        .until("it pauses at its step", |status| is_at(status, "Paused", 2))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_tripped_fuse_aborts_and_fails_the_run_and_only_a_retry_forgives_it() {
    let cluster = deployed("background").await;
    let status = cluster
        .until("it pauses", |status| is_at(status, "Paused", 1))
        .await;
    let run = cluster.until_run(1).await.metadata.name.unwrap();
    let trip = FuseTrip {
        proxy: "p-1".to_owned(),
        revision: status.current_pod_hash.unwrap(),
        reason: "fuse of proxy p-1 tripped: 7 of 9 failed".to_owned(),
    };
    cluster.traffic.trip(&key(), trip);
    let status = cluster
        .until("it is aborted", |status| is_at(status, "Degraded", 0))
        .await;
    let message = "RolloutAborted: Rollout aborted update to revision 2: fuse of proxy p-1 tripped: 7 of 9 failed";
    assert_eq!(status.message.as_deref(), Some(message));
    let ended = cluster
        .runs()
        .await
        .into_iter()
        .find(|it| it.metadata.name.as_ref() == Some(&run))
        .unwrap();
    let ended = ended.status.unwrap();
    assert_eq!(ended.phase.unwrap().as_str(), "Failed");
    assert_eq!(
        ended.message.as_deref(),
        Some("fuse of proxy p-1 tripped: 7 of 9 failed")
    );
    cluster.patch_status(json!({"abort": false})).await;
    cluster
        .until("it pauses again", |status| is_at(status, "Paused", 1))
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_proxy_no_weight_counts_as_set() {
    let cluster = Cluster::start().await;
    cluster.deploy(json!([{"setWeight": 20}])).await;
    cluster.traffic.connect(0);
    cluster.release("2").await;
    let message = "no proxy of fleet web is connected";
    let status = cluster
        .until("it says why it waits", |status| {
            status.message.as_deref() == Some(message)
        })
        .await;
    assert_eq!(status.current_step_index, Some(0));
    assert_eq!(
        status.canary.unwrap().weights.unwrap().verified,
        Some(false)
    );
    cluster.traffic.connect(1);
    cluster
        .until("it is promoted", |status| is_at(status, "Healthy", 1))
        .await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_serve_stay_until_they_have_served_or_the_drain_timeout() {
    let cluster = Cluster::start().await;
    cluster.deploy(json!([{"setWeight": 50}])).await;
    let old = cluster.status().await.stable_rs.unwrap();
    cluster.traffic.in_flight(&old, 3);
    cluster.release("2").await;
    cluster
        .until("it is promoted", |status| is_at(status, "Healthy", 1))
        .await;
    cluster.pass(Duration::from_secs(45)).await;
    assert_eq!(cluster.sizes().await["1"], 5, "requests hold the pods");
    cluster.pass(Duration::from_secs(25)).await;
    assert_eq!(cluster.sizes().await["1"], 0);
    let events = cluster.events().await;
    assert!(
        events.iter().any(|event| event.starts_with("DrainTimeout")),
        "{events:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn pods_that_never_come_up_get_no_traffic_and_time_out() {
    let cluster = Cluster::start().await;
    let mut rollout = rollout(json!([{"setWeight": 20}]));
    rollout["spec"]["progressDeadlineSeconds"] = json!(60);
    rollout["spec"]["progressDeadlineAbort"] = json!(true);
    cluster.create::<crds::Rollout>(rollout).await;
    cluster
        .until("it is healthy", |status| is(status, "Healthy"))
        .await;
    // Longer than the patience of the deadline.
    cluster.pretend.ready_after(
        [("app".to_owned(), "web".to_owned())].into(),
        Duration::from_hours(9),
    );
    cluster
        .pretend
        .never_ready([("broken".to_owned(), "yes".to_owned())].into());
    cluster
        .patch(json!({"spec": {"template": {"metadata": {"labels": {"broken": "yes"}}}}}))
        .await;
    let status = cluster
        .until("it is aborted", |status| status.abort == Some(true))
        .await;
    assert!(
        status
            .message
            .unwrap()
            .ends_with("has timed out progressing.")
    );
    assert_eq!(cluster.weights(), [0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_built_is_refused_and_its_pods_are_left_alone() {
    let cluster = Cluster::start().await;
    cluster
        .deploy(json!([{"setWeight": 20}, {"pause": {}}]))
        .await;
    cluster.release("2").await;
    cluster
        .until("it pauses", |status| is_at(status, "Paused", 1))
        .await;
    let before = (cluster.sizes().await, cluster.traffic.ordered(&key()));
    let steps = json!([{"setWeight": 20}, {"plugin": {"name": "x"}}]);
    cluster
        .patch(json!({"spec": {"strategy": {"canary": {"steps": steps}}}}))
        .await;
    let status = cluster
        .until("it is invalid", |status| is(status, "Degraded"))
        .await;
    let message = status.message.unwrap();
    assert!(
        message.starts_with(
            "InvalidSpec: The Rollout \"web\" is invalid: spec.strategy.canary.steps[1].plugin"
        ),
        "{message}"
    );
    assert!(
        message.ends_with("the plugin step is not supported by this version of Sluice"),
        "{message}"
    );
    cluster.pass(Duration::from_secs(100)).await;
    assert_eq!(
        (cluster.sizes().await, cluster.traffic.ordered(&key())),
        before
    );
    let steps = json!([{"setWeight": 20}, {"pause": {}}]);
    cluster
        .patch(json!({"spec": {"strategy": {"canary": {"steps": steps}}}}))
        .await;
    cluster
        .until("it goes on", |status| is_at(status, "Paused", 1))
        .await;
}
