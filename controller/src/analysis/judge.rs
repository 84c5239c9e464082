//! What a metric's conditions say of a result, by Argo's rules.

use crds::words::AnalysisPhase;
use jiff::Timestamp;

use crate::conditions::{self, Value};

/// The conditions of a metric; an empty one is none.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// What must hold.
    pub success: Option<&'a str>,
    /// What must not hold.
    pub failure: Option<&'a str>,
}

// === impl Conditions ===

impl Conditions<'_> {
    /// Whether there is neither.
    pub fn is_empty(&self) -> bool {
        self.success.is_none() && self.failure.is_none()
    }

    /// The phase of a measurement with that result; the error is its message.
    pub fn judge(&self, result: &Value, now: Timestamp) -> Result<AnalysisPhase, String> {
        let holds = |kind: &str, condition: Option<&str>| -> Result<Option<bool>, String> {
            let Some(condition) = condition else {
                return Ok(None);
            };
            let answer = conditions::holds(condition, result, now);
            answer
                .map(Some)
                .map_err(|error| failed(kind, condition, result, &error.told()))
        };
        let success = holds("successCondition", self.success)?;
        let failure = holds("failureCondition", self.failure)?;
        Ok(match (success, failure) {
            (_, Some(true)) | (Some(false), None) => AnalysisPhase::Failed,
            (Some(true) | None, _) => AnalysisPhase::Successful,
            (Some(false), Some(false)) => AnalysisPhase::Inconclusive,
        })
    }
}

fn failed(kind: &str, condition: &str, result: &Value, reason: &str) -> String {
    let reason = if result.is_nil_or_empty() {
        "metric result is nil or empty: no data returned from the metric provider"
    } else {
        reason
    };
    format!("could not evaluate {kind} \"{condition}\": {reason}")
}
