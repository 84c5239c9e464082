//! A scheduler for a cluster of one node: every pod without a node is bound to it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};

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
