//! The names, labels and annotations that Rollouts, ReplicaSets, Services and runs carry: Argo's,
//! to the letter, because other programs look for them.

pub use crds::pod_template::POD_TEMPLATE_HASH_LABEL;

/// The number of a revision, on Rollouts, ReplicaSets and AnalysisRuns.
pub const REVISION: &str = "rollout.argoproj.io/revision";
/// Earlier numbers of a ReplicaSet that came back, comma separated.
pub const REVISION_HISTORY: &str = "rollout.argoproj.io/revision-history";
/// `spec.replicas` of the Rollout when the ReplicaSet was last sized.
pub const DESIRED_REPLICAS: &str = "rollout.argoproj.io/desired-replicas";
/// When a ReplicaSet may go to zero, RFC 3339. The key has no prefix.
pub const SCALE_DOWN_DEADLINE: &str = "scale-down-deadline";
/// Labels and annotations that a ReplicaSet's pods carry for a while, as JSON.
pub const EPHEMERAL_METADATA: &str = "rollout.argoproj.io/ephemeral-metadata";
/// Which Rollout manages a Service's selector.
pub const MANAGED_BY: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Which of several controllers an object belongs to.
pub const INSTANCE_ID: &str = "argo-rollouts.argoproj.io/controller-instance-id";
/// What an AnalysisRun is for: `Step`, `Background`, `PrePromotion` or `PostPromotion`.
pub const ROLLOUT_TYPE: &str = "rollout-type";
/// The step of an AnalysisRun.
pub const STEP_INDEX: &str = "step-index";
/// The generation of the workload that a Rollout takes its pods from.
pub const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";
/// Annotations of a Rollout that its ReplicaSets do not get.
pub const NOT_COPIED: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    "notified.notifications.argoproj.io",
];

/// The name of a revision's ReplicaSet.
pub fn replica_set(rollout: &str, hash: &str) -> String {
    format!("{rollout}-{hash}")
}

/// The name of a run, before anything is done about a taken one.
pub fn analysis_run(rollout: &str, hash: &str, revision: i64, infix: Option<&str>) -> String {
    match infix {
        Some(infix) => format!("{rollout}-{hash}-{revision}-{infix}"),
        None => format!("{rollout}-{hash}-{revision}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_argos() {
        assert_eq!(replica_set("web", "abc"), "web-abc");
        assert_eq!(analysis_run("web", "abc", 3, Some("1")), "web-abc-3-1");
        assert_eq!(analysis_run("web", "abc", 3, None), "web-abc-3");
    }
}
