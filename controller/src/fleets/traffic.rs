//! The fleets as the planners see them.

use tokio::sync::broadcast;
use uplink::document::RoutingConfig;

use super::Fleets;
use crate::traffic::{Evidence, RolloutKey, Traffic, TrafficOrder, TrafficView};

impl Traffic for Fleets {
    fn order(&self, order: TrafficOrder) {
        let rollout = order.rollout.clone();
        self.ordered(Some(&rollout), |state, now| state.order(order, now));
    }

    fn forget(&self, rollout: &RolloutKey) {
        self.ordered(Some(rollout), |state, _| state.forget(rollout));
    }

    fn view(&self, rollout: &RolloutKey, canary: &str) -> TrafficView {
        let now = self.clock.now();
        self.inner().state.view(rollout, canary, now)
    }

    fn reset_fuse(&self, rollout: &RolloutKey, revision: &str) {
        self.ordered(Some(rollout), |state, now| {
            state.reset_fuse(rollout, revision, now)
        });
    }

    fn evidence(&self, rollout: &RolloutKey, canary: &str) -> Evidence {
        self.inner().state.evidence(rollout, canary)
    }

    fn changed(&self) -> broadcast::Receiver<RolloutKey> {
        self.changed.subscribe()
    }

    fn document(&self, fleet: &str) -> Option<RoutingConfig> {
        let inner = self.inner();
        let wanted = inner.state.fleets.get(fleet)?.wanted.as_ref()?;
        Some(wanted.document.clone())
    }
}
