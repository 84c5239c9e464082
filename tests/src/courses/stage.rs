//! A namespace of some cluster, with some controller: where a scenario is played.

use std::sync::Arc;
use std::time::Duration;

use controller::clock::Clock;
use futures::future::BoxFuture;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::answers::Answers;
use super::recorder::{Recorder, resource};

/// How often a write is tried that met another one.
const ATTEMPTS: u32 = 20;
/// How long until it is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Kills the controller and starts it again.
pub type Restart = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Every event of a namespace, where a controller tells more than arrive: client-go drops an
/// object's events beyond 25 in some minutes.
pub type Events = Arc<dyn Fn() -> Vec<Value> + Send + Sync>;

/// Where a scenario is played.
#[derive(Clone)]
pub struct Stage {
    /// A way to the cluster.
    pub client: Client,
    /// The namespace, which is there and empty.
    pub namespace: String,
    /// What watches the cluster.
    pub recorder: Arc<Recorder>,
    /// What analyses measure.
    pub answers: Arc<Answers>,
    /// Where they find it, up to and with the namespace.
    pub answers_at: String,
    /// The time.
    pub clock: Clock,
    /// Kills the controller.
    pub restart: Restart,
    /// The events, where those that arrive are not all.
    pub events: Option<Events>,
    /// How long anything may take that has no limit of its own.
    pub patience: Duration,
}

// === impl Stage ===

impl Stage {
    /// The objects of a kind.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = resource(kind);
        if kind.starts_with("Cluster") {
            return Api::all_with(self.client.clone(), &resource);
        }
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Makes an object, or replaces the whole of one.
    pub async fn apply(&self, object: &Value) -> Result<(), kube::Error> {
        let kind = object["kind"].as_str().unwrap_or_default();
        let mut object: DynamicObject =
            serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        if !kind.starts_with("Cluster") {
            object.metadata.namespace = Some(self.namespace.clone());
        }
        let api = self.api(kind);
        let name = object.metadata.name.clone().unwrap_or_default();
        let Some(now) = api.get_opt(&name).await? else {
            api.create(&PostParams::default(), &object).await?;
            return Ok(());
        };
        object.metadata.resource_version = now.metadata.resource_version;
        api.replace(&name, &PostParams::default(), &object).await?;
        Ok(())
    }

    /// An object as it is.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Value, kube::Error> {
        let object = self.api(kind).get(name).await?;
        serde_json::to_value(object).map_err(kube::Error::SerdeError)
    }

    /// All objects of a kind.
    pub async fn list(&self, kind: &str) -> Result<Vec<Value>, kube::Error> {
        let list = self.api(kind).list(&ListParams::default()).await?;
        let values = list.items.into_iter().map(serde_json::to_value);
        values
            .collect::<Result<_, _>>()
            .map_err(kube::Error::SerdeError)
    }

    /// A merge patch.
    pub async fn patch(&self, kind: &str, name: &str, patch: &Value) -> Result<(), kube::Error> {
        self.write((kind, name, ""), &Patch::Merge(patch.clone()))
            .await
    }

    /// A merge patch of the Rollout's status.
    pub async fn patch_status(&self, status: &Value) -> Result<(), kube::Error> {
        let patch = Patch::Merge(json!({ "status": status }));
        self.write(("Rollout", "web", "status"), &patch).await
    }

    /// A JSON patch.
    pub async fn edit(&self, kind: &str, name: &str, patch: &Value) -> Result<(), kube::Error> {
        let patch = serde_json::from_value(patch.clone()).map_err(kube::Error::SerdeError)?;
        self.write((kind, name, ""), &Patch::Json(patch)).await
    }

    /// Another number of replicas.
    pub async fn scale(&self, replicas: i32) -> Result<(), kube::Error> {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.write(("Rollout", "web", "scale"), &patch).await
    }

    /// Patches carry no version, and yet a server may say that they met another write too often.
    async fn write(
        &self,
        (kind, name, subresource): (&str, &str, &str),
        patch: &Patch<Value>,
    ) -> Result<(), kube::Error> {
        let (api, params) = (self.api(kind), PatchParams::default());
        let mut tried = 0;
        loop {
            let written = match subresource {
                "" => api.patch(name, &params, patch).await.map(drop),
                part => api
                    .patch_subresource(part, name, &params, patch)
                    .await
                    .map(drop),
            };
            tried += 1;
            match written {
                Err(kube::Error::Api(status)) if status.code == 409 && tried < ATTEMPTS => {
                    sleep(RETRY).await;
                }
                done => return done,
            }
        }
    }

    /// The end of an object.
    pub async fn delete(&self, kind: &str, name: &str) -> Result<(), kube::Error> {
        let deleted = self.api(kind).delete(name, &DeleteParams::default()).await;
        deleted.map(drop)
    }
}
