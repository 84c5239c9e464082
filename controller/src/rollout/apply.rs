//! Apply: does what a plan says, in its order; the status last, but for new AnalysisRuns.
//!
//! Every write is a patch that carries the version that the plan was made from, or a creation under
//! a deterministic name. When somebody was faster, the rest of the plan is dropped: what it was made
//! from is no longer true. The next look makes a better one.

mod rollout;
mod runs;

use std::sync::{Mutex, PoisonError};

use crds::{PodTemplate, Rollout};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, EvictParams, Patch, PatchParams, PostParams,
    Preconditions,
};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::merge::difference;
use super::names;
use super::observe::{Claim, is_controlled_by};
use super::plan::{Action, NewReplicaSet, Plan, PodChange, ReplicaSetChange, Written};
use crate::clock::Clock;
use crate::traffic::{RolloutKey, Traffic};

/// Pods whose metadata is changed at the same time.
const PODS_AT_ONCE: usize = 10;

/// Why a plan was not carried out to its end.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// Somebody was faster, or the caches are behind: look again.
    #[error("{0} has changed meanwhile")]
    Conflict(&'static str),
    /// The API server refused, or could not be reached.
    #[error("cannot {action}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server took no ReplicaSet of that name.
    #[error("cannot create the ReplicaSet {name}")]
    NotCreated {
        /// Its name.
        name: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object cannot be written as JSON.
    #[error("cannot write a {0} as JSON")]
    Shape(&'static str, #[source] serde_json::Error),
}

/// Carries out plans.
pub(super) struct Hands<'a> {
    pub(super) client: &'a Client,
    pub(super) traffic: &'a dyn Traffic,
    pub(super) clock: Clock,
    pub(super) rollout: &'a Rollout,
    /// When the look was due that the plan was made for.
    due: Option<Timestamp>,
    /// The version of the Rollout after our last write to it.
    version: Mutex<Option<String>>,
}

// === impl Hands ===

impl<'a> Hands<'a> {
    pub(super) fn new(
        client: &'a Client,
        traffic: &'a dyn Traffic,
        (clock, due): (Clock, Option<Timestamp>),
        rollout: &'a Rollout,
    ) -> Self {
        Self {
            client,
            traffic,
            clock,
            rollout,
            due,
            version: Mutex::new(rollout.resource_version()),
        }
    }

    /// Does it all, and notes what is `written`. The version of the Rollout after the last write to
    /// it, or as it was.
    pub(super) async fn apply(
        &self,
        plan: &Plan,
        written: &mut Vec<Written>,
    ) -> Result<Option<String>, ApplyError> {
        let mut pods = Vec::new();
        let last = |action: &&Action| action.follows_status();
        for action in plan.actions.iter().filter(|action| !last(action)) {
            match action {
                Action::ChangePod(change) => pods.push(self.change_pod(change)),
                action => self.act(action).await?,
            }
            written.extend(action.written());
        }
        // A ReplicaSet may have thousands of them.
        let mut changes = stream::iter(pods).buffer_unordered(PODS_AT_ONCE);
        while let Some(changed) = changes.next().await {
            changed?;
        }
        if let Some(next) = &plan.status {
            let was = self.rollout.status.clone().unwrap_or_default();
            let json = |status| {
                serde_json::to_value(status).map_err(|error| ApplyError::Shape("status", error))
            };
            if let Some(patch) = difference(&json(&was)?, &json(next)?) {
                self.patch_status(patch).await?;
            }
        }
        for action in plan.actions.iter().filter(last) {
            self.act(action).await?;
        }
        Ok(self.version())
    }

    async fn act(&self, action: &Action) -> Result<(), ApplyError> {
        match action {
            Action::SetDefaultReplicas => {
                self.patch_rollout(json!({"spec": {"replicas": 1}})).await?;
            }
            Action::NumberRollout(revision) => {
                let annotations = json!({(names::REVISION): revision.to_string()});
                let patch = json!({"metadata": {"annotations": annotations}});
                self.patch_rollout(patch).await?;
            }
            Action::ObserveWorkload(generation) => {
                let annotations = json!({(names::WORKLOAD_GENERATION): generation.to_string()});
                let patch = json!({"metadata": {"annotations": annotations}});
                self.patch_rollout(patch).await?;
            }
            Action::ScaleWorkload {
                name,
                resource_version,
                replicas,
            } => {
                self.scale_workload(name, resource_version, *replicas)
                    .await?;
            }
            Action::CreateReplicaSet(set) => self.create_set(set).await?,
            Action::Claim(claim) => self.claim(claim).await?,
            Action::EvictPod(name) => self.evict(name).await?,
            Action::ForgetTraffic => self.traffic.forget(&self.key()),
            // Carried out together, after everything else.
            Action::ChangePod(_) => {}
            Action::SwitchService {
                service,
                resource_version,
                hash,
            } => {
                self.switch(service, resource_version, hash).await?;
            }
            Action::ResetFuse(revision) => self.traffic.reset_fuse(&self.key(), revision),
            Action::OrderTraffic { order, .. } => self.traffic.order(order.clone()),
            Action::CreateRun(run) => self.create_run(run).await?,
            Action::TerminateRun(name) => self.terminate_run(name).await?,
            Action::FailRun {
                name,
                resource_version,
                message,
            } => {
                self.fail_run(name, resource_version, message).await?;
            }
            Action::DeleteRun(name) => self.delete_run(name).await?,
            Action::ChangeReplicaSet(change) => self.change_set(change).await?,
            Action::DeleteReplicaSet { name, uid } => self.delete_set(name, uid).await?,
        }
        Ok(())
    }

    fn version(&self) -> Option<String> {
        let version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        version.clone()
    }

    fn wrote(&self, version: Option<String>) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
    }

    fn namespace(&self) -> String {
        self.rollout.namespace().unwrap_or_default()
    }

    fn key(&self) -> RolloutKey {
        RolloutKey {
            namespace: self.namespace(),
            name: self.rollout.name_any(),
        }
    }

    fn rollouts(&self) -> Api<Rollout> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    fn sets(&self) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    /// A taken name is either a cache that is behind, or somebody else's ReplicaSet: then the next
    /// try is made with another hash.
    async fn create_set(&self, set: &NewReplicaSet) -> Result<(), ApplyError> {
        let name = set.name.as_str();
        let kind = ApiResource::erase::<ReplicaSet>(&());
        let sets: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace(), &kind);
        let manifest: DynamicObject = serde_json::from_value(self.manifest(set))
            .map_err(|error| ApplyError::Shape("ReplicaSet", error))?;
        match sets.create(&PostParams::default(), &manifest).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(source) => {
                let (name, source) = (name.to_owned(), Box::new(source));
                return Err(ApplyError::NotCreated { name, source });
            }
        }
        let taken = sets
            .get(name)
            .await
            .map_err(failed("the ReplicaSet", "read a ReplicaSet"))?;
        let template = taken.data.pointer("/spec/template").cloned();
        let template = template.and_then(PodTemplate::from_value);
        let ours = is_controlled_by(&taken, self.rollout)
            && template.is_some_and(|template| template.same_as(&set.template));
        if !ours {
            let status = self.rollout.status.as_ref();
            let count = status.and_then(|status| status.collision_count);
            let count = count.unwrap_or_default();
            self.patch_status(json!({"collisionCount": count + 1}))
                .await?;
        }
        Err(ApplyError::Conflict("the ReplicaSet"))
    }

    /// The ReplicaSet as JSON: the template goes in as it was written, known to us or not.
    fn manifest(&self, set: &NewReplicaSet) -> Value {
        let spec = &self.rollout.spec;
        let (hash, revision) = (&set.hash, set.revision);
        let mut template = set.template.clone();
        template.set_label(names::POD_TEMPLATE_HASH_LABEL, hash);
        // What pods carry for a while is not the ReplicaSet's own.
        let mut labels = spec.template.clone().unwrap_or_default().labels();
        labels.insert(names::POD_TEMPLATE_HASH_LABEL.to_owned(), hash.to_owned());
        let mut selector = spec.selector.clone().unwrap_or_default();
        selector
            .match_labels
            .get_or_insert_default()
            .insert(names::POD_TEMPLATE_HASH_LABEL.to_owned(), hash.to_owned());
        let mut annotations = self.rollout.annotations().clone();
        annotations.retain(|key, _| !names::NOT_COPIED.contains(&key.as_str()));
        annotations.insert(names::REVISION.to_owned(), revision.to_string());
        annotations.insert(
            names::DESIRED_REPLICAS.to_owned(),
            spec.replicas.unwrap_or(1).to_string(),
        );
        if let Some(ephemeral) = &set.ephemeral {
            annotations.insert(names::EPHEMERAL_METADATA.to_owned(), ephemeral.clone());
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": set.name,
                "namespace": self.namespace(),
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [self.rollout.controller_owner_ref(&())],
            },
            "spec": {
                "replicas": 0,
                "minReadySeconds": spec.min_ready_seconds.unwrap_or_default(),
                "selector": selector,
                "template": template,
            },
        })
    }

    async fn switch(&self, name: &str, version: &str, hash: &str) -> Result<(), ApplyError> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace());
        let patch = json!({
            "metadata": {
                "resourceVersion": version,
                "annotations": {(names::MANAGED_BY): self.rollout.name_any()},
            },
            "spec": {"selector": {(names::POD_TEMPLATE_HASH_LABEL): hash}},
        });
        let patched = services
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        patched
            .map(drop)
            .map_err(failed("a Service", "switch a Service"))
    }

    async fn change_set(&self, change: &ReplicaSetChange) -> Result<(), ApplyError> {
        let annotations: Map<String, Value> = change
            .annotations
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let mut patch = json!({
            "metadata": {"resourceVersion": change.resource_version, "annotations": annotations},
        });
        if let Some(replicas) = change.replicas {
            patch["spec"]["replicas"] = json!(replicas);
        }
        if let Some(template) = &change.template {
            patch["spec"]["template"] = template.clone();
        }
        if let Some(seconds) = change.min_ready_seconds {
            patch["spec"]["minReadySeconds"] = json!(seconds);
        }
        let patched = self
            .sets()
            .patch_metadata(&change.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        patched
            .map(drop)
            .map_err(failed("a ReplicaSet", "change a ReplicaSet"))
    }

    async fn scale_workload(&self, name: &str, version: &str, to: i32) -> Result<(), ApplyError> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace());
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"replicas": to}});
        let patched = deployments
            .patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        patched.map(drop).map_err(failed(
            "the Deployment",
            "scale the Deployment of workloadRef",
        ))
    }

    async fn claim(&self, claim: &Claim) -> Result<(), ApplyError> {
        let patch = json!({
            "metadata": {
                "resourceVersion": claim.resource_version,
                "ownerReferences": claim.owners,
            },
        });
        let patched = self
            .sets()
            .patch_metadata(&claim.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        patched
            .map(drop)
            .map_err(failed("a ReplicaSet", "change the owner of a ReplicaSet"))
    }

    async fn change_pod(&self, change: &PodChange) -> Result<(), ApplyError> {
        let mut metadata = change.metadata.clone();
        metadata["resourceVersion"] = json!(change.resource_version);
        let patch = json!({"metadata": metadata});
        let patched = self
            .pods()
            .patch_metadata(&change.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        gone_is_fine(patched.map(drop)).map_err(failed("a Pod", "change the metadata of a Pod"))
    }

    async fn evict(&self, name: &str) -> Result<(), ApplyError> {
        match self.pods().evict(name, &EvictParams::default()).await {
            // A PodDisruptionBudget holds it for now.
            Err(kube::Error::Api(status)) if status.code == 429 => {
                tracing::debug!(name, "a PodDisruptionBudget holds a Pod");
                Ok(())
            }
            other => gone_is_fine(other.map(drop)).map_err(failed("a Pod", "evict a Pod")),
        }
    }

    async fn delete_set(&self, name: &str, uid: &str) -> Result<(), ApplyError> {
        let only = Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        };
        let deleted = self
            .sets()
            .delete(name, &DeleteParams::background().preconditions(only))
            .await;
        gone_is_fine(deleted.map(drop)).map_err(failed("a ReplicaSet", "delete a ReplicaSet"))
    }
}

/// Takes a Service out of a Rollout's management: its selector selects every revision again.
pub(super) async fn release_service(client: &Client, service: &Service) -> Result<(), ApplyError> {
    let namespace = service.namespace().unwrap_or_default();
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({
        "metadata": {
            "resourceVersion": service.resource_version(),
            "annotations": {(names::MANAGED_BY): null},
        },
        "spec": {"selector": {(names::POD_TEMPLATE_HASH_LABEL): null}},
    });
    let patched = services
        .patch(
            &service.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await;
    gone_is_fine(patched.map(drop)).map_err(failed("a Service", "release a Service"))
}

fn gone_is_fine(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other,
    }
}

fn failed(what: &'static str, action: &'static str) -> impl FnOnce(kube::Error) -> ApplyError {
    move |error| match error {
        kube::Error::Api(status)
            if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
        {
            ApplyError::Conflict(what)
        }
        error => ApplyError::Api {
            action,
            source: Box::new(error),
        },
    }
}
