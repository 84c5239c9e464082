//! The watch over one canary: from counts to a verdict. Pure.

use std::collections::BTreeMap;

use judgement::{Arm, EpochEvidence, ErrorSettings, ErrorTest, Stratum, Verdict};
use uplink::check::CheckedFuse;

use crate::observe::Role;
use crate::observe::evidence::{ArmEvidence, Counts, EpochCounts};

/// Which revisions are compared, and how strictly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subject {
    /// The stable revision.
    pub(crate) stable: String,
    /// The canary revision.
    pub(crate) canary: String,
    /// The split's settings.
    pub(crate) fuse: CheckedFuse,
    /// Proxies of the fleet, among which the chance of a false trip is divided.
    pub(crate) proxies: u32,
}

/// The test of one canary revision, from its first request on.
#[derive(Debug)]
pub(crate) struct Watch {
    subject: Subject,
    test: ErrorTest,
    /// What had been counted when the watch began: an earlier canary's time in the same epoch.
    before: BTreeMap<u64, EpochEvidence>,
}

// === impl Watch ===

impl Watch {
    /// Begins a watch; what was counted so far is not held against this canary.
    pub(crate) fn begin(subject: Subject, arms: &[ArmEvidence]) -> Self {
        let counted = evidence(arms, &subject)
            .into_iter()
            .map(|epoch| (epoch.epoch, epoch));
        Self {
            test: ErrorTest::new(settings(&subject)),
            before: counted.collect(),
            subject,
        }
    }

    /// The same watch over a fleet of another size or with other settings: the canary's counts stay
    /// its own, and the new test takes them as one tick.
    pub(crate) fn adjust(&mut self, subject: &Subject) {
        if self.subject != *subject {
            self.test = ErrorTest::new(settings(subject));
            self.subject = subject.clone();
        }
    }

    /// Whether it is this canary that is watched.
    pub(crate) fn is_over(&self, canary: &str) -> bool {
        self.subject.canary == canary
    }

    /// Looks at the counts as they are now.
    pub(crate) fn look(&mut self, arms: &[ArmEvidence]) -> Verdict {
        let mut now = evidence(arms, &self.subject);
        for epoch in &mut now {
            if let Some(before) = self.before.get(&epoch.epoch) {
                *epoch = since(epoch, before);
            }
        }
        self.test.look(&now)
    }
}

fn settings(subject: &Subject) -> ErrorSettings {
    ErrorSettings {
        alpha: subject.fuse.alpha,
        ratio: subject.fuse.ratio,
        min_errors: u64::from(subject.fuse.min_errors),
        proxies: subject.proxies.max(1),
        ..ErrorSettings::fuse()
    }
}

/// The evidence of both revisions, epochs rising.
fn evidence(arms: &[ArmEvidence], subject: &Subject) -> Vec<EpochEvidence> {
    let mut epochs = BTreeMap::<u64, EpochEvidence>::new();
    for arm in arms {
        let revision = match arm.role {
            Role::Stable => &subject.stable,
            Role::Canary => &subject.canary,
        };
        if arm.revision != *revision {
            continue;
        }
        for counts in &arm.epochs {
            let sum = epochs.entry(counts.epoch).or_default();
            sum.epoch = counts.epoch;
            put(sum, arm.role, counts);
        }
    }
    epochs.into_values().collect()
}

fn put(sum: &mut EpochEvidence, role: Role, counts: &EpochCounts) {
    let strata = [
        (&mut sum.keyed, counts.keyed),
        (&mut sum.unkeyed, counts.unkeyed),
        (&mut sum.requests, counts.drawn),
    ];
    for (stratum, counts) in strata {
        match role {
            Role::Stable => stratum.stable = arm(counts),
            Role::Canary => stratum.canary = arm(counts),
        }
    }
}

fn arm(counts: Counts) -> Arm {
    // Workers count on while their shards are summed: bad may be read a moment later than exposed.
    Arm {
        exposed: counts.exposed.max(counts.bad),
        bad: counts.bad,
    }
}

fn since(now: &EpochEvidence, before: &EpochEvidence) -> EpochEvidence {
    EpochEvidence {
        epoch: now.epoch,
        keyed: stratum_since(now.keyed, before.keyed),
        unkeyed: stratum_since(now.unkeyed, before.unkeyed),
        requests: stratum_since(now.requests, before.requests),
    }
}

fn stratum_since(now: Stratum, before: Stratum) -> Stratum {
    Stratum {
        stable: arm_since(now.stable, before.stable),
        canary: arm_since(now.canary, before.canary),
    }
}

fn arm_since(now: Arm, before: Arm) -> Arm {
    Arm {
        exposed: now.exposed.saturating_sub(before.exposed),
        bad: now.bad.saturating_sub(before.bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(canary: &str) -> Subject {
        let fuse = CheckedFuse {
            alpha: 0.001,
            ratio: 1.5,
            min_errors: 3,
        };
        Subject {
            stable: "r1".into(),
            canary: canary.into(),
            fuse,
            proxies: 1,
        }
    }

    fn arm(role: Role, revision: &str, epoch: u64, (exposed, bad): (u64, u64)) -> ArmEvidence {
        let counts = Counts { exposed, bad };
        let epoch = EpochCounts {
            epoch,
            unkeyed: counts,
            drawn: counts,
            ..EpochCounts::default()
        };
        ArmEvidence {
            role,
            revision: revision.into(),
            in_flight: 0,
            epochs: vec![epoch],
        }
    }

    fn arms(epoch: u64, stable: (u64, u64), canary: (u64, u64)) -> [ArmEvidence; 2] {
        [
            arm(Role::Stable, "r1", epoch, stable),
            arm(Role::Canary, "r2", epoch, canary),
        ]
    }

    #[test]
    fn a_canary_on_fire_trips_and_a_healthy_one_does_not() {
        let mut watch = Watch::begin(subject("r2"), &[]);
        assert!(!watch.look(&arms(1, (950, 1), (50, 0))).is_worse());
        assert!(watch.look(&arms(1, (1900, 2), (100, 45))).is_worse());
    }

    #[test]
    fn failures_of_both_sides_alike_are_no_evidence() {
        let mut watch = Watch::begin(subject("r2"), &[]);
        assert!(!watch.look(&arms(1, (950, 475), (50, 25))).is_worse());
    }

    #[test]
    fn what_an_earlier_canary_did_is_not_held_against_the_next() {
        let before = arms(1, (950, 1), (50, 50));
        let mut watch = Watch::begin(subject("r3"), &before);
        assert!(!watch.look(&before).is_worse());
        let mut same = Watch::begin(subject("r2"), &before);
        assert!(
            !same.look(&before).is_worse(),
            "counted before the watch began"
        );
    }

    #[test]
    fn a_larger_fleet_asks_for_more_evidence() {
        let mut fleet = subject("r2");
        fleet.proxies = 1_000_000;
        let counts = arms(1, (950, 0), (50, 5));
        let mut alone = Watch::begin(subject("r2"), &[]);
        assert!(alone.look(&counts).is_worse());
        let mut many = Watch::begin(subject("r2"), &[]);
        many.adjust(&fleet);
        assert!(!many.look(&counts).is_worse());
    }
}
