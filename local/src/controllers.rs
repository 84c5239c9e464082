//! What a kube-controller-manager would do for the kinds that Sluice needs: Deployments become
//! ReplicaSets ([`deployment`]), ReplicaSets become Pods ([`replicaset`]), Pods become
//! EndpointSlices ([`endpointslice`]), Jobs become Pods ([`job`]). PodDisruptionBudgets are counted
//! ([`disruption`]), HorizontalPodAutoscalers hold their targets within bounds ([`autoscaler`]). All
//! are called by [`drive`].
//!
//! All of them have one shape. Something changed, so *look* (read the object and what it owns, from
//! the API and not from a cache, so that nothing is created twice), *plan* (a pure function of what
//! was seen and the time), *act* (create, delete, and write status only if it differs). A conflict
//! means that somebody was faster, and is a reason to look again. Nothing is written periodically:
//! where only time can change the answer, the plan says when to look next.
//!
//! They are plain clients of the Kubernetes API and know nothing of the server in this crate.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use k8s_openapi::{
    api::core::v1::{Pod, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, PostParams, Preconditions},
};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

mod drive;

pub mod autoscaler;
pub mod deployment;
pub mod disruption;
pub mod endpointslice;
pub mod job;
pub mod pods;
pub mod replicaset;

/// How many random characters end a generated name, as Kubernetes has it.
const SUFFIX: usize = 5;
/// The characters of generated names: no vowels and nothing that looks like another, as Kubernetes
/// has it, so that no name is a word.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Kubernetes shortens the base of a generated name so that the whole fits into 63 characters.
const LONGEST_BASE: usize = 63 - 1 - SUFFIX;

/// Why a look at an object did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server refused or could not be reached.
    #[error("cannot {action}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What the server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The object cannot be acted on.
    #[error("{0}")]
    Invalid(String),
}

/// What every controller is given.
pub(crate) struct Context {
    client: Client,
    clock: Clock,
    random: Mutex<fastrand::Rng>,
}

/// Runs all controllers until `stop`.
pub async fn run_all(client: Client, clock: Clock, stop: CancellationToken) {
    tokio::join!(
        deployment::run(client.clone(), clock, stop.clone()),
        autoscaler::run(client.clone(), clock, stop.clone()),
        disruption::run(client.clone(), clock, stop.clone()),
        replicaset::run(client.clone(), clock, stop.clone()),
        endpointslice::run(client.clone(), clock, stop.clone()),
        job::run(client, clock, stop),
    );
}

// === impl Context ===

impl Context {
    fn new(client: Client, clock: Clock) -> Arc<Self> {
        // Under a fixed clock the names are the same in every run.
        let seed = clock.now().as_nanosecond() as u64;
        Arc::new(Self {
            client,
            clock,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        })
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// `base-xxxxx`.
    fn name(&self, base: &str) -> String {
        let mut random = self
            .random
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let suffix: String = (0..SUFFIX)
            .map(|_| char::from(ALPHABET[random.usize(..ALPHABET.len())]))
            .collect();
        let base: String = base.chars().take(LONGEST_BASE).collect();
        format!("{base}-{suffix}")
    }

    /// Creates a pod from `template`, owned by `owner`.
    async fn create_pod(
        &self,
        owner: OwnerReference,
        template: &PodTemplateSpec,
        place: (&str, &str),
    ) -> Result<(), ReconcileError> {
        let (namespace, base) = place;
        let meta = template.metadata.clone().unwrap_or_default();
        let pod = Pod {
            metadata: ObjectMeta {
                name: Some(self.name(base)),
                namespace: Some(namespace.to_owned()),
                generate_name: Some(format!("{base}-")),
                owner_references: Some(vec![owner]),
                labels: meta.labels,
                annotations: meta.annotations,
                finalizers: meta.finalizers,
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        };
        let api: Api<Pod> = self.api(namespace);
        api.create(&PostParams::default(), &pod)
            .await
            .map_err(failed("create a pod"))?;
        Ok(())
    }

    /// Deletes a pod, unless another one has taken its name.
    async fn delete_pod(&self, pod: &Pod) -> Result<(), ReconcileError> {
        let api: Api<Pod> = self.api(&pod.namespace().unwrap_or_default());
        let only = Preconditions {
            uid: pod.uid(),
            resource_version: None,
        };
        let params = DeleteParams::background().preconditions(only);
        match api.delete(&pod.name_any(), &params).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(failed("delete a pod")(error)),
            Ok(_) => Ok(()),
        }
    }
}

fn failed(action: &'static str) -> impl FnOnce(kube::Error) -> ReconcileError {
    move |source| ReconcileError::Api {
        action,
        source: Box::new(source),
    }
}

/// The reference that makes `owner` the controller of what it creates.
fn controlled_by<K: Resource<DynamicType = ()>>(
    owner: &K,
) -> Result<OwnerReference, ReconcileError> {
    owner
        .controller_owner_ref(&())
        .ok_or_else(|| ReconcileError::Invalid("the object has no name or no uid yet".to_owned()))
}

/// Labels of both, `extra` winning.
fn merged(
    labels: Option<&BTreeMap<String, String>>,
    extra: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = labels.cloned().unwrap_or_default();
    all.extend(extra);
    all
}

// === impl ReconcileError ===

impl ReconcileError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. }
            if matches!(&**source, kube::Error::Api(status) if status.code == 409))
    }
}
