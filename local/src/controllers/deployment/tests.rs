use jiff::Timestamp;
use serde_json::{Value, json};

use super::plan::{Plan, plan};
use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn deployment(spec: Value) -> Deployment {
    let mut object = json!({"metadata": {"name": "d", "uid": "u", "generation": 1}, "spec": {
        "replicas": 4, "selector": {"matchLabels": {"app": "d"}}, "template": template("new"),
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}});
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

/// Image, wanted pods, serving pods, revision.
fn set(image: &str, replicas: i32, available: i32, revision: i64) -> ReplicaSet {
    let mut template = template(image);
    template["metadata"]["labels"]["pod-template-hash"] = json!(image);
    serde_json::from_value(json!({
        "metadata": {"name": format!("d-{image}"), "uid": image, "resourceVersion": "1",
            "creationTimestamp": format!("2026-01-02T03:0{revision}:00Z"),
            "annotations": {"deployment.kubernetes.io/revision": revision.to_string(),
                "deployment.kubernetes.io/desired-replicas": "4", "deployment.kubernetes.io/max-replicas": "5"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "d"}}, "template": template},
        "status": {"replicas": replicas, "availableReplicas": available, "readyReplicas": available}}))
    .unwrap()
}

fn told(plan: &Plan) -> String {
    let mut told = Vec::new();
    if let Some(new) = &plan.create {
        let replicas = new.spec.as_ref().unwrap().replicas.unwrap();
        told.push(format!("create {replicas}"));
    }
    told.extend(
        plan.change
            .iter()
            .map(|change| format!("{} {}", change.name, change.replicas)),
    );
    told.extend(
        plan.delete
            .iter()
            .map(|set| format!("delete {}", set.name_any())),
    );
    told.join(", ")
}

#[test]
fn a_rollout_goes_step_by_step_within_its_bounds() {
    let rolling = json!({});
    let recreate = json!({"strategy": {"type": "Recreate"}});
    let table = [
        (&rolling, vec![], "create 4"),
        (&rolling, vec![set("old", 4, 4, 1)], "create 1, d-old 3"),
        (
            &rolling,
            vec![set("old", 3, 3, 1), set("new", 1, 0, 2)],
            "d-new 2",
        ),
        (
            &rolling,
            vec![set("old", 3, 3, 1), set("new", 2, 2, 2)],
            "d-old 1",
        ),
        (
            &rolling,
            vec![set("old", 1, 1, 1), set("new", 4, 3, 2)],
            "d-old 0",
        ),
        (
            &rolling,
            vec![set("old", 3, 1, 1), set("new", 2, 2, 2)],
            "d-old 1",
        ),
        (&rolling, vec![set("new", 2, 2, 1)], "d-new 4"),
        (&rolling, vec![set("new", 4, 4, 1)], ""),
        (&recreate, vec![set("old", 4, 4, 1)], "d-old 0"),
        (&recreate, vec![set("old", 0, 0, 1)], "create 4"),
        (
            &json!({"paused": true}),
            vec![set("old", 3, 3, 1)],
            "d-old 4",
        ),
        (
            &json!({"replicas": 0}),
            vec![set("new", 4, 4, 1)],
            "d-new 0",
        ),
        (
            &json!({"revisionHistoryLimit": 0}),
            vec![set("old", 0, 0, 1), set("new", 4, 4, 2)],
            "delete d-old",
        ),
    ];
    for (spec, sets, wanted) in table {
        let plan = plan(&deployment(spec.clone()), &sets, now());
        assert_eq!(
            told(&plan),
            wanted,
            "{spec} {:?}",
            sets.iter().map(ReplicaSet::name_any).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_template_that_comes_back_gets_the_next_number() {
    let plan = plan(
        &deployment(json!({})),
        &[set("new", 0, 0, 1), set("old", 4, 4, 2)],
        now(),
    );
    assert_eq!(plan.revision.as_deref(), Some("3"));
    assert_eq!(
        plan.change[0].annotations["deployment.kubernetes.io/revision"],
        "3"
    );
}

#[test]
fn progress_is_told_and_its_deadline_kept() {
    let told = |status: &DeploymentStatus| -> Vec<String> {
        let conditions = status.conditions.iter().flatten();
        conditions
            .map(|one| {
                format!(
                    "{}={} {}",
                    one.type_,
                    one.status,
                    one.reason.clone().unwrap()
                )
            })
            .collect()
    };
    let mut one = deployment(json!({}));
    let sets = [set("old", 3, 3, 1), set("new", 1, 0, 2)];
    let first = plan(&one, &sets, now());
    assert_eq!(
        told(&first.status),
        [
            "Available=True MinimumReplicasAvailable",
            "Progressing=True ReplicaSetUpdated"
        ]
    );
    assert_eq!(first.again, Some(std::time::Duration::from_mins(10)));
    one.status = Some(first.status);
    let late = now() + jiff::SignedDuration::from_secs(600);
    let stuck = plan(&one, &sets, late);
    assert_eq!(
        told(&stuck.status)[1],
        "Progressing=False ProgressDeadlineExceeded"
    );
    let done = plan(&one, &[set("new", 4, 4, 2)], late);
    assert_eq!(
        told(&done.status)[1],
        "Progressing=True NewReplicaSetAvailable"
    );
}
