//! A Rollout that cannot be acted on: the condition says why, the pods and the traffic stay as they
//! are. Even then an abort is heard, and so is a fuse.

use crds::Rollout;
use crds::rollout::RolloutStatus;
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::conditions::{self, Verdict};
use super::{Action, Draft, Plan, phase};
use crate::rollout::names;
use crate::rollout::observe::Observed;
use crate::rollout::spec::SpecError;
use crate::traffic::{FuseTrip, RolloutKey, TrafficOrder};

pub(super) fn plan(
    rollout: &Rollout,
    errors: &[SpecError],
    observed: &Observed,
    now: Timestamp,
) -> Plan {
    let mut status = rollout.status.clone().unwrap_or_default();
    // People see the first one, as from Argo; `sluice lint` shows them all.
    let error = errors.first().map(ToString::to_string).unwrap_or_default();
    let message = format!("The Rollout \"{}\" is invalid: {error}", rollout.name_any());
    let before = conditions::find(&status.conditions, "InvalidSpec");
    let mut draft = Draft::default();
    if before.is_none_or(|before| before.message != message) {
        status
            .conditions
            .retain(|condition| condition.type_ != "InvalidSpec");
        let invalid = conditions::new("InvalidSpec", Verdict::True, "InvalidSpec", &message);
        conditions::set(&mut status.conditions, invalid, now);
    }
    if let Some(trip) = tripped(&status, observed) {
        let revision = rollout
            .annotations()
            .get(names::REVISION)
            .cloned()
            .unwrap_or_default();
        let message = format!(
            "Rollout aborted update to revision {revision}: {}",
            trip.reason
        );
        status.abort = Some(true);
        status.aborted_at = Some(now.into());
        let aborted = conditions::new("Progressing", Verdict::False, "RolloutAborted", &message);
        conditions::set(&mut status.conditions, aborted, now);
        draft.warning("RolloutAborted", message);
    }
    status.observed_generation = Some(rollout.metadata.generation.unwrap_or_default().to_string());
    let (phase, message) = phase::of(rollout, &status);
    status.phase = Some(phase);
    status.message = Some(message);
    draft.actions.extend(last_order(rollout, &status));
    draft.into_plan(status)
}

/// The trip of the canary that has traffic now, unless people know of it.
fn tripped<'a>(status: &RolloutStatus, observed: &'a Observed) -> Option<&'a FuseTrip> {
    let weights = status.canary.as_ref()?.weights.as_ref()?;
    let trip = observed.traffic.fuse.as_ref()?;
    let canary = weights.canary.pod_template_hash.as_ref()?;
    let news = status.aborted_at.is_none() && status.stable_rs.as_ref() != Some(canary);
    (news && trip.revision == *canary).then_some(trip)
}

/// The traffic as status has it, so that a new controller serves it as the last one did.
fn last_order(rollout: &Rollout, status: &RolloutStatus) -> Option<Action> {
    let strategy = rollout.spec.strategy.as_ref()?;
    if strategy.blue_green.is_some() {
        crds::plugin::annotation(rollout)?;
        let order = crate::publish::order_of_status(rollout)?;
        let lowers = order.weight == 0;
        return Some(Action::OrderTraffic { order, lowers });
    }
    let routing = strategy.canary.as_ref()?.traffic_routing.as_ref()?;
    routing.sluice_proxy()?;
    let weights = status.canary.as_ref()?.weights.as_ref()?;
    let stable = weights
        .stable
        .pod_template_hash
        .clone()
        .filter(|hash| !hash.is_empty())?;
    let canary = weights
        .canary
        .pod_template_hash
        .clone()
        .filter(|hash| *hash != stable);
    let aborted = status.abort == Some(true) || canary.is_none();
    let order = TrafficOrder {
        rollout: RolloutKey {
            namespace: rollout.namespace()?,
            name: rollout.name_any(),
        },
        uid: rollout.uid()?,
        stable,
        canary,
        weight: if aborted {
            0
        } else {
            weights.canary.weight.max(0) as u32
        },
        max_weight: routing.max_weight().max(1) as u32,
        header_routes: Vec::new(),
    };
    Some(Action::OrderTraffic {
        order,
        lowers: aborted,
    })
}
