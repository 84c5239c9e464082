//! Spec: parse, don't validate. A Rollout's spec becomes a [`Strategy`], or every reason why it
//! cannot, at once. Nothing after this reads the raw spec for a decision.
//!
//! The checks and their sentences are Argo's, in Argo's order, because the first one is what people
//! see in the condition. What Argo can do and this version cannot yet ([`unbuilt`]) is an error as
//! well: a Rollout that asks for it is refused, and its pods are left alone. Last come the objects
//! that the spec refers to ([`references`]).

use std::fmt;

use crds::rollout::steps::RolloutAnalysis;
use crds::rollout::{AntiAffinity, Metadata, TrafficRouting};
use crds::{PodTemplate, Rollout};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};
use uplink::document::HeaderMatch;

use super::observe::Observed;

mod blue_green;
mod build;
mod canary;
mod pods;
mod references;
mod steps;
mod unbuilt;
mod workload;

pub use blue_green::{BlueGreen, Promotion};

#[cfg(test)]
mod tests;

pub(in crate::rollout) use pods::selects;
pub use unbuilt::foreign_router;

/// Seconds without progress until a Rollout is Degraded, unless it says otherwise.
const PROGRESS_DEADLINE_SECONDS: i32 = 600;

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
    /// The Rollout says that delay itself.
    pub abort_delay_is_said: bool,
    /// Evict every pod that is older.
    pub restart_at: Option<Timestamp>,
    /// Keep pods of the new and of the stable revision on different nodes.
    pub anti_affinity: Option<AntiAffinity>,
    /// What pods carry while they are new, and while they are stable.
    pub metadata: PodMetadata,
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

/// Labels and annotations that pods carry for a while, beside those of the template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodMetadata {
    /// While they are the newest revision, and another one is stable.
    pub new: Option<Metadata>,
    /// While they are stable.
    pub stable: Option<Metadata>,
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
    /// Two Services that take turns at being stable's.
    pub ping_pong: Option<PingPong>,
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

/// Two Services that take turns, so that stable's never changes its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingPong {
    /// The canary's in the first release.
    pub ping: String,
    /// The canary's in the second.
    pub pong: String,
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
    /// Stable shrinks as the canary's weight grows.
    pub dynamic_stable_scale: bool,
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
    /// The path as people know it from Argo, where that is another one.
    pub shown: Option<String>,
    /// What helps who writes the spec, where Argo's sentence does not say it.
    pub hint: Option<String>,
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
    let strategy = build::strategy(rollout, way);
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
    let before = errors.len();
    // Argo's path; there is no such field.
    let path = "spec.strategy.strategy";
    match (raw, blue_green) {
        (Some(raw), None) => {
            canary::check(raw, errors);
            let steps = steps::check(raw, errors);
            let affinity = raw.anti_affinity.as_ref();
            canary::check_anti_affinity("canary", affinity, errors);
            errors.iter_mut().skip(before).for_each(SpecError::shorten);
            blue_green::check_absent(rollout, errors);
            unbuilt::check(raw, errors);
            Some(Way::Canary(build::canary(rollout, raw, steps)))
        }
        (None, Some(raw)) => {
            let affinity = raw.anti_affinity.as_ref();
            let way = blue_green::check(rollout, raw, errors);
            let before = errors.len();
            canary::check_anti_affinity("blueGreen", affinity, errors);
            errors.iter_mut().skip(before).for_each(SpecError::shorten);
            Some(Way::BlueGreen(way))
        }
        (Some(_), Some(_)) => {
            let text = "Multiple Strategies can not be listed";
            let value = json!("blueGreen: true canary: true");
            errors.push(SpecError::invalid(path, value, text));
            None
        }
        (None, None) => {
            let text =
                "Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'";
            errors.push(SpecError::required(path, text));
            None
        }
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
            Way::Canary(canary) => {
                let turns = canary.ping_pong.as_ref();
                vec![
                    ("canary.stableService", canary.stable_service.as_deref()),
                    ("canary.canaryService", canary.canary_service.as_deref()),
                    (
                        "canary.pingPong.pingService",
                        turns.map(|it| it.ping.as_str()),
                    ),
                    (
                        "canary.pingPong.pongService",
                        turns.map(|it| it.pong.as_str()),
                    ),
                ]
            }
            Way::BlueGreen(blue_green) => vec![
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
            shown: None,
            hint: None,
        }
    }

    /// A sentence alone.
    pub(crate) fn bare(text: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            value: None,
            text: text.into(),
            shown: None,
            hint: None,
        }
    }

    pub(crate) fn required(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            value: None,
            text: text.into(),
            shown: None,
            hint: None,
        }
    }

    pub(crate) fn hinted(self, hint: String) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }

    /// Argo leaves the name of the strategy out of the paths of its first checks. People and their
    /// tools know the sentences with those paths.
    pub(crate) fn shorten(&mut self) {
        let strategies = ["spec.strategy.canary.", "spec.strategy.blueGreen."];
        let rest = strategies
            .into_iter()
            .find_map(|strategy| self.path.strip_prefix(strategy));
        self.shown = rest.map(|rest| format!("spec.strategy.{rest}"));
    }
}

/// As Kubernetes prints field errors, and a sentence alone where there is no path: `path: Invalid value: value: text`.
impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.shown.as_ref().unwrap_or(&self.path);
        match &self.value {
            _ if path.is_empty() => return f.write_str(&self.text),
            Some(value) => write!(f, "{path}: Invalid value: {value}")?,
            None => write!(f, "{path}: Required value")?,
        }
        if self.text.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.text)
    }
}
