//! Sizes without traffic routing: the share of pods is the share of traffic.
//!
//! Two questions, answered by arithmetic alone. Which sizes come closest to a weight
//! ([`approximate`])? And how far towards them may this pass go, with at most `max_surge` pods
//! above those wanted and at most `max_unavailable` of them missing ([`sizes`])? The rules are
//! Argo's, in its order, so that the same release takes the same way.

/// The sizes of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Desired {
    pub(super) canary: i32,
    pub(super) stable: i32,
}

/// The pods of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Side {
    /// Pods that it should have.
    pub(super) desired: i32,
    /// Pods that are available.
    pub(super) available: i32,
}

/// What the arithmetic is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pods {
    /// Pods wanted in all.
    pub(super) replicas: i32,
    /// The share of the canary.
    pub(super) weight: i32,
    /// The weight that means everything.
    pub(super) max_weight: i32,
    /// Pods above those wanted.
    pub(super) max_surge: i32,
    /// Pods that may be missing.
    pub(super) max_unavailable: i32,
    /// The newest revision.
    pub(super) new: Option<Side>,
    /// The stable revision, which may be the newest one.
    pub(super) stable: Option<Side>,
    /// Stable is there, and is not the newest revision.
    pub(super) apart: bool,
    /// Pods that all other revisions should have.
    pub(super) others: i32,
}

/// The sizes to set now.
pub(super) fn sizes(pods: &Pods) -> Desired {
    let wanted = if pods.apart {
        approximate(pods.replicas, pods.weight, pods.max_weight, pods.max_surge)
    } else {
        // Without a stable side there is nothing to share with.
        Desired {
            canary: pods.replicas,
            stable: 0,
        }
    };
    let grown = grow(pods, wanted);
    if pods.others > 0 {
        // Those go first.
        return grown;
    }
    shrink(pods, wanted, grown)
}

/// The sizes that come closest to a weight. They sum up to the pods wanted, or to one more where a
/// surge is allowed; a share that is neither nothing nor everything gets at least one pod on each
/// side where there are two.
pub(super) fn approximate(replicas: i32, weight: i32, max_weight: i32, max_surge: i32) -> Desired {
    if replicas == 0 {
        return Desired {
            canary: 0,
            stable: 0,
        };
    }
    let product = i64::from(replicas) * i64::from(weight);
    let max = i64::from(max_weight.max(1));
    let floor = narrow(product.div_euclid(max));
    let ceiling = narrow(-(-product).div_euclid(max));
    let may_be_nothing = weight == max_weight || weight == 0 || (replicas == 1 && max_surge == 0);
    let floor_counts =
        |total: i32| !is_tied(weight, max_weight, total) && (floor != 0 || may_be_nothing);
    let surged = replicas.saturating_add(1);
    // In the order of preference: the first of those that are equally close wins.
    let options = [
        (ceiling, replicas, ceiling < replicas || may_be_nothing),
        (floor, replicas, floor_counts(replicas)),
        (ceiling, surged, max_surge > 0),
        (floor, surged, max_surge > 0 && floor_counts(surged)),
    ];
    let distance = |canary: i32, total: i32| {
        (f64::from(canary) * f64::from(max_weight) / f64::from(total) - f64::from(weight)).abs()
    };
    let best = options
        .into_iter()
        .filter(|(_, _, allowed)| *allowed)
        .map(|(canary, total, _)| (canary, total, distance(canary, total)))
        .reduce(|best, option| if option.2 < best.2 { option } else { best });
    match best {
        Some((canary, total, _)) => Desired {
            canary,
            stable: total - canary,
        },
        None => Desired {
            canary: 0,
            stable: replicas,
        },
    }
}

/// Rounding down is as far off as rounding up, which is then preferred.
fn is_tied(weight: i32, max_weight: i32, total: i32) -> bool {
    let share = f64::from(total) * (f64::from(weight) / f64::from(max_weight));
    (share.fract() - 0.5).abs() < f64::EPSILON / 4.0
}

fn narrow(pods: i64) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}

/// Fills up what the surge leaves room for, stable first.
fn grow(pods: &Pods, wanted: Desired) -> Desired {
    let now = Desired {
        canary: pods.new.map_or(0, |new| new.desired),
        stable: pods
            .stable
            .filter(|_| pods.apart)
            .map_or(0, |stable| stable.desired),
    };
    let mut room = pods.replicas + pods.max_surge - (pods.others + now.canary + now.stable);
    let mut grown = now;
    if pods.apart && now.stable < wanted.stable && room > 0 {
        grown.stable = wanted.stable.min(now.stable + room);
        room -= grown.stable - now.stable;
    }
    if pods.new.is_some() && now.canary < wanted.canary && room > 0 {
        grown.canary = wanted.canary.min(now.canary + room);
    }
    grown
}

/// Takes away what the availability leaves room for, on the side that has too many.
fn shrink(pods: &Pods, wanted: Desired, grown: Desired) -> Desired {
    let least = pods.replicas - pods.max_unavailable;
    // Pods of the side that shrinks may be counted though they are unavailable: a broken side
    // must not keep itself up.
    let increasing = pods.new.is_none_or(|new| wanted.canary >= new.desired);
    let counted = |side: Option<Side>, all: bool| {
        side.map_or(0, |side| {
            if all || side.desired < side.available {
                side.desired
            } else {
                side.available
            }
        })
    };
    let budget = counted(pods.new, !increasing) + counted(pods.stable, increasing) - least;
    if budget <= 0 {
        return grown;
    }
    let drained = |side: Option<Side>, wanted: i32, grown: i32| match side {
        Some(side) if side.desired > wanted => wanted.max(side.desired - budget),
        _ => grown,
    };
    let limits = Limits {
        most: pods.replicas + pods.max_surge,
        least,
    };
    if !increasing {
        let canary = drained(pods.new, wanted.canary, grown.canary);
        let (canary, stable) = limits.keep((pods.new, canary), (pods.stable, grown.stable));
        Desired { canary, stable }
    } else if pods.apart {
        let stable = drained(pods.stable, wanted.stable, grown.stable);
        let (stable, canary) = limits.keep((pods.stable, stable), (pods.new, grown.canary));
        Desired { canary, stable }
    } else {
        grown
    }
}

/// How many pods there may be at most, and how many must be available at least.
struct Limits {
    most: i32,
    least: i32,
}

// === impl Limits ===

impl Limits {
    /// Brings both sizes within the limits: the `other` side gives way to the surge, as far as its
    /// available pods are not needed; the rest is taken from the `drained` one.
    fn keep(
        &self,
        (drained, mut drained_size): (Option<Side>, i32),
        (other, mut other_size): (Option<Side>, i32),
    ) -> (i32, i32) {
        let Some(other) = other else {
            return (drained_size, other_size);
        };
        let excess = |drained: i32, other: i32| (drained + other - self.most).max(0);
        other_size -= excess(drained_size, other_size);
        let available = drained.map_or(0, |drained| drained.available.min(drained_size))
            + other.available.min(other_size);
        let lost = (other.available - other_size).max(0);
        other_size += lost.min((self.least - available).max(0));
        drained_size -= excess(drained_size, other_size);
        (drained_size, other_size)
    }
}

#[cfg(test)]
mod tests;
