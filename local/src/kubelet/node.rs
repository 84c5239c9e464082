//! The node that this kubelet is: registered once, Ready from then on. There are no heartbeats,
//! as nothing evicts pods from a node that is silent.

use std::{collections::BTreeMap, net::Ipv4Addr};

use k8s_openapi::{
    api::core::v1::{
        Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::Time},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::clock::Clock;

/// How many pods the node says it takes.
const PODS: usize = 250;

/// Makes the node exist and be Ready.
pub(super) async fn register(
    client: Client,
    clock: Clock,
    name: &str,
    host_ip: Ipv4Addr,
) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(client);
    match nodes.create(&PostParams::default(), &node(name)).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        other => drop(other?),
    }
    let patch = json!({"status": status(clock, name, host_ip)});
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
}

/// What node selectors can ask of the node called `name`.
pub(super) fn labels(name: &str) -> BTreeMap<String, String> {
    let labels = [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", std::env::consts::OS),
        ("kubernetes.io/arch", architecture()),
    ];
    labels
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn node(name: &str) -> Node {
    Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels(name)),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec::default()),
        status: None,
    }
}

fn status(clock: Clock, name: &str, host_ip: Ipv4Addr) -> NodeStatus {
    let address = |kind: &str, address: String| NodeAddress {
        type_: kind.to_owned(),
        address,
    };
    let capacity = BTreeMap::from([("pods".to_owned(), Quantity(PODS.to_string()))]);
    let now = Time(clock.now());
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", host_ip.to_string()),
            address("Hostname", name.to_owned()),
        ]),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(vec![NodeCondition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: Some("KubeletReady".to_owned()),
            message: Some("pods run as local processes".to_owned()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: Some(now),
        }]),
        daemon_endpoints: Some(NodeDaemonEndpoints::default()),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().to_owned(),
            operating_system: std::env::consts::OS.to_owned(),
            kubelet_version: concat!("sluice-", env!("CARGO_PKG_VERSION")).to_owned(),
            container_runtime_version: "process://1".to_owned(),
            os_image: "this machine".to_owned(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

/// The name that Go, and so Kubernetes, has for it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
