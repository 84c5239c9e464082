//! The error-share test: do the bad ones fall on the canary more often than its share of the
//! exposure explains?
//!
//! Under the null hypothesis ("at most `ratio` times as likely in the canary") a bad one is a
//! canary's with the chance q′ = q·m/(1−q+q·m), q being the canary's *measured* share of those at
//! risk: exposed in this epoch and not yet bad. The configured weight would be wrong with sticky
//! users, and the share of all exposed would be wrong once bad users, who count once, have left.
//! (Where the share of all exposed is larger, it is taken: see `wager`.) Both arms failing together (a shared database) leaves q as it is, and is no evidence.
//!
//! **Epochs.** Every weight epoch is a test of its own at 0.6·α/k², k being its number in the run:
//! sticky users keep their side from epoch to epoch, so evidence of two epochs is not independent
//! and must not be multiplied. This is also one of the two answers to late faults: a new step starts
//! afresh. The other is the reserve of `wager`. The parts sum to less than α, so
//! the promise holds for the whole run, however many steps and looks it has.
//!
//! **Strata.** Users with a key and requests without are drawn apart; both stake from one purse, so
//! the evidence is a weighted mean of both e-values.
//!
//! **Above 95 % share** hardly anybody is left to compare with. Then the canary's rate by request is
//! held against an upper bound of stable's rate in the epoch before (frozen), and against
//! `max_error_rate` unless stable itself was worse than that. Limits of this: a shared outage looks
//! like the canary's fault, and a baseline of few users is wide. The verdict says which was used.

use std::collections::VecDeque;

use crate::evidence::{Arm, EpochEvidence, Stratum};
use crate::verdict::{Decision, Measure, Reasons, TestUsed, Verdict};
use crate::wager::{MOST, Purse, Tick, baseline_delta, epoch_part, limit_factors, upper_bound};

/// Above this share the other arm is too small to compare with.
pub(crate) const ONE_ARM_SHARE: f64 = 0.95;

/// Draws of an epoch before its share is believed to be above [`ONE_ARM_SHARE`]: the first few of a
/// small canary may all be canary's.
pub(crate) const ONE_ARM_DRAWS: u64 = 100;

/// Epochs remembered. An older one gets outcomes no more: it is many steps back.
pub(crate) const EPOCHS_REMEMBERED: usize = 16;

/// Distinct users who must have failed when nobody without a key has: one user is not a release.
const LEAST_BUCKETS: u64 = 2;

/// Settings of the error test. `Default` is [`ErrorSettings::analysis`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorSettings {
    /// The chance of a false alarm over the whole run, in (0, 1). Fuse 0.001, analysis 0.01: users
    /// are promised the sum of both.
    pub alpha: f64,
    /// How many times as likely as in stable a bad outcome may be in the canary, ≥ 1. Fuse 1.5 (it
    /// is for what is plainly on fire), analysis 1.2 (less is rarely worth an abort, and a margin
    /// absorbs cold caches).
    pub ratio: f64,
    /// Bad draws (users, or requests without a key) of the canary in one epoch before any alarm;
    /// default 3. With keys alone never fewer than two users.
    pub min_errors: u64,
    /// Draws of the canary before "nothing found" means anything; default 20, of whom a canary that
    /// fails 30 % shows three with a chance of 96 %. It never delays an alarm.
    pub min_evidence: u64,
    /// Proxies that run this test each on its own counts: each takes `alpha / proxies`. Default 1;
    /// 0 counts as 1.
    pub proxies: u32,
    /// The absolute guard above 95 % share: bad outcomes per request, in (0, 1); default 0.05.
    pub max_error_rate: f64,
}

/// The error test of one run: remembers the last counts and the fortune of each epoch.
#[derive(Clone, Debug)]
pub struct ErrorTest {
    settings: ErrorSettings,
    epochs: VecDeque<Epoch>,
    begun: u64,
    forgotten: Option<u64>,
    forgotten_draws: u64,
    alarm: Option<Verdict>,
}

/// One weight epoch.
#[derive(Clone, Debug)]
struct Epoch {
    seen: EpochEvidence,
    ordinal: u64,
    purse: Purse<4>,
    /// The logarithm of the purse's fortune times this epoch's part: kept, since most ticks change
    /// nothing and every look asks.
    ln_weighted: f64,
    limits: Option<Limits>,
    /// Independent draws of the canary since the limits' lanes were last staked.
    unstaked: f64,
}

/// What a canary without another arm is held against, frozen when it is first needed.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Stable's counts by request in the epoch before, and the rate that may not be exceeded.
    frozen: Option<(Arm, f64)>,
    /// The absolute limit, unless stable itself was above it.
    guard: Option<f64>,
}

// The lanes of an epoch's purse.
const KEYED: usize = 0;
const UNKEYED: usize = 1;
const FROZEN: usize = 2;
const GUARD: usize = 3;

// === impl ErrorSettings ===

impl ErrorSettings {
    /// The defaults of the fuse: α 0.001, ratio 1.5.
    pub const fn fuse() -> Self {
        Self {
            alpha: 0.001,
            ratio: 1.5,
            min_errors: 3,
            min_evidence: 20,
            proxies: 1,
            max_error_rate: 0.05,
        }
    }

    /// The defaults of the analysis: α 0.01, ratio 1.2.
    pub const fn analysis() -> Self {
        Self {
            alpha: 0.01,
            ratio: 1.2,
            ..Self::fuse()
        }
    }

    /// α of this one process.
    fn own_alpha(&self) -> f64 {
        self.alpha / f64::from(self.proxies.max(1))
    }
}

impl Default for ErrorSettings {
    fn default() -> Self {
        Self::analysis()
    }
}

// === impl ErrorTest ===

impl ErrorTest {
    /// A test that has seen nothing.
    pub fn new(settings: ErrorSettings) -> Self {
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
    pub fn look(&mut self, evidence: &[EpochEvidence]) -> Verdict {
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

    fn take(&mut self, now: &EpochEvidence) {
        if self.forgotten.is_some_and(|last| now.epoch <= last) || now.drawn().is_empty() {
            return;
        }
        let index = self.position(now.epoch);
        let baseline = self.baseline_before(index);
        self.epochs[index].advance(now, baseline, &self.settings);
    }

    /// The index of an epoch, begun if it is new; the oldest makes room.
    fn position(&mut self, epoch: u64) -> usize {
        if let Some(index) = self
            .epochs
            .iter()
            .position(|known| known.seen.epoch == epoch)
        {
            return index;
        }
        if self.epochs.len() == EPOCHS_REMEMBERED
            && let Some(oldest) = self.epochs.pop_front()
        {
            self.forgotten = Some(oldest.seen.epoch);
            self.forgotten_draws += oldest.seen.drawn().canary.exposed;
        }
        self.begun += 1;
        let index = self
            .epochs
            .partition_point(|known| known.seen.epoch < epoch);
        self.epochs.insert(index, Epoch::new(epoch, self.begun));
        index
    }

    /// The last epoch before `index` in which stable still had traffic to speak of.
    fn baseline_before(&self, index: usize) -> Option<EpochEvidence> {
        let mut before = self.epochs.range(..index).rev().map(|epoch| epoch.seen);
        before.find(|seen| seen.drawn().stable.exposed > 0 && !one_armed(seen))
    }

    fn verdict(&self) -> Verdict {
        let evidence = self
            .epochs
            .iter()
            .map(|epoch| epoch.seen.drawn().canary.exposed);
        let evidence = self.forgotten_draws + evidence.sum::<u64>();
        let proof = self
            .epochs
            .iter()
            .find(|epoch| epoch.proves(&self.settings));
        let decision = if proof.is_some() {
            Decision::Worse
        } else if evidence < self.settings.min_evidence {
            Decision::Insufficient
        } else {
            Decision::Undecided
        };
        Verdict {
            decision,
            reasons: self.reasons(proof.or_else(|| self.loudest()), evidence),
        }
    }

    /// The epoch with the most against the canary. While none speaks up, people want to read about
    /// the present one.
    fn loudest(&self) -> Option<&Epoch> {
        self.epochs.iter().reduce(|best, epoch| {
            let heard = best.ln_weighted.max(0.0);
            if best.ln_weighted < 0.0 || epoch.ln_weighted >= heard {
                epoch
            } else {
                best
            }
        })
    }

    fn reasons(&self, loudest: Option<&Epoch>, evidence: u64) -> Reasons {
        let reasons = Reasons::of_nothing(
            Measure::Errors,
            (self.settings.alpha, self.settings.own_alpha()),
            (evidence, self.settings.min_evidence),
        );
        match loudest {
            None => reasons,
            Some(epoch) => epoch.explain(reasons),
        }
    }
}

// === impl Epoch ===

impl Epoch {
    fn new(epoch: u64, ordinal: u64) -> Self {
        Self {
            seen: EpochEvidence {
                epoch,
                ..EpochEvidence::default()
            },
            ordinal,
            purse: Purse::new(),
            ln_weighted: epoch_part(ordinal).ln(),
            limits: None,
            unstaked: 0.0,
        }
    }

    fn advance(
        &mut self,
        now: &EpochEvidence,
        baseline: Option<EpochEvidence>,
        settings: &ErrorSettings,
    ) {
        let before = std::mem::replace(&mut self.seen, *now);
        if before == *now {
            return;
        }
        if one_armed(now) {
            let freeze = || Limits::freeze(baseline, settings, self.ordinal);
            let limits = *self.limits.get_or_insert_with(freeze);
            self.bet_on_limits(&before, now, limits);
        }
        let bets = self.bet_on_shares(&before, now, settings.ratio);
        if bets > 0 || self.limits.is_some() {
            self.ln_weighted = self.purse.ln_e() + epoch_part(self.ordinal).ln();
        }
    }

    /// Returns how many bets there were.
    fn bet_on_shares(&mut self, before: &EpochEvidence, now: &EpochEvidence, ratio: f64) -> usize {
        let keyed = tick_of(before.keyed, now.keyed);
        let unkeyed = tick_of(before.unkeyed, now.unkeyed);
        let moved = [(KEYED, keyed), (UNKEYED, unkeyed)];
        let moved = moved
            .iter()
            .filter_map(|(lane, tick)| tick.map(|tick| (*lane, tick)));
        let bets: Vec<_> = moved.filter(|(_, tick)| tick.has_bad()).collect();
        // With one arm there is nothing to win here: the limits' lanes get the stakes.
        if !one_armed(now) {
            self.purse
                .stake(&bets.iter().map(|(lane, _)| *lane).collect::<Vec<_>>());
        }
        for (lane, tick) in &bets {
            self.purse.multiply(*lane, &tick.share_factors(ratio));
        }
        bets.len()
    }

    fn bet_on_limits(&mut self, before: &EpochEvidence, now: &EpochEvidence, limits: Limits) {
        let (before, arm) = (before.by_request().canary, now.by_request().canary);
        if arm.fell_since(before) || arm.exposed == 0 {
            return;
        }
        let weight = (now.drawn().canary.exposed as f64 / arm.exposed as f64).min(1.0);
        let bad = (arm.bad - before.bad) as f64;
        let good = ((arm.exposed - before.exposed) as f64 - bad).max(0.0);
        let lanes = [
            (FROZEN, limits.frozen.map(|(_, rate)| rate)),
            (GUARD, limits.guard),
        ];
        let lanes: Vec<_> = lanes
            .iter()
            .filter_map(|(lane, rate)| rate.map(|rate| (*lane, rate)))
            .collect();
        self.stake_on_limits(&lanes, weight * (bad + good));
        for (lane, rate) in lanes {
            self.purse
                .multiply(lane, &limit_factors(rate, (bad, good), weight));
        }
    }

    /// Stakes before the first tick and then whenever a quarter of an expected failure has passed:
    /// by exposure alone, since outcomes must not decide about stakes on themselves.
    fn stake_on_limits(&mut self, lanes: &[(usize, f64)], draws: f64) {
        let lowest = lanes.iter().map(|(_, rate)| *rate).fold(1.0, f64::min);
        let first = self.purse.ln_lane(FROZEN).max(self.purse.ln_lane(GUARD)) == f64::NEG_INFINITY;
        if first || self.unstaked >= 0.25 / lowest {
            self.purse
                .stake(&lanes.iter().map(|(lane, _)| *lane).collect::<Vec<_>>());
            self.unstaked = 0.0;
        }
        self.unstaked += draws;
    }

    fn proves(&self, settings: &ErrorSettings) -> bool {
        self.ln_weighted >= -settings.own_alpha().ln() && self.has_minimum(settings)
    }

    fn has_minimum(&self, settings: &ErrorSettings) -> bool {
        let (keyed, unkeyed) = (self.seen.keyed.canary.bad, self.seen.unkeyed.canary.bad);
        keyed + unkeyed >= settings.min_errors && (unkeyed > 0 || keyed >= LEAST_BUCKETS)
    }

    fn explain(&self, reasons: Reasons) -> Reasons {
        let Stratum { stable, canary } = self.seen.by_request();
        let mut reasons = reasons.with_arms(canary, stable);
        reasons.e = self.ln_weighted.exp().min(MOST);
        if self.limits.is_none() {
            return reasons;
        }
        let shares = self.purse.ln_lane(KEYED).max(self.purse.ln_lane(UNKEYED));
        let (frozen, guard) = (self.purse.ln_lane(FROZEN), self.purse.ln_lane(GUARD));
        let Some(limits) = self.limits.filter(|_| frozen.max(guard) > shares) else {
            return reasons;
        };
        match limits {
            Limits {
                frozen: Some((stable, _)),
                ..
            } if frozen >= guard => {
                reasons.test = TestUsed::FrozenBaseline;
                reasons.stable_errors = stable.bad;
                reasons.stable_requests = stable.exposed;
                reasons.stable_rate = stable.rate();
            }
            Limits { guard, .. } => {
                reasons.test = TestUsed::AbsoluteGuard;
                reasons.stable_rate = guard.unwrap_or_default();
            }
        }
        reasons
    }
}

// === impl Limits ===

impl Limits {
    fn freeze(baseline: Option<EpochEvidence>, settings: &ErrorSettings, ordinal: u64) -> Self {
        let Some(before) = baseline else {
            return Self {
                frozen: None,
                guard: Some(settings.max_error_rate),
            };
        };
        // Requests of one user are alike, so the bound is as wide as the *users* are few.
        let stable = before.by_request().stable;
        let users = before.drawn().stable.exposed as f64;
        let delta = baseline_delta(settings.own_alpha(), ordinal);
        let limit = settings.ratio * upper_bound(stable.rate(), users, delta);
        let guarded = settings.ratio * stable.rate() <= settings.max_error_rate;
        Self {
            frozen: (limit < 0.99).then_some((stable, limit)),
            guard: (guarded || limit >= 0.99).then_some(settings.max_error_rate),
        }
    }
}

/// Whether an epoch has no other arm to compare with.
fn one_armed(evidence: &EpochEvidence) -> bool {
    let drawn = evidence.drawn();
    drawn.share() > ONE_ARM_SHARE && drawn.canary.exposed >= ONE_ARM_DRAWS
}

/// What moved in a stratum; `None` when a count went down: the counting process was restarted, and
/// the new counts are the base of what follows.
fn tick_of(before: Stratum, now: Stratum) -> Option<Tick> {
    let restarted = now.canary.fell_since(before.canary) || now.stable.fell_since(before.stable);
    (!restarted).then(|| Tick::between((before.canary, before.stable), (now.canary, now.stable)))
}

#[cfg(test)]
mod tests;
