//! What Rollouts are, and where their traffic is.

use std::sync::Arc;

use crds::Rollout;
use kube::ResourceExt as _;

use super::Text;
use crate::caches::Caches;
use crate::rollout::spec::foreign_router;

/// The phases of Argo's metrics, which are not those of the status.
const PHASES: [&str; 7] = [
    "Completed",
    "Progressing",
    "Paused",
    "Timeout",
    "Error",
    "Abort",
    "InvalidSpec",
];

/// A gauge of one number of a Rollout; `None` where it has no such number.
struct Gauge {
    name: &'static str,
    help: &'static str,
    of: fn(&Rollout) -> Option<f64>,
}

const GAUGES: [Gauge; 8] = [
    Gauge {
        name: "rollout_info_replicas_available",
        help: "Available pods.",
        of: |rollout| Some(status(rollout, |status| status.available_replicas)),
    },
    Gauge {
        name: "rollout_info_replicas_unavailable",
        help: "Pods that are not available.",
        of: |rollout| {
            let all = status(rollout, |status| status.replicas);
            Some(all - status(rollout, |status| status.available_replicas))
        },
    },
    Gauge {
        name: "rollout_info_replicas_desired",
        help: "Pods wanted.",
        of: |rollout| Some(f64::from(rollout.spec.replicas.unwrap_or(1))),
    },
    Gauge {
        name: "rollout_info_replicas_updated",
        help: "Pods of the newest revision.",
        of: |rollout| Some(status(rollout, |status| status.updated_replicas)),
    },
    Gauge {
        name: "sluice_rollout_step",
        help: "The step that is under way; as many as there are steps when all are done.",
        of: |rollout| {
            let index = rollout.status.as_ref()?.current_step_index?;
            Some(f64::from(index))
        },
    },
    Gauge {
        name: "sluice_rollout_weight",
        help: "The canary's weight, as last set.",
        of: |rollout| Some(f64::from(weights(rollout)?.canary.weight)),
    },
    Gauge {
        name: "sluice_rollout_weight_verified",
        help: "Whether every proxy that must acknowledge the weight has it in force.",
        of: |rollout| {
            weights(rollout)?
                .verified
                .map(|verified| f64::from(u8::from(verified)))
        },
    },
    Gauge {
        name: "sluice_rollout_aborted",
        help: "Whether the release was aborted.",
        of: |rollout| {
            let aborted = rollout.status.as_ref().and_then(|status| status.abort);
            Some(f64::from(u8::from(aborted == Some(true))))
        },
    },
];

pub(super) fn render(text: &mut Text, caches: &Caches) {
    let rollouts = caches.rollouts.all();
    let rollouts: Vec<&Arc<Rollout>> = rollouts
        .iter()
        .filter_map(|rollout| rollout.object.as_ref().ok())
        .collect();
    render_info(text, &rollouts);
    render_left(text, &rollouts);
    for gauge in &GAUGES {
        text.metric(gauge.name, "gauge", gauge.help);
        for rollout in &rollouts {
            if let Some(value) = (gauge.of)(rollout) {
                let (namespace, name) =
                    (rollout.namespace().unwrap_or_default(), rollout.name_any());
                let labels = [("namespace", namespace.as_str()), ("name", &name)];
                text.sample(gauge.name, &labels, value);
            }
        }
    }
}

fn render_info(text: &mut Text, rollouts: &[&Arc<Rollout>]) {
    text.metric("rollout_info", "gauge", "What a Rollout is.");
    for rollout in rollouts {
        let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
        let labels = [
            ("namespace", namespace.as_str()),
            ("name", &name),
            ("strategy", strategy(rollout)),
            ("traffic_router", router(rollout)),
            ("phase", phase(rollout)),
        ];
        text.sample("rollout_info", &labels, 1.0);
    }
    text.metric("rollout_phase", "gauge", "Use rollout_info.");
    for rollout in rollouts {
        let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
        let now = phase(rollout);
        for phase in PHASES {
            let labels = [
                ("namespace", namespace.as_str()),
                ("name", &name),
                ("strategy", strategy(rollout)),
                ("phase", phase),
            ];
            text.sample("rollout_phase", &labels, f64::from(u8::from(phase == now)));
        }
    }
}

/// Those that are nobody's here; whoever took the other controller away finds them by this.
fn render_left(text: &mut Text, rollouts: &[&Arc<Rollout>]) {
    let left = "sluice_rollout_left";
    let help = "A Rollout that is left untouched, for it has a traffic router that Sluice has not.";
    text.metric(left, "gauge", help);
    for rollout in rollouts {
        let Some(router) = foreign_router(rollout) else {
            continue;
        };
        let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
        let labels = [
            ("namespace", namespace.as_str()),
            ("name", &name),
            ("traffic_router", &router),
        ];
        text.sample(left, &labels, 1.0);
    }
}

fn status(rollout: &Rollout, number: fn(&crds::RolloutStatus) -> Option<i32>) -> f64 {
    let number = rollout.status.as_ref().and_then(number);
    f64::from(number.unwrap_or_default())
}

fn weights(rollout: &Rollout) -> Option<&crds::rollout::status::TrafficWeights> {
    rollout.status.as_ref()?.canary.as_ref()?.weights.as_ref()
}

fn strategy(rollout: &Rollout) -> &'static str {
    match rollout.spec.strategy.as_ref() {
        Some(strategy) if strategy.blue_green.is_some() => "blueGreen",
        Some(strategy) if strategy.canary.is_some() => "canary",
        _ => "none",
    }
}

/// Argo names the routers that it has built in, and no plugin.
fn router(rollout: &Rollout) -> &'static str {
    let strategy = rollout.spec.strategy.as_ref();
    let canary = strategy.and_then(|strategy| strategy.canary.as_ref());
    let Some(routing) = canary.and_then(|canary| canary.traffic_routing.as_ref()) else {
        return "";
    };
    let built_in = [
        (routing.alb.is_some(), "ALB"),
        (routing.ambassador.is_some(), "Ambassador"),
        (routing.istio.is_some(), "Istio"),
        (routing.nginx.is_some(), "Nginx"),
        (routing.smi.is_some(), "SMI"),
        (routing.app_mesh.is_some(), "AppMesh"),
    ];
    let found = built_in.into_iter().find(|(is_it, _)| *is_it);
    found.map_or("", |(_, name)| name)
}

fn phase(rollout: &Rollout) -> &'static str {
    let conditions = rollout.status.iter().flat_map(|status| &status.conditions);
    let mut phase = "Progressing";
    for condition in conditions {
        match (condition.type_.as_str(), condition.reason.as_str()) {
            ("InvalidSpec", _) => return "InvalidSpec",
            ("Progressing", "NewReplicaSetAvailable") => phase = "Completed",
            ("Progressing", "RolloutPaused") => phase = "Paused",
            ("Progressing", "ReplicaSetCreateError") => phase = "Error",
            ("Progressing", "ProgressDeadlineExceeded") => phase = "Timeout",
            ("Progressing", "RolloutAborted") => phase = "Abort",
            _ => {}
        }
    }
    phase
}
