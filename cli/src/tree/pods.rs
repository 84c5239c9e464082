//! Pods, in the words of `kubectl get pods`.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt as _;

use super::age;
use super::node::{Node, State, created};
use super::text::Text;

/// The reason in the status of a Pod whose node is gone.
const NODE_LOST: &str = "NodeLost";

/// How a Pod is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Condition {
    word: String,
    ready: usize,
    restarts: i32,
}

/// A Pod.
pub(super) fn node(pod: &Pod, now: Timestamp) -> Node {
    let condition = condition(pod);
    let containers = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let ready = format!("ready:{}/{containers}", condition.ready);
    let info = match condition.restarts {
        0 => ready,
        restarts => format!("{ready},restarts:{restarts}"),
    };
    Node {
        icon: "□",
        name: Text::plain(pod.name_any()),
        kind: "Pod",
        state: State::new(icon(&condition.word), condition.word),
        age: age::since(created(pod), now),
        info: Text::plain(info),
        children: Vec::new(),
    }
}

fn condition(pod: &Pod) -> Condition {
    let status = pod.status.as_ref();
    let reason = status.and_then(|status| status.reason.clone());
    let phase = status.and_then(|status| status.phase.clone());
    let word = reason.clone().or(phase).unwrap_or_default();
    let mut condition = while_initializing(pod).unwrap_or_else(|| while_running(pod, word));
    if pod.metadata.deletion_timestamp.is_some() {
        let is_lost = reason.as_deref() == Some(NODE_LOST);
        condition.word = if is_lost { "Unknown" } else { "Terminating" }.to_owned();
    }
    condition
}

/// The first init container that is not done says how the Pod is.
fn while_initializing(pod: &Pod) -> Option<Condition> {
    let statuses = pod.status.as_ref()?.init_container_statuses.as_deref()?;
    let mut restarts = 0;
    for (index, container) in statuses.iter().enumerate() {
        restarts += container.restart_count;
        if let Some(word) = initializing(pod, container, index) {
            return Some(Condition {
                word: format!("Init:{word}"),
                ready: 0,
                restarts,
            });
        }
    }
    None
}

fn initializing(pod: &Pod, container: &ContainerStatus, index: usize) -> Option<String> {
    let state = container.state.as_ref();
    let ended = state.and_then(|state| state.terminated.as_ref());
    if ended.is_some_and(|ended| ended.exit_code == 0) {
        return None;
    }
    if let Some(ended) = ended {
        return Some(ending(ended));
    }
    // A sidecar is done initializing once it has started.
    if is_sidecar(pod, &container.name) && container.started == Some(true) && container.ready {
        return None;
    }
    let waiting = state
        .and_then(waiting)
        .filter(|reason| *reason != "PodInitializing");
    let count = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.init_containers.as_ref());
    let progress = || format!("{index}/{}", count.map_or(0, Vec::len));
    Some(waiting.map_or_else(progress, ToOwned::to_owned))
}

fn is_sidecar(pod: &Pod, name: &str) -> bool {
    let spec = pod.spec.as_ref();
    let mut containers = spec
        .and_then(|spec| spec.init_containers.as_ref())
        .into_iter()
        .flatten();
    containers.any(|container| {
        container.name == name && container.restart_policy.as_deref() == Some("Always")
    })
}

/// The first container with something to say gives the word; the others count.
fn while_running(pod: &Pod, word: String) -> Condition {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_deref());
    let mut condition = Condition {
        word,
        ready: 0,
        restarts: 0,
    };
    for container in containers.unwrap_or_default().iter().rev() {
        condition.restarts += container.restart_count;
        let Some(state) = &container.state else {
            continue;
        };
        if let Some(reason) = waiting(state) {
            condition.word = reason.to_owned();
        } else if let Some(ended) = &state.terminated {
            condition.word = ending(ended);
        } else if container.ready && state.running.is_some() {
            condition.ready += 1;
        }
    }
    // One container has ended well, another is still up.
    if condition.word == "Completed" && condition.ready > 0 {
        condition.word = "Running".to_owned();
    }
    condition
}

fn waiting(state: &ContainerState) -> Option<&str> {
    let reason = state.waiting.as_ref()?.reason.as_deref();
    reason.filter(|reason| !reason.is_empty())
}

fn ending(ended: &ContainerStateTerminated) -> String {
    match (ended.reason.as_deref(), ended.signal) {
        (Some(reason), _) if !reason.is_empty() => reason.to_owned(),
        (_, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", ended.exit_code),
    }
}

fn icon(word: &str) -> &'static str {
    if word.starts_with("Init:") {
        return "◌";
    }
    if word.starts_with("Signal:") || word.starts_with("ExitCode:") {
        return "✖";
    }
    if word.ends_with("Error") || word.starts_with("Err") {
        return "⚠";
    }
    match word {
        "Pending" | "Terminating" | "ContainerCreating" => "◌",
        "Running" | "Completed" => "✔",
        "Failed" | "InvalidImageName" | "CrashLoopBackOff" => "✖",
        "ImagePullBackOff" | "RegistryUnavailable" => "⚠",
        "Unknown" => "?",
        _ => " ",
    }
}

#[cfg(test)]
mod tests;
