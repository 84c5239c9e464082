//! Which pods run a revision, and where.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crds::Rollout;
use crds::pod_template::POD_TEMPLATE_HASH_LABEL;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

/// Pods that may serve, by namespace and pod-template hash.
#[derive(Debug, Default)]
pub(super) struct Pods<'a>(BTreeMap<(String, &'a str), Vec<&'a Pod>>);

// === impl Pods ===

impl<'a> Pods<'a> {
    /// Those that are ready and not on their way out: a terminating pod leaves at once, not when it
    /// stops answering.
    pub(super) fn of(pods: &'a [Arc<Pod>]) -> Self {
        let mut by_hash = BTreeMap::<_, Vec<&Pod>>::new();
        for pod in pods.iter().filter(|pod| is_serving(pod)) {
            if let Some(hash) = pod.labels().get(POD_TEMPLATE_HASH_LABEL) {
                let key = (pod.namespace().unwrap_or_default(), hash.as_str());
                by_hash.entry(key).or_default().push(pod);
            }
        }
        Self(by_hash)
    }

    /// The endpoints of a Rollout's revision. Which Service lists them does not matter: selectors
    /// lag, and two Services may select the same pods.
    pub(super) fn endpoints(
        &self,
        rollout: &Rollout,
        hash: &str,
        port: &IntOrString,
    ) -> Vec<String> {
        let key = (rollout.namespace().unwrap_or_default(), hash);
        let pods = self.0.get(&key).into_iter().flatten();
        // Two Rollouts with the same template have the same hash.
        let ours = pods.filter(|pod| is_of(pod, rollout, hash));
        let mut endpoints: Vec<_> = ours.filter_map(|pod| address(pod, port)).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        endpoints.iter().map(ToString::to_string).collect()
    }
}

fn is_serving(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    let ready = conditions
        .unwrap_or_default()
        .iter()
        .any(|it| it.type_ == "Ready" && it.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

fn is_of(pod: &Pod, rollout: &Rollout, hash: &str) -> bool {
    if let Some(selector) = &rollout.spec.selector {
        return matches(selector, pod);
    }
    let set = crate::rollout::names::replica_set(&rollout.name_any(), hash);
    let mut owners = pod.owner_references().iter();
    owners.any(|owner| owner.kind == "ReplicaSet" && owner.name == set)
}

/// A selector that cannot be parsed selects nothing.
fn matches(selector: &LabelSelector, pod: &Pod) -> bool {
    use kube::core::{Selector, SelectorExt as _};
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(pod.labels()))
}

/// A named port may be another one in each pod.
fn address(pod: &Pod, port: &IntOrString) -> Option<SocketAddr> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let containers = pod.spec.as_ref()?.containers.iter();
            let mut ports =
                containers.flat_map(|container| container.ports.as_deref().unwrap_or_default());
            ports
                .find(|port| port.name.as_deref() == Some(name))?
                .container_port
        }
    };
    Some(SocketAddr::new(ip, u16::try_from(number).ok()?))
}
