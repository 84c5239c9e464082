//! How far a canary is: its step, the weight that the steps ask for and the weight that is.

use crds::Rollout;
use crds::rollout::{CanaryStep, CanaryStrategy, RolloutStatus};
use k8s_openapi::api::apps::v1::ReplicaSet;

use super::sets::is_canary;

/// The weight that is all of the traffic where the Rollout does not say otherwise.
const ALL: i32 = 100;

/// Where a canary stands among its steps.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    canary: &'a CanaryStrategy,
    status: Option<&'a RolloutStatus>,
}

// === impl Progress ===

impl<'a> Progress<'a> {
    /// The progress of a Rollout with the canary strategy.
    pub fn of(rollout: &'a Rollout) -> Option<Self> {
        let canary = rollout.spec.strategy.as_ref()?.canary.as_ref()?;
        Some(Self {
            canary,
            status: rollout.status.as_ref(),
        })
    }

    /// `3/8`: steps done, steps there are. Nothing before the first look and without steps.
    pub fn step(self) -> Option<String> {
        let index = self.status?.current_step_index?;
        let count = self.steps().len();
        (count > 0).then(|| format!("{index}/{count}"))
    }

    /// The index of the current step, as promoting counts it; `None` without steps.
    pub fn index(self) -> Option<i32> {
        let known = self.status.and_then(|status| status.current_step_index);
        (!self.steps().is_empty()).then(|| known.unwrap_or_default())
    }

    /// The index after the current step; the last one stays.
    pub fn next_index(self) -> Option<i32> {
        let last = i32::try_from(self.steps().len()).unwrap_or(i32::MAX);
        self.index()
            .map(|index| if index < last { index + 1 } else { index })
    }

    /// How many steps there are.
    pub fn count(self) -> usize {
        self.steps().len()
    }

    /// The weight that the steps so far ask for.
    pub fn set_weight(self) -> i32 {
        if self.status.is_some_and(|status| status.abort == Some(true)) {
            return 0;
        }
        let Some(current) = self.current() else {
            return self.all();
        };
        let mut done = self.steps().iter().take(current + 1).rev();
        done.find_map(|step| step.set_weight).unwrap_or_default()
    }

    /// The weight that is: by the router where there is one, else by the pods.
    pub fn actual_weight<'s>(self, sets: impl Iterator<Item = &'s ReplicaSet>) -> i32 {
        if self.current().is_none() {
            return self.all();
        }
        let available = self
            .status
            .and_then(|status| status.available_replicas)
            .unwrap_or_default();
        if available <= 0 {
            return 0;
        }
        if self.canary.traffic_routing.is_some() {
            let canary = self.status.and_then(|status| status.canary.as_ref());
            let weights = canary.and_then(|canary| canary.weights.as_ref());
            return weights.map_or_else(|| self.set_weight(), |weights| weights.canary.weight);
        }
        let pods: i32 = sets
            .filter(|set| is_canary(set, self.status))
            .filter_map(|set| set.status.as_ref()?.available_replicas)
            .sum();
        pods * self.all() / available
    }

    fn steps(self) -> &'a [CanaryStep] {
        self.canary.steps.as_deref().unwrap_or_default()
    }

    /// The step that is under way.
    fn current(self) -> Option<usize> {
        let index = usize::try_from(self.index()?).ok()?;
        (index < self.steps().len()).then_some(index)
    }

    fn all(self) -> i32 {
        let routing = self.canary.traffic_routing.as_ref();
        routing
            .and_then(|routing| routing.max_traffic_weight)
            .unwrap_or(ALL)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rollout(status: Value) -> Rollout {
        let steps = json!([{"setCanaryScale": {"replicas": 1}}, {"setWeight": 10}, {"pause": {}},
                           {"setWeight": 40}]);
        let routing = json!({"plugins": {"sluice/proxy": {}}});
        let canary = json!({"steps": steps, "trafficRouting": routing});
        let spec = json!({"strategy": {"canary": canary}});
        serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn weights_follow_the_steps() {
        let table = [
            (json!({}), 0, 0),
            (json!({"currentStepIndex": 0}), 0, 0),
            (json!({"currentStepIndex": 1}), 10, 0),
            (
                json!({"currentStepIndex": 2, "availableReplicas": 3}),
                10,
                10,
            ),
            (
                json!({"currentStepIndex": 3, "availableReplicas": 3, "canary": {"weights":
                    {"canary": {"weight": 25}, "stable": {"weight": 75}}}}),
                40,
                25,
            ),
            (json!({"currentStepIndex": 4}), 100, 100),
            (
                json!({"currentStepIndex": 2, "abort": true, "availableReplicas": 3}),
                0,
                0,
            ),
        ];
        for (status, set, actual) in table {
            let rollout = rollout(status.clone());
            let progress = Progress::of(&rollout).unwrap();
            assert_eq!(progress.set_weight(), set, "{status}");
            assert_eq!(progress.actual_weight([].into_iter()), actual, "{status}");
        }
    }

    #[test]
    fn the_next_step_ends_after_the_last() {
        let next = |index: i32| {
            let rollout = rollout(json!({"currentStepIndex": index}));
            Progress::of(&rollout).unwrap().next_index()
        };
        assert_eq!([next(0), next(3), next(4)], [Some(1), Some(4), Some(4)]);
    }
}
