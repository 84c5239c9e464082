//! The status of a pod: a pure function of what its containers do.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateTerminated, ContainerStatus, HostIP, Pod, PodCondition,
        PodIP, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

#[cfg(test)]
mod tests;

/// What a pod's containers do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    /// In the order of `spec.initContainers`.
    pub(super) inits: Vec<ContainerStatus>,
    /// In the order of `spec.containers`.
    pub(super) mains: Vec<ContainerStatus>,
    /// Is the pod being ended?
    pub(super) ending: bool,
    /// Have all containers ended for good?
    pub(super) over: bool,
}

/// What does not change while a pod runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground {
    pub(super) pod_ip: Option<Ipv4Addr>,
    pub(super) host_ip: Ipv4Addr,
    pub(super) started: Timestamp,
}

/// The status that `pod` should have now.
pub(super) fn status(pod: &Pod, view: &View, ground: Ground, now: Timestamp) -> PodStatus {
    let old = pod.status.clone().unwrap_or_default();
    let phase = phase(pod, view);
    let ip = ground.pod_ip.map(|ip| ip.to_string());
    let host = ground.host_ip.to_string();
    let some = |list: &Vec<ContainerStatus>| (!list.is_empty()).then(|| list.clone());
    PodStatus {
        conditions: Some(conditions(pod, view, phase, now)),
        phase: Some(phase.to_owned()),
        pod_ips: ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: ip,
        host_ips: Some(vec![HostIP { ip: host.clone() }]),
        host_ip: Some(host),
        start_time: Some(old.start_time.unwrap_or(Time(ground.started))),
        init_container_statuses: some(&view.inits),
        container_statuses: some(&view.mains),
        observed_generation: pod.metadata.generation,
        qos_class: Some(old.qos_class.unwrap_or_else(|| "BestEffort".to_owned())),
        reason: old.reason,
        message: old.message,
        ..PodStatus::default()
    }
}

/// As `getPhase` of the kubelet.
fn phase(pod: &Pod, view: &View) -> &'static str {
    let policy = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.restart_policy.as_deref());
    let policy = policy.unwrap_or("Always");
    let init_failed = view
        .inits
        .iter()
        .any(|init| ended(init).is_some_and(|end| end.exit_code != 0));
    if init_failed && policy == "Never" {
        return "Failed";
    }
    if view.over && (view.ending || policy != "Always") {
        let good = view
            .mains
            .iter()
            .all(|main| ended(main).is_some_and(|end| end.exit_code == 0));
        return if good { "Succeeded" } else { "Failed" };
    }
    let unstarted = |status: &&ContainerStatus| {
        let state = status.state.as_ref();
        let last = status
            .last_state
            .as_ref()
            .and_then(|last| last.terminated.as_ref());
        state.is_none_or(|state| state.waiting.is_some()) && last.is_none()
    };
    if !initialized(view) || view.mains.iter().any(|main| unstarted(&main)) {
        return "Pending";
    }
    "Running"
}

fn conditions(pod: &Pod, view: &View, phase: &str, now: Timestamp) -> Vec<PodCondition> {
    let old = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let old: Vec<&PodCondition> = old.collect();
    let completed = matches!(phase, "Succeeded" | "Failed");
    let initialized = match initialized(view) {
        true if phase == "Succeeded" => Answer::yes_because("PodCompleted"),
        true => Answer::yes(),
        false => Answer::no(
            "ContainersNotInitialized",
            names("incomplete", unfinished(view)),
        ),
    };
    let unready = view
        .mains
        .iter()
        .filter(|main| !main.ready)
        .map(|main| main.name.as_str());
    let containers = match unready.clone().count() {
        _ if completed => Answer::no(
            if phase == "Succeeded" {
                "PodCompleted"
            } else {
                "PodFailed"
            },
            String::new(),
        ),
        0 if view.ending => Answer::no("PodTerminating", "the pod is terminating".to_owned()),
        0 => Answer::yes(),
        _ => Answer::no("ContainersNotReady", names("unready", unready)),
    };
    let ready = gates(pod, &old, &containers);
    let ours = [
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", Answer::yes()),
    ];
    // Conditions of others, readiness gates for one, stay as they are.
    let others = old
        .iter()
        .filter(|c| !ours.iter().any(|(kind, _)| *kind == c.type_));
    let others: Vec<PodCondition> = others.map(|condition| (*condition).clone()).collect();
    let ours = ours
        .iter()
        .map(|(kind, answer)| answer.condition(kind, &old, now));
    ours.chain(others).collect()
}

/// Ready is ContainersReady and every readiness gate.
fn gates(pod: &Pod, old: &[&PodCondition], containers: &Answer) -> Answer {
    let gates = pod
        .spec
        .iter()
        .flat_map(|spec| spec.readiness_gates.iter().flatten());
    let holds = |kind: &str| old.iter().any(|c| c.type_ == kind && c.status == "True");
    let closed = gates
        .map(|gate| gate.condition_type.as_str())
        .find(|kind| !holds(kind));
    match closed {
        Some(kind) if containers.yes => Answer::no(
            "ReadinessGatesNotReady",
            format!("corresponding condition of pod readiness gate {kind:?} is not True"),
        ),
        _ => containers.clone(),
    }
}

fn initialized(view: &View) -> bool {
    unfinished(view).next().is_none()
}

fn unfinished(view: &View) -> impl Iterator<Item = &str> + Clone {
    let finished = |init: &&ContainerStatus| ended(init).is_none_or(|end| end.exit_code != 0);
    view.inits
        .iter()
        .filter(finished)
        .map(|init| init.name.as_str())
}

fn names<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    format!("containers with {what} status: [{}]", names.join(" "))
}

fn ended(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status
        .state
        .as_ref()
        .and_then(|state: &ContainerState| state.terminated.as_ref())
}

#[derive(Clone)]
struct Answer {
    yes: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Answer {
    fn yes() -> Self {
        Self {
            yes: true,
            reason: None,
            message: None,
        }
    }

    fn yes_because(reason: &'static str) -> Self {
        Self {
            yes: true,
            reason: Some(reason),
            message: None,
        }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Self {
            yes: false,
            reason: Some(reason),
            message: Some(message).filter(|m| !m.is_empty()),
        }
    }

    fn condition(&self, kind: &str, old: &[&PodCondition], now: Timestamp) -> PodCondition {
        let status = if self.yes { "True" } else { "False" };
        let same = old.iter().find(|c| c.type_ == kind && c.status == status);
        let since = same.and_then(|c| c.last_transition_time.clone());
        PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: self.reason.map(str::to_owned),
            message: self.message.clone(),
            last_transition_time: Some(since.unwrap_or(Time(now))),
            ..PodCondition::default()
        }
    }
}
