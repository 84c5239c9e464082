//! Job: a Kubernetes Job whose end is the measurement.
//!
//! The Job's spec is passed on as it was written. Its name is made of the run, the metric and the
//! number of the measurement, so that a Job that was created just before the process died is found
//! again and not made twice.

use std::collections::BTreeMap;

use crds::AnalysisRun;
use crds::analysis::providers::JobMetric;
use crds::words::AnalysisPhase;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

/// The run of a Job, on the Job and its pods.
pub const RUN_UID: &str = "analysisrun.argoproj.io/uid";
/// Its name, on the Job.
pub const RUN_NAME: &str = "analysisrun.argoproj.io/name";
/// Its namespace, on the Job.
pub const RUN_NAMESPACE: &str = "analysisrun.argoproj.io/namespace";
/// The metric, on the Job.
const METRIC_NAME: &str = "analysisrun.argoproj.io/metric-name";

/// The key of a measurement's metadata with the Job's name.
pub const JOB_NAME: &str = "job-name";
/// And with its namespace.
pub const JOB_NAMESPACE: &str = "job-namespace";

/// The longest name of a Job: its pods carry it as a label.
const LONGEST_NAME: usize = 63;

/// Why a container that waits will never start by itself.
const STUCK: [&str; 3] = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"];

/// The variable with the namespace of all Jobs.
pub const NAMESPACE_VARIABLE: &str = "ARGO_ROLLOUTS_ANALYSIS_JOB_NAMESPACE";
/// The variable with the kubeconfig of the cluster where Jobs run.
pub const KUBECONFIG_VARIABLE: &str = "ARGO_ROLLOUTS_ANALYSIS_JOB_KUBECONFIG";
/// Its value for the cluster that this process runs in.
pub const IN_CLUSTER: &str = "in-cluster";

/// Where Jobs run, if not in the run's namespace of the same cluster.
#[derive(Clone, Default)]
pub struct JobHome {
    /// The namespace of all Jobs.
    pub namespace: Option<String>,
    /// Another cluster.
    pub cluster: Option<Client>,
}

/// A client may hold a token.
impl std::fmt::Debug for JobHome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobHome")
            .field("namespace", &self.namespace)
            .field("elsewhere", &self.cluster.is_some())
            .finish()
    }
}

/// Names a Job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How a Job is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It goes on.
    Running,
    /// It has ended, as this phase.
    Ended(AnalysisPhase),
    /// A container of it will never start; why.
    Stuck(String),
    /// It is not there any more; why that matters.
    Gone(String),
}

/// Starts the Job of a measurement, or finds the one that was started before.
pub async fn start(
    client: &Client,
    job: &DynamicObject,
    run: &AnalysisRun,
) -> Result<JobKey, String> {
    let namespace = job.namespace().unwrap_or_default();
    let key = JobKey {
        namespace: namespace.clone(),
        name: job.name_any(),
    };
    let resource = ApiResource::erase::<Job>(&());
    let jobs: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let refused = match jobs.create(&PostParams::default(), job).await {
        Ok(_) => return Ok(key),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => status.message.clone(),
        Err(error) => return Err(said(&error)),
    };
    let existing = jobs.get(&key.name).await.map_err(|_| refused.clone())?;
    let ours = existing.labels().get(RUN_UID) == run.uid().as_ref() && run.uid().is_some();
    if ours { Ok(key) } else { Err(refused) }
}

/// What the API server said, or what broke on the way to it.
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

/// The Job of the measurement with that number.
pub fn manifest(
    run: &AnalysisRun,
    (metric, job, number): (&str, &JobMetric, i64),
    home: &JobHome,
) -> DynamicObject {
    let own = run.namespace().unwrap_or_default();
    let namespace = home.namespace.clone().unwrap_or_else(|| own.clone());
    let uid = run.uid().unwrap_or_default();
    let metadata = job.metadata.clone().unwrap_or_default();
    let mut labels = metadata.labels;
    labels.insert(RUN_UID.to_owned(), uid.clone());
    let mut annotations = metadata.annotations;
    annotations.insert(RUN_NAME.to_owned(), run.name_any());
    annotations.insert(RUN_NAMESPACE.to_owned(), own.clone());
    annotations.insert(METRIC_NAME.to_owned(), metric.to_owned());
    let mut object =
        DynamicObject::new(&name(&uid, metric, number), &ApiResource::erase::<Job>(&()));
    object.metadata.labels = Some(labels);
    object.metadata.annotations = Some(annotations);
    // An owner in another namespace or cluster would be no owner.
    if namespace == own && home.cluster.is_none() {
        let owner = run.controller_owner_ref(&()).map(|mut owner| {
            owner.block_owner_deletion = Some(true);
            vec![owner]
        });
        object.metadata.owner_references = owner;
    }
    object.metadata.namespace = Some(namespace);
    let mut spec = Value::Object(job.spec.0.clone());
    label_pods(&mut spec, &uid);
    object.data = json!({ "spec": spec });
    object
}

/// The label by which the Job's pods are watched.
fn label_pods(spec: &mut Value, uid: &str) {
    let mut place = spec;
    for name in ["template", "metadata", "labels"] {
        if place.is_null() {
            *place = json!({});
        }
        // What is no object is refused by the API server, in its words.
        let Some(fields) = place.as_object_mut() else {
            return;
        };
        place = fields.entry(name).or_insert(Value::Null);
    }
    if place.is_null() {
        *place = json!({});
    }
    if let Some(labels) = place.as_object_mut() {
        labels.insert(RUN_UID.to_owned(), uid.into());
    }
}

/// `<run UID>.<metric>.<number>`, with as much of the metric's name as there is room for.
fn name(uid: &str, metric: &str, number: i64) -> String {
    let others = uid.len() + 2 + number.to_string().len();
    let mut room = LONGEST_NAME.saturating_sub(others).min(metric.len());
    while !metric.is_char_boundary(room) {
        room -= 1;
    }
    format!("{uid}.{}.{number}", &metric[..room])
}

/// How a Job has ended; `None` while it goes on.
pub fn ended(job: &Job) -> Option<AnalysisPhase> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let mut phases = conditions
        .iter()
        .filter(|condition| condition.status == "True")
        .filter_map(|condition| match condition.type_.as_str() {
            "Complete" => Some(AnalysisPhase::Successful),
            "Failed" => Some(AnalysisPhase::Failed),
            _ => None,
        });
    phases.next_back()
}

/// Why a container of the pod will never start by itself; the text is Argo's.
pub fn stuck(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let mut containers = lists.into_iter().flatten().flatten();
    containers.find_map(|container| waits(pod, container))
}

fn waits(pod: &Pod, container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    STUCK.contains(&reason).then(|| {
        let (pod, container) = (pod.name_any(), &container.name);
        format!("Pod {pod}, container {container} has terminal error ({reason}): {message}\n")
    })
}

/// The Job of a measurement, by its metadata.
pub fn of_measurement(metadata: &BTreeMap<String, String>, namespace: &str) -> Option<JobKey> {
    let name = metadata.get(JOB_NAME).filter(|name| !name.is_empty())?;
    let own = metadata.get(JOB_NAMESPACE).filter(|own| !own.is_empty());
    Some(JobKey {
        namespace: own.cloned().unwrap_or_else(|| namespace.to_owned()),
        name: name.clone(),
    })
}

/// The metadata of a measurement of that Job.
pub fn metadata(key: &JobKey) -> BTreeMap<String, String> {
    BTreeMap::from([
        (JOB_NAME.to_owned(), key.name.clone()),
        (JOB_NAMESPACE.to_owned(), key.namespace.clone()),
    ])
}

#[cfg(test)]
mod tests;
