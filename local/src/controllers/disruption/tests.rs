use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn budget(spec: Value, disrupted: Value) -> PodDisruptionBudget {
    let object = json!({"metadata": {"name": "b", "generation": 2}, "spec": spec, "status": {
        "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
        "disruptedPods": disrupted}});
    serde_json::from_value(object).unwrap()
}

fn pods(ready: usize, unready: usize) -> Vec<Pod> {
    let pod = |number: usize| {
        let status = if number < ready { "True" } else { "False" };
        let object = json!({"metadata": {"name": format!("p{number}")}, "status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": status}]}});
        serde_json::from_value(object).unwrap()
    };
    (0..ready + unready).map(pod).collect()
}

#[test]
fn a_budget_allows_what_is_healthy_beyond_what_must_be() {
    // Spec, ready pods, unready pods, expected; then desired and allowed.
    let table = [
        (json!({"minAvailable": 2}), (3, 0, 3), (2, 1)),
        (json!({"minAvailable": 2}), (2, 1, 3), (2, 0)),
        (json!({"minAvailable": "50%"}), (3, 0, 5), (3, 0)),
        (json!({"maxUnavailable": 1}), (4, 0, 4), (3, 1)),
        (json!({"maxUnavailable": 1}), (3, 1, 4), (3, 0)),
        (json!({"maxUnavailable": "25%"}), (5, 0, 5), (3, 2)),
        (json!({"maxUnavailable": 1}), (0, 0, 0), (0, 0)),
    ];
    for (spec, (ready, unready, expected), wanted) in table {
        let plan = plan(
            &budget(spec.clone(), json!({})),
            &pods(ready, unready),
            expected,
            now(),
        );
        let status = plan.status;
        assert_eq!(
            (status.desired_healthy, status.disruptions_allowed),
            wanted,
            "{spec}"
        );
        assert_eq!(status.observed_generation, Some(2));
    }
}

#[test]
fn an_eviction_counts_until_its_pod_goes_or_is_given_up() {
    let disrupted = json!({"p0": "2026-01-02T03:04:00Z", "p1": "2026-01-02T03:00:00Z", "gone": "2026-01-02T03:04:04Z"});
    let plan = plan(
        &budget(json!({"minAvailable": 1}), disrupted),
        &pods(3, 0),
        3,
        now(),
    );
    let names: Vec<String> = plan.status.disrupted_pods.unwrap().into_keys().collect();
    assert_eq!(
        (names, plan.status.current_healthy),
        (vec!["p0".to_owned()], 2)
    );
    assert_eq!(plan.again, Some(Duration::from_secs(115)));
}
