//! What the Rollout's status says, as the screen and the story need it.

use crds::analysis::run::MetricResult;
use crds::rollout::status::{RolloutAnalysisRunStatus, RolloutStatus};
use crds::{AnalysisRun, Rollout};
use kube::{Api, Client};

use super::releases::{NAMESPACE, ROLLOUT};
use super::screen::{Progress, Step, Weight};

/// The Rollout as it was last read.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    status: RolloutStatus,
    steps: Vec<Option<i32>>,
    /// Whether the status is about the spec as it is now.
    up_to_date: bool,
    /// The metrics of the background analysis, and what each last found.
    metrics: Vec<(String, String)>,
}

/// How a release stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is on its way.
    UnderWay,
    /// It is what every user gets.
    Promoted,
    /// It is what no user gets any more.
    Aborted,
}

// === impl Seen ===

impl Seen {
    /// Reads the Rollout and its background analysis.
    pub async fn look(client: &Client) -> Result<Self, kube::Error> {
        let api: Api<Rollout> = Api::namespaced(client.clone(), NAMESPACE);
        let mut seen = Self::of(&api.get(ROLLOUT).await?);
        if let Some(name) = seen.run().map(|run| run.name.clone()) {
            let api: Api<AnalysisRun> = Api::namespaced(client.clone(), NAMESPACE);
            let run = api.get_opt(&name).await?.and_then(|run| run.status);
            let results = run.map(|status| status.metric_results).unwrap_or_default();
            seen.metrics = results.iter().map(found).collect();
        }
        Ok(seen)
    }

    fn of(rollout: &Rollout) -> Self {
        let status = rollout.status.clone().unwrap_or_default();
        let canary = rollout
            .spec
            .strategy
            .as_ref()
            .and_then(|it| it.canary.as_ref());
        let steps = canary
            .and_then(|it| it.steps.as_deref())
            .unwrap_or_default();
        let generation = rollout
            .metadata
            .generation
            .map(|generation| generation.to_string());
        Self {
            up_to_date: generation.is_some() && status.observed_generation == generation,
            steps: steps.iter().map(|step| step.set_weight).collect(),
            status,
            metrics: Vec::new(),
        }
    }

    fn run(&self) -> Option<&RolloutAnalysisRunStatus> {
        self.status
            .canary
            .as_ref()?
            .current_background_analysis_run_status
            .as_ref()
    }

    /// How the release stands that replaces the pods of `old_hash`.
    pub fn standing(&self, old_hash: &str) -> Standing {
        let stable = self.stable_hash();
        let current = self.status.current_pod_hash.as_deref().unwrap_or_default();
        if !self.up_to_date || current == old_hash || current.is_empty() {
            return Standing::UnderWay;
        }
        let phase = self.phase();
        if stable == current && phase == "Healthy" {
            return Standing::Promoted;
        }
        if self.status.abort == Some(true) && stable == old_hash && phase == "Degraded" {
            return Standing::Aborted;
        }
        Standing::UnderWay
    }

    /// The hash of the pods that are stable; empty before the first.
    pub fn stable_hash(&self) -> &str {
        self.status.stable_rs.as_deref().unwrap_or_default()
    }

    fn phase(&self) -> String {
        self.status
            .phase
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// Phase and message.
    pub fn state(&self) -> String {
        said(&self.phase(), self.status.message.as_deref())
    }

    /// The message alone, or the phase where there is none.
    pub fn verdict(&self) -> String {
        self.status
            .message
            .clone()
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| self.phase())
    }

    /// The background analysis: its phase, and its message or what each metric last found.
    pub fn analysis(&self) -> String {
        let Some(run) = self.run() else {
            return String::new();
        };
        let metrics = self
            .metrics
            .iter()
            .map(|(name, value)| format!("{name} {value}"));
        let metrics = metrics.collect::<Vec<_>>().join("; ");
        let message = run.message.clone().filter(|message| !message.is_empty());
        said(&run.status.to_string(), Some(&message.unwrap_or(metrics)))
    }

    /// The weight in force.
    pub fn weight(&self) -> Option<Weight> {
        let weights = self.status.canary.as_ref()?.weights.as_ref()?;
        Some(Weight {
            canary: weights.canary.weight,
            verified: weights.verified,
        })
    }

    /// The steps that set a weight. The steps behind one belong to it.
    pub fn steps(&self) -> Vec<Step> {
        let now = self.status.current_step_index.unwrap_or(0);
        let now = usize::try_from(now).unwrap_or(0);
        let starts = self
            .steps
            .iter()
            .enumerate()
            .filter(|(_, weight)| weight.is_some());
        let starts: Vec<_> = starts.map(|(at, _)| at).chain([self.steps.len()]).collect();
        let pairs = starts.windows(2).filter_map(|pair| match *pair {
            [begin, end] => Some((begin, end)),
            _ => None,
        });
        let step = |(begin, end): (usize, usize)| {
            let progress = match now {
                _ if now >= end => Progress::Done,
                _ if now >= begin => Progress::Now,
                _ => Progress::Ahead,
            };
            Some(Step {
                weight: (*self.steps.get(begin)?)?,
                progress,
            })
        };
        pairs.filter_map(step).collect()
    }
}

/// A metric, and the value of its last measurement or its phase.
fn found(result: &MetricResult) -> (String, String) {
    let value = result
        .measurements
        .last()
        .and_then(|last| last.value.clone());
    (
        result.name.clone(),
        value.unwrap_or_else(|| result.phase.to_string()),
    )
}

fn said(phase: &str, message: Option<&str>) -> String {
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{phase}: {message}"),
        None => phase.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::releases::Release;
    use super::*;

    fn seen(status: Value) -> Seen {
        let manifests = Release::Good.manifests().unwrap();
        let rollout = manifests
            .into_iter()
            .find(|m| m.object["kind"] == "Rollout");
        let mut object = rollout.unwrap().object;
        object["metadata"]["generation"] = json!(2);
        object["status"] = status;
        Seen::of(&crds::read::read(object).unwrap())
    }

    #[test]
    fn a_release_is_promoted_or_aborted_only_when_its_status_is_about_it() {
        let status = |generation: &str, current: &str, stable: &str, phase: &str, abort: bool| {
            json!({"observedGeneration": generation, "currentPodHash": current, "stableRS": stable,
                   "phase": phase, "abort": abort})
        };
        let table = [
            (
                status("1", "old", "old", "Healthy", false),
                Standing::UnderWay,
            ),
            (
                status("2", "old", "old", "Healthy", false),
                Standing::UnderWay,
            ),
            (
                status("2", "new", "old", "Progressing", false),
                Standing::UnderWay,
            ),
            (
                status("2", "new", "new", "Progressing", false),
                Standing::UnderWay,
            ),
            (
                status("2", "new", "new", "Healthy", false),
                Standing::Promoted,
            ),
            (
                status("2", "new", "old", "Degraded", true),
                Standing::Aborted,
            ),
            // Degraded for another reason is no verdict.
            (
                status("2", "new", "old", "Degraded", false),
                Standing::UnderWay,
            ),
        ];
        for (status, expected) in table {
            assert_eq!(seen(status.clone()).standing("old"), expected, "{status}");
        }
    }

    #[test]
    fn a_pause_belongs_to_the_weight_before_it() {
        use Progress::{Ahead, Done, Now};
        let table = [
            (0, [Now, Ahead, Ahead, Ahead]),
            (1, [Now, Ahead, Ahead, Ahead]),
            (2, [Done, Now, Ahead, Ahead]),
            (7, [Done, Done, Done, Now]),
            (8, [Done; 4]),
        ];
        for (index, expected) in table {
            let steps = seen(json!({"currentStepIndex": index})).steps();
            assert_eq!(
                steps.iter().map(|step| step.progress).collect::<Vec<_>>(),
                expected,
                "{index}"
            );
            assert_eq!(
                steps.iter().map(|step| step.weight).collect::<Vec<_>>(),
                [10, 30, 60, 100]
            );
        }
    }
}
