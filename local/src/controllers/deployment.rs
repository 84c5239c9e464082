//! Deployments: a ReplicaSet for each pod template, the newest scaled up as the older ones go down.
//!
//! [`plan`] decides as Kubernetes' controller does (`pkg/controller/deployment`), but for one thing:
//! a Deployment that is scaled in the middle of a rollout scales its newest ReplicaSet, not all of
//! them in proportion.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::Selector,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Context, ReconcileError, controlled_by,
    drive::{Controller, Looked},
    failed,
};
use crate::clock::Clock;

mod conditions;
pub mod plan;
#[cfg(test)]
mod tests;

use plan::{Plan, REVISION, plan};

/// Runs the controller until `stop`.
pub async fn run(client: Client, clock: Clock, stop: CancellationToken) {
    let context = Context::new(client.clone(), clock);
    let deployments = Api::<Deployment>::all(client.clone());
    Controller::new(deployments)
        .owns(Api::<ReplicaSet>::all(client))
        .run(reconcile, context, stop)
        .await;
}

async fn reconcile(seen: Arc<Deployment>, context: Arc<Context>) -> Looked {
    let namespace = seen.namespace().unwrap_or_default();
    let deployments: Api<Deployment> = context.api(&namespace);
    let deployment = deployments
        .get_opt(&seen.name_any())
        .await
        .map_err(failed("read the Deployment"))?;
    let Some(deployment) = deployment.filter(|one| one.uid() == seen.uid()) else {
        return Ok(None);
    };
    let sets: Api<ReplicaSet> = context.api(&namespace);
    let owned = owned(&deployment, &sets).await?;
    let plan = plan(&deployment, &owned, context.clock.now());
    act(&deployment, &sets, &plan).await?;
    write_status(&deployments, &deployment, &plan).await?;
    Ok(plan.again)
}

async fn owned(
    deployment: &Deployment,
    sets: &Api<ReplicaSet>,
) -> Result<Vec<ReplicaSet>, ReconcileError> {
    let selector = deployment
        .spec
        .as_ref()
        .map(|spec| spec.selector.clone())
        .unwrap_or_default();
    let selector = Selector::try_from(selector)
        .map_err(|error| ReconcileError::Invalid(format!("spec.selector: {error}")))?;
    let params = ListParams::default().labels_from(&selector);
    let listed = sets.list(&params).await;
    let mut owned = listed.map_err(failed("list ReplicaSets"))?.items;
    let uid = deployment.uid().unwrap_or_default();
    owned.retain(|set| {
        let mut owners = set.owner_references().iter();
        owners.any(|owner| owner.controller == Some(true) && owner.uid == uid)
    });
    Ok(owned)
}

async fn act(
    deployment: &Deployment,
    sets: &Api<ReplicaSet>,
    plan: &Plan,
) -> Result<(), ReconcileError> {
    if let Some(new) = &plan.create {
        let mut new = ReplicaSet::clone(new);
        new.metadata.owner_references = Some(vec![controlled_by(deployment)?]);
        match sets.create(&PostParams::default(), &new).await {
            Ok(_) => {}
            // Made by the look before, whose news has not come yet.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(failed("create a ReplicaSet")(error)),
        }
    }
    for change in &plan.change {
        let patch = json!({
            "metadata": {"uid": change.uid, "resourceVersion": change.version,
                         "annotations": change.annotations},
            "spec": {"replicas": change.replicas, "minReadySeconds": change.min_ready},
        });
        sets.patch(&change.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(failed("change a ReplicaSet"))?;
    }
    for set in &plan.delete {
        let only = Preconditions {
            uid: set.uid(),
            resource_version: set.resource_version(),
        };
        let params = DeleteParams::background().preconditions(only);
        sets.delete(&set.name_any(), &params)
            .await
            .map_err(failed("delete an old ReplicaSet"))?;
    }
    Ok(())
}

async fn write_status(
    deployments: &Api<Deployment>,
    deployment: &Deployment,
    plan: &Plan,
) -> Result<(), ReconcileError> {
    let name = deployment.name_any();
    let params = PatchParams::default();
    if deployment.annotations().get(REVISION) != plan.revision.as_ref() {
        let patch = json!({"metadata": {"uid": deployment.uid(),
                                        "annotations": {REVISION: plan.revision}}});
        deployments
            .patch(&name, &params, &Patch::Merge(patch))
            .await
            .map_err(failed("number the Deployment"))?;
    }
    if with_zeros(deployment.status.as_ref()) == with_zeros(Some(&plan.status)) {
        return Ok(());
    }
    let patch = json!({"metadata": {"uid": deployment.uid()},
                       "status": with_zeros(Some(&plan.status))});
    deployments
        .patch_status(&name, &params, &Patch::Merge(patch))
        .await
        .map_err(failed("write the Deployment's status"))?;
    Ok(())
}

/// A real API server leaves out what is zero.
fn with_zeros(status: Option<&DeploymentStatus>) -> DeploymentStatus {
    let status = status.cloned().unwrap_or_default();
    DeploymentStatus {
        replicas: Some(status.replicas.unwrap_or(0)),
        updated_replicas: Some(status.updated_replicas.unwrap_or(0)),
        ready_replicas: Some(status.ready_replicas.unwrap_or(0)),
        available_replicas: Some(status.available_replicas.unwrap_or(0)),
        unavailable_replicas: Some(status.unavailable_replicas.unwrap_or(0)),
        terminating_replicas: Some(status.terminating_replicas.unwrap_or(0)),
        ..status
    }
}
