//! The state of a Rollout as clients show it: what the controller wrote, unless the controller has
//! not yet seen what the Rollout asks for.

use crds::Rollout;

/// A state and its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// `Healthy`, `Degraded`, `Progressing`, `Paused`; empty before the controller saw the Rollout.
    pub word: String,
    /// Why; may be empty.
    pub message: String,
}

/// Where the controller notes the generation of the workload that a Rollout refers to.
const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";

// === impl Phase ===

impl Phase {
    /// The state of a Rollout.
    pub fn of(rollout: &Rollout) -> Self {
        if !is_observed(rollout) {
            return Self::progressing("waiting for rollout spec update to be observed");
        }
        if is_unpausing(rollout) {
            return Self::progressing("waiting for rollout to unpause");
        }
        if !is_workload_observed(rollout) {
            return Self::progressing(
                "waiting for rollout spec update to be observed for the reference workload",
            );
        }
        let status = rollout.status.as_ref();
        let word = status.and_then(|status| status.phase.as_ref());
        let Some(word) = word else {
            return Self::progressing("waiting for a controller to take it up");
        };
        Self {
            word: word.as_str().to_owned(),
            message: status
                .and_then(|status| status.message.clone())
                .unwrap_or_default(),
        }
    }

    /// Whether nothing more will happen by itself.
    pub fn is_final(&self) -> bool {
        matches!(self.word.as_str(), "Healthy" | "Degraded")
    }

    /// The state in a character.
    pub fn icon(&self) -> &'static str {
        match self.word.as_str() {
            "Progressing" => "◌",
            "Error" | "InvalidSpec" => "⚠",
            "Paused" => "॥",
            "Healthy" => "✔",
            "Degraded" => "✖",
            "Unknown" => "?",
            "ScaledDown" => "•",
            _ => " ",
        }
    }

    fn progressing(message: &str) -> Self {
        Self {
            word: "Progressing".to_owned(),
            message: message.to_owned(),
        }
    }
}

/// Whether the status is about the newest spec. Very old controllers wrote a hash instead of a
/// number; those count as having seen it.
fn is_observed(rollout: &Rollout) -> bool {
    let observed = rollout
        .status
        .as_ref()
        .and_then(|status| status.observed_generation.as_ref());
    let Some(observed) = observed.and_then(|text| text.parse::<i64>().ok()) else {
        return true;
    };
    observed >= rollout.metadata.generation.unwrap_or_default()
}

/// Whether somebody took the pause away and the controller has not yet reacted.
fn is_unpausing(rollout: &Rollout) -> bool {
    rollout.status.as_ref().is_some_and(|status| {
        status.controller_pause == Some(true) && status.pause_conditions.is_empty()
    })
}

fn is_workload_observed(rollout: &Rollout) -> bool {
    if rollout.spec.workload_ref.is_none() {
        return true;
    }
    let annotations = rollout.metadata.annotations.as_ref();
    let wanted = annotations.and_then(|annotations| annotations.get(WORKLOAD_GENERATION));
    let status = rollout.status.as_ref();
    let observed = status.and_then(|status| status.workload_observed_generation.as_ref());
    let number = |text: &String| text.parse::<i64>().ok();
    match (wanted.and_then(number), observed.and_then(number)) {
        (Some(wanted), Some(observed)) => wanted == observed,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn phase(generation: i64, spec: Value, status: Value) -> (String, String) {
        let rollout: Rollout = serde_json::from_value(json!({
            "metadata": {"generation": generation,
                "annotations": {"rollout.argoproj.io/workload-generation": "4"}},
            "spec": spec, "status": status,
        }))
        .unwrap();
        let phase = Phase::of(&rollout);
        (phase.word, phase.message)
    }

    #[test]
    fn what_the_controller_has_not_seen_comes_before_what_it_wrote() {
        let paused = json!({"observedGeneration": "3", "phase": "Paused", "message": "m"});
        let by_reference = json!({"workloadRef": {"name": "web"}});
        let table = [
            (3, json!({}), paused.clone(), "Paused", "m"),
            (2, json!({}), paused.clone(), "Paused", "m"),
            (
                4,
                json!({}),
                paused,
                "Progressing",
                "waiting for rollout spec update to be observed",
            ),
            (
                4,
                json!({}),
                json!({"observedGeneration": "6b8f5", "phase": "Healthy"}),
                "Healthy",
                "",
            ),
            (
                3,
                json!({}),
                json!({"observedGeneration": "3", "phase": "Paused", "controllerPause": true}),
                "Progressing",
                "waiting for rollout to unpause",
            ),
            (
                3,
                by_reference.clone(),
                json!({"workloadObservedGeneration": "3", "phase": "Healthy"}),
                "Progressing",
                "waiting for rollout spec update to be observed for the reference workload",
            ),
            (
                3,
                by_reference,
                json!({"workloadObservedGeneration": "4", "phase": "Healthy"}),
                "Healthy",
                "",
            ),
            (
                1,
                json!({}),
                Value::Null,
                "Progressing",
                "waiting for a controller to take it up",
            ),
        ];
        for (generation, spec, status, word, message) in table {
            let expected = (word.to_owned(), message.to_owned());
            assert_eq!(
                phase(generation, spec, status.clone()),
                expected,
                "{generation} {status}"
            );
        }
    }
}
