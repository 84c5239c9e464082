//! The workload behind a Rollout: its generation is acknowledged, and on a migration its own pods go
//! as the Rollout's come.

use crds::words::RolloutPhase;
use kube::ResourceExt as _;

use super::{Action, Draft, Plan, Scene};
use crate::rollout::names;
use crate::rollout::spec::ScaleDown;
use crate::rollout::workload::WorkloadKind;

/// Writes on the Rollout which generation of the workload it is about; Argo CD compares it with the
/// status.
pub(super) fn acknowledge(scene: &Scene<'_>) -> Option<Plan> {
    let workload = scene.observed.workload.as_ref()?;
    let seen = scene.rollout.annotations().get(names::WORKLOAD_GENERATION);
    if seen.is_some_and(|seen| *seen == workload.generation.to_string()) {
        return None;
    }
    Some(Plan {
        actions: vec![Action::ObserveWorkload(workload.generation)],
        ..Plan::default()
    })
}

/// Shrinks the Deployment as the first revision grows. `wanted` is the size that the new pods should
/// have.
pub(super) fn progressively(scene: &Scene<'_>, wanted: i32, draft: &mut Draft) {
    let Some(new) = scene.new.filter(|new| new.revision == 1) else {
        return;
    };
    if scene.strategy.scale_down != ScaleDown::Progressively {
        return;
    }
    let ready = scene.was.ready_replicas.unwrap_or_default();
    if scene.was.phase == Some(RolloutPhase::Healthy) {
        scale(scene, 0, draft);
    } else if ready > 0 || new.desired > wanted {
        scale(scene, scene.replicas() - ready, draft);
    }
}

/// Takes the Deployment to zero once the first revision is Healthy.
pub(super) fn on_success(scene: &Scene<'_>, draft: &mut Draft) {
    let first = scene.revision() == 1;
    let healthy = scene.was.phase == Some(RolloutPhase::Healthy);
    if first && healthy && scene.strategy.scale_down == ScaleDown::OnSuccess {
        scale(scene, 0, draft);
    }
}

fn scale(scene: &Scene<'_>, to: i32, draft: &mut Draft) {
    let workload = scene.observed.workload.as_ref();
    let Some(workload) = workload.filter(|workload| workload.kind == WorkloadKind::Deployment)
    else {
        return;
    };
    let replicas = to.max(0);
    // Unset means one.
    if workload.replicas.unwrap_or(1) != replicas {
        draft.actions.push(Action::ScaleWorkload {
            name: workload.name.clone(),
            resource_version: workload.resource_version.clone(),
            replicas,
        });
    }
}
