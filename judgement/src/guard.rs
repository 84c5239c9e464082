//! Limits that people wrote: is the canary, looked at alone, worse than it may be?
//!
//! The null hypothesis is "a request is bad with a chance of at most p₀" (1 − `min` for a success
//! rate, 1 − `quantile` for a latency), and the bet is a mixture of likelihood ratios against it,
//! valid at every look like all others here. Nothing is compared with stable: when a shared
//! dependency fails, these limits blame the canary. What is still open counts as good until it is
//! known to be bad, which errs on the side of silence.
//!
//! Requests are counted, since that is what a limit is about. Where users are known to be fewer than
//! requests, each request weighs that much less, or one user's bad day would look like proof.

use std::collections::VecDeque;

use crate::buckets::{LATENCY_BOUNDS_US, bound_at_or_below};
use crate::error_share::EPOCHS_REMEMBERED;
use crate::evidence::{Arm, EpochEvidence, LatencyEvidence};
use crate::verdict::{Decision, Measure, Reasons, TestUsed, Verdict};
use crate::wager::{MOST, Purse, limit_factors};

/// Bad ones before any alarm.
const LEAST_BAD: u64 = 3;

/// Settings of the success-rate limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRateSettings {
    /// The least success rate that is good enough, in (0, 1).
    pub min: f64,
    /// The chance of a false alarm over the whole run, in (0, 1); default 0.01.
    pub alpha: f64,
    /// Draws of the canary before "nothing found" means anything; default 20.
    pub min_evidence: u64,
}

/// Settings of the latency limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileSettings {
    /// Which quantile is limited, in (0, 1): 0.95 means that at most 5 % may be slower.
    pub quantile: f64,
    /// Its limit in microseconds, snapped down to a bucket bound.
    pub max_us: u64,
    /// The chance of a false alarm over the whole run, in (0, 1); default 0.01.
    pub alpha: f64,
    /// Draws of the canary before "nothing found" means anything; default 20.
    pub min_evidence: u64,
}

/// Proves that the canary's success rate is below a limit.
#[derive(Clone, Debug)]
pub struct SuccessRateTest {
    limit: Limit,
}

/// Proves that a quantile of the canary's latency is above a limit.
#[derive(Clone, Debug)]
pub struct QuantileTest {
    limit: Limit,
    max_us: u64,
}

/// The one-arm bet that both tests make.
#[derive(Clone, Debug)]
struct Limit {
    p0: f64,
    alpha: f64,
    min_evidence: u64,
    measure: Measure,
    purse: Purse<1>,
    unstaked: f64,
    epochs: VecDeque<Seen>,
    forgotten: Option<u64>,
    forgotten_draws: u64,
    alarm: Option<Verdict>,
}

/// The last counts of the canary in one epoch: by request, and independent draws.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    epoch: u64,
    arm: Arm,
    draws: u64,
}

// === impl SuccessRateSettings ===

impl SuccessRateSettings {
    /// The limit `min` with the default α and evidence.
    pub const fn new(min: f64) -> Self {
        Self {
            min,
            alpha: 0.01,
            min_evidence: 20,
        }
    }
}

// === impl QuantileSettings ===

impl QuantileSettings {
    /// The limit with the default α and evidence.
    pub const fn new(quantile: f64, max_us: u64) -> Self {
        Self {
            quantile,
            max_us,
            alpha: 0.01,
            min_evidence: 20,
        }
    }
}

// === impl SuccessRateTest ===

impl SuccessRateTest {
    /// A test that has seen nothing.
    pub fn new(settings: SuccessRateSettings) -> Self {
        let (alpha, evidence) = (settings.alpha, settings.min_evidence);
        Self {
            limit: Limit::new(1.0 - settings.min, alpha, evidence, Measure::Errors),
        }
    }

    /// Takes the cumulative evidence, in epoch order, and says what it means. An alarm is final.
    pub fn look(&mut self, evidence: &[EpochEvidence]) -> Verdict {
        let seen = evidence.iter().map(|now| Seen {
            epoch: now.epoch,
            arm: now.by_request().canary,
            draws: now.drawn().canary.exposed,
        });
        self.limit.look(seen)
    }
}

// === impl QuantileTest ===

impl QuantileTest {
    /// A test that has seen nothing.
    pub fn new(settings: QuantileSettings) -> Self {
        let max_us = LATENCY_BOUNDS_US[bound_at_or_below(settings.max_us)];
        let (alpha, evidence) = (settings.alpha, settings.min_evidence);
        let measure = Measure::SlowerThanUs(max_us);
        Self {
            limit: Limit::new(1.0 - settings.quantile, alpha, evidence, measure),
            max_us,
        }
    }

    /// Takes the cumulative evidence, in epoch order, and says what it means. An alarm is final.
    pub fn look(&mut self, evidence: &[LatencyEvidence]) -> Verdict {
        let max_us = self.max_us;
        let seen = evidence.iter().map(|now| {
            let arm = now.canary.slower(&now.bounds_us, max_us);
            Seen {
                epoch: now.epoch,
                arm,
                draws: arm.exposed,
            }
        });
        self.limit.look(seen)
    }
}

// === impl Limit ===

impl Limit {
    fn new(p0: f64, alpha: f64, min_evidence: u64, measure: Measure) -> Self {
        Self {
            p0,
            alpha,
            min_evidence,
            measure,
            purse: Purse::new(),
            unstaked: f64::INFINITY,
            epochs: VecDeque::new(),
            forgotten: None,
            forgotten_draws: 0,
            alarm: None,
        }
    }

    fn look(&mut self, evidence: impl Iterator<Item = Seen>) -> Verdict {
        if let Some(alarm) = &self.alarm {
            return alarm.clone();
        }
        for now in evidence {
            self.take(now);
        }
        let verdict = self.verdict();
        if verdict.is_worse() {
            self.alarm = Some(verdict.clone());
        }
        verdict
    }

    fn take(&mut self, now: Seen) {
        if now.arm.exposed == 0 || self.forgotten.is_some_and(|last| now.epoch <= last) {
            return;
        }
        let index = self.position(now.epoch);
        let before = std::mem::replace(&mut self.epochs[index], now);
        // A count that went down is a restarted process: the new counts are the base of what follows.
        if !now.arm.fell_since(before.arm) {
            self.bet(before.arm, now);
        }
    }

    /// Stakes by exposure alone (each quarter of an expected bad one), then bets.
    fn bet(&mut self, before: Arm, now: Seen) {
        let weight = (now.draws as f64 / now.arm.exposed as f64).min(1.0);
        let bad = (now.arm.bad - before.bad) as f64;
        let good = ((now.arm.exposed - before.exposed) as f64 - bad).max(0.0);
        if self.unstaked >= 0.25 / self.p0.max(1e-6) {
            self.purse.stake(&[0]);
            self.unstaked = 0.0;
        }
        self.unstaked += weight * (bad + good);
        self.purse
            .multiply(0, &limit_factors(self.p0, (bad, good), weight));
    }

    fn position(&mut self, epoch: u64) -> usize {
        if let Some(index) = self.epochs.iter().position(|known| known.epoch == epoch) {
            return index;
        }
        if self.epochs.len() == EPOCHS_REMEMBERED
            && let Some(oldest) = self.epochs.pop_front()
        {
            self.forgotten = Some(oldest.epoch);
            self.forgotten_draws += oldest.draws;
        }
        let index = self.epochs.partition_point(|known| known.epoch < epoch);
        self.epochs.insert(
            index,
            Seen {
                epoch,
                ..Seen::default()
            },
        );
        index
    }

    fn verdict(&self) -> Verdict {
        let arm = self
            .epochs
            .iter()
            .fold(Arm::default(), |sum, seen| sum.plus(seen.arm));
        let evidence =
            self.forgotten_draws + self.epochs.iter().map(|seen| seen.draws).sum::<u64>();
        let alpha = (self.alpha, self.alpha);
        let mut reasons = Reasons::of_nothing(self.measure, alpha, (evidence, self.min_evidence))
            .with_arms(arm, Arm::default());
        reasons.test = TestUsed::AbsoluteGuard;
        reasons.stable_rate = self.p0;
        reasons.e = self.purse.ln_e().exp().min(MOST);
        let decision = if reasons.e >= reasons.threshold && arm.bad >= LEAST_BAD {
            Decision::Worse
        } else if evidence < self.min_evidence {
            Decision::Insufficient
        } else {
            Decision::Undecided
        };
        Verdict { decision, reasons }
    }
}

#[cfg(test)]
mod tests;
