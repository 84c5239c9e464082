//! Puts the forms of each fleet together. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::Rollout;
use jiff::Timestamp;
use kube::ResourceExt as _;
use uplink::document::{BackendRef, Cluster, Route, RoutingConfig, Split};
use uplink::proto::KeyPair;
use uplink::sticky::rollout_salt;

use super::claims::{self, Claims};
use super::ordered::{from_status, key_of};
use super::pods::Pods;
use super::shape::{Index, Shape};
use super::{LastGood, Objects, Placed, Plan, Problem};
use crate::fleets::{Published, split_name};
use crate::traffic::{RolloutKey, TrafficOrder};

/// Errors of one Rollout's part that its message names.
const NAMED_ERRORS: usize = 3;

/// A fleet in the making.
#[derive(Default)]
struct Draft {
    document: RoutingConfig,
    key_pairs: BTreeMap<String, KeyPair>,
    claims: Claims,
}

/// Makes the documents of all fleets. `last_good` is brought up to date.
pub fn plan(objects: &Objects, last_good: &mut LastGood) -> Plan {
    let (index, pods) = (Index::of(objects), Pods::of(&objects.pods));
    let mut rollouts: Vec<&Rollout> = objects.rollouts.iter().map(AsRef::as_ref).collect();
    // The older wins a hostname. Equal ages are decided by name, the same on every pass.
    rollouts.sort_by_cached_key(|rollout| claims::age(rollout));
    // A grant that was withdrawn takes effect: the fleet's owner wants this traffic no longer.
    let granted =
        |key: &RolloutKey, fleet: &str| objects.grants.refusal(&key.namespace, fleet).is_none();
    last_good.retain(|key, shape| granted(key, &shape.fleet));
    let mut drafts = BTreeMap::<String, Draft>::new();
    let mut plan = Plan::default();
    let mut kept = LastGood::new();
    for rollout in rollouts {
        let key = key_of(rollout);
        let Some(newest) = Shape::of(rollout, &index) else {
            continue;
        };
        let given = objects
            .orders
            .get(&key)
            .filter(|order| Some(&order.uid) == rollout.uid().as_ref());
        let order = given.cloned().or_else(|| from_status(rollout));
        let candidates = candidates(newest, last_good.get(&key), &key, &mut plan);
        let Some(order) = order else {
            // Nothing runs yet; what was read is checked when something does.
            kept.extend(last_good.remove(&key).map(|shape| (key, shape)));
            continue;
        };
        if let Some(shape) = place(
            rollout,
            &candidates,
            &order,
            &pods,
            (&mut drafts, &mut plan),
        ) {
            plan.placed.insert(
                key.clone(),
                Placed {
                    fleet: shape.fleet.clone(),
                    order,
                },
            );
            kept.insert(key, shape);
        } else {
            kept.extend(last_good.remove(&key).map(|shape| (key, shape)));
        }
    }
    *last_good = kept;
    plan.fleets = drafts
        .into_iter()
        .map(|(name, draft)| (name, draft.publish()))
        .collect();
    plan
}

/// The newest shape, then the last good one.
fn candidates(
    newest: Result<Shape, Problem>,
    last_good: Option<&Shape>,
    key: &RolloutKey,
    plan: &mut Plan,
) -> Vec<Shape> {
    let mut candidates = Vec::with_capacity(2);
    match newest {
        Ok(shape) => candidates.push(shape),
        Err(problem) => drop(plan.problems.insert(key.clone(), problem)),
    }
    candidates.extend(last_good.cloned());
    candidates.dedup();
    candidates
}

/// Puts a Rollout into its fleet, by the first shape that passes; that shape, if any did.
fn place(
    rollout: &Rollout,
    candidates: &[Shape],
    order: &TrafficOrder,
    pods: &Pods<'_>,
    (drafts, plan): (&mut BTreeMap<String, Draft>, &mut Plan),
) -> Option<Shape> {
    let key = key_of(rollout);
    for shape in candidates {
        let draft = drafts.entry(shape.fleet.clone()).or_default();
        let claimed = draft.rival(&key, shape).map(|problem| (problem, None));
        let form = form(rollout, shape, order, pods);
        let failed = claimed.or_else(|| Some((failure(&form)?, Some(()))));
        match failed {
            None => {
                draft.add(&key, shape, form);
                return Some(shape.clone());
            }
            Some((problem, _)) => drop(plan.problems.entry(key.clone()).or_insert(problem)),
        }
    }
    None
}

/// A document with this Rollout alone.
fn form(rollout: &Rollout, shape: &Shape, order: &TrafficOrder, pods: &Pods<'_>) -> RoutingConfig {
    let name = split_name(&key_of(rollout));
    let cluster_name = |hash: &str| format!("{name}/{hash}");
    let revisions = std::iter::once(&order.stable)
        .chain(&order.canary)
        .filter(|hash| !hash.is_empty());
    let clusters = revisions.map(|hash| {
        let cluster = Cluster {
            revision: Some(hash.clone()),
            protocol: shape.protocol,
            endpoints: pods.endpoints(rollout, hash, &shape.port),
            ..Cluster::default()
        };
        (cluster_name(hash), cluster)
    });
    // Before there is a stable revision, the first one serves.
    let first = order.canary.as_ref().filter(|_| order.stable.is_empty());
    let stable = first.unwrap_or(&order.stable);
    let canary = order.canary.as_ref().filter(|canary| *canary != stable);
    let split = Split {
        rollout_uid: Some(order.uid.clone()),
        stable: cluster_name(stable),
        canary: canary.map(|hash| cluster_name(hash)),
        max_weight: order.max_weight,
        sticky: shape.sticky.clone(),
        salt: Some(rollout_salt(&order.uid, canary.unwrap_or(stable)).to_string()),
        override_: shape.override_.clone(),
        header_routes: order.header_routes.clone(),
        fallback: shape.fallback.clone(),
        warm_up: shape.warm_up.clone(),
        fuse: shape.fuse.clone(),
        ..Split::default()
    };
    let route = Route {
        name: name.clone(),
        hostnames: shape.hostnames.clone(),
        backend: BackendRef {
            split: Some(name.clone()),
            cluster: None,
        },
        ..Route::default()
    };
    RoutingConfig {
        fleet: Some(shape.fleet.clone()),
        certificates: shape
            .certificate
            .iter()
            .map(|(certificate, _)| certificate.clone())
            .collect(),
        routes: vec![route],
        clusters: clusters.collect(),
        splits: [(name, split)].into(),
    }
}

/// What the checker, which every proxy runs too, says of a form.
fn failure(form: &RoutingConfig) -> Option<Problem> {
    let errors = uplink::check::check(form).err()?;
    let named: Vec<_> = errors
        .iter()
        .take(NAMED_ERRORS)
        .map(ToString::to_string)
        .collect();
    Some(Problem {
        reason: "InvalidRouting",
        message: format!("the proxies would refuse it: {}", named.join("; ")),
    })
}

// === impl Draft ===

impl Draft {
    /// Another Rollout that has one of the hostnames.
    fn rival(&self, key: &RolloutKey, shape: &Shape) -> Option<Problem> {
        let (claim, rival) = self.claims.rival(&key.namespace, &shape.hostnames)?;
        let message = format!(
            "{} of fleet {} is claimed by the older Rollout {}",
            claims::shown(&claim),
            shape.fleet,
            split_name(rival)
        );
        Some(Problem {
            reason: "HostnameTaken",
            message,
        })
    }

    fn add(&mut self, key: &RolloutKey, shape: &Shape, form: RoutingConfig) {
        self.claims.add(key, &shape.hostnames);
        self.document.fleet = form.fleet;
        self.document.routes.extend(form.routes);
        self.document.splits.extend(form.splits);
        self.document.clusters.extend(form.clusters);
        for certificate in form.certificates {
            if !self.document.certificates.contains(&certificate) {
                self.document.certificates.push(certificate);
            }
        }
        if let Some((_, pair)) = &shape.certificate {
            self.key_pairs.insert(pair.reference.clone(), pair.clone());
        }
    }

    fn publish(self) -> Published {
        let key_pairs: Vec<_> = self.key_pairs.into_values().collect();
        Published {
            document: self.document,
            key_pairs: Arc::new(key_pairs),
            at: Timestamp::default(),
        }
    }
}

#[cfg(test)]
mod tests;
