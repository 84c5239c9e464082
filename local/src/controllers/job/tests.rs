use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn job(spec: Value, status: Value) -> Job {
    let mut job = json!({"metadata": {"name": "j", "namespace": "n", "uid": "u"},
        "spec": {"template": {}}, "status": status});
    json_patch::merge(&mut job["spec"], &spec);
    serde_json::from_value(job).unwrap()
}

fn pod(phase: &str, finished: i64) -> Pod {
    let terminated = json!({"exitCode": 0, "finishedAt": at(finished).to_string()});
    let state = if phase == "Running" {
        json!({})
    } else {
        json!({"terminated": terminated})
    };
    serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"phase": phase,
        "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": state}]}}))
    .unwrap()
}

fn pods(running: usize, succeeded: usize, failed: usize) -> Vec<Pod> {
    let some = |n, phase| std::iter::repeat_with(move || pod(phase, 5)).take(n);
    some(running, "Running")
        .chain(some(succeeded, "Succeeded"))
        .chain(some(failed, "Failed"))
        .collect()
}

#[test]
fn pods_are_created_as_completions_and_parallelism_say() {
    let table = [
        (json!({"completions": 1}), pods(0, 0, 0), 1, 0),
        (
            json!({"completions": 3, "parallelism": 2}),
            pods(0, 0, 0),
            2,
            0,
        ),
        (
            json!({"completions": 3, "parallelism": 2}),
            pods(1, 1, 0),
            1,
            0,
        ),
        (
            json!({"completions": 3, "parallelism": 2}),
            pods(1, 2, 0),
            0,
            0,
        ),
        (
            json!({"completions": 3, "parallelism": 1}),
            pods(2, 0, 0),
            0,
            1,
        ),
        (json!({"parallelism": 2}), pods(0, 0, 0), 2, 0),
        (json!({"parallelism": 2}), pods(1, 1, 0), 0, 0),
        (
            json!({"completions": 1, "suspend": true}),
            pods(1, 0, 0),
            0,
            1,
        ),
    ];
    for (spec, pods, create, delete) in table {
        let job = job(spec.clone(), json!({}));
        let plan = plan(&job, &pods, at(1000));
        assert_eq!((plan.create, plan.delete.len()), (create, delete), "{spec}");
    }
}

#[test]
fn a_job_ends_for_its_reason() {
    let started = json!({"startTime": at(0).to_string()});
    let table = [
        (
            json!({"completions": 2}),
            pods(0, 2, 0),
            Some(("Complete", "CompletionsReached")),
        ),
        (
            json!({"parallelism": 2}),
            pods(0, 1, 0),
            Some(("Complete", "CompletionsReached")),
        ),
        (json!({"parallelism": 2}), pods(1, 1, 0), None),
        (
            json!({"completions": 2, "backoffLimit": 1}),
            pods(1, 0, 2),
            Some(("Failed", "BackoffLimitExceeded")),
        ),
        (
            json!({"completions": 2, "backoffLimit": 2}),
            pods(1, 0, 2),
            None,
        ),
        (
            json!({"completions": 1, "activeDeadlineSeconds": 1000}),
            pods(1, 0, 0),
            Some(("Failed", "DeadlineExceeded")),
        ),
        (
            json!({"completions": 1, "completionMode": "Indexed"}),
            pods(0, 0, 0),
            Some(("Failed", "NotSupported")),
        ),
    ];
    for (spec, pods, expected) in table {
        let job = job(spec.clone(), started.clone());
        let plan = plan(&job, &pods, at(1000));
        let found = plan.status.conditions.iter().flatten().next();
        let found = found.map(|c| (c.type_.as_str(), c.reason.as_deref().unwrap()));
        assert_eq!(found, expected, "{spec}");
        if expected.is_some() {
            let running = pods.iter().filter(|pod| is_active(pod)).count();
            assert_eq!((plan.create, plan.delete.len()), (0, running), "{spec}");
        }
    }
}

#[test]
fn failed_pods_are_replaced_after_a_growing_delay() {
    let table = [
        (1, 14, 0, Some(1)),
        (1, 15, 1, None),
        (2, 24, 0, Some(1)),
        (2, 25, 1, None),
        (6, 300, 0, Some(25)),
    ];
    for (failures, now, create, again) in table {
        let job = job(json!({"completions": 1}), json!({}));
        let pods = pods(0, 0, failures);
        let plan = plan(&job, &pods, at(now));
        let found = (plan.create, plan.again.map(|again| again.as_secs()));
        assert_eq!(found, (create, again), "{failures} failures at {now}");
    }
}

#[test]
fn a_finished_job_goes_after_its_time_to_live() {
    let complete = json!({"conditions": [{"type": "Complete", "status": "True",
        "lastTransitionTime": at(10).to_string()}]});
    let table = [
        (json!({}), 99, false, None),
        (json!({"ttlSecondsAfterFinished": 30}), 20, false, Some(20)),
        (json!({"ttlSecondsAfterFinished": 30}), 40, true, Some(0)),
    ];
    for (spec, now, expired, again) in table {
        let job = job(spec.clone(), complete.clone());
        let plan = plan(&job, &[], at(now));
        let found = (plan.expired, plan.again.map(|again| again.as_secs()));
        assert_eq!(found, (expired, again), "{spec} at {now}");
    }
}

#[test]
fn an_active_job_is_looked_at_again_at_its_deadline() {
    let started = json!({"startTime": at(0).to_string()});
    let job = job(
        json!({"completions": 1, "activeDeadlineSeconds": 60}),
        started,
    );
    let pods = pods(1, 0, 0);
    assert_eq!(
        plan(&job, &pods, at(10)).again,
        Some(Duration::from_secs(50))
    );
}
