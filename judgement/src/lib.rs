//! Is the canary worse? The statistics of Sluice, as pure functions: no I/O, no clock, no randomness.
//!
//! # The story of a verdict
//!
//! 1. Proxies count, per weight epoch and arm, who was sent there and who fared badly, and send
//!    these counts cumulatively ([`EpochEvidence`], [`LatencyEvidence`] over [`LATENCY_BOUNDS_US`]).
//! 2. At each look a test compares with the counts that it remembers; the difference is a *tick*.
//!    A lost message merges ticks, a restarted process starts a fresh base, and a new controller's
//!    first look is one big tick.
//! 3. Each tick is a bet against "a bad one is at most `ratio` times as likely in the canary as in
//!    stable". The fortune so far is the e-value. While the claim holds, it reaches 1/α with a
//!    chance of at most α, *however often anybody looks* (Ville's inequality), so a look per tick
//!    costs nothing. [`ErrorTest`] bets on failures, [`LatencyTest`] on slowness.
//! 4. Where there is no other arm (above 95 % share), the bet is against stable's rate of the epoch
//!    before, or against a fixed limit; [`SuccessRateTest`] and [`QuantileTest`] hold the canary
//!    against limits that people wrote.
//! 5. A [`Verdict`] says what was decided and carries its [`Reasons`]. Too little evidence is an
//!    outcome of its own; a test never takes silence for health.
//! 6. [`predicted_requests_to_detect`] says beforehand how long a regression of a given size would
//!    go unseen at the present share.
//!
//! # What it promises, as simulated (2,000 runs each, a look every 50 ms)
//!
//! At 1,000 requests a second and 5 % share, time to the alarm, median / 95th percentile:
//!
//! | canary against stable | analysis (α 0.01) | fuse (α 0.001) |
//! |---|---|---|
//! | all fail | 0.10 / 0.20 s | 0.10 / 0.20 s |
//! | 10 % against 0.1 % fail | 0.65 / 1.5 s | 0.9 / 1.95 s |
//! | hangs (no other sign) | – / 0.35 s | – |
//!
//! False alarms stay below α at 5 % and 1 % with the tolerance at 1 and no minimum of errors, for
//! heavy sticky users, users who always fail, lowered weights, several steps and shared outages.

pub mod buckets;
pub mod error_share;
pub mod evidence;
pub mod guard;
pub mod latency;
pub mod prediction;
#[cfg(test)]
mod simulations;
pub mod verdict;
mod wager;

pub use buckets::{LATENCY_BOUNDS, LATENCY_BOUNDS_US, LATENCY_BUCKETS, bucket_of};
pub use error_share::{ErrorSettings, ErrorTest};
pub use evidence::{Arm, EpochEvidence, LatencyArm, LatencyEvidence, Stratum};
pub use guard::{QuantileSettings, QuantileTest, SuccessRateSettings, SuccessRateTest};
pub use latency::{Counted, LatencySettings, LatencyTest};
pub use prediction::predicted_requests_to_detect;
pub use verdict::{Decision, Measure, Reasons, TestUsed, Verdict};
