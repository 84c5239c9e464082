//! The evidence of one Rollout, united over its proxies.
//!
//! Proxies report cumulatively per process start, arm, revision and weight epoch. So the newest
//! report of a process replaces the one before, different processes add up, and what a process
//! counted before it was restarted is kept as a base. Users with a key are not added but united: a
//! user whom two proxies served is one user, and the same failing user is one failure.

use std::collections::{BTreeMap, BTreeSet};

use judgement::{
    Arm, EpochEvidence, LATENCY_BOUNDS_US, LATENCY_BUCKETS, LatencyArm, LatencyEvidence,
};
use uplink::limits::{MAX_REPORTED_EPOCHS, USER_BUCKETS};
use uplink::proto;

use crate::traffic::Evidence;

/// Arms in epochs that are kept of one Rollout: stable and canary in four times as many epochs as a
/// proxy reports. The oldest make room.
const MAX_ARMS: usize = 2 * 4 * MAX_REPORTED_EPOCHS;

/// Which counts. The epoch comes first, so that the oldest stand first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ArmKey {
    epoch: u64,
    canary: bool,
    revision: String,
}

/// The counts of one arm in one epoch that add up over proxies.
#[derive(Clone, Debug, Default)]
struct Counts {
    requests: u64,
    failures: u64,
    unkeyed: Arm,
    completed: Vec<u64>,
    waiting: Vec<u64>,
}

/// What is known of an arm beside the counts of living processes.
#[derive(Clone, Debug, Default)]
struct Union {
    /// Counts of processes that are no more.
    base: Counts,
    exposed: Buckets,
    bad: Buckets,
}

/// A set of user buckets.
#[derive(Clone, Debug, Default)]
struct Buckets(Vec<u64>);

/// One process of a proxy.
#[derive(Clone, Debug, Default)]
struct Process {
    id: String,
    arms: BTreeMap<ArmKey, Counts>,
    in_flight: BTreeMap<String, u64>,
}

/// All that the proxies reported of one Rollout.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    arms: BTreeMap<ArmKey, Union>,
    processes: BTreeMap<String, Process>,
}

// === impl Book ===

impl Book {
    /// Takes a report of the process `id` of `proxy`.
    pub(super) fn record(&mut self, proxy: &str, id: &str, report: &proto::SplitReport) {
        if self
            .processes
            .get(proxy)
            .is_some_and(|process| process.id != id)
        {
            self.retire(proxy);
        }
        let process = self.processes.entry(proxy.to_owned()).or_default();
        process.id = id.to_owned();
        process.in_flight.clear();
        for arm in report.arms.iter().take(MAX_ARMS) {
            let key = ArmKey {
                epoch: arm.epoch,
                canary: arm.role() == proto::Role::Canary,
                revision: arm.revision.clone(),
            };
            // Each epoch's entry says the same number.
            let in_flight = process.in_flight.entry(arm.revision.clone()).or_default();
            *in_flight = arm.in_flight.max(*in_flight);
            let union = self.arms.entry(key.clone()).or_default();
            union.exposed.add(&arm.exposed_buckets);
            union.exposed.add(&arm.bad_buckets);
            union.bad.add(&arm.bad_buckets);
            process.arms.insert(key, Counts::of(arm));
        }
        self.bound();
    }

    /// The proxy is forgotten or its process is another one: what it counted stays, what was in
    /// flight ended with it.
    pub(super) fn retire(&mut self, proxy: &str) {
        let Some(process) = self.processes.remove(proxy) else {
            return;
        };
        for (key, counts) in process.arms {
            let base = &mut self.arms.entry(key).or_default().base;
            base.add(&Counts {
                waiting: Vec::new(),
                ..counts
            });
        }
        self.bound();
    }

    /// Requests in flight by revision, over the proxies that `counts`.
    pub(super) fn in_flight(&self, counts: impl Fn(&str) -> bool) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for (_, process) in self.processes.iter().filter(|(proxy, _)| counts(proxy)) {
            for (revision, number) in &process.in_flight {
                let total: &mut u64 = sum.entry(revision.clone()).or_default();
                *total = total.saturating_add(*number);
            }
        }
        sum
    }

    /// The evidence of `canary` against `stable`.
    pub(super) fn evidence(&self, canary: &str, stable: &str, share: f64) -> Evidence {
        let mut evidence = Evidence {
            share,
            ..Evidence::default()
        };
        let epochs: BTreeSet<u64> = self.arms.keys().map(|key| key.epoch).collect();
        for epoch in epochs {
            let key = |canary, revision: &str| ArmKey {
                epoch,
                canary,
                revision: revision.to_owned(),
            };
            let (canary, stable) = (key(true, canary), key(false, stable));
            if !self.arms.contains_key(&canary) && !self.arms.contains_key(&stable) {
                continue;
            }
            let (ours, theirs) = (self.total(&canary), self.total(&stable));
            evidence.canary_requests = evidence.canary_requests.saturating_add(ours.requests);
            evidence.canary_failures = evidence.canary_failures.saturating_add(ours.failures);
            evidence.errors.push(errors(
                epoch,
                (self, &canary, &ours),
                (self, &stable, &theirs),
            ));
            evidence.latency.push(LatencyEvidence {
                epoch,
                bounds_us: LATENCY_BOUNDS_US.to_vec(),
                stable: theirs.latency(),
                canary: ours.latency(),
            });
        }
        evidence
    }

    fn total(&self, key: &ArmKey) -> Counts {
        let mut total = self
            .arms
            .get(key)
            .map(|union| union.base.clone())
            .unwrap_or_default();
        for process in self.processes.values() {
            if let Some(counts) = process.arms.get(key) {
                total.add(counts);
            }
        }
        total
    }

    fn users(&self, key: &ArmKey) -> Arm {
        let union = self.arms.get(key);
        union.map_or(Arm::default(), |union| Arm {
            exposed: union.exposed.count(),
            bad: union.bad.count(),
        })
    }

    fn bound(&mut self) {
        while self.arms.len() > MAX_ARMS {
            let Some((oldest, _)) = self.arms.pop_first() else {
                return;
            };
            for process in self.processes.values_mut() {
                process.arms.remove(&oldest);
            }
        }
    }
}

type Side<'a> = (&'a Book, &'a ArmKey, &'a Counts);

fn errors(epoch: u64, canary: Side<'_>, stable: Side<'_>) -> EpochEvidence {
    let users = |(book, key, _): Side<'_>| book.users(key);
    let mut evidence = EpochEvidence {
        epoch,
        ..EpochEvidence::default()
    };
    evidence.keyed.canary = users(canary);
    evidence.keyed.stable = users(stable);
    evidence.unkeyed.canary = canary.2.unkeyed;
    evidence.unkeyed.stable = stable.2.unkeyed;
    evidence.requests.canary = canary.2.by_request();
    evidence.requests.stable = stable.2.by_request();
    evidence
}

// === impl Counts ===

impl Counts {
    fn of(arm: &proto::ArmReport) -> Self {
        let unkeyed = arm.unkeyed.unwrap_or_default();
        let bounded = |counts: &[u64]| counts.iter().copied().take(LATENCY_BUCKETS).collect();
        Self {
            requests: arm.requests,
            failures: arm.failures,
            unkeyed: Arm {
                exposed: unkeyed.exposed,
                bad: unkeyed.bad.min(unkeyed.exposed),
            },
            completed: bounded(&arm.latency),
            waiting: bounded(&arm.waiting),
        }
    }

    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.failures = self.failures.saturating_add(other.failures);
        self.unkeyed = self.unkeyed.plus(other.unkeyed);
        add_up(&mut self.completed, &other.completed);
        add_up(&mut self.waiting, &other.waiting);
    }

    fn by_request(&self) -> Arm {
        Arm {
            exposed: self.requests,
            bad: self.failures.min(self.requests),
        }
    }

    fn latency(&self) -> LatencyArm {
        LatencyArm {
            completed: self.completed.clone(),
            open: self.waiting.clone(),
        }
    }
}

fn add_up(sum: &mut Vec<u64>, counts: &[u64]) {
    if sum.len() < counts.len() {
        sum.resize(counts.len(), 0);
    }
    for (total, count) in sum.iter_mut().zip(counts) {
        *total = total.saturating_add(*count);
    }
}

// === impl Buckets ===

impl Buckets {
    const WORDS: usize = USER_BUCKETS.div_ceil(u64::BITS) as usize;

    /// Buckets that cannot be are ignored.
    fn add(&mut self, buckets: &[u32]) {
        if !buckets.is_empty() && self.0.is_empty() {
            self.0 = vec![0; Self::WORDS];
        }
        for bucket in buckets {
            if let Some(word) = self.0.get_mut((bucket / u64::BITS) as usize) {
                *word |= 1 << (bucket % u64::BITS);
            }
        }
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests;
