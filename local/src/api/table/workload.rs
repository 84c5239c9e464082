//! The columns of what runs: pods and what makes them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{BuiltIn, age, or_none, own_name};
use crate::api::object::{is_deleting, list, number, text};
use crate::api::scale::selector_text;

pub(super) const POD: &[BuiltIn] = &[
    ("Name", own_name),
    ("Ready", |pod, _| {
        let statuses = list(pod, "/status/containerStatuses");
        let ready = statuses
            .iter()
            .filter(|one| one["ready"] == json!(true))
            .count();
        json!(format!("{ready}/{}", list(pod, "/spec/containers").len()))
    }),
    ("Status", |pod, _| json!(pod_reason(pod))),
    ("Restarts", restarts),
    ("Age", age::of),
    ("+IP", |pod, _| {
        or_none(text(pod, "/status/podIP").to_owned())
    }),
    ("+Node", |pod, _| {
        or_none(text(pod, "/spec/nodeName").to_owned())
    }),
    ("+Nominated Node", |pod, _| {
        or_none(text(pod, "/status/nominatedNodeName").to_owned())
    }),
    ("+Readiness Gates", |pod, _| readiness_gates(pod)),
];

pub(super) const REPLICA_SET: &[BuiltIn] = &[
    ("Name", own_name),
    ("#Desired", |set, _| {
        json!(number(set, "/spec/replicas").unwrap_or(0))
    }),
    ("#Current", |set, _| {
        json!(number(set, "/status/replicas").unwrap_or(0))
    }),
    ("#Ready", |set, _| {
        json!(number(set, "/status/readyReplicas").unwrap_or(0))
    }),
    ("Age", age::of),
    ("+Containers", |set, _| containers(set, "/name")),
    ("+Images", |set, _| containers(set, "/image")),
    ("+Selector", |set, _| {
        json!(selector_text(&set["spec"]["selector"]))
    }),
];

pub(super) const DEPLOYMENT: &[BuiltIn] = &[
    ("Name", own_name),
    ("Ready", |one, _| {
        let ready = number(one, "/status/readyReplicas").unwrap_or(0);
        json!(format!(
            "{ready}/{}",
            number(one, "/spec/replicas").unwrap_or(0)
        ))
    }),
    ("Up-to-date", |one, _| {
        json!(number(one, "/status/updatedReplicas").unwrap_or(0))
    }),
    ("Available", |one, _| {
        json!(number(one, "/status/availableReplicas").unwrap_or(0))
    }),
    ("Age", age::of),
    ("+Containers", |one, _| containers(one, "/name")),
    ("+Images", |one, _| containers(one, "/image")),
    ("+Selector", |one, _| {
        json!(selector_text(&one["spec"]["selector"]))
    }),
];

pub(super) const JOB: &[BuiltIn] = &[
    ("Name", own_name),
    ("Status", |job, _| json!(job_status(job))),
    ("Completions", |job, _| {
        let done = number(job, "/status/succeeded").unwrap_or(0);
        let wanted = number(job, "/spec/completions").map_or("1".to_owned(), |n| n.to_string());
        json!(format!("{done}/{wanted}"))
    }),
    ("Duration", job_duration),
    ("Age", age::of),
    ("+Containers", |job, _| containers(job, "/name")),
    ("+Images", |job, _| containers(job, "/image")),
    ("+Selector", |job, _| {
        json!(selector_text(&job["spec"]["selector"]))
    }),
];

pub(super) const BUDGET: &[BuiltIn] = &[
    ("Name", own_name),
    ("Min Available", |one, _| {
        share(&one["spec"]["minAvailable"])
    }),
    ("Max Unavailable", |one, _| {
        share(&one["spec"]["maxUnavailable"])
    }),
    ("#Allowed Disruptions", |one, _| {
        json!(number(one, "/status/disruptionsAllowed").unwrap_or(0))
    }),
    ("Age", age::of),
];

pub(super) const AUTOSCALER: &[BuiltIn] = &[
    ("Name", own_name),
    ("Reference", |one, _| {
        let target = |key: &str| text(one, &format!("/spec/scaleTargetRef/{key}")).to_owned();
        json!(format!("{}/{}", target("kind"), target("name")))
    }),
    ("Targets", |one, _| json!(targets(one))),
    ("MinPods", |one, _| share(&one["spec"]["minReplicas"])),
    ("MaxPods", |one, _| share(&one["spec"]["maxReplicas"])),
    ("Replicas", |one, _| {
        json!(
            number(one, "/status/currentReplicas")
                .unwrap_or(0)
                .to_string()
        )
    }),
    ("Age", age::of),
];

/// A number or a percentage, or that there is none.
fn share(value: &Value) -> Value {
    match value {
        Value::Null => json!("N/A"),
        Value::String(text) => json!(text),
        other => json!(other.to_string()),
    }
}

/// What an autoscaler goes by. There are no metrics, so nothing is known of how it stands.
fn targets(autoscaler: &Value) -> String {
    let of = |metric: &Value| {
        let kind = text(metric, "/type");
        let mut letters = kind.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase());
        let field: String = first.into_iter().chain(letters).collect();
        let source = &metric[field];
        let name = match text(source, "/name") {
            "" => text(source, "/metric/name"),
            name => name,
        };
        let target = match number(source, "/target/averageUtilization") {
            Some(percent) => format!("{percent}%"),
            None => [
                text(source, "/target/averageValue"),
                text(source, "/target/value"),
            ]
            .concat(),
        };
        format!("{name}: <unknown>/{target}")
    };
    let told: Vec<String> = list(autoscaler, "/spec/metrics").iter().map(of).collect();
    told.join(", ")
}

pub(super) const POD_TEMPLATE: &[BuiltIn] = &[
    ("Name", own_name),
    ("Containers", |one, _| {
        joined(list(one, "/template/spec/containers"), "/name")
    }),
    ("Images", |one, _| {
        joined(list(one, "/template/spec/containers"), "/image")
    }),
    ("Pod Labels", |one, _| {
        let labels = json!({"matchLabels": one["template"]["metadata"]["labels"]});
        or_none(selector_text(&labels))
    }),
];

/// The one word on a pod: its phase, unless a container or its end has more to say.
fn pod_reason(pod: &Value) -> String {
    let mut reason = match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase"),
        given => given,
    }
    .to_owned();
    let statuses = list(pod, "/status/containerStatuses");
    for status in statuses.iter().rev() {
        let waiting = text(status, "/state/waiting/reason");
        let ended = text(status, "/state/terminated/reason");
        if !waiting.is_empty() {
            reason = waiting.to_owned();
        } else if !ended.is_empty() {
            reason = ended.to_owned();
        } else if status.pointer("/state/terminated").is_some() {
            let code = number(status, "/state/terminated/exitCode").unwrap_or(0);
            reason = format!("ExitCode:{code}");
        }
    }
    let running = statuses
        .iter()
        .any(|one| one.pointer("/state/running").is_some());
    if reason == "Completed" && running {
        reason = "Running".to_owned();
    }
    if is_deleting(pod) {
        "Terminating".to_owned()
    } else {
        reason
    }
}

fn restarts(pod: &Value, now: Timestamp) -> Value {
    let statuses = list(pod, "/status/containerStatuses");
    let total: i64 = statuses
        .iter()
        .filter_map(|one| one["restartCount"].as_i64())
        .sum();
    let last = statuses
        .iter()
        .filter_map(|one| {
            text(one, "/lastState/terminated/finishedAt")
                .parse::<Timestamp>()
                .ok()
        })
        .max();
    match last.filter(|_| total > 0) {
        Some(last) => {
            let ago = age::human(now.duration_since(last).as_secs());
            json!(format!("{total} ({ago} ago)"))
        }
        None => json!(total.to_string()),
    }
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return json!("<none>");
    }
    let conditions = list(pod, "/status/conditions");
    let is_true = |gate: &&Value| {
        conditions
            .iter()
            .any(|one| one["type"] == gate["conditionType"] && one["status"] == "True")
    };
    json!(format!(
        "{}/{}",
        gates.iter().filter(is_true).count(),
        gates.len()
    ))
}

fn job_status(job: &Value) -> &'static str {
    let has = |kind: &str| {
        let conditions = list(job, "/status/conditions");
        conditions
            .iter()
            .any(|one| text(one, "/type") == kind && text(one, "/status") == "True")
    };
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if is_deleting(job) => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn job_duration(job: &Value, now: Timestamp) -> Value {
    let Ok(start) = text(job, "/status/startTime").parse::<Timestamp>() else {
        return json!("");
    };
    let end = text(job, "/status/completionTime")
        .parse::<Timestamp>()
        .unwrap_or(now);
    json!(age::human(end.duration_since(start).as_secs()))
}

fn containers(object: &Value, pointer: &str) -> Value {
    joined(list(object, "/spec/template/spec/containers"), pointer)
}

fn joined(containers: &[Value], pointer: &str) -> Value {
    let texts: Vec<&str> = containers.iter().map(|one| text(one, pointer)).collect();
    json!(texts.join(","))
}
