//! What the tests are given: cumulative counts per weight epoch.
//!
//! Only first attempts whose side was drawn (by hash or at random) are evidence. An outcome belongs
//! to the epoch in which its request was *routed*, however late it comes. Requests with a sticky
//! key are counted as users, each once per epoch, good or bad; a user who fails a hundred times is
//! one bad user, or the draws would not be independent and the promised error rate would not hold.

use serde::{Deserialize, Serialize};

/// Cumulative counts of one arm within one stratum of one weight epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// Users (or requests) of this arm that reached their decision: answered, failed, or open for longer
    /// than the age threshold.
    pub exposed: u64,
    /// Those of them that saw at least one bad outcome; never more than `exposed`.
    pub bad: u64,
}

/// Both arms of one stratum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stratum {
    /// The version that was there before.
    pub stable: Arm,
    /// The version that is judged.
    pub canary: Arm,
}

/// Cumulative evidence of one weight epoch, as sent in every report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochEvidence {
    /// The epoch's number: rises with every change of weight.
    pub epoch: u64,
    /// Requests with a sticky key, as distinct users (hash buckets), each counted once per epoch.
    pub keyed: Stratum,
    /// Requests without a key, each drawn for itself.
    pub unkeyed: Stratum,
    /// All drawn first attempts counted by request, with and without key. Shown to people, and
    /// held against absolute limits (a user's chance of *ever* failing grows with time, a request's
    /// does not). All zero means "not counted": then the sum of the strata stands in.
    pub requests: Stratum,
}

/// Cumulative latency evidence of one weight epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyEvidence {
    /// The epoch's number: rises with every change of weight.
    pub epoch: u64,
    /// Upper bounds of the buckets in microseconds, rising; usually [`crate::LATENCY_BOUNDS_US`].
    pub bounds_us: Vec<u64>,
    /// The version that was there before.
    pub stable: LatencyArm,
    /// The version that is judged.
    pub canary: LatencyArm,
}

/// Latency counts of one arm; each vector has one entry per bound and one for the overflow. Missing
/// entries count as zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyArm {
    /// Completed since the epoch began (or broken off: a reset counts at its age), by latency.
    pub completed: Vec<u64>,
    /// In flight now, by present age. With this a canary that hangs is seen before any timeout.
    pub open: Vec<u64>,
}

// === impl Stratum ===

impl Stratum {
    /// Whether nothing was counted in either arm.
    pub fn is_empty(&self) -> bool {
        self.stable.exposed == 0 && self.canary.exposed == 0
    }

    /// The canary's share of the exposure, 0 to 1; 0 when there was none.
    pub fn share(&self) -> f64 {
        share(self.canary.exposed, self.stable.exposed)
    }

    /// Both counts of each arm added.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            stable: self.stable.plus(other.stable),
            canary: self.canary.plus(other.canary),
        }
    }
}

// === impl Arm ===

impl Arm {
    /// Bad ones per exposed one, 0 to 1; 0 when there was no exposure.
    pub fn rate(self) -> f64 {
        if self.exposed == 0 {
            0.0
        } else {
            self.bad as f64 / self.exposed as f64
        }
    }

    /// Both counts added.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            exposed: self.exposed.saturating_add(other.exposed),
            bad: self.bad.saturating_add(other.bad),
        }
    }

    /// Whether a count went down since `before`: the process that counted was restarted.
    pub(crate) fn fell_since(self, before: Self) -> bool {
        self.exposed < before.exposed || self.bad < before.bad
    }
}

// === impl EpochEvidence ===

impl EpochEvidence {
    /// The independent draws of this epoch: users with a key, and requests without.
    pub fn drawn(&self) -> Stratum {
        self.keyed.plus(self.unkeyed)
    }

    /// The counts by request, or the draws where requests were not counted.
    pub fn by_request(&self) -> Stratum {
        if self.requests.is_empty() {
            self.drawn()
        } else {
            self.requests
        }
    }
}

/// `part / (part + rest)`, and 0 for nothing of nothing.
pub(crate) fn share(part: u64, rest: u64) -> f64 {
    let (part, rest) = (part as f64, rest as f64);
    if part + rest == 0.0 {
        0.0
    } else {
        part / (part + rest)
    }
}
