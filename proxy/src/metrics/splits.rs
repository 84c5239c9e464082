//! Splits: what share the canary is to have, what it has, and what its fuse thinks of it.

use super::SplitFacts;
use crate::exposition::{Exposition, Kind};
use crate::observe::Role;
use crate::observe::evidence::{Counts, EpochCounts};

const FUSE_STATES: [&str; 3] = ["off", "armed", "tripped"];

/// A number of a split, by name and help.
type Gauge = (&'static str, &'static str, fn(&SplitFacts) -> f64);

const GAUGES: [Gauge; 7] = [
    (
        "sluice_weight_desired",
        "The canary's weight as it was given.",
        |it| f64::from(it.evidence.weight.weight),
    ),
    (
        "sluice_weight_applied",
        "The weight by which requests are split: 0 when tripped.",
        |it| {
            if it.evidence.tripped {
                0.0
            } else {
                f64::from(it.evidence.weight.weight)
            }
        },
    ),
    (
        "sluice_weight_max",
        "The weight that means every request.",
        |it| f64::from(it.evidence.max_weight),
    ),
    (
        "sluice_weight_epoch",
        "Counts up with every change of the weight.",
        |it| it.evidence.weight.epoch as f64,
    ),
    (
        "sluice_canary_share_requests",
        "The canary's share of the requests drawn in this epoch; 0 before the first.",
        |it| share(it, |counts| counts.drawn),
    ),
    (
        "sluice_canary_share_buckets",
        "The canary's share of the users (as buckets) seen in this epoch; 0 before the first.",
        |it| share(it, |counts| counts.keyed),
    ),
    (
        "sluice_fuse_e_value_log",
        "Natural logarithm of the fuse's e-value: it trips at log(fleet size / alpha).",
        |it| {
            it.fuse
                .as_ref()
                .map_or(0.0, |fuse| fuse.e_value.max(f64::MIN_POSITIVE).ln())
        },
    ),
];

pub(super) fn expose(splits: &[SplitFacts], into: &mut Exposition) {
    for (name, help, number) in GAUGES {
        let mut family = into.family(name, Kind::Gauge, help);
        for split in splits {
            family.sample(&[("split", &split.evidence.split)], number(split));
        }
    }
    let mut family = into.family(
        "sluice_fuse_state",
        Kind::Gauge,
        "1 for the state of the fuse.",
    );
    for split in splits {
        for state in FUSE_STATES {
            let is = u8::from(state == fuse_state(split));
            family.sample(&[("split", &split.evidence.split), ("state", state)], is);
        }
    }
    let help = "How often the fuse tripped in this process.";
    let mut family = into.family("sluice_fuse_trips_total", Kind::Counter, help);
    for split in splits {
        family.sample(&[("split", &split.evidence.split)], split.trips);
    }
}

fn fuse_state(split: &SplitFacts) -> &'static str {
    match &split.fuse {
        _ if split.evidence.tripped => "tripped",
        None => "off",
        Some(_) => "armed",
    }
}

fn share(split: &SplitFacts, counts: fn(&EpochCounts) -> Counts) -> f64 {
    let evidence = &split.evidence;
    let exposed = |role: Role, revision: &str| -> u64 {
        let arms = evidence.arms.iter();
        let arms = arms.filter(|arm| arm.role == role && arm.revision == revision);
        let epochs = arms.flat_map(|arm| &arm.epochs);
        let epochs = epochs.filter(|epoch| epoch.epoch == evidence.weight.epoch);
        epochs.map(|epoch| counts(epoch).exposed).sum()
    };
    let canary = evidence
        .canary_revision
        .as_ref()
        .map_or(0, |it| exposed(Role::Canary, it));
    let all = canary + exposed(Role::Stable, &evidence.stable_revision);
    if all == 0 {
        0.0
    } else {
        canary as f64 / all as f64
    }
}
