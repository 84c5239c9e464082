//! The checks of blue-green.
//!
//! The paths of the first three are Argo's, which leaves `blueGreen` out of them.

use crds::Rollout;
use crds::plugin::{self, ProxyRouting};
use crds::rollout::BlueGreenStrategy;
use crds::rollout::steps::RolloutAnalysis;
use serde_json::json;

use super::SpecError;
use super::build::REVISION_HISTORY_LIMIT;

/// A full second set of pods, a look at it, then a switch.
#[derive(Clone, Debug, PartialEq)]
pub struct BlueGreen {
    /// The Service that is switched to the promoted pods.
    pub active_service: String,
    /// The Service that points to the new pods at once.
    pub preview_service: Option<String>,
    /// Size of the new ReplicaSet until the pause is over; full size when unset.
    pub preview_replica_count: Option<i32>,
    /// What has to happen before the switch.
    pub promotion: Promotion,
    /// Must succeed before the switch.
    pub pre: Option<RolloutAnalysis>,
    /// Must succeed after the switch, or it is undone.
    pub post: Option<RolloutAnalysis>,
    /// The user said when old pods go, so that they need not wait for the analysis after the switch.
    pub has_own_delay: bool,
    /// Our proxies carry the active traffic.
    pub routed: bool,
}

/// What has to happen before the switch, beside the pods and the analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    /// Nothing.
    AtOnce,
    /// So many seconds of pause; more than none.
    After(i64),
    /// Somebody promotes.
    ByHand,
}

/// Blue-green, as far as it is fine.
pub(super) fn check(
    rollout: &Rollout,
    raw: &BlueGreenStrategy,
    errors: &mut Vec<SpecError>,
) -> BlueGreen {
    check_services(raw, errors);
    check_limits(rollout, raw, errors);
    if let Some(Err(wrong)) = ProxyRouting::of(rollout) {
        let wrong = wrong.into_iter();
        errors
            .extend(wrong.map(|wrong| SpecError::invalid(wrong.path, wrong.value, wrong.message)));
    }
    let named = |service: &Option<String>| service.clone().filter(|name| !name.is_empty());
    let analysis = |analysis: &Option<RolloutAnalysis>| {
        let analysis = analysis.clone();
        analysis.filter(|analysis| !analysis.templates.is_empty())
    };
    BlueGreen {
        active_service: raw.active_service.clone(),
        preview_service: named(&raw.preview_service),
        preview_replica_count: raw.preview_replica_count,
        promotion: promotion(raw),
        pre: analysis(&raw.pre_promotion_analysis),
        post: analysis(&raw.post_promotion_analysis),
        has_own_delay: raw.scale_down_delay_seconds.is_some(),
        routed: plugin::annotation(rollout).is_some(),
    }
}

fn promotion(raw: &BlueGreenStrategy) -> Promotion {
    let seconds = i64::from(raw.auto_promotion_seconds.unwrap_or_default());
    match raw.auto_promotion_enabled {
        Some(false) => Promotion::ByHand,
        _ if seconds > 0 => Promotion::After(seconds),
        _ => Promotion::AtOnce,
    }
}

fn check_services(raw: &BlueGreenStrategy, errors: &mut Vec<SpecError>) {
    let active = &raw.active_service;
    if raw.preview_service.as_deref().unwrap_or_default() == active {
        let text = "This rollout uses the same service for the active and preview services, but two different \
                    services are required.";
        errors.push(SpecError::invalid(
            "spec.strategy.activeService",
            json!(active),
            text,
        ));
    } else if active.is_empty() {
        let text = "the name of the Service that serves users";
        errors.push(SpecError::required(
            "spec.strategy.blueGreen.activeService",
            text,
        ));
    }
}

fn check_limits(rollout: &Rollout, raw: &BlueGreenStrategy, errors: &mut Vec<SpecError>) {
    let kept = rollout
        .spec
        .revision_history_limit
        .unwrap_or(REVISION_HISTORY_LIMIT);
    if let Some(limit) = raw
        .scale_down_delay_revision_limit
        .filter(|limit| kept < *limit)
    {
        let text = "This rollout's revision history limit can not be smaller than the rollout's scale down limit";
        errors.push(SpecError::invalid(
            "spec.strategy.scaleDownDelayRevisionLimit",
            json!(limit),
            text,
        ));
    }
    // Argo takes these, and then waits for ever.
    let numbers = [
        ("previewReplicaCount", raw.preview_replica_count),
        ("autoPromotionSeconds", raw.auto_promotion_seconds),
    ];
    for (field, value) in numbers {
        if let Some(value) = value.filter(|value| *value < 0) {
            let path = format!("spec.strategy.blueGreen.{field}");
            errors.push(SpecError::invalid(
                path,
                json!(value),
                "must be greater than or equal to 0",
            ));
        }
    }
}

/// The annotation is blue-green's; a canary has a field for it.
pub(super) fn check_absent(rollout: &Rollout, errors: &mut Vec<SpecError>) {
    if let Some(text) = plugin::annotation(rollout) {
        let message = format!(
            "is for blueGreen; a canary names it in {}",
            plugin::CANARY_PATH
        );
        errors.push(SpecError::invalid(
            plugin::ANNOTATION_PATH,
            json!(text),
            message,
        ));
    }
}
