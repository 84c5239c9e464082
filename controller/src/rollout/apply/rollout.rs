//! Writes to the Rollout itself. Of their answers only the version is read, so the rest is not
//! asked for.

use crds::Rollout;
use http::HeaderValue;
use http::header::ACCEPT;
use kube::api::{PartialObjectMeta, Patch, PatchParams};
use kube::core::Request;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::{ApplyError, Hands, failed};
use crate::client::Due;

/// An object without spec and status.
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

// === impl Hands ===

impl Hands<'_> {
    pub(super) async fn patch_rollout(&self, mut patch: Value) -> Result<(), ApplyError> {
        patch["metadata"]["resourceVersion"] = json!(self.version());
        let (name, rollouts) = (self.rollout.name_any(), self.rollouts());
        let patched = rollouts
            .patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        let patched = patched.map_err(failed("the Rollout", "patch the Rollout"))?;
        self.wrote(patched.resource_version());
        Ok(())
    }

    pub(super) async fn patch_status(&self, status: Value) -> Result<(), ApplyError> {
        let patch = json!({
            "metadata": {"resourceVersion": self.version()},
            "status": status,
        });
        let patched = self.send_status(&patch).await;
        let patched = patched.map_err(failed("the Rollout", "patch the Rollout's status"))?;
        self.wrote(patched.resource_version());
        Ok(())
    }

    /// With the time when the look was due, by which it is measured how long users wait for us.
    async fn send_status(&self, patch: &Value) -> Result<PartialObjectMeta<Rollout>, kube::Error> {
        let (name, parameters) = (self.rollout.name_any(), PatchParams::default());
        let path = Rollout::url_path(&(), Some(&self.namespace()));
        let request = Request::new(path);
        let request = request.patch_subresource("status", &name, &parameters, &Patch::Merge(patch));
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        request.headers_mut().insert(ACCEPT, METADATA_ONLY);
        if let Some(due) = self.due {
            request.extensions_mut().insert(Due(due));
        }
        self.client.request(request).await
    }
}
