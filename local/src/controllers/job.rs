//! Jobs: pods until enough of them have succeeded.
//!
//! Built: `completions`, `parallelism`, `backoffLimit`, `activeDeadlineSeconds`, `suspend`,
//! `ttlSecondsAfterFinished`, and the growing delay before a failed pod is replaced. Not built, and
//! refused with a Failed condition that says so: indexed completion, pod failure policies, success
//! policies. Finished pods are counted while they exist; a counter in status never falls.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition, JobSpec, JobStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Context, ReconcileError, controlled_by,
    drive::{Controller, Looked},
    failed,
    pods::{is_active, is_controlled_by, is_ready, phase},
};
use crate::clock::Clock;

#[cfg(test)]
mod tests;

/// The label that ties a pod to its Job.
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
/// The label with the Job's name.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// The same under the name that it had before Kubernetes 1.27.
const OLD_JOB_NAME: &str = "job-name";
/// The delay before the first failed pod is replaced; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(10);
/// The longest such delay.
const LONGEST_BACKOFF: Duration = Duration::from_mins(10);
/// How many failures Kubernetes tolerates by default.
const BACKOFF_LIMIT: i32 = 6;
/// The most pods that one look creates.
const BURST: usize = 500;

/// What one look decides.
#[derive(Debug, PartialEq)]
pub struct Plan<'a> {
    /// How many pods to create.
    pub create: usize,
    /// Which pods to delete.
    pub delete: Vec<&'a Pod>,
    /// The status as it is.
    pub status: JobStatus,
    /// The Job has been finished for longer than its time to live: delete it.
    pub expired: bool,
    /// When to look again although nothing changes.
    pub again: Option<Duration>,
}

/// Runs the controller until `stop`.
pub async fn run(client: Client, clock: Clock, stop: CancellationToken) {
    let context = Context::new(client.clone(), clock);
    let jobs = Api::<Job>::all(client.clone());
    Controller::new(jobs)
        .owns(Api::<Pod>::all(client))
        .run(reconcile, context, stop)
        .await;
}

async fn reconcile(seen: Arc<Job>, context: Arc<Context>) -> Looked {
    let namespace = seen.namespace().unwrap_or_default();
    let jobs: Api<Job> = context.api(&namespace);
    let job = jobs
        .get_opt(&seen.name_any())
        .await
        .map_err(failed("read the Job"))?;
    let Some(job) =
        job.filter(|job| job.uid() == seen.uid() && job.metadata.deletion_timestamp.is_none())
    else {
        return Ok(None);
    };
    let uid = job.uid().unwrap_or_default();
    let pods: Api<Pod> = context.api(&namespace);
    let params = ListParams::default().labels(&format!("{CONTROLLER_UID}={uid}"));
    let mut pods = pods.list(&params).await.map_err(failed("list pods"))?.items;
    pods.retain(|pod| is_controlled_by(pod, &uid));
    let plan = plan(&job, &pods, context.clock.now());
    write_status(&jobs, &job, &plan.status).await?;
    for _ in 0..plan.create {
        create_pod(&job, &context).await?;
    }
    for pod in &plan.delete {
        context.delete_pod(pod).await?;
    }
    if plan.expired {
        let only = Preconditions {
            uid: Some(uid),
            resource_version: None,
        };
        let params = DeleteParams::background().preconditions(only);
        jobs.delete(&job.name_any(), &params)
            .await
            .map_err(failed("delete the finished Job"))?;
    }
    Ok(plan.again)
}

async fn create_pod(job: &Job, context: &Context) -> Result<(), ReconcileError> {
    let mut template = job.spec.clone().unwrap_or_default().template;
    let meta = template.metadata.get_or_insert_default();
    let labels = [CONTROLLER_UID, JOB_NAME, OLD_JOB_NAME].map(str::to_owned);
    let values = [
        job.uid().unwrap_or_default(),
        job.name_any(),
        job.name_any(),
    ];
    meta.labels = Some(super::merged(
        meta.labels.as_ref(),
        labels.into_iter().zip(values).collect(),
    ));
    let place = (job.namespace().unwrap_or_default(), job.name_any());
    context
        .create_pod(controlled_by(job)?, &template, (&place.0, &place.1))
        .await
}

async fn write_status(
    jobs: &Api<Job>,
    job: &Job,
    status: &JobStatus,
) -> Result<(), ReconcileError> {
    if job.status.as_ref().map(with_zeros).as_ref() == Some(&with_zeros(status)) {
        return Ok(());
    }
    let mut patch = json!({"metadata": {"uid": job.uid()}, "status": status});
    if status.start_time.is_none() {
        // A merge patch keeps what it does not mention.
        patch["status"]["startTime"] = serde_json::Value::Null;
    }
    jobs.patch_status(
        &job.name_any(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await
    .map_err(failed("write the Job's status"))?;
    Ok(())
}

/// Decides what a Job needs, from the pods that it controls.
pub fn plan<'a>(job: &Job, pods: &'a [Pod], now: Timestamp) -> Plan<'a> {
    let spec = job.spec.clone().unwrap_or_default();
    let active: Vec<&Pod> = pods.iter().filter(|pod| is_active(pod)).collect();
    let mut status = counted(job, pods, &active, now);
    if let Some(ended) = ended_at(&status) {
        let ttl = spec.ttl_seconds_after_finished.map(|s| i64::from(s.max(0)));
        let left = ttl.map(|ttl| until(ended, ttl, now));
        status.active = Some(0);
        return Plan {
            create: 0,
            delete: active,
            status,
            expired: left.is_some_and(|left| left.is_zero()),
            again: left,
        };
    }
    if let Some((kind, reason, message)) = verdict(&spec, &status, now) {
        status
            .conditions
            .get_or_insert_default()
            .push(condition(kind, reason, message, now));
        status.active = Some(0);
        status.ready = Some(0);
        if kind == "Complete" {
            status.completion_time = Some(Time(now));
        }
        let again = spec
            .ttl_seconds_after_finished
            .and_then(|s| u64::try_from(s).ok());
        let again = again.map(Duration::from_secs);
        return Plan {
            create: 0,
            delete: active,
            status,
            expired: false,
            again,
        };
    }
    let wanted = wanted(&spec, &status);
    let delay = backoff(pods, now);
    let missing = wanted.saturating_sub(active.len()).min(BURST);
    let deadline = spec.active_deadline_seconds.zip(status.start_time.as_ref());
    let deadline = deadline.map(|(seconds, start)| until(start.0, seconds, now));
    let waiting = (missing > 0 && !delay.is_zero()).then_some(delay);
    Plan {
        create: if delay.is_zero() { missing } else { 0 },
        delete: active.into_iter().skip(wanted).collect(),
        status,
        expired: false,
        again: waiting.into_iter().chain(deadline).min(),
    }
}

fn counted(job: &Job, pods: &[Pod], active: &[&Pod], now: Timestamp) -> JobStatus {
    let old = job.status.clone().unwrap_or_default();
    let ended = |wanted: &str| pods.iter().filter(|pod| phase(pod) == wanted).count();
    let suspended = job
        .spec
        .as_ref()
        .and_then(|spec| spec.suspend)
        .unwrap_or(false);
    JobStatus {
        active: Some(count(active.len())),
        ready: Some(count(active.iter().filter(|pod| is_ready(pod)).count())),
        succeeded: Some(count(ended("Succeeded")).max(old.succeeded.unwrap_or(0))),
        failed: Some(count(ended("Failed")).max(old.failed.unwrap_or(0))),
        // The deadline of a suspended Job starts anew when it is resumed.
        start_time: if suspended {
            None
        } else {
            Some(old.start_time.unwrap_or(Time(now)))
        },
        conditions: old.conditions,
        completion_time: old.completion_time,
        ..JobStatus::default()
    }
}

/// Has the Job ended with this look? The condition's type, reason and message.
fn verdict(
    spec: &JobSpec,
    status: &JobStatus,
    now: Timestamp,
) -> Option<(&'static str, &'static str, String)> {
    if let Some(field) = not_built(spec) {
        let message = format!("spec.{field} is not supported by this Job controller");
        return Some(("Failed", "NotSupported", message));
    }
    let limit = spec.backoff_limit.unwrap_or(BACKOFF_LIMIT);
    if status.failed.unwrap_or(0) > limit {
        let message = "Job has reached the specified backoff limit".to_owned();
        return Some(("Failed", "BackoffLimitExceeded", message));
    }
    let deadline = spec.active_deadline_seconds.zip(status.start_time.as_ref());
    if deadline.is_some_and(|(seconds, start)| until(start.0, seconds, now).is_zero()) {
        let message = "Job was active longer than specified deadline".to_owned();
        return Some(("Failed", "DeadlineExceeded", message));
    }
    let succeeded = status.succeeded.unwrap_or(0);
    let enough = match spec.completions {
        Some(completions) => succeeded >= completions,
        // A work queue: one success means that the queue is empty, once the others have ended.
        None => succeeded > 0 && status.active == Some(0),
    };
    let message = "Reached expected number of succeeded pods".to_owned();
    enough.then_some(("Complete", "CompletionsReached", message))
}

fn not_built(spec: &JobSpec) -> Option<&'static str> {
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    indexed
        .then_some("completionMode: Indexed")
        .or(spec.pod_failure_policy.as_ref().map(|_| "podFailurePolicy"))
        .or(spec.success_policy.as_ref().map(|_| "successPolicy"))
}

/// How many pods should be running.
fn wanted(spec: &JobSpec, status: &JobStatus) -> usize {
    if spec.suspend.unwrap_or(false) {
        return 0;
    }
    let parallelism = spec.parallelism.unwrap_or(1);
    let succeeded = status.succeeded.unwrap_or(0);
    let wanted = match spec.completions {
        Some(completions) => parallelism.min(completions - succeeded),
        None if succeeded > 0 => status.active.unwrap_or(0).min(parallelism),
        None => parallelism,
    };
    usize::try_from(wanted).unwrap_or(0)
}

/// How long the replacement of failed pods still has to wait. A success resets the count.
fn backoff(pods: &[Pod], now: Timestamp) -> Duration {
    let last_success = pods
        .iter()
        .filter(|pod| phase(pod) == "Succeeded")
        .filter_map(finished)
        .max();
    let failures: Vec<Timestamp> = pods
        .iter()
        .filter(|pod| phase(pod) == "Failed")
        .filter_map(finished)
        .filter(|failure| last_success.is_none_or(|success| *failure > success))
        .collect();
    let Some(last) = failures.iter().max() else {
        return Duration::ZERO;
    };
    let doublings = u32::try_from(failures.len() - 1).unwrap_or(u32::MAX);
    let delay = BACKOFF
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(LONGEST_BACKOFF);
    until(
        *last,
        i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
        now,
    )
}

/// When the pod's last container ended.
fn finished(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ends = statuses.iter().filter_map(|container| {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        ended.finished_at.as_ref().map(|time| time.0)
    });
    ends.max()
        .or_else(|| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

fn ended_at(status: &JobStatus) -> Option<Timestamp> {
    let conditions = status.conditions.iter().flatten();
    conditions
        .filter(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
        .find_map(|c| c.last_transition_time.as_ref().map(|time| time.0))
}

/// How long until `seconds` after `start`; zero if that is over.
fn until(start: Timestamp, seconds: i64, now: Timestamp) -> Duration {
    let left = SignedDuration::from_secs(seconds).saturating_sub(now.duration_since(start));
    left.max(SignedDuration::ZERO).unsigned_abs()
}

fn condition(kind: &str, reason: &str, message: String, now: Timestamp) -> JobCondition {
    JobCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// A real API server leaves out what is zero.
fn with_zeros(status: &JobStatus) -> JobStatus {
    JobStatus {
        active: Some(status.active.unwrap_or(0)),
        ready: Some(status.ready.unwrap_or(0)),
        succeeded: Some(status.succeeded.unwrap_or(0)),
        failed: Some(status.failed.unwrap_or(0)),
        uncounted_terminated_pods: None,
        terminating: None,
        ..status.clone()
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
