//! The latency exceedance test: "slower than T" is a bad event, and the error-share bet does the rest.
//!
//! A few bounds T are watched at once: stable's quantiles, snapped up to bucket bounds and frozen
//! early in the epoch, and the limits that people care about. A shift of the median and a longer
//! tail both show, validity is exact, and only counters are needed.
//!
//! **Hanging canaries.** A request that is still open and older than T is slow already, so a canary
//! that completes nothing is found T plus a few requests after it stopped, not after a timeout.
//!
//! **Freezing.** A bound that was read off the counts it is then tested on would favour stable. So
//! bounds come from stable's counts of the epoch before, or from the first hundred of this epoch,
//! and in the latter case only what comes afterwards is evidence.
//!
//! **Error rate.** Each epoch gets 0.6·α/k² as in [`crate::error_share`], and its bounds share that
//! in equal parts: those slower than one bound are candidates for the next, so the bounds' fortunes
//! are not independent and are not added up.
//!
//! **Limits.** With sticky sides the counts must be of users ([`Counted::Users`]): counted by
//! request, one slow user with a fifth of the traffic is a slow canary. Above 95 % share there is no
//! verdict from this test; [`crate::QuantileTest`] holds a canary against a limit without another arm.

use std::collections::VecDeque;

use crate::error_share::{EPOCHS_REMEMBERED, ONE_ARM_SHARE};
use crate::evidence::{Arm, LatencyArm, LatencyEvidence, share};
use crate::verdict::{Decision, Measure, Reasons, Verdict};
use crate::wager::{MOST, Purse, Tick, epoch_part};

/// Stable's completed counts that quantiles are frozen from.
const FREEZE_AT: u64 = 100;

/// Bounds watched at most, quantiles and limits together; further ones are ignored.
pub const BOUNDS_WATCHED: usize = 8;

/// What one count of the latency evidence stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counted {
    /// Requests: right where each request is drawn for itself. One that completed below a bound is
    /// out of the game.
    #[default]
    Requests,
    /// Users, each in the bucket of the slowest request that it had in this epoch: right where
    /// sides are sticky. A user moves up as it meets slower answers, and stays at risk until then.
    Users,
}

/// Settings of the latency test.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencySettings {
    /// The chance of a false alarm over the whole run, in (0, 1); default 0.01.
    pub alpha: f64,
    /// How many times as likely as in stable slowness may be in the canary, ≥ 1; default 1.2.
    pub ratio: f64,
    /// Stable's quantiles that are frozen as bounds, each in (0, 1); default 0.5, 0.9 and 0.99.
    pub quantiles: Vec<f64>,
    /// Further bounds in microseconds, snapped down to bucket bounds; default none.
    pub slo_us: Vec<u64>,
    /// Slow ones of the canary in one epoch before any alarm; default 3.
    pub min_slow: u64,
    /// Draws of the canary before "nothing found" means anything; default 20.
    pub min_evidence: u64,
    /// What one count stands for; default requests.
    pub counted: Counted,
}

/// The latency test of one run.
#[derive(Clone, Debug)]
pub struct LatencyTest {
    settings: LatencySettings,
    epochs: VecDeque<Epoch>,
    begun: u64,
    forgotten: Option<u64>,
    forgotten_draws: u64,
    alarm: Option<Verdict>,
}

#[derive(Clone, Debug)]
struct Epoch {
    seen: LatencyEvidence,
    ordinal: u64,
    /// Whether the quantiles' bounds are among `watches` already.
    frozen: bool,
    watches: Vec<Watch>,
}

/// One bound and its fortune.
#[derive(Clone, Debug)]
struct Watch {
    bound_us: u64,
    purse: Purse<1>,
}

// === impl LatencySettings ===

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

impl LatencySettings {
    /// Parts that an epoch's α is cut into: fixed beforehand, whatever the quantiles snap to.
    fn parts(&self) -> usize {
        (self.quantiles.len() + self.slo_us.len()).clamp(1, BOUNDS_WATCHED)
    }
}

// === impl LatencyTest ===

impl LatencyTest {
    /// A test that has seen nothing.
    pub fn new(settings: LatencySettings) -> Self {
        Self {
            settings,
            epochs: VecDeque::new(),
            begun: 0,
            forgotten: None,
            forgotten_draws: 0,
            alarm: None,
        }
    }

    /// Takes the cumulative evidence, in epoch order, and says what it means. Epochs may be left
    /// out when nothing changed in them. An alarm is final: later looks repeat it.
    pub fn look(&mut self, evidence: &[LatencyEvidence]) -> Verdict {
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

    fn take(&mut self, now: &LatencyEvidence) {
        let empty = now.canary.total() + now.stable.total() == 0;
        if empty || self.forgotten.is_some_and(|last| now.epoch <= last) {
            return;
        }
        let index = self.position(now);
        let mut before = self.epochs.range(..index).rev().map(|epoch| &epoch.seen);
        let baseline = before
            .find(|seen| seen.stable.completed_total() >= FREEZE_AT)
            .cloned();
        self.epochs[index].advance(now, baseline, &self.settings);
    }

    /// The index of an epoch, begun if it is new; the oldest makes room.
    fn position(&mut self, now: &LatencyEvidence) -> usize {
        if let Some(index) = self
            .epochs
            .iter()
            .position(|known| known.seen.epoch == now.epoch)
        {
            return index;
        }
        if self.epochs.len() == EPOCHS_REMEMBERED
            && let Some(oldest) = self.epochs.pop_front()
        {
            self.forgotten = Some(oldest.seen.epoch);
            self.forgotten_draws += oldest.seen.canary.total();
        }
        self.begun += 1;
        let index = self
            .epochs
            .partition_point(|known| known.seen.epoch < now.epoch);
        self.epochs
            .insert(index, Epoch::new(now, self.begun, &self.settings));
        index
    }

    fn verdict(&self) -> Verdict {
        let evidence = self.epochs.iter().map(|epoch| epoch.seen.canary.total());
        let evidence = self.forgotten_draws + evidence.sum::<u64>();
        let watched = self
            .epochs
            .iter()
            .flat_map(|epoch| epoch.watches.iter().map(move |w| (epoch, w)));
        let loudness =
            |(epoch, watch): &(&Epoch, &Watch)| watch.purse.ln_e() + epoch_part(epoch.ordinal).ln();
        let loudest = watched.max_by(|a, b| loudness(a).total_cmp(&loudness(b)));
        let first = loudest.map_or(0, |(_, watch)| watch.bound_us);
        let alpha = (self.settings.alpha, self.settings.alpha);
        let needed = (evidence, self.settings.min_evidence);
        let mut reasons = Reasons::of_nothing(Measure::SlowerThanUs(first), alpha, needed);
        if let Some((epoch, watch)) = loudest {
            reasons = reasons.with_arms(
                epoch
                    .seen
                    .canary
                    .slower(&epoch.seen.bounds_us, watch.bound_us),
                epoch
                    .seen
                    .stable
                    .slower(&epoch.seen.bounds_us, watch.bound_us),
            );
            let ln_e = loudness(&(epoch, watch)) - (self.settings.parts() as f64).ln();
            reasons.e = ln_e.exp().min(MOST);
        }
        let decision = if reasons.e >= reasons.threshold && reasons.errors >= self.settings.min_slow
        {
            Decision::Worse
        } else if evidence < self.settings.min_evidence {
            Decision::Insufficient
        } else {
            Decision::Undecided
        };
        Verdict { decision, reasons }
    }
}

// === impl Epoch ===

impl Epoch {
    /// Limits are watched from the first count on: they are not read off the data.
    fn new(now: &LatencyEvidence, ordinal: u64, settings: &LatencySettings) -> Self {
        let seen = LatencyEvidence {
            epoch: now.epoch,
            bounds_us: now.bounds_us.clone(),
            ..LatencyEvidence::default()
        };
        let mut epoch = Self {
            seen,
            ordinal,
            frozen: settings.quantiles.is_empty(),
            watches: Vec::new(),
        };
        for limit in &settings.slo_us {
            let at_or_below = now.bounds_us.iter().rev().find(|bound| *bound <= limit);
            epoch.watch(at_or_below.or(now.bounds_us.first()).copied());
        }
        epoch
    }

    fn advance(
        &mut self,
        now: &LatencyEvidence,
        baseline: Option<LatencyEvidence>,
        settings: &LatencySettings,
    ) {
        if let (false, Some(baseline)) = (self.frozen, &baseline) {
            self.freeze(&baseline.stable, &baseline.bounds_us, settings);
        }
        let before = std::mem::replace(&mut self.seen, now.clone());
        for watch in &mut self.watches {
            watch.bet(&before, now, settings);
        }
        // Read off this epoch's own counts: only what comes after them is evidence.
        if !self.frozen && now.stable.completed_total() >= FREEZE_AT {
            self.freeze(&now.stable, &now.bounds_us, settings);
        }
    }

    fn freeze(&mut self, stable: &LatencyArm, bounds_us: &[u64], settings: &LatencySettings) {
        self.frozen = true;
        for quantile in &settings.quantiles {
            self.watch(stable.quantile_bound(bounds_us, *quantile));
        }
    }

    fn watch(&mut self, bound_us: Option<u64>) {
        let Some(bound_us) = bound_us else { return };
        let known = self.watches.iter().any(|watch| watch.bound_us == bound_us);
        if !known && self.watches.len() < BOUNDS_WATCHED {
            self.watches.push(Watch {
                bound_us,
                purse: Purse::new(),
            });
        }
    }
}

// === impl Watch ===

impl Watch {
    fn bet(&mut self, before: &LatencyEvidence, now: &LatencyEvidence, settings: &LatencySettings) {
        let slower = |evidence: &LatencyEvidence, arm: &LatencyArm| {
            arm.slower(&evidence.bounds_us, self.bound_us)
        };
        let (canary, stable) = (slower(now, &now.canary), slower(now, &now.stable));
        let was = (
            slower(before, &before.canary),
            slower(before, &before.stable),
        );
        let restarted = canary.fell_since(was.0) || stable.fell_since(was.1);
        if restarted
            || share(canary.exposed, stable.exposed) > ONE_ARM_SHARE && canary.exposed > 100
        {
            return;
        }
        let mut tick = Tick::between(was, (canary, stable));
        if settings.counted == Counted::Requests {
            let decided = |arm: &LatencyArm| arm.decided(&before.bounds_us, self.bound_us);
            tick.at_risk = (
                canary.exposed.saturating_sub(decided(&before.canary)),
                stable.exposed.saturating_sub(decided(&before.stable)),
            );
        }
        if tick.has_bad() {
            self.purse.stake(&[0]);
            self.purse.multiply(0, &tick.share_factors(settings.ratio));
        }
    }
}

// === impl LatencyArm ===

impl LatencyArm {
    /// All counts, completed and open.
    pub fn total(&self) -> u64 {
        self.completed_total() + self.open.iter().sum::<u64>()
    }

    fn completed_total(&self) -> u64 {
        self.completed.iter().sum()
    }

    /// All of them, and those that completed above `bound_us` or are open and older than it.
    pub(crate) fn slower(&self, bounds_us: &[u64], bound_us: u64) -> Arm {
        let from = bounds_us.partition_point(|bound| *bound <= bound_us);
        let above = |counts: &[u64]| counts.iter().skip(from).sum::<u64>();
        Arm {
            exposed: self.total(),
            bad: above(&self.completed) + above(&self.open),
        }
    }

    /// Requests that can turn slow no more: completed, or slow already.
    fn decided(&self, bounds_us: &[u64], bound_us: u64) -> u64 {
        let from = bounds_us.partition_point(|bound| *bound <= bound_us);
        self.completed_total() + self.open.iter().skip(from).sum::<u64>()
    }

    /// The first bound that at least `quantile` of the completed are at or below; `None` when that
    /// would be the overflow.
    fn quantile_bound(&self, bounds_us: &[u64], quantile: f64) -> Option<u64> {
        let wanted = quantile * self.completed_total() as f64;
        let mut below = 0;
        let reaches = |count: &u64| {
            below += count;
            below as f64 >= wanted
        };
        bounds_us
            .get(self.completed.iter().position(reaches)?)
            .copied()
    }
}

#[cfg(test)]
mod tests;
