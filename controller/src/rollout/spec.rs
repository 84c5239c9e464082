//! Spec: parse, don't validate. A Rollout's spec becomes a [`Strategy`], or every reason why it
//! cannot, at once. Nothing after this reads the raw spec for a decision.
//!
//! The checks and their sentences are Argo's, in Argo's order, because the first one is what people
//! see in the condition. What Argo can do and this version cannot yet ([`unbuilt`]) is an error as
//! well: a Rollout that asks for it is refused, and its pods are left alone. Last come the objects
//! that the spec refers to ([`references`]).

use std::fmt;

use crds::rollout::steps::RolloutAnalysis;
use crds::rollout::{CanaryStrategy, TrafficRouting};
use crds::words::ThresholdType;
use crds::{PodTemplate, Rollout};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};
use uplink::document::HeaderMatch;

use super::hash;
use super::observe::Observed;

mod blue_green;
mod pods;
mod references;
mod steps;
mod unbuilt;
mod workload;

pub use blue_green::{BlueGreen, Promotion};

#[cfg(test)]
mod tests;

/// Seconds without progress until a Rollout is Degraded, unless it says otherwise.
const PROGRESS_DEADLINE_SECONDS: i32 = 600;
/// Old ReplicaSets that are kept, unless a Rollout says otherwise.
const REVISION_HISTORY_LIMIT: i32 = 10;
/// Delay before pods go that have lost their traffic, unless a Rollout says otherwise.
const SCALE_DOWN_DELAY_SECONDS: i32 = 30;
/// Finished AnalysisRuns that are kept of each sort, unless a Rollout says otherwise.
const RUN_HISTORY_LIMIT: i32 = 5;

/// A checked Rollout: what every one has, and its way to a new version.
#[derive(Clone, Debug, PartialEq)]
pub struct Strategy {
    /// Pods wanted.
    pub replicas: i32,
    /// Which pods are the Rollout's.
    pub selector: LabelSelector,
    /// The pods.
    pub template: PodTemplate,
    /// Seconds that a pod is ready before it counts.
    pub min_ready_seconds: i32,
    /// Old ReplicaSets to keep.
    pub revision_history_limit: usize,
    /// Seconds without progress until the Rollout is Degraded.
    pub progress_deadline_seconds: i32,
    /// Whether passing that deadline aborts.
    pub progress_deadline_abort: bool,
    /// The user's pause.
    pub paused: bool,
    /// Revisions to which a rollback skips the steps.
    pub rollback_window: usize,
    /// Finished runs to keep: successful ones, others.
    pub run_history: (usize, usize),
    /// Pods that may be missing.
    pub max_unavailable: i32,
    /// Seconds before pods go that have lost their traffic.
    pub scale_down_delay_seconds: i32,
    /// How many old revisions that delay may keep up.
    pub scale_down_delay_revision_limit: Option<usize>,
    /// Seconds before the newest pods go after an abort; `None` keeps them.
    pub abort_scale_down_delay_seconds: Option<i32>,
    /// When the Deployment goes to zero that the pods are taken from.
    pub scale_down: ScaleDown,
    /// The way to a new version.
    pub way: Way,
}

/// When the Deployment goes to zero that `workloadRef` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScaleDown {
    /// Never.
    #[default]
    Never,
    /// Once the Rollout is Healthy.
    OnSuccess,
    /// As the Rollout's pods become ready.
    Progressively,
}

/// The way to a new version.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// A growing share of pods and traffic.
    Canary(Canary),
    /// A full second set of pods, then a switch.
    BlueGreen(BlueGreen),
}

/// A growing share of pods, and of traffic where that is routed.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// The Service that follows the new pods.
    pub canary_service: Option<String>,
    /// The Service that follows the stable pods.
    pub stable_service: Option<String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// The hash of the steps.
    pub step_hash: String,
    /// The analysis beside the steps, and the step from which it runs.
    pub background: Option<(RolloutAnalysis, usize)>,
    /// Pods above those wanted.
    pub max_surge: i32,
    /// How many pods are enough.
    pub threshold: Option<Threshold>,
    /// How traffic is divided; without it the share of pods is the share of traffic.
    pub routing: Option<Routing>,
}

/// Traffic that is divided apart from pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The weight that means all traffic.
    pub max_weight: i32,
    /// The routes that steps may set, in order of precedence.
    pub managed_routes: Vec<String>,
    /// A floor for any non-zero size.
    pub min_pods: Option<i32>,
}

/// A checked step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send this share of the traffic to the canary.
    SetWeight(i32),
    /// Wait so many seconds, or until somebody promotes.
    Pause(Option<i64>),
    /// Size the canary apart from its weight.
    SetCanaryScale(CanaryScale),
    /// Set a header route (any of the matches leads to the canary), or remove it.
    SetHeaderRoute {
        /// The managed route.
        name: String,
        /// What must match; `None` removes the route.
        matches: Option<Vec<HeaderMatch>>,
    },
    /// Run an AnalysisRun.
    Analysis(RolloutAnalysis),
}

/// The size of the canary apart from its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryScale {
    /// So many pods.
    Replicas(i32),
    /// Pods for this weight.
    Weight(i32),
    /// Pods for the traffic's weight.
    MatchTrafficWeight,
}

/// How many available pods are enough to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// A share of the wanted ones, in percent.
    Percent(i32),
    /// A number.
    Pods(i32),
}

/// One reason why a spec cannot be acted on.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecError {
    /// The path of the field; empty where the sentence says all.
    pub path: String,
    /// What stands there; `None` where something is missing.
    pub value: Option<Value>,
    /// What is wrong with it.
    pub text: String,
}

/// Checks a Rollout, first by itself, then against the objects that it refers to.
pub fn check(rollout: &Rollout, observed: &Observed) -> Result<Strategy, Vec<SpecError>> {
    let mut errors = Vec::new();
    pods::check(rollout, &mut errors);
    workload::check(rollout, &mut errors);
    let way = check_way(rollout, &mut errors);
    let Some(way) = way.filter(|_| errors.is_empty()) else {
        return Err(errors);
    };
    let strategy = strategy(rollout, way);
    references::check(rollout, &strategy, observed, &mut errors);
    if errors.is_empty() {
        Ok(strategy)
    } else {
        Err(errors)
    }
}

/// The way, as far as it is fine.
fn check_way(rollout: &Rollout, errors: &mut Vec<SpecError>) -> Option<Way> {
    let strategy = rollout.spec.strategy.as_ref();
    let raw = strategy.and_then(|strategy| strategy.canary.as_ref());
    let blue_green = strategy.and_then(|strategy| strategy.blue_green.as_ref());
    match (raw, blue_green) {
        (Some(raw), None) => {
            check_canary(raw, errors);
            blue_green::check_absent(rollout, errors);
            let steps = steps::check(raw, errors);
            unbuilt::check(rollout, raw, errors);
            Some(Way::Canary(canary(rollout, raw, steps)))
        }
        (None, Some(raw)) => {
            unbuilt::check_blue_green(rollout, raw, errors);
            Some(Way::BlueGreen(blue_green::check(rollout, raw, errors)))
        }
        (Some(_), Some(_)) => {
            let text = "Multiple Strategies can not be listed";
            let value = json!("blueGreen: true canary: true");
            errors.push(SpecError::invalid("spec.strategy", value, text));
            None
        }
        (None, None) => {
            let text =
                "Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'";
            errors.push(SpecError::required("spec.strategy", text));
            None
        }
    }
}

fn check_canary(canary: &CanaryStrategy, errors: &mut Vec<SpecError>) {
    let path = "spec.strategy.canary";
    if let (Some(stable), Some(other)) = (&canary.stable_service, &canary.canary_service)
        && stable == other
        && !stable.is_empty()
    {
        let text = "This rollout uses the same service for the stable and canary services, but two different \
                    services are required.";
        errors.push(SpecError::invalid(
            format!("{path}.stableService"),
            json!(stable),
            text,
        ));
    }
    if pods::max_surge(canary, 100) == 0 && pods::max_unavailable_raw(canary, 100) == 0 {
        let text = "MaxSurge and MaxUnavailable both can not be zero";
        errors.push(SpecError::invalid(
            format!("{path}.maxSurge"),
            json!(canary.max_surge),
            text,
        ));
    }
    if canary.traffic_routing.is_none() {
        if let Some(delay) = canary.scale_down_delay_seconds {
            let text = "Canary scaleDownDelaySeconds can only be used with traffic routing";
            errors.push(SpecError::invalid(
                format!("{path}.scaleDownDelaySeconds"),
                json!(delay),
                text,
            ));
        }
        if canary.dynamic_stable_scale == Some(true) {
            let text = "Canary dynamicStableScale can only be used with traffic routing";
            errors.push(SpecError::invalid(
                format!("{path}.dynamicStableScale"),
                json!(true),
                text,
            ));
        }
    }
    if let (Some(delay), Some(true)) =
        (canary.scale_down_delay_seconds, canary.dynamic_stable_scale)
    {
        let text = "Canary dynamicStableScale cannot be used with scaleDownDelaySeconds";
        errors.push(SpecError::invalid(
            format!("{path}.scaleDownDelaySeconds"),
            json!(delay),
            text,
        ));
    }
    check_max_weight(canary.traffic_routing.as_ref(), errors);
}

fn check_max_weight(routing: Option<&TrafficRouting>, errors: &mut Vec<SpecError>) {
    let Some(routing) = routing else { return };
    let Some(max) = routing.max_traffic_weight else {
        return;
    };
    let path = "spec.strategy.canary.trafficRouting.maxTrafficWeight";
    if routing.nginx.is_none() && routing.plugins.is_empty() {
        let text = "Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins";
        errors.push(SpecError::invalid(path, json!(max), text));
    } else if max < 1 {
        errors.push(SpecError::invalid(
            path,
            json!(max),
            "must be greater than 0",
        ));
    }
}

fn strategy(rollout: &Rollout, way: Way) -> Strategy {
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

fn canary(rollout: &Rollout, canary: &CanaryStrategy, steps: Vec<Step>) -> Canary {
    let routing = canary.traffic_routing.as_ref().map(|routing| Routing {
        max_weight: routing.max_weight(),
        managed_routes: routing
            .managed_routes
            .iter()
            .map(|route| route.name.clone())
            .collect(),
        min_pods: canary.min_pods_per_replica_set,
    });
    Canary {
        canary_service: named(canary.canary_service.as_ref()),
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
fn named(service: Option<&String>) -> Option<String> {
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

// === impl Strategy ===

impl Strategy {
    /// The canary's settings, where the way is a canary.
    pub fn canary(&self) -> Option<&Canary> {
        match &self.way {
            Way::Canary(canary) => Some(canary),
            Way::BlueGreen(_) => None,
        }
    }

    /// How traffic is divided, where it is.
    pub fn routing(&self) -> Option<&Routing> {
        self.canary()?.routing.as_ref()
    }

    /// The steps; blue-green has none.
    pub fn steps(&self) -> &[Step] {
        self.canary()
            .map(|canary| canary.steps.as_slice())
            .unwrap_or_default()
    }

    /// The number of steps.
    pub fn step_count(&self) -> usize {
        self.steps().len()
    }

    /// An index of a step, as status has it: none where there are no steps.
    pub fn step_index(&self, index: usize) -> Option<i32> {
        (!self.steps().is_empty()).then(|| i32::try_from(index).unwrap_or(i32::MAX))
    }

    /// The hash of the steps; empty for blue-green.
    pub fn step_hash(&self) -> &str {
        self.canary()
            .map(|canary| canary.step_hash.as_str())
            .unwrap_or_default()
    }

    /// The weight that means all traffic.
    pub fn max_weight(&self) -> i32 {
        self.routing()
            .map_or(TrafficRouting::DEFAULT_MAX_WEIGHT, |routing| {
                routing.max_weight
            })
    }

    /// How many pods are enough, where that is said.
    pub fn threshold(&self) -> Option<Threshold> {
        self.canary()?.threshold
    }

    /// The Services that the Rollout points at its pods, with the field that names each.
    pub fn services(&self) -> Vec<(&'static str, &str)> {
        let services = match &self.way {
            Way::Canary(canary) => [
                ("canary.stableService", canary.stable_service.as_deref()),
                ("canary.canaryService", canary.canary_service.as_deref()),
            ],
            Way::BlueGreen(blue_green) => [
                (
                    "blueGreen.activeService",
                    Some(blue_green.active_service.as_str()),
                ),
                (
                    "blueGreen.previewService",
                    blue_green.preview_service.as_deref(),
                ),
            ],
        };
        services
            .into_iter()
            .filter_map(|(field, name)| Some((field, name?)))
            .collect()
    }
}

// === impl Threshold ===

impl Threshold {
    /// Whether `available` pods are enough where `desired` are wanted.
    pub fn is_met(self, available: i32, desired: i32) -> bool {
        match self {
            Self::Percent(percent) => {
                desired == 0
                    || f64::from(available) / f64::from(desired) * 100.0 + 1e-10
                        >= f64::from(percent)
            }
            Self::Pods(pods) => available >= pods,
        }
    }
}

// === impl SpecError ===

impl SpecError {
    pub(crate) fn invalid(path: impl Into<String>, value: Value, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            value: Some(value),
            text: text.into(),
        }
    }

    /// A sentence alone.
    pub(crate) fn bare(text: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            value: None,
            text: text.into(),
        }
    }

    pub(crate) fn required(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            value: None,
            text: text.into(),
        }
    }
}

/// As Kubernetes prints field errors, and a sentence alone where there is no path: `path: Invalid value: value: text`.
impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            _ if self.path.is_empty() => f.write_str(&self.text),
            Some(value) => write!(f, "{}: Invalid value: {value}: {}", self.path, self.text),
            None => write!(f, "{}: Required value: {}", self.path, self.text),
        }
    }
}
