//! ReplicaSets: whose they are, what they carry and how they are.

use crds::pod_template::POD_TEMPLATE_HASH_LABEL;
use crds::rollout::{RolloutStatus, RolloutStrategy};
use crds::words::PingPongSide;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt as _;

use super::node::{Node, State, annotation, created};
use super::text::{Colour, Text};
use super::{TreeInput, age, owned_by, pods};

/// When a ReplicaSet may go to zero.
const SCALE_DOWN_DEADLINE: &str = "scale-down-deadline";

/// The newest revision as long as it is not stable.
pub(super) fn is_canary(set: &ReplicaSet, status: Option<&RolloutStatus>) -> bool {
    let hash = hash(set);
    status.is_some_and(|status| {
        status.stable_rs.as_deref() != Some(hash)
            && status.current_pod_hash.as_deref() == Some(hash)
    })
}

/// What a ReplicaSet of a Rollout carries: `stable`, `canary`, `active`, `preview`, `ping`, `pong`.
pub(super) fn tags(input: &TreeInput, set: &ReplicaSet) -> Vec<&'static str> {
    let strategy = input.rollout.spec.strategy.as_ref();
    match (strategy, input.rollout.status.as_ref()) {
        (Some(strategy), Some(status)) if strategy.canary.is_some() => {
            canary_tags(strategy, status, set)
        }
        (Some(strategy), Some(status)) if strategy.blue_green.is_some() => {
            blue_green_tags(status, hash(set))
        }
        _ => Vec::new(),
    }
}

/// A ReplicaSet with its Pods; `tags` are empty for an Experiment's.
pub(super) fn node(input: &TreeInput, set: &ReplicaSet, tags: &[&str], now: Timestamp) -> Node {
    let mut info: Vec<Text> = tags.iter().map(|tag| Text::word(tag)).collect();
    info.extend(delay(set, now).map(Text::plain));
    let mut pods: Vec<_> = input
        .pods
        .iter()
        .filter(|pod| owned_by(pod.as_ref(), set.metadata.uid.as_deref()))
        .collect();
    pods.sort_by_key(|pod| (created(pod.as_ref()), pod.name_any()));
    Node {
        icon: "⧉",
        name: Text::coloured(set.name_any(), tags.last().and_then(|tag| Colour::of(tag))),
        kind: "ReplicaSet",
        state: health(set),
        age: age::since(created(set), now),
        info: Text::joined(info, ","),
        children: pods.into_iter().map(|pod| pods::node(pod, now)).collect(),
    }
}

/// The images of a ReplicaSet that has pods.
pub(super) fn images(set: &ReplicaSet) -> impl Iterator<Item = &str> {
    let is_up = set
        .status
        .as_ref()
        .is_some_and(|status| status.replicas > 0);
    let spec = set.spec.as_ref().filter(|_| is_up);
    let pod = spec.and_then(|spec| spec.template.as_ref()?.spec.as_ref());
    let containers = pod.into_iter().flat_map(|pod| &pod.containers);
    containers.filter_map(|container| container.image.as_deref())
}

fn hash(set: &ReplicaSet) -> &str {
    let labels = set.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(POD_TEMPLATE_HASH_LABEL))
        .map_or("", String::as_str)
}

fn canary_tags(
    strategy: &RolloutStrategy,
    status: &RolloutStatus,
    set: &ReplicaSet,
) -> Vec<&'static str> {
    let canary = is_canary(set, Some(status));
    if !canary && status.stable_rs.as_deref() != Some(hash(set)) {
        return Vec::new();
    }
    let mut tags = vec![if canary { "canary" } else { "stable" }];
    let alternates = strategy
        .canary
        .as_ref()
        .is_some_and(|canary| canary.ping_pong.is_some());
    if alternates {
        let side = status
            .canary
            .as_ref()
            .and_then(|canary| canary.stable_ping_pong.as_ref());
        let stable_is_ping = side == Some(&PingPongSide::Ping);
        tags.push(if stable_is_ping == canary {
            "pong"
        } else {
            "ping"
        });
    }
    tags
}

fn blue_green_tags(status: &RolloutStatus, hash: &str) -> Vec<&'static str> {
    let blue_green = status.blue_green.as_ref();
    let active = blue_green.and_then(|services| services.active_selector.as_deref());
    let preview = blue_green.and_then(|services| services.preview_selector.as_deref());
    let mut tags = Vec::new();
    if status.stable_rs.as_deref() == Some(hash) {
        tags.push("stable");
    }
    if active == Some(hash) {
        tags.push("active");
    } else if preview == Some(hash) {
        tags.push("preview");
    }
    tags
}

fn health(set: &ReplicaSet) -> State {
    let status = set.status.as_ref();
    let observed = status
        .and_then(|status| status.observed_generation)
        .unwrap_or_default();
    let failed = status.is_some_and(|status| {
        let mut conditions = status.conditions.iter().flatten();
        conditions
            .any(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
    });
    let available = status
        .and_then(|status| status.available_replicas)
        .unwrap_or_default();
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas);
    if set.metadata.generation.unwrap_or_default() > observed {
        State::new("◌", "Progressing")
    } else if failed {
        State::new("✖", "ReplicaFailure")
    } else if wanted.is_some_and(|wanted| available < wanted) {
        State::new("◌", "Progressing")
    } else if wanted == Some(0) {
        State::new("•", "ScaledDown")
    } else {
        State::new("✔", "Healthy")
    }
}

fn delay(set: &ReplicaSet, now: Timestamp) -> Option<String> {
    let deadline = annotation(set, SCALE_DOWN_DEADLINE)?;
    let deadline: Option<Timestamp> = deadline.parse().ok();
    Some(match deadline {
        None => "delay:".to_owned(),
        Some(deadline) if deadline < now => "delay:passed".to_owned(),
        Some(deadline) => format!(
            "delay:{}",
            age::human(deadline.duration_since(now).as_secs())
        ),
    })
}
