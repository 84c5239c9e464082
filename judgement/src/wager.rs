//! The arithmetic of betting: a fortune that an honest world hardly ever multiplies.
//!
//! A [`Purse`] starts with a fortune of 1. Part of it is staked on *lanes*, each lane on several
//! alternatives (the canary is 1.5×, 2×, … 1000× as bad), and every tick multiplies each stake by a
//! factor whose expectation is at most 1 while the null hypothesis holds. By Ville's inequality the
//! fortune then *ever* reaches 1/α with a chance of at most α.
//!
//! **Late faults.** A stake on "ten times as bad" melts in a long healthy phase, and a fault that
//! comes then would have to win everything back first. So three quarters of the fortune are staked at once and
//! the rest is kept in reserve: at every later occasion k a little of it is staked afresh, the
//! reserve after k stakes being 1/(1 + 3·log₂(k + 1)). The reserve is part of the fortune, so nothing
//! is promised twice and α holds over the whole run. (Clamping at zero, as CUSUM does, would forget
//! the losses and keep no α at all.) The price is ln(1/w) of evidence: under 0.3 nats at the start, 12
//! nats after 600 occasions, which is four failures of a canary that fails wholly.

use crate::evidence::{Arm, share};

/// Alternatives: how many times as likely a bad outcome is in the canary.
pub(crate) const RATIOS: [f64; 8] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1_000.0];

/// e-values are reported up to here: beyond it, JSON and people read nothing more.
pub(crate) const MOST: f64 = 1e300;

/// Logarithms of the factors of one tick, one per alternative.
pub(crate) type Factors = [f64; RATIOS.len()];

/// A fortune: what is staked (in logarithms, per lane and alternative) and what is in reserve.
#[derive(Clone, Debug)]
pub(crate) struct Purse<const LANES: usize> {
    reserve: f64,
    stakes: [[f64; RATIOS.len()]; LANES],
    entered: [bool; LANES],
    occasions: f64,
}

/// The draws of one tick, canary first in each pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tick {
    /// Exposed in this epoch so far.
    pub(crate) exposed: (u64, u64),
    /// Those of them that could still turn bad in this tick.
    pub(crate) at_risk: (u64, u64),
    /// Those that did.
    pub(crate) bad: (u64, u64),
}

// === impl Purse ===

impl<const LANES: usize> Purse<LANES> {
    pub(crate) fn new() -> Self {
        Self {
            reserve: 1.0,
            stakes: [[f64::NEG_INFINITY; RATIOS.len()]; LANES],
            entered: [false; LANES],
            occasions: 0.0,
        }
    }

    /// Moves part of the reserve onto `lanes`, in equal parts. Must be called *before* the factors
    /// of a tick, and decided without knowing which arm its bad ones fell into.
    pub(crate) fn stake(&mut self, lanes: &[usize]) {
        if lanes.is_empty() {
            return;
        }
        let kept = |occasions: f64| 1.0 / (1.0 + 3.0 * (occasions + 1.0).log2());
        let (before, after) = (kept(self.occasions), kept(self.occasions + 1.0));
        self.occasions += 1.0;
        // A lane that enters late (the first request without a key) gets as large a part of what
        // is left as the first one got of all.
        let enters = lanes.iter().any(|&lane| !self.entered[lane]);
        let part = if enters { 0.75 } else { 1.0 - after / before };
        let each = (self.reserve * part / (lanes.len() * RATIOS.len()) as f64).ln();
        self.reserve *= 1.0 - part;
        for &lane in lanes {
            self.entered[lane] = true;
            for stake in &mut self.stakes[lane] {
                *stake = ln_sum(&[*stake, each]);
            }
        }
    }

    /// Multiplies the stakes of one lane.
    pub(crate) fn multiply(&mut self, lane: usize, factors: &Factors) {
        for (stake, factor) in self.stakes[lane].iter_mut().zip(factors) {
            *stake += factor;
        }
    }

    /// The logarithm of the fortune.
    pub(crate) fn ln_e(&self) -> f64 {
        let lanes = (0..LANES).map(|lane| self.ln_lane(lane));
        lanes.fold(self.reserve.ln(), |sum, lane| ln_sum(&[sum, lane]))
    }

    /// The logarithm of what lies on one lane; -∞ before its first stake.
    pub(crate) fn ln_lane(&self, lane: usize) -> f64 {
        ln_sum(&self.stakes[lane])
    }
}

// === impl Tick ===

impl Tick {
    /// What happened between two cumulative counts of draws that stay at risk until they turn bad.
    pub(crate) fn between(before: (Arm, Arm), now: (Arm, Arm)) -> Self {
        let at_risk = |before: Arm, now: Arm| now.exposed.saturating_sub(before.bad);
        let bad = |before: Arm, now: Arm| now.bad.saturating_sub(before.bad);
        Self {
            exposed: (now.0.exposed, now.1.exposed),
            at_risk: (at_risk(before.0, now.0), at_risk(before.1, now.1)),
            bad: (bad(before.0, now.0), bad(before.1, now.1)),
        }
    }

    /// Whether anything turned bad: other ticks multiply by one.
    pub(crate) fn has_bad(&self) -> bool {
        self.bad.0 + self.bad.1 > 0
    }

    /// The factors of the share bet, with `ratio` tolerated.
    ///
    /// Given how many turned bad, those of the canary are hypergeometric; the factors are convex in
    /// them, so by Hoeffding's comparison with drawing *with* replacement their expectation is ≤ 1.
    ///
    /// The share q is the larger of two: of those at risk, which is right when every draw may turn
    /// bad at any time; and of all exposed, which is right when draws fail at once and the ones
    /// left over are survivors. With the first alone, few requests and many errors raised alarms in
    /// a fifth of healthy runs (simulated); the larger share only ever makes the bet more careful.
    pub(crate) fn share_factors(&self, ratio: f64) -> Factors {
        let bad = (
            self.bad.0.min(self.at_risk.0) as f64,
            self.bad.1.min(self.at_risk.1) as f64,
        );
        let of_exposed = share(self.exposed.0, self.exposed.1);
        let q = of_exposed.max(share(self.at_risk.0, self.at_risk.1));
        let tolerated = q * ratio / (1.0 - q + q * ratio);
        RATIOS.map(|r| bad.0 * r.ln() - (bad.0 + bad.1) * (1.0 - tolerated + tolerated * r).ln())
    }
}

/// The factors of the one-arm bet that the rate is above `p0`: `bad` and `good` draws of a tick,
/// each worth `weight` of an independent one. Raising a likelihood ratio to a power below one keeps
/// its expectation ≤ 1, and undoes the worst clustering (a user's draws all alike).
pub(crate) fn limit_factors(p0: f64, (bad, good): (f64, f64), weight: f64) -> Factors {
    // A limit of nothing at all would make the first bad one an infinite proof.
    let p0 = p0.clamp(1e-6, 1.0 - 1e-6);
    RATIOS.map(|r| {
        let p1 = p0 * r / (1.0 - p0 + p0 * r);
        weight * (bad * (p1 / p0).ln() + good * ((1.0 - p1) / (1.0 - p0)).ln())
    })
}

/// An upper bound of a rate that holds with chance `1 - delta`: the largest p at which Chernoff's
/// bound still allows `rate` in `n` independent draws. 1 when there were none.
pub(crate) fn upper_bound(rate: f64, n: f64, delta: f64) -> f64 {
    let allowed = -delta.ln() / n.max(f64::MIN_POSITIVE);
    let (mut low, mut high) = (rate, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if crate::prediction::divergence(rate, middle) <= allowed {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The part of α that the k-th epoch (from 1) may spend: 0.6/k². Epochs are not independent (sticky
/// users stay on their side), so their fortunes are not multiplied; each has a threshold of its
/// own, and the parts sum to less than 0.99. The rest pays for [`baseline_delta`].
pub(crate) fn epoch_part(ordinal: u64) -> f64 {
    0.6 / (ordinal as f64).powi(2)
}

/// The chance that is granted to an epoch's frozen baseline to be too low: sums to under 0.01 α.
pub(crate) fn baseline_delta(alpha: f64, ordinal: u64) -> f64 {
    0.01 * alpha * epoch_part(ordinal)
}

/// ln Σ exp(x), without overflow.
fn ln_sum(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + logs.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staking_moves_a_fortune_and_never_makes_one() {
        let mut purse = Purse::<2>::new();
        for k in 0..1_000 {
            purse.stake(if k % 3 == 0 { &[0, 1] } else { &[0] });
            assert!(purse.ln_e().abs() < 1e-9, "after {k}: {}", purse.ln_e());
        }
    }

    #[test]
    fn factors_of_one_draw_average_to_at_most_one() {
        for (canary, stable) in [(1, 99), (50, 50), (99, 1), (3, 1)] {
            let q = canary as f64 / (canary + stable) as f64;
            let tick = |bad| {
                Tick {
                    exposed: (canary, stable),
                    at_risk: (canary, stable),
                    bad,
                }
                .share_factors(1.0)
            };
            let (hit, miss) = (tick((1, 0)), tick((0, 1)));
            for (hit, miss) in hit.iter().zip(miss) {
                assert!((q * hit.exp() + (1.0 - q) * miss.exp() - 1.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_rate_at_the_limit_wins_nothing_on_average() {
        for p0 in [0.001, 0.05, 0.5] {
            let (bad, good) = (
                limit_factors(p0, (1.0, 0.0), 1.0),
                limit_factors(p0, (0.0, 1.0), 1.0),
            );
            for (bad, good) in bad.iter().zip(good) {
                assert!((p0 * bad.exp() + (1.0 - p0) * good.exp() - 1.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn an_upper_bound_tightens_with_evidence() {
        assert!(upper_bound(0.0, 0.0, 0.01) > 0.999);
        let few = upper_bound(0.01, 100.0, 0.001);
        let many = upper_bound(0.01, 100_000.0, 0.001);
        assert!(few > 0.05 && many < 0.012 && many > 0.01, "{few} {many}");
    }

    #[test]
    fn epochs_together_spend_less_than_alpha() {
        let spent: f64 = (1..100_000)
            .map(|k| epoch_part(k) + baseline_delta(1.0, k))
            .sum();
        assert!(spent < 1.0, "{spent}");
    }
}
