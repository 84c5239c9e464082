use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn set(replicas: i32, min_ready: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": "rs", "namespace": "n", "uid": "u", "generation": 3},
        "spec": {"replicas": replicas, "minReadySeconds": min_ready,
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a", "hash": "h"}}}},
    }))
    .unwrap()
}

/// A running pod that is ready since the second given, changed by `more`.
fn pod(name: &str, ready_since: Option<i64>, more: Value) -> Pod {
    let since = ready_since.map(|second| at(second).to_string());
    let status = if since.is_some() { "True" } else { "False" };
    let mut pod = json!({
        "metadata": {"name": name, "labels": {"app": "a", "hash": "h"},
            "creationTimestamp": at(0).to_string()},
        "spec": {"nodeName": "local", "containers": []},
        "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": since}]},
    });
    json_patch::merge(&mut pod, &more);
    serde_json::from_value(pod).unwrap()
}

#[test]
fn pods_are_created_and_deleted_up_to_the_number_wanted() {
    let ready = |n: usize| -> Vec<Pod> {
        (0..n)
            .map(|i| pod(&format!("p{i}"), Some(1), json!({})))
            .collect()
    };
    let table = [
        (3, ready(0), 3, 0),
        (3, ready(2), 1, 0),
        (3, ready(3), 0, 0),
        (1, ready(3), 0, 2),
        (0, ready(2), 0, 2),
        (9999, ready(0), BURST, 0),
    ];
    for (replicas, pods, create, delete) in table {
        let plan = plan(&set(replicas, 0), &pods, at(10));
        assert_eq!(
            (plan.create, plan.delete.len()),
            (create, delete),
            "{replicas} of {}",
            pods.len()
        );
    }
}

#[test]
fn pods_that_end_or_have_ended_are_replaced() {
    let gone = [
        pod("failed", None, json!({"status": {"phase": "Failed"}})),
        pod("done", None, json!({"status": {"phase": "Succeeded"}})),
        pod(
            "ending",
            Some(1),
            json!({"metadata": {"deletionTimestamp": at(5).to_string()}}),
        ),
    ];
    let plan = plan(&set(2, 0), &gone, at(10));
    assert_eq!(plan.create, 2);
    assert_eq!(plan.status.replicas, 0);
    assert_eq!(plan.status.terminating_replicas, Some(1));
}

#[test]
fn the_least_useful_pods_go_first() {
    let pods = [
        pod("old-and-ready", Some(1), json!({})),
        pod("ready-later", Some(5), json!({})),
        pod(
            "restarted",
            Some(1),
            json!({"status": {"containerStatuses": [
            {"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 2}]}}),
        ),
        pod("not-ready", None, json!({})),
        pod(
            "not-ready-newer",
            None,
            json!({"metadata": {"creationTimestamp": at(9).to_string()}}),
        ),
        pod("pending", None, json!({"status": {"phase": "Pending"}})),
        pod(
            "unscheduled",
            None,
            json!({"spec": {"nodeName": null}, "status": {"phase": "Pending"}}),
        ),
    ];
    let plan = plan(&set(0, 0), &pods, at(10));
    let names: Vec<String> = plan.delete.iter().map(|pod| pod.name_any()).collect();
    let expected = [
        "unscheduled",
        "pending",
        "not-ready-newer",
        "not-ready",
        "ready-later",
        "restarted",
        "old-and-ready",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_status_counts_and_says_when_time_will_change_it() {
    let pods = [
        pod("long", Some(0), json!({})),
        pod("short", Some(7), json!({})),
        pod("not", None, json!({})),
        pod(
            "unlabelled",
            Some(0),
            json!({"metadata": {"labels": {"hash": null}}}),
        ),
    ];
    let plan = plan(&set(4, 5), &pods, at(10));
    let status = plan.status;
    assert_eq!(
        (
            status.replicas,
            status.fully_labeled_replicas,
            status.ready_replicas
        ),
        (4, Some(3), Some(3))
    );
    assert_eq!(
        (status.available_replicas, status.observed_generation),
        (Some(2), Some(3))
    );
    assert_eq!(plan.again, Some(Duration::from_secs(2)));
}

#[test]
fn a_set_that_is_being_deleted_only_reports() {
    let mut set = set(3, 0);
    set.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)));
    let pods = [pod("p", Some(1), json!({}))];
    let plan = plan(&set, &pods, at(10));
    assert_eq!(
        (plan.create, plan.delete.len(), plan.status.replicas),
        (0, 0, 1)
    );
}
