//! What is done with AnalysisRuns.

use crds::AnalysisRun;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::{ApplyError, Hands, failed, gone_is_fine};
use crate::rollout::observe::is_controlled_by;

impl Hands<'_> {
    fn runs(&self) -> Api<AnalysisRun> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    pub(super) async fn create_run(&self, run: &AnalysisRun) -> Result<(), ApplyError> {
        let action = "create an AnalysisRun";
        match self.runs().create(&PostParams::default(), run).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                // Ours, which the caches have not seen yet, or somebody else's.
                let there = self.runs().get(&run.name_any()).await;
                let there = there.map_err(failed("an AnalysisRun", action))?;
                let ours = is_controlled_by(&there, self.rollout);
                ours.then_some(())
                    .ok_or(ApplyError::Conflict("an AnalysisRun"))
            }
            created => created.map(drop).map_err(failed("an AnalysisRun", action)),
        }
    }

    pub(super) async fn terminate_run(&self, name: &str) -> Result<(), ApplyError> {
        let patch = json!({"spec": {"terminate": true}});
        let patched = self
            .runs()
            .patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        gone_is_fine(patched.map(drop))
            .map_err(failed("an AnalysisRun", "terminate an AnalysisRun"))
    }

    pub(super) async fn fail_run(
        &self,
        name: &str,
        version: &str,
        message: &str,
    ) -> Result<(), ApplyError> {
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

    pub(super) async fn delete_run(&self, name: &str) -> Result<(), ApplyError> {
        let deleted = self.runs().delete(name, &DeleteParams::background()).await;
        gone_is_fine(deleted.map(drop)).map_err(failed("an AnalysisRun", "delete an AnalysisRun"))
    }
}
