//! HorizontalPodAutoscalers, as far as a cluster without metrics takes them: the target is kept
//! between `minReplicas` and `maxReplicas` through its scale subresource, whatever kind it is, and
//! the condition ScalingActive says that there are no metrics to go by
//! (`pkg/controller/podautoscaler/horizontal.go`).

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        autoscaling::v1::Scale,
        autoscaling::v2::{
            HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition,
            HorizontalPodAutoscalerStatus,
        },
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, GroupVersionKind, Patch, PatchParams},
    discovery::pinned_kind,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    drive::{Controller, Looked},
    failed,
};
use crate::clock::Clock;

/// How often the target is looked at, as Kubernetes' default.
const EVERY: Duration = Duration::from_secs(15);

/// What one look decides.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// The size that the target is to get, where it has another.
    pub scale_to: Option<i32>,
    /// The status after that.
    pub status: HorizontalPodAutoscalerStatus,
}

/// Runs the controller until `stop`.
pub async fn run(client: Client, clock: Clock, stop: CancellationToken) {
    let context = Context::new(client.clone(), clock);
    let autoscalers = Api::<HorizontalPodAutoscaler>::all(client);
    Controller::new(autoscalers)
        .run(reconcile, context, stop)
        .await;
}

async fn reconcile(seen: Arc<HorizontalPodAutoscaler>, context: Arc<Context>) -> Looked {
    let autoscalers: Api<HorizontalPodAutoscaler> =
        context.api(&seen.namespace().unwrap_or_default());
    let found = autoscalers.get_opt(&seen.name_any()).await;
    let found = found.map_err(failed("read the HorizontalPodAutoscaler"))?;
    let Some(autoscaler) = found.filter(|one| one.uid() == seen.uid()) else {
        return Ok(None);
    };
    let target = target(&autoscaler, &context).await;
    let now = context.clock.now();
    let plan = match &target {
        Ok((_, scale)) => plan(&autoscaler, scale, now),
        Err(why) => Plan {
            scale_to: None,
            status: unable(&autoscaler, why, now),
        },
    };
    if let (Ok((api, scale)), Some(replicas)) = (&target, plan.scale_to) {
        // With the version that was read, as the controller of Kubernetes updates it.
        let patch = json!({"metadata": {"resourceVersion": scale.metadata.resource_version},
                           "spec": {"replicas": replicas}});
        let name = scale.metadata.name.clone().unwrap_or_default();
        api.patch_scale(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(failed("scale the target"))?;
    }
    if autoscaler.status.as_ref() != Some(&plan.status) {
        let patch = json!({"metadata": {"uid": autoscaler.uid()}, "status": plan.status});
        autoscalers
            .patch_status(
                &autoscaler.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await
            .map_err(failed("write the HorizontalPodAutoscaler's status"))?;
    }
    Ok(Some(EVERY))
}

/// The target's API and scale, or why there is none.
async fn target(
    autoscaler: &HorizontalPodAutoscaler,
    context: &Context,
) -> Result<(Api<DynamicObject>, Scale), String> {
    let reference = autoscaler
        .spec
        .as_ref()
        .map(|spec| spec.scale_target_ref.clone())
        .unwrap_or_default();
    let version = reference.api_version.unwrap_or_else(|| "v1".to_owned());
    let (group, version) = version.rsplit_once('/').unwrap_or(("", &version));
    let kind = GroupVersionKind::gvk(group, version, &reference.kind);
    let (resource, _) = pinned_kind(&context.client, &kind)
        .await
        .map_err(|error| error.to_string())?;
    let namespace = autoscaler.namespace().unwrap_or_default();
    let api = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let scale = api.get_scale(&reference.name).await;
    let scale = scale.map_err(|error| error.to_string())?;
    Ok((api, scale))
}

/// Decides how large the target is to be.
pub fn plan(autoscaler: &HorizontalPodAutoscaler, scale: &Scale, now: Timestamp) -> Plan {
    let spec = autoscaler.spec.clone().unwrap_or_default();
    let wanted = scale
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(0);
    let current = scale.status.as_ref().map_or(0, |status| status.replicas);
    let least = spec.min_replicas.unwrap_or(1);
    let bounded = if wanted == 0 && least != 0 {
        0
    } else {
        wanted.clamp(least, spec.max_replicas.max(least))
    };
    let scale_to = (bounded != wanted).then_some(bounded);
    let able = match scale_to {
        Some(size) => (
            "SucceededRescale",
            format!("the HPA controller was able to update the target scale to {size}"),
        ),
        None => (
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale".to_owned(),
        ),
    };
    let (reason, message) = if wanted == 0 && least != 0 {
        (
            "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        )
    } else {
        (
            "FailedGetResourceMetric",
            "the HPA was unable to compute the replica count: this cluster has no metrics; the target is only kept between minReplicas and maxReplicas",
        )
    };
    let mut status = base(autoscaler);
    status.current_replicas = Some(current);
    status.desired_replicas = bounded;
    if scale_to.is_some() {
        status.last_scale_time = Some(Time(now));
    }
    status.conditions = Some(vec![
        condition(autoscaler, ("AbleToScale", "True", able.0, able.1), now),
        condition(
            autoscaler,
            ("ScalingActive", "False", reason, message.to_owned()),
            now,
        ),
    ]);
    Plan { scale_to, status }
}

fn base(autoscaler: &HorizontalPodAutoscaler) -> HorizontalPodAutoscalerStatus {
    HorizontalPodAutoscalerStatus {
        observed_generation: autoscaler.metadata.generation,
        ..autoscaler.status.clone().unwrap_or_default()
    }
}

fn unable(
    autoscaler: &HorizontalPodAutoscaler,
    why: &str,
    now: Timestamp,
) -> HorizontalPodAutoscalerStatus {
    let message = format!("the HPA controller was unable to get the target's current scale: {why}");
    let said = ("AbleToScale", "False", "FailedGetScale", message);
    HorizontalPodAutoscalerStatus {
        conditions: Some(vec![condition(autoscaler, said, now)]),
        ..base(autoscaler)
    }
}

fn condition(
    autoscaler: &HorizontalPodAutoscaler,
    said: (&str, &str, &str, String),
    now: Timestamp,
) -> HorizontalPodAutoscalerCondition {
    let (kind, status, reason, message) = said;
    let before = autoscaler.status.iter();
    let mut before = before.flat_map(|status| status.conditions.iter().flatten());
    let turned = before.find(|one| one.type_ == kind && one.status == status);
    HorizontalPodAutoscalerCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: turned
            .map_or(Some(Time(now)), |one| one.last_transition_time.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_target_is_kept_within_bounds_and_left_alone_at_zero() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        for (wanted, scale_to, reason) in [
            (1, Some(2), "FailedGetResourceMetric"),
            (2, None, "FailedGetResourceMetric"),
            (9, Some(5), "FailedGetResourceMetric"),
            (0, None, "ScalingDisabled"),
        ] {
            let autoscaler = json!({"metadata": {"name": "a"}, "spec": {"minReplicas": 2, "maxReplicas": 5,
                "scaleTargetRef": {"kind": "Rollout", "name": "r"}}});
            let autoscaler = serde_json::from_value(autoscaler).unwrap();
            let scale = json!({"spec": {"replicas": wanted}, "status": {"replicas": wanted}});
            let scale = serde_json::from_value(scale).unwrap();
            let plan = plan(&autoscaler, &scale, now);
            assert_eq!(plan.scale_to, scale_to, "{wanted}");
            let conditions = plan.status.conditions.unwrap();
            assert_eq!(conditions[1].reason.as_deref(), Some(reason), "{wanted}");
        }
    }
}
