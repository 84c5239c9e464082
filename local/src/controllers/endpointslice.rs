//! EndpointSlices: the addresses of the pods that a Service selects.
//!
//! A Service has one slice per distinct set of port numbers: pods may give the same port name to
//! different numbers, and a slice has one list of ports for all its endpoints. Usually that is one
//! slice; a Service that selects nothing keeps one empty slice. Every pod with an address is listed
//! until it is gone: what it is good for stands in its conditions (`ready`, `serving`,
//! `terminating`), as KEP-1672 has it. Services without a selector are somebody else's.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::{
    api::{
        core::v1::{ObjectReference, Pod, Service, ServicePort},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use tokio_util::sync::CancellationToken;

use super::{
    Context, ReconcileError, controlled_by,
    drive::{Controller, Key, Known, Looked, key_of},
    failed,
    pods::{is_finished, is_ready, is_terminating},
};
use crate::clock::Clock;

#[cfg(test)]
mod tests;

/// The label that names a slice's Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that tells whose slices these are, so that hand-made ones are left alone.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The value that Kubernetes' own controller uses.
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// The label of slices of headless Services.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// The most endpoints that the API allows in a slice. A local Service with more is cut.
const MAX_ENDPOINTS: usize = 1000;

/// What one look decides.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Contents of new slices, to be named.
    pub create: Vec<EndpointSlice>,
    /// Existing slices with their new contents.
    pub update: Vec<EndpointSlice>,
    /// Names of slices that nothing is left for.
    pub delete: Vec<String>,
}

/// Runs the controller until `stop`.
pub async fn run(client: Client, clock: Clock, stop: CancellationToken) {
    let context = Context::new(client.clone(), clock);
    let services = Api::<Service>::all(client.clone());
    let controller = Controller::new(services);
    let known = controller.known();
    controller
        .owns(Api::<EndpointSlice>::all(client.clone()))
        .watches(Api::<Pod>::all(client), move |pod| beside(pod, &known))
        .run(reconcile, context, stop)
        .await;
}

/// The Services that a change of `pod` may concern: all of its namespace that select, because the
/// labels that it had before the change are not known.
fn beside(pod: &Pod, known: &Known<Service>) -> Vec<Key> {
    known
        .all()
        .iter()
        .filter(|service| service.namespace() == pod.namespace() && selector(service).is_some())
        .map(|service| key_of(&**service))
        .collect()
}

async fn reconcile(seen: Arc<Service>, context: Arc<Context>) -> Looked {
    let namespace = seen.namespace().unwrap_or_default();
    let services: Api<Service> = context.api(&namespace);
    let service = services
        .get_opt(&seen.name_any())
        .await
        .map_err(failed("read the Service"))?;
    let Some(service) = service.filter(|service| service.metadata.deletion_timestamp.is_none())
    else {
        return Ok(None);
    };
    let Some(selector) = selector(&service) else {
        return Ok(None);
    };
    let query: Vec<String> = selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let pods: Api<Pod> = context.api(&namespace);
    let pods = pods
        .list(&ListParams::default().labels(&query.join(",")))
        .await;
    let pods = pods.map_err(failed("list pods"))?.items;
    let slices: Api<EndpointSlice> = context.api(&namespace);
    let ours = format!(
        "{SERVICE_NAME}={},{MANAGED_BY}={MANAGER}",
        service.name_any()
    );
    let existing = slices.list(&ListParams::default().labels(&ours)).await;
    let existing = existing.map_err(failed("list EndpointSlices"))?.items;
    act(
        &slices,
        plan(&service, &pods, &existing),
        &service,
        &context,
    )
    .await?;
    Ok(None)
}

async fn act(
    slices: &Api<EndpointSlice>,
    plan: Plan,
    service: &Service,
    context: &Context,
) -> Result<(), ReconcileError> {
    let params = PostParams::default();
    for slice in &plan.update {
        let replaced = slices.replace(&slice.name_any(), &params, slice).await;
        replaced.map_err(failed("update an EndpointSlice"))?;
    }
    for mut slice in plan.create {
        slice.metadata.name = Some(context.name(&service.name_any()));
        slice.metadata.owner_references = Some(vec![controlled_by(service)?]);
        slices
            .create(&params, &slice)
            .await
            .map_err(failed("create an EndpointSlice"))?;
    }
    for name in plan.delete {
        match slices.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(failed("delete an EndpointSlice")(error)),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Decides what the slices of a Service should be, from the pods that it selects.
pub fn plan(service: &Service, pods: &[Pod], existing: &[EndpointSlice]) -> Plan {
    let mut wanted = wanted(service, pods);
    let mut plan = Plan::default();
    let mut spare = Vec::new();
    for slice in existing {
        match wanted.iter().position(|new| new.ports == slice.ports) {
            Some(at) => plan.update.extend(renewed(slice, wanted.swap_remove(at))),
            None => spare.push(slice),
        }
    }
    // A slice whose ports nobody has any more is given to those that have none.
    let mut spare = spare.into_iter();
    for new in wanted {
        match spare.next() {
            Some(slice) => plan.update.extend(renewed(slice, new)),
            None => plan.create.push(new),
        }
    }
    plan.delete = spare.map(kube::ResourceExt::name_any).collect();
    plan
}

/// `slice` with the contents of `new`, if that changes anything.
fn renewed(slice: &EndpointSlice, new: EndpointSlice) -> Option<EndpointSlice> {
    let labels = super::merged(
        slice.metadata.labels.as_ref(),
        new.metadata.labels.clone().unwrap_or_default(),
    );
    let renewed = EndpointSlice {
        metadata: ObjectMeta {
            labels: Some(labels),
            ..slice.metadata.clone()
        },
        ..new
    };
    (renewed != *slice).then_some(renewed)
}

fn wanted(service: &Service, pods: &[Pod]) -> Vec<EndpointSlice> {
    let spec = service.spec.clone().unwrap_or_default();
    let publish = spec.publish_not_ready_addresses.unwrap_or(false);
    let ports = spec.ports.unwrap_or_default();
    let mut groups: Vec<(Vec<EndpointPort>, Vec<Endpoint>)> = Vec::new();
    let mut pods: Vec<&Pod> = pods.iter().filter(|pod| !is_finished(pod)).collect();
    pods.sort_by_key(|pod| (pod.creation_timestamp(), pod.name_any()));
    for pod in pods {
        let Some(endpoint) = endpoint(pod, publish) else {
            continue;
        };
        let numbers: Vec<EndpointPort> = ports
            .iter()
            .filter_map(|port| resolved(port, pod))
            .collect();
        match groups.iter_mut().find(|(known, _)| *known == numbers) {
            Some((_, endpoints)) if endpoints.len() >= MAX_ENDPOINTS => {}
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => groups.push((numbers, vec![endpoint])),
        }
    }
    if groups.is_empty() {
        groups.push((Vec::new(), Vec::new()));
    }
    groups
        .into_iter()
        .map(|group| slice(service, group))
        .collect()
}

fn slice(
    service: &Service,
    (ports, endpoints): (Vec<EndpointPort>, Vec<Endpoint>),
) -> EndpointSlice {
    let mut labels = service.labels().clone();
    labels.insert(SERVICE_NAME.to_owned(), service.name_any());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let cluster_ip = service
        .spec
        .as_ref()
        .and_then(|spec| spec.cluster_ip.as_deref());
    if cluster_ip == Some("None") {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    EndpointSlice {
        address_type: "IPv4".to_owned(),
        endpoints,
        metadata: ObjectMeta {
            namespace: service.namespace(),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ports: (!ports.is_empty()).then_some(ports),
    }
}

fn endpoint(pod: &Pod, publish_not_ready: bool) -> Option<Endpoint> {
    let address = pod
        .status
        .as_ref()?
        .pod_ip
        .clone()
        .filter(|ip| !ip.is_empty())?;
    let serving = is_ready(pod);
    let terminating = is_terminating(pod);
    Some(Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(publish_not_ready || serving && !terminating),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        node_name: pod.spec.as_ref()?.node_name.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
}

/// The number that a Service's port has in `pod`; none if it names a port that the pod lacks.
fn resolved(port: &ServicePort, pod: &Pod) -> Option<EndpointPort> {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let number = match &port.target_port {
        None | Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => *named_ports(pod).get(&(name.as_str(), &*protocol))?,
    };
    Some(EndpointPort {
        app_protocol: port.app_protocol.clone(),
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(number),
        protocol: Some(protocol),
    })
}

fn named_ports(pod: &Pod) -> HashMap<(&str, &str), i32> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            Some(((port.name.as_deref()?, protocol), port.container_port))
        })
        .collect()
}

fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    service
        .spec
        .as_ref()?
        .selector
        .as_ref()
        .filter(|selector| !selector.is_empty())
}
