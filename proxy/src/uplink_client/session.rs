//! One stream's life: what comes is taken, what was counted is reported.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};
use uplink::check::ConfigError;
use uplink::proto::controller_message::Kind as Incoming;
use uplink::proto::proxy_message::Kind;
use uplink::proto::{self, ControllerMessage, ProxyMessage};
use uplink::version::Version;
use uplink::weight::EpochWeight;

use super::{Uplink, lock};
use crate::apply::Taken;
use crate::control::Control;
use crate::kept::KeptWeight;
use crate::report::{Reporter, SplitView};

/// An open stream.
pub(super) struct Session<'a> {
    uplink: &'a Uplink,
    control: &'a Arc<Control>,
    reporter: Reporter,
    said_goodbye: bool,
}

// === impl Session ===

impl<'a> Session<'a> {
    pub(super) fn new(uplink: &'a Uplink, control: &'a Arc<Control>) -> Self {
        Self {
            uplink,
            control,
            reporter: Reporter::default(),
            said_goodbye: false,
        }
    }

    /// Takes a message: weights and resets at once, the rest goes to the inbox.
    pub(super) fn take(&self, message: ControllerMessage) {
        match message.kind {
            Some(Incoming::Snapshot(snapshot)) => self.snapshot(snapshot),
            Some(Incoming::Endpoints(endpoints)) => self.endpoints(endpoints),
            Some(Incoming::Weights(weights)) => self.weights(weights),
            Some(Incoming::FuseReset(reset)) => self.reset(&reset),
            // A newer controller may say what this proxy does not know yet.
            None => warn!("a message of an unknown kind was ignored"),
        }
    }

    fn snapshot(&self, snapshot: proto::Snapshot) {
        let version = version_of(snapshot.version);
        let ordered = lock(&self.uplink.order).snapshot(version);
        match ordered {
            Ok(()) => self.uplink.inbox.put_snapshot(snapshot),
            Err(too_old) => self.refuse(version, too_old.to_string()),
        }
    }

    fn endpoints(&self, endpoints: proto::Endpoints) {
        let version = version_of(endpoints.version);
        let ordered = lock(&self.uplink.order).endpoints(version);
        match ordered {
            Ok(()) => self.uplink.inbox.put_endpoints(version, endpoints.clusters),
            Err(too_old) => self.refuse(version, too_old.to_string()),
        }
    }

    fn refuse(&self, version: Version, message: String) {
        warn!(%version, reason = message, "message refused");
        let error = ConfigError {
            path: String::new(),
            message,
        };
        self.uplink.nack(version, &[error]);
    }

    fn weights(&self, weights: proto::Weights) {
        let ordered = lock(&self.uplink.order).weights(version_of(weights.version));
        if let Err(too_old) = ordered {
            warn!(split = weights.split, reason = %too_old, "weight refused");
            return;
        }
        let weight = KeptWeight {
            rollout_uid: None,
            weight: EpochWeight {
                weight: weights.weight,
                epoch: weights.epoch,
            },
            revision: weights.canary_revision,
        };
        let in_force = self.control.board.in_force();
        let facts = in_force
            .as_ref()
            .and_then(|it| it.splits.get(&weights.split));
        let state = self.control.shared.state();
        let taken = self
            .control
            .weights
            .take(&weights.split, weight.clone(), facts, state);
        info!(split = weights.split, weight = weights.weight, epoch = weights.epoch,
              revision = weight.revision, outcome = ?taken, "weight received");
        self.control.board.touch();
        if taken == Taken::InForce {
            self.uplink.weights_ack(weights.split, weights.epoch);
        }
    }

    fn reset(&self, reset: &proto::FuseReset) {
        let ordered = lock(&self.uplink.order).reset(&reset.split, version_of(reset.version));
        match ordered {
            Ok(()) => {
                self.control
                    .fuses
                    .reset(&reset.rollout_uid, &reset.revision);
            }
            Err(too_old) => warn!(split = reset.split, reason = %too_old, "fuse reset refused"),
        }
    }

    /// Reports what was counted by now, unless the controller lags: then the next report will say it.
    pub(super) fn report(&mut self, outbox: &mpsc::Sender<ProxyMessage>) {
        if outbox.capacity() < outbox.max_capacity() / 2 {
            return;
        }
        let evidence = self.control.shared.state().collect();
        let views = evidence.into_iter().map(|split| SplitView {
            fuse: self.control.fuses.view(&split),
            split: split.split,
            rollout_uid: split.rollout_uid,
            weight: split.weight,
            arms: split.arms,
        });
        for report in self.reporter.reports(views.collect()) {
            self.uplink.send(Kind::Report(report));
        }
    }

    /// Nobody needs to wait for this proxy any more; said once.
    pub(super) fn goodbye(&mut self) {
        if !self.said_goodbye {
            self.said_goodbye = true;
            self.uplink.send(Kind::Goodbye(proto::Goodbye {}));
        }
    }

    pub(super) fn said_goodbye(&self) -> bool {
        self.said_goodbye
    }
}

// === impl Uplink ===

impl Uplink {
    /// The message of this version is in force.
    pub(super) fn ack(&self, version: Version) {
        self.send(Kind::Ack(proto::Ack {
            version: Some(version.into()),
        }));
    }

    /// The message of this version was refused.
    pub(super) fn nack(&self, version: Version, errors: &[ConfigError]) {
        let errors = uplink::check::errors_for_wire(errors);
        self.send(Kind::Nack(proto::Nack {
            version: Some(version.into()),
            errors,
        }));
    }

    /// The weight of this epoch is in force.
    pub(super) fn weights_ack(&self, split: String, epoch: u64) {
        self.send(Kind::WeightsAck(proto::WeightsAck { split, epoch }));
    }
}

/// A message without a version is older than any.
pub(super) fn version_of(version: Option<proto::Version>) -> Version {
    version.map(Version::from).unwrap_or_default()
}
