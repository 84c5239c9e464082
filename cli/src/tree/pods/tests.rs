use serde_json::{Value, json};

use super::*;

fn pod(status: Value) -> Pod {
    let containers = json!([{"name": "web"}, {"name": "log"}]);
    let init = json!([{"name": "prepare"}, {"name": "mesh", "restartPolicy": "Always"}]);
    let spec = json!({"containers": containers, "initContainers": init});
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec, "status": status}))
        .unwrap()
}

fn container(name: &str, ready: bool, restarts: i32, state: Value) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": ready, "started": ready,
           "restartCount": restarts, "state": state})
}

/// The word, its icon, ready containers and restarts.
fn seen(status: Value) -> (String, &'static str, usize, i32) {
    let condition = condition(&pod(status));
    let icon = icon(&condition.word);
    (condition.word, icon, condition.ready, condition.restarts)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table of uniform entries")]
fn a_pod_is_what_kubectl_says_it_is() {
    let up = json!({"running": {}});
    let ended =
        |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason}});
    let waits = |reason: &str| json!({"waiting": {"reason": reason}});
    let of = |containers: Value| json!({"phase": "Running", "containerStatuses": containers});
    let init = |containers: Value| json!({"phase": "Pending", "initContainerStatuses": containers});
    let table = [
        (json!({"phase": "Pending"}), ("Pending", "◌", 0, 0)),
        (
            json!({"phase": "Failed", "reason": "Evicted"}),
            ("Evicted", " ", 0, 0),
        ),
        (
            of(json!([
                container("web", true, 2, up.clone()),
                container("log", true, 1, up.clone())
            ])),
            ("Running", "✔", 2, 3),
        ),
        (
            of(json!([container(
                "web",
                false,
                7,
                waits("CrashLoopBackOff")
            )])),
            ("CrashLoopBackOff", "✖", 0, 7),
        ),
        (
            of(json!([container("web", false, 0, ended(1, "Error"))])),
            ("Error", "⚠", 0, 0),
        ),
        (
            of(json!([container("web", false, 0, ended(137, ""))])),
            ("ExitCode:137", "✖", 0, 0),
        ),
        (
            of(json!([container(
                "web",
                false,
                0,
                json!({"terminated": {"exitCode": 0, "signal": 9}})
            )])),
            ("Signal:9", "✖", 0, 0),
        ),
        (
            of(json!([
                container("web", true, 0, up.clone()),
                container("log", false, 0, ended(0, "Completed"))
            ])),
            ("Running", "✔", 1, 0),
        ),
        (
            init(json!([container("prepare", false, 0, up.clone())])),
            ("Init:0/2", "◌", 0, 0),
        ),
        (
            init(json!([container(
                "prepare",
                false,
                3,
                waits("CrashLoopBackOff")
            )])),
            ("Init:CrashLoopBackOff", "◌", 0, 3),
        ),
        (
            init(json!([
                container("prepare", false, 0, ended(0, "Completed")),
                container("mesh", false, 0, waits("PodInitializing"))
            ])),
            ("Init:1/2", "◌", 0, 0),
        ),
        (
            init(json!([
                container("prepare", false, 0, ended(0, "Completed")),
                container("mesh", true, 0, up)
            ])),
            ("Pending", "◌", 0, 0),
        ),
    ];
    for (status, (word, icon, ready, restarts)) in table {
        assert_eq!(
            seen(status.clone()),
            (word.to_owned(), icon, ready, restarts),
            "{status}"
        );
    }
}

#[test]
fn a_deleted_pod_terminates_unless_its_node_is_lost() {
    let deleted = |status: Value| {
        let mut pod = pod(status);
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH);
        pod.metadata.deletion_timestamp = Some(time);
        condition(&pod).word
    };
    assert_eq!(deleted(json!({"phase": "Running"})), "Terminating");
    assert_eq!(
        deleted(json!({"phase": "Running", "reason": "NodeLost"})),
        "Unknown"
    );
}
