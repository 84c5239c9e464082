//! Orders of the planners, and how they reach the proxies: weights and resets at once.

use std::sync::Arc;

use jiff::Timestamp;
use uplink::proto;
use uplink::proto::ControllerMessage;
use uplink::proto::controller_message::Kind;
use uplink::version::Version;

use super::proxy::ConnectionId;
use super::state::{Effects, State, effective_weight, split_name, weigh};
use super::{evidence, fuses};
use crate::traffic::{RolloutKey, TrafficOrder};

impl State {
    /// Takes an order: a changed weight is sent at once, the rest is for the publisher.
    pub(super) fn order(&mut self, order: TrafficOrder, now: Timestamp) -> Effects {
        let mut effects = Effects::default();
        let key = order.rollout.clone();
        let release = self.releases.entry(key.clone()).or_default();
        let before = release.order.replace(order);
        let was_given = std::mem::replace(&mut release.given, true);
        let order = release.order.clone().expect("just put there");
        if before.as_ref() == Some(&order) && was_given {
            return effects;
        }
        if before
            .as_ref()
            .is_some_and(|before| before.uid != order.uid)
        {
            release.evidence = evidence::Book::default();
            release.fuses = fuses::Book::default();
        }
        let same_weight = before
            .as_ref()
            .is_some_and(|before| weight_of(before) == weight_of(&order));
        // A promotion is not a lowering: in the configuration in force the canary still *is* the new
        // stable, and a weight of 0 ahead of the next document would send its users back for a moment.
        let promoted = before
            .as_ref()
            .is_some_and(|before| before.stable != order.stable);
        if promoted {
            self.begin_epoch(&key, now);
        } else if !same_weight {
            self.reissue(&key, now, &mut effects);
        }
        let left = before
            .and_then(|before| before.canary)
            .filter(|left| order.canary.as_ref() != Some(left));
        if let (Some(left), Some(_)) = (left, &order.canary) {
            self.reset_fuse_into(&key, &left, now, &mut effects);
        }
        effects.changed.insert(key);
        effects.replan = true;
        effects
    }

    /// Forgets a Rollout.
    pub(super) fn forget(&mut self, rollout: &RolloutKey) -> Effects {
        let removed = self.releases.remove(rollout).is_some();
        Effects {
            replan: removed,
            ..Effects::default()
        }
    }

    /// Clears a trip.
    pub(super) fn reset_fuse(
        &mut self,
        rollout: &RolloutKey,
        revision: &str,
        now: Timestamp,
    ) -> Effects {
        let mut effects = Effects::default();
        self.reset_fuse_into(rollout, revision, now, &mut effects);
        effects.changed.insert(rollout.clone());
        effects
    }

    fn reset_fuse_into(
        &mut self,
        rollout: &RolloutKey,
        revision: &str,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        if let Some(release) = self.releases.get_mut(rollout) {
            release.fuses.reset(revision, now);
            self.send_reset(rollout, revision, None, effects);
        }
    }

    /// To one proxy, or to all of the Rollout's fleet.
    pub(super) fn send_reset(
        &mut self,
        rollout: &RolloutKey,
        revision: &str,
        only: Option<ConnectionId>,
        effects: &mut Effects,
    ) {
        let Some(release) = self.releases.get(rollout) else {
            return;
        };
        let (Some(placed), Some(order)) = (&release.placed, &release.order) else {
            return;
        };
        let fleet = placed.fleet.clone();
        let connections = match only {
            Some(id) => vec![id],
            None => self.connections_of(&fleet),
        };
        let mut reset = proto::FuseReset {
            version: None,
            split: split_name(rollout),
            rollout_uid: order.uid.clone(),
            revision: revision.to_owned(),
        };
        for id in connections {
            reset.version = Some(self.next_version(&fleet).into());
            let message = ControllerMessage {
                kind: Some(Kind::FuseReset(reset.clone())),
            };
            effects.send.push((id, message));
        }
    }

    /// A new epoch for a Rollout's weight, on its way to all proxies of its fleet.
    pub(super) fn reissue(&mut self, key: &RolloutKey, now: Timestamp, effects: &mut Effects) {
        let Some(fleet) = self.begin_epoch(key, now) else {
            return;
        };
        let version = self.next_version(&fleet);
        let Some(message) = self.weights(key, version) else {
            return;
        };
        let connections = self.connections_of(&fleet);
        effects
            .send
            .extend(connections.into_iter().map(|id| (id, message.clone())));
        self.weigh_document(&fleet);
    }

    /// A new epoch for a Rollout's weight, that the next document carries. Its fleet, where it has one.
    fn begin_epoch(&mut self, key: &RolloutKey, now: Timestamp) -> Option<String> {
        let release = self.releases.get_mut(key)?;
        self.epoch += 1;
        release.epoch = self.epoch.max(release.epoch.saturating_add(1));
        release.since = now;
        release.placed.as_ref().map(|placed| placed.fleet.clone())
    }

    /// Writes the weights in force into a fleet's document, for proxies that connect later.
    fn weigh_document(&mut self, fleet: &str) {
        let releases = &self.releases;
        let Some(wanted) = self.fleets.get_mut(fleet).and_then(|it| it.wanted.as_mut()) else {
            return;
        };
        weigh(&mut Arc::make_mut(wanted).document, releases);
    }

    fn weights(&self, key: &RolloutKey, version: Version) -> Option<ControllerMessage> {
        let release = self.releases.get(key)?;
        let order = release.order.as_ref()?;
        let weights = proto::Weights {
            version: Some(version.into()),
            split: split_name(key),
            weight: effective_weight(order),
            epoch: release.epoch,
            canary_revision: order.canary.clone().unwrap_or_default(),
        };
        Some(ControllerMessage {
            kind: Some(Kind::Weights(weights)),
        })
    }

    /// All weights of a fleet, to a proxy that has just connected.
    pub(super) fn restate_weights(&mut self, fleet: &str, id: ConnectionId, effects: &mut Effects) {
        for key in self.keys_of(fleet) {
            let version = self.next_version(fleet);
            effects
                .send
                .extend(self.weights(&key, version).map(|message| (id, message)));
        }
    }
}

/// What an epoch stands for.
fn weight_of(order: &TrafficOrder) -> (u32, u32, Option<&str>, &str) {
    (
        order.weight,
        order.max_weight,
        order.canary.as_deref(),
        &order.stable,
    )
}
