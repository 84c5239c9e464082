//! Apply: does what a plan says, in its order, the status last.
//!
//! Every write is a patch that carries the version that the plan was made from, or a creation under
//! a deterministic name. When somebody was faster, the rest of the plan is dropped: what it was made
//! from is no longer true. The next look makes a better one.

use crds::{AnalysisRun, Rollout};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Service;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::names;
use super::observe::is_controlled_by;
use super::plan::{Action, Plan, ReplicaSetChange};
use crate::clock::Clock;
use crate::traffic::{RolloutKey, Traffic};

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
}

// === impl Hands ===

impl Hands<'_> {
    /// Does it all. The version of the Rollout after the last write to it, if there was one.
    pub(super) async fn apply(&self, plan: &Plan) -> Result<Option<String>, ApplyError> {
        let mut version = None;
        for action in &plan.actions {
            if let Some(written) = self.act(action).await? {
                version = Some(written);
            }
        }
        let Some(next) = &plan.status else {
            return Ok(version);
        };
        let was = self.rollout.status.clone().unwrap_or_default();
        let json = |status| {
            serde_json::to_value(status).map_err(|error| ApplyError::Shape("status", error))
        };
        let patch = difference(&json(&was)?, &json(next)?);
        match patch {
            Some(patch) => self.patch_status(patch).await.map(Some),
            None => Ok(version),
        }
    }

    async fn act(&self, action: &Action) -> Result<Option<String>, ApplyError> {
        match action {
            Action::SetDefaultReplicas => {
                return self
                    .patch_rollout(json!({"spec": {"replicas": 1}}))
                    .await
                    .map(Some);
            }
            Action::NumberRollout(revision) => {
                let annotations = json!({(names::REVISION): revision.to_string()});
                let patch = json!({"metadata": {"annotations": annotations}});
                return self.patch_rollout(patch).await.map(Some);
            }
            Action::ObserveWorkload(generation) => {
                let annotations = json!({(names::WORKLOAD_GENERATION): generation.to_string()});
                let patch = json!({"metadata": {"annotations": annotations}});
                return self.patch_rollout(patch).await.map(Some);
            }
            Action::ScaleWorkload {
                name,
                resource_version,
                replicas,
            } => {
                self.scale_workload(name, resource_version, *replicas)
                    .await?;
            }
            Action::CreateReplicaSet {
                name,
                hash,
                revision,
            } => self.create_set(name, hash, *revision).await?,
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
        Ok(None)
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

    fn runs(&self) -> Api<AnalysisRun> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    fn sets(&self) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    async fn patch_rollout(&self, mut patch: Value) -> Result<String, ApplyError> {
        patch["metadata"]["resourceVersion"] = json!(self.rollout.resource_version());
        let (name, rollouts) = (self.rollout.name_any(), self.rollouts());
        let patched = rollouts
            .patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        let patched = patched.map_err(failed("the Rollout", "patch the Rollout"))?;
        Ok(patched.resource_version().unwrap_or_default())
    }

    async fn patch_status(&self, status: Value) -> Result<String, ApplyError> {
        let patch = json!({
            "metadata": {"resourceVersion": self.rollout.resource_version()},
            "status": status,
        });
        let (name, rollouts) = (self.rollout.name_any(), self.rollouts());
        let patched = rollouts
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        let patched = patched.map_err(failed("the Rollout", "patch the Rollout's status"))?;
        Ok(patched.resource_version().unwrap_or_default())
    }

    /// A taken name is either a cache that is behind, or somebody else's ReplicaSet: then the next
    /// try is made with another hash.
    async fn create_set(&self, name: &str, hash: &str, revision: i64) -> Result<(), ApplyError> {
        let kind = ApiResource::erase::<ReplicaSet>(&());
        let sets: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace(), &kind);
        let set: DynamicObject = serde_json::from_value(self.manifest(name, hash, revision))
            .map_err(|error| ApplyError::Shape("ReplicaSet", error))?;
        match sets.create(&PostParams::default(), &set).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            other => {
                return other
                    .map(drop)
                    .map_err(failed("the ReplicaSet", "create a ReplicaSet"));
            }
        }
        let taken = sets
            .get(name)
            .await
            .map_err(failed("the ReplicaSet", "read a ReplicaSet"))?;
        if !is_controlled_by(&taken, self.rollout) {
            let count = self
                .rollout
                .status
                .as_ref()
                .and_then(|status| status.collision_count)
                .unwrap_or_default();
            self.patch_status(json!({"collisionCount": count + 1}))
                .await?;
        }
        Err(ApplyError::Conflict("the ReplicaSet"))
    }

    /// The ReplicaSet as JSON: the template goes in as it was written, known to us or not.
    fn manifest(&self, name: &str, hash: &str, revision: i64) -> Value {
        let spec = &self.rollout.spec;
        let mut template = spec.template.clone().unwrap_or_default();
        template.set_label(names::POD_TEMPLATE_HASH_LABEL, hash);
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
        json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": self.namespace(),
                "labels": template.labels(),
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

    async fn create_run(&self, run: &AnalysisRun) -> Result<(), ApplyError> {
        let created = self.runs().create(&PostParams::default(), run).await;
        created
            .map(drop)
            .map_err(failed("an AnalysisRun", "create an AnalysisRun"))
    }

    async fn terminate_run(&self, name: &str) -> Result<(), ApplyError> {
        let patch = json!({"spec": {"terminate": true}});
        let patched = self
            .runs()
            .patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        gone_is_fine(patched.map(drop))
            .map_err(failed("an AnalysisRun", "terminate an AnalysisRun"))
    }

    async fn fail_run(&self, name: &str, version: &str, message: &str) -> Result<(), ApplyError> {
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.clock.now());
        let patch = json!({
            "metadata": {"resourceVersion": version},
            "status": {"phase": "Failed", "message": message, "completedAt": now},
        });
        let patched = self
            .runs()
            .patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        match patched {
            // The run itself was faster. It is stopped with the next look, and nothing that
            // protects users may wait for it.
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
            other => gone_is_fine(other.map(drop))
                .map_err(failed("an AnalysisRun", "fail an AnalysisRun")),
        }
    }

    async fn delete_run(&self, name: &str) -> Result<(), ApplyError> {
        let deleted = self.runs().delete(name, &DeleteParams::background()).await;
        gone_is_fine(deleted.map(drop)).map_err(failed("an AnalysisRun", "delete an AnalysisRun"))
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

/// The merge patch from one document to another; `None` where they are the same.
pub(super) fn difference(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        let change = match old.get(key) {
            Some(before) => difference(before, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_holds_what_changed_and_nothing_else() {
        let table = [
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1}), json!({"a": 2}), Some(json!({"a": 2}))),
            (
                json!({"a": 1, "b": 2}),
                json!({"b": 2}),
                Some(json!({"a": null})),
            ),
            (
                json!({"a": {"x": 1, "y": 2}}),
                json!({"a": {"x": 1, "y": 3}}),
                Some(json!({"a": {"y": 3}})),
            ),
            (
                json!({"a": [1, 2]}),
                json!({"a": [1, 3]}),
                Some(json!({"a": [1, 3]})),
            ),
            (
                json!({}),
                json!({"a": {"b": 1}}),
                Some(json!({"a": {"b": 1}})),
            ),
        ];
        for (from, to, expected) in table {
            assert_eq!(difference(&from, &to), expected, "{from} to {to}");
        }
    }
}
