//! The traffic through our proxies, where the Rollout has them: it follows the active Service.
//!
//! What was active is the proxies' stable side, the new pods are their canary side, with all of the
//! weight or none of it. So the switch is one change of a weight, which every proxy acknowledges,
//! instead of endpoints that spread as they may; and before the switch the block's override, if it has
//! one, leads to the new pods.

use kube::ResourceExt as _;

use super::super::{Action, Draft, Scene};
use super::Look;
use crate::traffic::{RolloutKey, TrafficOrder};

/// The weight that means everybody.
const EVERYBODY: u32 = 100;

/// How long until traffic that is not acknowledged is looked at again, if no proxy says anything.
const VERIFY_SECONDS: i64 = 10;

/// What the proxies say about the traffic.
pub(super) struct Divided {
    /// They have it in force; always where there are none.
    pub(super) verified: bool,
    /// Why not, as far as known.
    pub(super) message: Option<String>,
}

/// Tells the proxies; `active` is what the active Service selects after this pass.
pub(super) fn divide(look: &Look<'_>, active: Option<&str>, draft: &mut Draft) -> Divided {
    if !look.way.routed {
        return Divided {
            verified: true,
            message: None,
        };
    }
    let order = order(look, active);
    let weight = order.weight;
    draft.actions.push(Action::OrderTraffic {
        lowers: weight == 0,
        order,
    });
    let view = &look.scene.observed.traffic;
    let in_force = view.ordered_weight == Some(weight) && view.verified == Some(true);
    let waits = !look.scene.is_promoted() && active == Some(look.new.hash.as_str());
    if waits && !in_force {
        draft.wake(Scene::after(look.scene.now, VERIFY_SECONDS));
    }
    Divided {
        verified: in_force,
        message: view.message.clone().filter(|_| !in_force),
    }
}

fn order(look: &Look<'_>, active: Option<&str>) -> TrafficOrder {
    let scene = look.scene;
    let new = look.new.hash.as_str();
    let old = before(look, active);
    let canary = (old != new).then(|| new.to_owned());
    let switched = canary.is_some() && active == Some(new);
    TrafficOrder {
        rollout: RolloutKey {
            namespace: scene.rollout.namespace().unwrap_or_default(),
            name: scene.name(),
        },
        uid: scene.rollout.uid().unwrap_or_default(),
        stable: old.to_owned(),
        canary,
        weight: if switched { EVERYBODY } else { 0 },
        max_weight: EVERYBODY,
        header_routes: Vec::new(),
    }
}

/// The side that is not the new pods: what is active beside them, or else stable, to which an abort
/// would go back. In the pass of the switch it stays what was active, so that only the weight changes.
fn before<'a>(look: &'a Look<'_>, active: Option<&'a str>) -> &'a str {
    let new = look.new.hash.as_str();
    if look.scene.is_promoted() {
        return new;
    }
    let others = [active, look.active, Some(look.scene.stable_hash())];
    let other = others
        .into_iter()
        .flatten()
        .find(|hash| !hash.is_empty() && *hash != new);
    other.unwrap_or(new)
}
