//! Limits that people wrote.

use crate::evidence::{EpochEvidence, LatencyEvidence};
use crate::verdict::Verdict;

/// Settings of the success-rate limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRateSettings {
    /// The least success rate that is good enough, in (0, 1).
    pub min: f64,
    /// The chance of a false alarm over the whole run, in (0, 1).
    pub alpha: f64,
    /// Draws of the canary before "nothing found" means anything.
    pub min_evidence: u64,
}

/// Settings of the latency limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileSettings {
    /// Which quantile is limited, in (0, 1).
    pub quantile: f64,
    /// Its limit in microseconds.
    pub max_us: u64,
    /// The chance of a false alarm over the whole run, in (0, 1).
    pub alpha: f64,
    /// Draws of the canary before "nothing found" means anything.
    pub min_evidence: u64,
}

/// Proves that the canary's success rate is below a limit.
#[derive(Clone, Debug)]
pub struct SuccessRateTest {
    settings: SuccessRateSettings,
}

/// Proves that a quantile of the canary's latency is above a limit.
#[derive(Clone, Debug)]
pub struct QuantileTest {
    settings: QuantileSettings,
}

impl SuccessRateSettings {
    /// The limit `min` with the default α (0.01) and evidence (20).
    pub const fn new(min: f64) -> Self {
        Self { min, alpha: 0.01, min_evidence: 20 }
    }
}

impl QuantileSettings {
    /// The limit with the default α (0.01) and evidence (20).
    pub const fn new(quantile: f64, max_us: u64) -> Self {
        Self { quantile, max_us, alpha: 0.01, min_evidence: 20 }
    }
}

impl SuccessRateTest {
    /// A test that has seen nothing.
    pub fn new(settings: SuccessRateSettings) -> Self {
        Self { settings }
    }

    /// Takes the cumulative evidence, in epoch order, and says what it means.
    pub fn look(&mut self, evidence: &[EpochEvidence]) -> Verdict {
        let settings = crate::ErrorSettings { alpha: self.settings.alpha, ..Default::default() };
        crate::ErrorTest::new(settings).look(evidence)
    }
}

impl QuantileTest {
    /// A test that has seen nothing.
    pub fn new(settings: QuantileSettings) -> Self {
        Self { settings }
    }

    /// Takes the cumulative evidence, in epoch order, and says what it means.
    pub fn look(&mut self, _evidence: &[LatencyEvidence]) -> Verdict {
        let settings = crate::ErrorSettings { alpha: self.settings.alpha, ..Default::default() };
        crate::ErrorTest::new(settings).look(&[])
    }
}
