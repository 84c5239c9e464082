//! Jobs: how those of measurements are doing, by two watches that cost nothing while nothing happens.
//!
//! Only what carries the label of a run is watched: its Jobs, and their pods, whose images may be
//! missing.

use std::collections::{BTreeMap, BTreeSet};

use crds::words::AnalysisPhase;
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt as _, future};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};

use super::providers::job::{self, JobHome, JobKey, JobState, RUN_NAME, RUN_NAMESPACE, RUN_UID};
use crate::caches::Scope;
use crate::patience::Patience;

/// The Job of a pod.
const JOB_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

/// Names a run.
type RunKey = (String, String);

/// Whom news are about.
#[derive(Debug, PartialEq)]
pub(super) enum Concerned {
    /// This run, or none.
    Run(Option<RunKey>),
    /// Every run: a list is complete.
    All,
}

/// What a watch says.
#[derive(Debug)]
pub(super) enum News {
    Job(Box<Event<Job>>),
    Pod(Box<Event<Pod>>),
}

/// The news of both watches.
pub(super) type Stream = SelectAll<BoxStream<'static, News>>;

/// A Job of which we know.
#[derive(Debug)]
struct Known {
    run: RunKey,
    ended: Option<AnalysisPhase>,
    /// Seen in a watch; one that was only just created may not have been.
    listed: bool,
}

/// All Jobs of measurements.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    known: BTreeMap<JobKey, Known>,
    /// Why pods are stuck, by Job and pod.
    stuck: BTreeMap<JobKey, BTreeMap<String, String>>,
    listing_jobs: BTreeSet<JobKey>,
    listing_pods: BTreeMap<JobKey, BTreeMap<String, String>>,
    /// Whether the first list is complete.
    synced: bool,
}

/// The watches: where all Jobs are made, or else where runs are seen.
pub(super) fn watch(client: &Client, home: &JobHome, scope: &Scope) -> Stream {
    let client = home.cluster.as_ref().unwrap_or(client);
    let config = watcher::Config::default().labels(RUN_UID);
    let seen = match scope {
        Scope::Cluster => None,
        Scope::Namespace(namespace) => Some(namespace),
    };
    let (jobs, pods): (Api<Job>, Api<Pod>) = match home.namespace.as_ref().or(seen) {
        Some(namespace) => (
            Api::namespaced(client.clone(), namespace),
            Api::namespaced(client.clone(), namespace),
        ),
        None => (Api::all(client.clone()), Api::all(client.clone())),
    };
    let told = |error: &watcher::Error, what: &str| {
        tracing::warn!(%error, "the watch of {what} of metrics broke; it is started again");
    };
    let jobs = watcher(jobs, config.clone())
        .backoff(Patience::default())
        .filter_map(move |event| future::ready(event.inspect_err(|it| told(it, "Jobs")).ok()))
        .map(|event| News::Job(Box::new(event)));
    let pods = watcher(pods, config)
        .backoff(Patience::default())
        .filter_map(move |event| future::ready(event.inspect_err(|it| told(it, "pods")).ok()))
        .map(|event| News::Pod(Box::new(event)));
    let both: [BoxStream<'static, News>; 2] = [jobs.boxed(), pods.boxed()];
    both.into_iter().collect()
}

/// Deletes a Job and its pods; one that is gone is as good.
pub(super) async fn delete(client: &Client, key: &JobKey) -> Result<(), kube::Error> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &key.namespace);
    match jobs.delete(&key.name, &DeleteParams::foreground()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

// === impl Jobs ===

impl Jobs {
    /// Takes news.
    pub(super) fn take(&mut self, news: News) -> Concerned {
        match news {
            News::Job(event) => self.job_event(*event),
            News::Pod(event) => self.pod_event(*event),
        }
    }

    /// A Job was created, or found, for a run.
    pub(super) fn started(&mut self, key: JobKey, run: RunKey) {
        self.known.entry(key).or_insert(Known {
            run,
            ended: None,
            listed: false,
        });
    }

    /// The run is over: its Jobs are of no interest.
    pub(super) fn forget(&mut self, run: &RunKey) {
        self.known.retain(|_, known| known.run != *run);
    }

    /// How a Job is doing; `None` where that is not known yet.
    pub(super) fn state(&self, key: &JobKey) -> Option<JobState> {
        let Some(known) = self.known.get(key) else {
            let gone = || JobState::Gone(format!("job.batch {:?} not found", key.name));
            return self.synced.then(gone);
        };
        if let Some(phase) = &known.ended {
            return Some(JobState::Ended(phase.clone()));
        }
        let stuck = self.stuck.get(key).and_then(|pods| pods.values().next());
        Some(stuck.map_or(JobState::Running, |why| JobState::Stuck(why.clone())))
    }

    fn job_event(&mut self, event: Event<Job>) -> Concerned {
        match event {
            Event::Init => {
                self.listing_jobs.clear();
                Concerned::Run(None)
            }
            Event::InitApply(job) => {
                self.listing_jobs.insert(key_of(&job));
                self.seen(&job)
            }
            Event::InitDone => {
                let listing = std::mem::take(&mut self.listing_jobs);
                self.known.retain(|key, known| {
                    known.ended.is_some() || !known.listed || listing.contains(key)
                });
                self.synced = true;
                Concerned::All
            }
            Event::Apply(job) => self.seen(&job),
            Event::Delete(job) => self.deleted(&job),
        }
    }

    fn seen(&mut self, job: &Job) -> Concerned {
        let run = run_of(job);
        let known = Known {
            run: run.clone(),
            ended: job::ended(job),
            listed: true,
        };
        self.known.insert(key_of(job), known);
        Concerned::Run(Some(run))
    }

    /// A Job that ended before it was deleted has still ended: its time to live may be over at once.
    fn deleted(&mut self, job: &Job) -> Concerned {
        let key = key_of(job);
        self.stuck.remove(&key);
        if job::ended(job).is_none() {
            self.known.remove(&key);
        }
        Concerned::Run(Some(run_of(job)))
    }

    fn pod_event(&mut self, event: Event<Pod>) -> Concerned {
        match event {
            Event::Init => self.listing_pods.clear(),
            Event::InitApply(pod) => {
                if let (Some(key), Some(why)) = (job_of(&pod), job::stuck(&pod)) {
                    let pods = self.listing_pods.entry(key).or_default();
                    pods.insert(pod.name_any(), why);
                }
            }
            Event::InitDone => {
                self.stuck = std::mem::take(&mut self.listing_pods);
                return Concerned::All;
            }
            Event::Apply(pod) => {
                let why = job::stuck(&pod);
                return self.pod(&pod, why);
            }
            Event::Delete(pod) => return self.pod(&pod, None),
        }
        Concerned::Run(None)
    }

    fn pod(&mut self, pod: &Pod, why: Option<String>) -> Concerned {
        let Some(key) = job_of(pod) else {
            return Concerned::Run(None);
        };
        let pods = self.stuck.entry(key.clone()).or_default();
        let changed = match why {
            Some(why) => pods.insert(pod.name_any(), why).is_none(),
            None => pods.remove(&pod.name_any()).is_some(),
        };
        if pods.is_empty() {
            self.stuck.remove(&key);
        }
        let known = self.known.get(&key).filter(|_| changed);
        Concerned::Run(known.map(|known| known.run.clone()))
    }
}

fn key_of(job: &Job) -> JobKey {
    JobKey {
        namespace: job.namespace().unwrap_or_default(),
        name: job.name_any(),
    }
}

fn run_of(job: &Job) -> RunKey {
    let annotation = |name: &str| job.annotations().get(name).cloned();
    let namespace = annotation(RUN_NAMESPACE).or_else(|| job.namespace());
    (
        namespace.unwrap_or_default(),
        annotation(RUN_NAME).unwrap_or_default(),
    )
}

fn job_of(pod: &Pod) -> Option<JobKey> {
    let name = JOB_LABELS
        .iter()
        .find_map(|label| pod.labels().get(*label))?;
    Some(JobKey {
        namespace: pod.namespace()?,
        name: name.clone(),
    })
}
