//! What a look at the evidence says, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evidence::Arm;

/// The outcome of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// Too little was seen to say anything: neither good nor bad news.
    Insufficient,
    /// Enough was seen, and nothing is proved against the canary.
    Undecided,
    /// The canary is worse, with a chance of at most α that this is wrong. Final.
    Worse,
}

/// Which test gave the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TestUsed {
    /// The canary's share of the bad ones against its share of the exposure.
    Share,
    /// The canary's rate against stable's rate of an earlier epoch (above 95 % share).
    FrozenBaseline,
    /// The canary's rate against a fixed limit.
    AbsoluteGuard,
}

/// What was counted as bad.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    /// Failed outcomes.
    Errors,
    /// Requests slower, or open for longer, than this many microseconds.
    SlowerThanUs(u64),
}

/// A decision and its reasons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The outcome.
    pub decision: Decision,
    /// The numbers that it rests on.
    pub reasons: Reasons,
}

/// The numbers behind a verdict. Serialized, this is the `result` of a measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reasons {
    /// The canary's bad ones in the epoch that spoke loudest, by request where requests are counted.
    pub errors: u64,
    /// The canary's exposure there.
    pub requests: u64,
    /// `errors / requests`, 0 to 1.
    pub rate: f64,
    /// Stable's bad ones there (or in the frozen epoch).
    pub stable_errors: u64,
    /// Stable's exposure there (or in the frozen epoch).
    pub stable_requests: u64,
    /// Stable's rate, or the limit that an absolute guard holds the canary against, 0 to 1.
    pub stable_rate: f64,
    /// The canary's measured share of the exposure, 0 to 1.
    pub share: f64,
    /// The e-value, weighted for the number of epochs: worse when it reaches `1 / alpha`.
    pub e: f64,
    /// The promised chance of a false alarm over the whole run, for all proxies together.
    pub alpha: f64,
    /// `proxies / alpha`: what `e` must reach.
    pub threshold: f64,
    /// Which test spoke loudest.
    pub test: TestUsed,
    /// What was counted as bad.
    pub measure: Measure,
    /// Independent draws of the canary seen so far (users, and requests without a key).
    pub evidence: u64,
    /// Draws needed before "nothing found" means anything.
    pub needed: u64,
}

// === impl Verdict ===

impl Verdict {
    /// Whether the canary is worse.
    pub fn is_worse(&self) -> bool {
        self.decision == Decision::Worse
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decision {
            Decision::Insufficient => {
                write!(
                    f,
                    "insufficient ({} of {})",
                    self.reasons.evidence, self.reasons.needed
                )
            }
            Decision::Undecided => write!(f, "not worse so far: {}", self.reasons),
            Decision::Worse => write!(f, "worse: {}", self.reasons),
        }
    }
}

// === impl Reasons ===

impl Reasons {
    /// The reasons of a look that saw nothing: α (promised, own), evidence (seen, needed).
    pub(crate) fn of_nothing(measure: Measure, alpha: (f64, f64), evidence: (u64, u64)) -> Self {
        Self {
            errors: 0,
            requests: 0,
            rate: 0.0,
            stable_errors: 0,
            stable_requests: 0,
            stable_rate: 0.0,
            share: 0.0,
            e: 1.0,
            alpha: alpha.0,
            threshold: 1.0 / alpha.1,
            test: TestUsed::Share,
            measure,
            evidence: evidence.0,
            needed: evidence.1,
        }
    }

    pub(crate) fn with_arms(mut self, canary: Arm, stable: Arm) -> Self {
        self.errors = canary.bad;
        self.requests = canary.exposed;
        self.rate = canary.rate();
        self.stable_errors = stable.bad;
        self.stable_requests = stable.exposed;
        self.stable_rate = stable.rate();
        self.share = crate::evidence::share(canary.exposed, stable.exposed);
        self
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "canary {} of {} {}",
            self.errors, self.requests, self.measure
        )?;
        let percent = Percent(self.stable_rate);
        match self.test {
            TestUsed::Share => write!(
                f,
                ", stable {} of {} at {} share",
                self.stable_errors,
                self.stable_requests,
                Percent(self.share)
            )?,
            TestUsed::FrozenBaseline => write!(f, ", stable's rate in an earlier step {percent}")?,
            TestUsed::AbsoluteGuard => write!(f, ", limit {percent}")?,
        }
        write!(
            f,
            " (e-value {:.3e}, threshold {:.0}, alpha {})",
            self.e, self.threshold, self.alpha
        )
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors => f.write_str("failed"),
            Self::SlowerThanUs(us) => write!(f, "slower than {} ms", *us as f64 / 1_000.0),
        }
    }
}

/// A rate as people read it.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0 * 100.0).and_then(|()| f.write_str(" %"))
    }
}
