//! A scheduler for a cluster of one node: every pod without a node is bound to it, unless the
//! runtime takes node selectors seriously and the pod's matches no label of the node.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Binding, NodeSelectorRequirement, NodeSelectorTerm, ObjectReference, Pod, PodCondition,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

/// How often a binding is tried before it is left to the next change of the pod.
const ATTEMPTS: u32 = 10;
/// The pause between two attempts.
const RETRY: Duration = Duration::from_millis(500);

/// Is it ours to find a node for `pod`? Gates and other schedulers are respected.
pub(super) fn is_unscheduled(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let ours = spec
        .scheduler_name
        .as_deref()
        .is_none_or(|name| name == "default-scheduler");
    spec.node_name.as_deref().unwrap_or_default().is_empty()
        && spec.scheduling_gates.iter().flatten().next().is_none()
        && pod.metadata.deletion_timestamp.is_none()
        && ours
}

/// Does the node with `labels` satisfy the pod's node selector and its required node affinity?
pub(super) fn fits(pod: &Pod, labels: &BTreeMap<String, String>) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let mut selector = spec.node_selector.iter().flatten();
    let affinity = spec.affinity.as_ref();
    let required = affinity
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|node| {
            node.required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    selector.all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|one| {
            one.node_selector_terms
                .iter()
                .any(|term| holds(term, labels))
        })
}

/// A term without requirements matches nothing, as in Kubernetes.
fn holds(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>) -> bool {
    let name = labels.get(HOSTNAME);
    let mut expressions = term.match_expressions.iter().flatten().peekable();
    let mut fields = term.match_fields.iter().flatten().peekable();
    (expressions.peek().is_some() || fields.peek().is_some())
        && expressions.all(|one| is_met(one, labels.get(&one.key)))
        && fields.all(|one| is_met(one, name))
}

/// The one field that `matchFields` knows is the node's name, which is its hostname here.
const HOSTNAME: &str = "kubernetes.io/hostname";

fn is_met(requirement: &NodeSelectorRequirement, has: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: &String| text.parse::<i64>().ok();
    let (left, right) = (has.and_then(number), values.first().and_then(number));
    match requirement.operator.as_str() {
        "In" => has.is_some_and(|has| values.contains(has)),
        "NotIn" => has.is_none_or(|has| !values.contains(has)),
        "Exists" => has.is_some(),
        "DoesNotExist" => has.is_none(),
        "Gt" => left.zip(right).is_some_and(|(left, right)| left > right),
        "Lt" => left.zip(right).is_some_and(|(left, right)| left < right),
        _ => false,
    }
}

/// Says in the pod's conditions that no node fits, once.
pub(super) async fn turn_down(client: Client, pod: Pod, now: Timestamp) {
    let conditions = pod
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let mut known = conditions.filter(|one| one.type_ == "PodScheduled");
    if known.any(|one| one.status == "False") {
        return;
    }
    let condition = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
                .to_owned(),
        ),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    let pods: Api<Pod> = Api::namespaced(client, &pod.namespace().unwrap_or_default());
    // With its uid, so that a pod that has taken the name in the meantime is not touched.
    let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
    for _ in 0..ATTEMPTS {
        let wrote = pods
            .patch_status(
                &pod.name_any(),
                &PatchParams::default(),
                &Patch::Strategic(&patch),
            )
            .await;
        match wrote {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
            Err(error) => {
                tracing::warn!(pod = pod.name_any(), %error, "cannot say that no node fits a pod");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Binds `pod` to `node`.
pub(super) async fn bind(client: Client, pod: Pod, node: String) {
    let pods: Api<Pod> = Api::namespaced(client, &pod.namespace().unwrap_or_default());
    let name = pod.name_any();
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: pod.namespace(),
            uid: pod.uid(),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(node),
            ..ObjectReference::default()
        },
    };
    for _ in 0..ATTEMPTS {
        let bound: Result<serde_json::Value, kube::Error> = pods
            .create_subresource("binding", &name, &PostParams::default(), &binding)
            .await;
        match bound {
            Ok(_) => return,
            // Gone, or bound by somebody else.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
            Err(error) => tracing::warn!(pod = name, %error, "cannot bind a pod to the node"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_fits_where_its_selector_and_its_required_affinity_match() {
        let labels = BTreeMap::from([
            (HOSTNAME.to_owned(), "local".to_owned()),
            ("size".to_owned(), "3".to_owned()),
        ]);
        let affinity = |term: serde_json::Value| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": [{"key": "no", "operator": "Exists"}]}, term]}}}})
        };
        let expression = |operator: &str, values: serde_json::Value| {
            affinity(
                json!({"matchExpressions": [{"key": "size", "operator": operator, "values": values}]}),
            )
        };
        let named = |name: &str| {
            affinity(
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}),
            )
        };
        for (spec, wanted) in [
            (json!({}), true),
            (json!({"nodeSelector": {"size": "3"}}), true),
            (json!({"nodeSelector": {"size": "4"}}), false),
            (
                json!({"nodeSelector": {"size": "3", "none": "such"}}),
                false,
            ),
            (expression("In", json!(["2", "3"])), true),
            (expression("NotIn", json!(["3"])), false),
            (expression("Gt", json!(["2"])), true),
            (expression("Lt", json!(["2"])), false),
            (expression("DoesNotExist", json!([])), false),
            (affinity(json!({})), false),
            (named("local"), true),
            (named("other"), false),
        ] {
            let mut spec = spec;
            spec["containers"] = json!([]);
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(fits(&pod, &labels), wanted, "{spec}");
        }
    }
}
