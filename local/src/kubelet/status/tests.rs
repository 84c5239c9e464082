use serde_json::{Value, json};

use super::*;

fn container(name: &str, state: Value, ready: bool) -> ContainerStatus {
    serde_json::from_value(
        json!({"name": name, "image": "i", "imageID": "", "ready": ready,
        "restartCount": 0, "state": state}),
    )
    .unwrap()
}

fn running(ready: bool) -> ContainerStatus {
    container("main", json!({"running": {}}), ready)
}

fn waiting() -> ContainerStatus {
    container(
        "main",
        json!({"waiting": {"reason": "ContainerCreating"}}),
        false,
    )
}

fn ended(code: i32) -> ContainerStatus {
    container("main", json!({"terminated": {"exitCode": code}}), false)
}

fn backing_off() -> ContainerStatus {
    let mut status = waiting();
    status.last_state =
        Some(serde_json::from_value(json!({"terminated": {"exitCode": 1}})).unwrap());
    status
}

fn pod(policy: &str) -> Pod {
    serde_json::from_value(
        json!({"metadata": {}, "spec": {"containers": [], "restartPolicy": policy}}),
    )
    .unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn computed(pod: &Pod, view: &View, now: i64) -> PodStatus {
    let ground = Ground {
        pod_ip: Some(Ipv4Addr::new(127, 42, 0, 1)),
        host_ip: Ipv4Addr::LOCALHOST,
        started: at(0),
    };
    status(pod, view, ground, at(now))
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> &'a PodCondition {
    status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == kind)
        .unwrap()
}

#[test]
fn the_phase_follows_the_containers() {
    let over = |view: View| View { over: true, ..view };
    let mains = |mains: Vec<ContainerStatus>| View {
        mains,
        ..View::default()
    };
    let table = [
        ("Always", mains(vec![waiting()]), "Pending"),
        ("Always", mains(vec![running(false)]), "Running"),
        ("Always", mains(vec![running(true), waiting()]), "Pending"),
        ("Always", mains(vec![backing_off()]), "Running"),
        ("Never", over(mains(vec![ended(0)])), "Succeeded"),
        ("Never", over(mains(vec![ended(0), ended(1)])), "Failed"),
        ("OnFailure", over(mains(vec![ended(0)])), "Succeeded"),
        (
            "Always",
            View {
                ending: true,
                ..over(mains(vec![ended(143)]))
            },
            "Failed",
        ),
        (
            "Always",
            View {
                ending: true,
                ..over(mains(vec![ended(0)]))
            },
            "Succeeded",
        ),
        (
            "Never",
            View {
                inits: vec![ended(1)],
                mains: vec![waiting()],
                ..View::default()
            },
            "Failed",
        ),
        (
            "Always",
            View {
                inits: vec![ended(1)],
                mains: vec![waiting()],
                ..View::default()
            },
            "Pending",
        ),
    ];
    for (policy, view, expected) in table {
        let status = computed(&pod(policy), &view, 1);
        assert_eq!(status.phase.as_deref(), Some(expected), "{policy} {view:?}");
    }
}

#[test]
fn ready_needs_every_container_and_ends_with_the_pod() {
    let view = |mains: Vec<ContainerStatus>, ending| View {
        mains,
        ending,
        ..View::default()
    };
    let table = [
        (view(vec![running(true)], false), "True", None),
        (
            view(vec![running(true), running(false)], false),
            "False",
            Some("ContainersNotReady"),
        ),
        (
            view(vec![running(true)], true),
            "False",
            Some("PodTerminating"),
        ),
    ];
    for (view, expected, reason) in table {
        let status = computed(&pod("Always"), &view, 1);
        for kind in ["Ready", "ContainersReady"] {
            let found = condition(&status, kind);
            assert_eq!(
                (found.status.as_str(), found.reason.as_deref()),
                (expected, reason),
                "{view:?}"
            );
        }
    }
}

#[test]
fn a_condition_keeps_the_time_of_its_last_change() {
    let mut pod = pod("Always");
    let unready = View {
        mains: vec![running(false)],
        ..View::default()
    };
    let ready = View {
        mains: vec![running(true)],
        ..View::default()
    };
    for (now, view, since) in [
        (1, &unready, 1),
        (2, &unready, 1),
        (3, &ready, 3),
        (4, &ready, 3),
    ] {
        let status = computed(&pod, view, now);
        let found = condition(&status, "Ready").last_transition_time.clone();
        assert_eq!(found, Some(Time(at(since))), "at {now}");
        pod.status = Some(status);
    }
}

#[test]
fn conditions_of_others_stay_and_gates_hold_ready_back() {
    let mut pod = pod("Always");
    pod.spec.as_mut().unwrap().readiness_gates =
        Some(serde_json::from_value(json!([{"conditionType": "x.io/gate"}])).unwrap());
    let view = View {
        mains: vec![running(true)],
        ..View::default()
    };
    let closed = computed(&pod, &view, 1);
    assert_eq!(
        condition(&closed, "Ready").reason.as_deref(),
        Some("ReadinessGatesNotReady")
    );
    assert_eq!(condition(&closed, "ContainersReady").status, "True");
    let gate = json!({"conditions": [{"type": "x.io/gate", "status": "True"}]});
    pod.status = Some(serde_json::from_value(gate).unwrap());
    let open = computed(&pod, &view, 2);
    assert_eq!(condition(&open, "Ready").status, "True");
    assert_eq!(condition(&open, "x.io/gate").status, "True");
}
