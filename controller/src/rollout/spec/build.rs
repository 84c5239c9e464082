//! From a spec that passed its checks to the [`Strategy`]: defaults filled in, absent words made
//! absent.

use crds::Rollout;
use crds::rollout::steps::RolloutAnalysis;
use crds::rollout::{AntiAffinity, CanaryStrategy};
use crds::words::ThresholdType;

use super::{
    Canary, PROGRESS_DEADLINE_SECONDS, PingPong, PodMetadata, Routing, Step, Strategy, Threshold,
    Way, pods, workload,
};
use crate::rollout::hash;

/// Old ReplicaSets that are kept, unless a Rollout says otherwise.
pub(super) const REVISION_HISTORY_LIMIT: i32 = 10;
/// Delay before pods go that have lost their traffic, unless a Rollout says otherwise.
const SCALE_DOWN_DELAY_SECONDS: i32 = 30;
/// Finished AnalysisRuns that are kept of each sort, unless a Rollout says otherwise.
const RUN_HISTORY_LIMIT: i32 = 5;

pub(super) fn strategy(rollout: &Rollout, way: Way) -> Strategy {
    let spec = &rollout.spec;
    let delays = delays(rollout);
    let replicas = spec.replicas.unwrap_or(1);
    let deadline = spec.progress_deadline_seconds;
    let history = spec
        .revision_history_limit
        .unwrap_or(REVISION_HISTORY_LIMIT);
    let window = spec
        .rollback_window
        .as_ref()
        .and_then(|window| window.revisions);
    Strategy {
        replicas,
        selector: spec.selector.clone().unwrap_or_default(),
        template: spec.template.clone().unwrap_or_default(),
        min_ready_seconds: spec.min_ready_seconds.unwrap_or_default(),
        revision_history_limit: natural(history),
        progress_deadline_seconds: deadline.unwrap_or(PROGRESS_DEADLINE_SECONDS),
        progress_deadline_abort: spec.progress_deadline_abort.unwrap_or_default(),
        paused: spec.paused.unwrap_or_default(),
        rollback_window: natural(window.unwrap_or_default()),
        run_history: run_history(rollout),
        max_unavailable: pods::max_unavailable(rollout, replicas),
        scale_down_delay_seconds: delays.scale_down.unwrap_or(SCALE_DOWN_DELAY_SECONDS),
        scale_down_delay_revision_limit: delays.revision_limit.map(natural),
        abort_scale_down_delay_seconds: Some(
            delays.abort_scale_down.unwrap_or(SCALE_DOWN_DELAY_SECONDS),
        )
        .filter(|delay| *delay != 0),
        abort_delay_is_said: delays.abort_scale_down.is_some(),
        restart_at: spec.restart_at.as_ref().map(|at| at.0),
        anti_affinity: anti_affinity(rollout),
        metadata: metadata(rollout),
        scale_down: workload::scale_down(rollout),
        way,
    }
}

/// The delays as a Rollout has them, in seconds.
struct Delays {
    scale_down: Option<i32>,
    revision_limit: Option<i32>,
    abort_scale_down: Option<i32>,
}

/// The delays of whichever strategy there is.
fn delays(rollout: &Rollout) -> Delays {
    let strategy = rollout.spec.strategy.clone().unwrap_or_default();
    if let Some(blue_green) = strategy.blue_green {
        return Delays {
            scale_down: blue_green.scale_down_delay_seconds,
            revision_limit: blue_green.scale_down_delay_revision_limit,
            abort_scale_down: blue_green.abort_scale_down_delay_seconds,
        };
    }
    let canary = strategy.canary.unwrap_or_default();
    Delays {
        scale_down: canary.scale_down_delay_seconds,
        revision_limit: canary.scale_down_delay_revision_limit,
        abort_scale_down: canary.abort_scale_down_delay_seconds,
    }
}

/// What keeps pods apart, where that is said in full.
fn anti_affinity(rollout: &Rollout) -> Option<AntiAffinity> {
    let strategy = rollout.spec.strategy.clone().unwrap_or_default();
    let canary = strategy.canary.and_then(|canary| canary.anti_affinity);
    let blue_green = strategy
        .blue_green
        .and_then(|blue_green| blue_green.anti_affinity);
    canary.or(blue_green)
}

fn metadata(rollout: &Rollout) -> PodMetadata {
    let strategy = rollout.spec.strategy.clone().unwrap_or_default();
    match (strategy.canary, strategy.blue_green) {
        (Some(canary), _) => PodMetadata {
            new: canary.canary_metadata,
            stable: canary.stable_metadata,
        },
        (None, Some(blue_green)) => PodMetadata {
            new: blue_green.preview_metadata,
            stable: blue_green.active_metadata,
        },
        (None, None) => PodMetadata::default(),
    }
}

pub(super) fn canary(rollout: &Rollout, canary: &CanaryStrategy, steps: Vec<Step>) -> Canary {
    let routing = canary.traffic_routing.as_ref().map(|routing| Routing {
        max_weight: routing.max_weight(),
        managed_routes: routing
            .managed_routes
            .iter()
            .map(|route| route.name.clone())
            .collect(),
        min_pods: canary.min_pods_per_replica_set,
        dynamic_stable_scale: canary.dynamic_stable_scale == Some(true),
    });
    Canary {
        canary_service: named(canary.canary_service.as_ref()),
        ping_pong: canary.ping_pong.as_ref().map(|services| PingPong {
            ping: services.ping_service.clone(),
            pong: services.pong_service.clone(),
        }),
        stable_service: named(canary.stable_service.as_ref()),
        steps,
        step_hash: hash::of_steps(canary.steps.as_deref()),
        background: background(canary),
        max_surge: pods::max_surge(canary, rollout.spec.replicas.unwrap_or(1)),
        threshold: threshold(canary),
        routing,
    }
}

/// A Service that is named at all.
pub(super) fn named(service: Option<&String>) -> Option<String> {
    service.filter(|name| !name.is_empty()).cloned()
}

fn natural(number: i32) -> usize {
    number.max(0) as usize
}

fn run_history(rollout: &Rollout) -> (usize, usize) {
    let limits = rollout.spec.analysis.as_ref();
    let kept = |limit: Option<i32>| limit.unwrap_or(RUN_HISTORY_LIMIT).max(0) as usize;
    (
        kept(limits.and_then(|limits| limits.successful_run_history_limit)),
        kept(limits.and_then(|limits| limits.unsuccessful_run_history_limit)),
    )
}

fn background(canary: &CanaryStrategy) -> Option<(RolloutAnalysis, usize)> {
    let background = canary
        .analysis
        .as_ref()
        .filter(|analysis| !analysis.templates.is_empty())?;
    Some((
        background.analysis(),
        background.starting_step.unwrap_or(0).max(0) as usize,
    ))
}

fn threshold(canary: &CanaryStrategy) -> Option<Threshold> {
    let threshold = canary.replica_progress_threshold.as_ref();
    let threshold = threshold.filter(|threshold| threshold.value >= 0)?;
    match threshold.type_ {
        ThresholdType::Percent => Some(Threshold::Percent(threshold.value)),
        ThresholdType::Pods => Some(Threshold::Pods(threshold.value)),
        ThresholdType::Other(_) => None,
    }
}
