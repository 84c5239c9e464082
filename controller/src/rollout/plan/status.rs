//! The status: made anew on every pass from what is; only what nothing else remembers is carried
//! over.

use crds::rollout::RolloutStatus;
use crds::rollout::status::CanaryStatus;
use crds::words::RolloutPhase;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::traffic::Divided;
use super::{Scene, blue_green, phase};
use crate::rollout::spec::Way;

/// The part of the next status that does not depend on what this pass decides.
pub(super) fn base(scene: &Scene<'_>) -> RolloutStatus {
    let was = scene.was;
    let canary = was.canary.as_ref();
    let workload = scene.observed.workload.as_ref();
    let mut status = RolloutStatus {
        current_pod_hash: Some(scene.pod_hash.clone()),
        current_step_hash: Some(scene.strategy.step_hash().to_owned())
            .filter(|hash| !hash.is_empty()),
        current_step_index: was.current_step_index,
        // A retry wrote it; whoever reads the status of Argo's finds it there as well.
        abort: was.abort.filter(|abort| !abort),
        collision_count: was.collision_count,
        stable_rs: was.stable_rs.clone(),
        restarted_at: was.restarted_at.clone(),
        conditions: was.conditions.clone(),
        alb: was.alb.clone(),
        albs: was.albs.clone(),
        duration: was.duration.clone(),
        workload_observed_generation: workload.map(|workload| workload.generation.to_string()),
        unknown: was.unknown.clone(),
        promote_full: scene
            .promote_full()
            .then_some(true)
            .filter(|_| !scene.way_changed()),
        canary: Some(CanaryStatus {
            weights: canary.and_then(|canary| canary.weights.clone()),
            stable_ping_pong: canary.and_then(|canary| canary.stable_ping_pong.clone()),
            ..CanaryStatus::default()
        }),
        ..RolloutStatus::default()
    };
    if let Way::BlueGreen(way) = &scene.strategy.way {
        blue_green::base(scene, way, &mut status);
    }
    count(scene, &mut status);
    status
}

/// The numbers of pods.
pub(super) fn count(scene: &Scene<'_>, status: &mut RolloutStatus) {
    let sets = &scene.observed.replica_sets;
    status.replicas = number(sets.iter().map(|set| set.current).sum());
    status.updated_replicas = number(scene.new.map_or(0, |set| set.current));
    status.ready_replicas = number(sets.iter().map(|set| set.ready).sum());
    status.selector = Some(selector_text(&scene.strategy.selector));
    recount(scene, status);
}

/// The numbers of a pass that only follows another size: those that such a pass knows.
pub(super) fn recount(scene: &Scene<'_>, status: &mut RolloutStatus) {
    let sets = &scene.observed.replica_sets;
    status.hpa_replicas = number(sets.iter().map(|set| set.current).sum());
    status.available_replicas = number(sets.iter().map(|set| set.available).sum());
    status.observed_generation = Some(generation(scene));
    if let Way::BlueGreen(_) = scene.strategy.way {
        blue_green::count(scene, status);
    }
}

/// A number as Argo writes it: none of them is no number.
fn number(pods: i32) -> Option<i32> {
    Some(pods).filter(|pods| *pods != 0)
}

pub(super) fn generation(scene: &Scene<'_>) -> String {
    scene
        .rollout
        .metadata
        .generation
        .unwrap_or_default()
        .to_string()
}

/// Phase and message, from all that the status says otherwise.
pub(super) fn finish(scene: &Scene<'_>, status: &mut RolloutStatus) {
    let (phase, message) = phase::of(scene.rollout, status);
    status.phase = Some(phase);
    status.message = (!message.is_empty()).then_some(message);
}

/// A weight that the proxies have not confirmed is the best answer to "what does it wait for".
pub(super) fn explain(status: &mut RolloutStatus, weights: &Divided) {
    let waits = status.phase == Some(RolloutPhase::Progressing)
        && status.current_pod_hash != status.stable_rs;
    if let Some(message) = weights
        .message
        .as_ref()
        .filter(|_| waits && !weights.verified)
    {
        status.message = Some(message.clone());
    }
}

/// A selector as Kubernetes writes it in one line.
pub(crate) fn selector_text(selector: &LabelSelector) -> String {
    let exact = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"));
    let expressions = selector
        .match_expressions
        .iter()
        .flatten()
        .map(requirement_text);
    exact.chain(expressions).collect::<Vec<_>>().join(",")
}

fn requirement_text(requirement: &LabelSelectorRequirement) -> String {
    let key = &requirement.key;
    let values = requirement.values.as_deref().unwrap_or_default().join(",");
    match requirement.operator.as_str() {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "DoesNotExist" => format!("!{key}"),
        _ => key.clone(),
    }
}
