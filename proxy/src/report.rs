//! What the controller is told, a few times a second.
//!
//! Counts are cumulative, so a lost report costs nothing. User buckets are not: a stream's first
//! report names all of an epoch's buckets, later ones the new ones. [`Reporter`] therefore lives as
//! long as the stream, and whoever asks it for reports must send them.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use uplink::limits::MAX_PROXY_MESSAGE_BYTES;
use uplink::proto;

use crate::observe::Role;
use crate::observe::buckets::BucketSet;
use crate::observe::evidence::{ArmEvidence, Counts, EpochCounts, LatencyCounts};

/// A split as it is to be reported.
#[derive(Debug)]
pub(crate) struct SplitView {
    /// Its name.
    pub(crate) split: String,
    /// The Rollout's UID.
    pub(crate) rollout_uid: String,
    /// The weight in force.
    pub(crate) weight: uplink::weight::EpochWeight,
    /// What was counted.
    pub(crate) arms: Vec<ArmEvidence>,
    /// The fuse's state; `None` where the fuse is off.
    pub(crate) fuse: Option<proto::Fuse>,
}

/// Makes the reports of one stream.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    told: BTreeMap<ArmEpoch, Told>,
}

/// Which counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ArmEpoch {
    split: String,
    role: Role,
    revision: String,
    epoch: u64,
}

/// The buckets that this stream has named.
#[derive(Debug, Default)]
struct Told {
    exposed: BucketSet,
    bad: BucketSet,
}

// === impl Reporter ===

impl Reporter {
    /// The reports for what was counted by now: one, unless it would be larger than a message may be.
    pub(crate) fn reports(&mut self, splits: Vec<SplitView>) -> Vec<proto::Report> {
        self.forget(&splits);
        let mut reports = vec![proto::Report::default()];
        let mut size = 0;
        for view in splits {
            let split = self.split(view);
            let length = split.encoded_len();
            if size + length > MAX_PROXY_MESSAGE_BYTES / 2 && size > 0 {
                reports.push(proto::Report::default());
                size = 0;
            }
            size += length;
            reports
                .last_mut()
                .expect("begun with one")
                .splits
                .push(split);
        }
        reports
    }

    /// Epochs that are kept no longer need no memory here either.
    fn forget(&mut self, splits: &[SplitView]) {
        let keys = splits.iter().flat_map(|view| {
            let arms = view.arms.iter();
            arms.flat_map(|arm| {
                arm.epochs
                    .iter()
                    .map(|counts| key(&view.split, arm, counts.epoch))
            })
        });
        let keys: BTreeSet<ArmEpoch> = keys.collect();
        self.told.retain(|key, _| keys.contains(key));
    }

    fn split(&mut self, view: SplitView) -> proto::SplitReport {
        let mut arms = Vec::new();
        for arm in &view.arms {
            for counts in &arm.epochs {
                let told = self
                    .told
                    .entry(key(&view.split, arm, counts.epoch))
                    .or_default();
                arms.push(told.arm(arm, counts));
            }
        }
        proto::SplitReport {
            split: view.split,
            rollout_uid: view.rollout_uid,
            weight: view.weight.weight,
            epoch: view.weight.epoch,
            arms,
            fuse: view.fuse,
        }
    }
}

// === impl Told ===

impl Told {
    fn arm(&mut self, arm: &ArmEvidence, counts: &EpochCounts) -> proto::ArmReport {
        proto::ArmReport {
            role: role(arm.role).into(),
            revision: arm.revision.clone(),
            epoch: counts.epoch,
            requests: counts.requests,
            failures: counts.failed(),
            in_flight: arm.in_flight,
            unkeyed: Some(wire(counts.unkeyed)),
            keyed: Some(wire(counts.keyed)),
            exposed_buckets: news(&mut self.exposed, &counts.exposed),
            bad_buckets: news(&mut self.bad, &counts.bad),
            latency: trimmed(&counts.latency),
            waiting: trimmed(&counts.waiting),
        }
    }
}

fn key(split: &str, arm: &ArmEvidence, epoch: u64) -> ArmEpoch {
    ArmEpoch {
        split: split.to_owned(),
        role: arm.role,
        revision: arm.revision.clone(),
        epoch,
    }
}

fn role(role: Role) -> proto::Role {
    match role {
        Role::Stable => proto::Role::Stable,
        Role::Canary => proto::Role::Canary,
    }
}

fn wire(counts: Counts) -> proto::Counts {
    proto::Counts {
        exposed: counts.exposed,
        bad: counts.bad,
    }
}

fn news(told: &mut BucketSet, now: &BucketSet) -> Vec<u32> {
    let added = now.added_since(told).collect();
    told.clone_from(now);
    added
}

/// Trailing zeros are cut.
fn trimmed(counts: &LatencyCounts) -> Vec<u64> {
    let used = counts
        .0
        .iter()
        .rposition(|count| *count > 0)
        .map_or(0, |last| last + 1);
    counts.0[..used].to_vec()
}

#[cfg(test)]
mod tests;
