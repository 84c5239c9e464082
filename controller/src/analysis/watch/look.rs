//! One look at a run: what is known of it becomes a plan, and the plan is done in a fixed order (Jobs
//! end → status → events → measurements begin).

use std::collections::BTreeMap;

use crds::AnalysisRun;
use crds::words::AnalysisPhase;
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt as _};

use super::{
    Controller, HASH_LABEL, Measured, TYPE_LABEL, WATCHFUL, events, is_completed, key_of, patch,
    subject,
};
use crate::analysis::jobs;
use crate::analysis::measure::read_secrets;
use crate::analysis::plan::{self, Observed, Plan};
use crate::analysis::providers::job::{self, JobState};
use crate::analysis::providers::sluice_proxy::Subject;
use crate::analysis::spec::CheckedRun;

impl Controller {
    /// Looks at a run and does what the plan says; when to look again.
    pub(super) async fn look(
        &mut self,
        run: &AnalysisRun,
    ) -> Result<Option<Timestamp>, kube::Error> {
        if run.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let now = self.clock.now();
        let soon = now.saturating_add(WATCHFUL).unwrap_or(now);
        let observed = self.observe(run, now).await;
        let plan = plan::plan(run, &observed, now);
        if plan.delete {
            return self.delete(run).await.map(|()| None);
        }
        for job in &plan.end_jobs {
            jobs::delete(&self.jobs_client, job).await?;
        }
        if !begins(run, &plan) && !self.write(run, &plan).await? {
            // Somebody else wrote: look again, at what they wrote.
            return Ok(Some(soon));
        }
        self.written(run, &observed, &plan);
        self.tell(run, &plan.notes).await;
        for metric in &plan.measure {
            self.begin(run, metric);
        }
        let watchful = plan.watching.then_some(soon);
        Ok(plan.again.into_iter().chain(watchful).min())
    }

    /// What there is to know about a run that is not over.
    async fn observe(&self, run: &AnalysisRun, now: Timestamp) -> Observed {
        let label = |name: &str| run.labels().get(name).map(String::as_str);
        let mut observed = Observed {
            step: label(TYPE_LABEL) != Some("Background"),
            ..Observed::default()
        };
        if is_completed(run) {
            return observed;
        }
        let outside = self.outside.get(&key_of(run));
        if let Some(outside) = outside.filter(|outside| outside.uid == run.uid()) {
            observed.taken.clone_from(&outside.taken);
            observed.measuring = outside.measuring.keys().cloned().collect();
            observed.unreadable.clone_from(&outside.unreadable);
        }
        observed.jobs = self.jobs_of(run);
        let subject = subject(run);
        observed.fuse = subject.as_ref().and_then(|subject| self.fuse(subject));
        let Ok(checked) = plan::checked(&run.spec, &BTreeMap::new()) else {
            return observed;
        };
        self.look_at_proxies(run, (&checked, subject.as_ref()), &mut observed);
        let decided = observed.looks.values().flatten();
        if decided
            .map(|look| &look.verdict)
            .any(judgement::Verdict::is_worse)
            || plan::is_due(run, &checked, now)
        {
            match read_secrets(&self.client, run).await {
                Ok(secrets) => observed.secrets = secrets,
                Err(reason) => observed.unreadable = Some(reason),
            }
        }
        observed
    }

    /// The Jobs of unfinished measurements.
    fn jobs_of(&self, run: &AnalysisRun) -> BTreeMap<String, JobState> {
        let namespace = run.namespace().unwrap_or_default();
        let results = run.status.iter().flat_map(|status| &status.metric_results);
        let unfinished = results.filter_map(|result| {
            let last = result.measurements.last()?;
            let open = !last.phase.is_completed();
            let key = job::of_measurement(&last.metadata, &namespace).filter(|_| open)?;
            Some((result.name.clone(), self.jobs.state(&key)?))
        });
        unfinished.collect()
    }

    fn look_at_proxies(
        &self,
        run: &AnalysisRun,
        (checked, subject): (&CheckedRun, Option<&Subject>),
        observed: &mut Observed,
    ) {
        let uid = run.uid().unwrap_or_default();
        for metric in &checked.metrics {
            let Some(proxy) = metric.proxy() else {
                continue;
            };
            let look = match subject {
                Some(subject) => {
                    Ok(self
                        .tests
                        .look(&uid, (&metric.name, proxy), subject, self.traffic.as_ref()))
                }
                None => Err(format!(
                    "no Rollout to measure: the run needs a Rollout as owner and the label {HASH_LABEL}"
                )),
            };
            observed.looks.insert(metric.name.clone(), look);
        }
    }

    fn fuse(&self, subject: &Subject) -> Option<String> {
        let view = self.traffic.view(&subject.rollout, &subject.canary);
        view.fuse
            .filter(|trip| trip.revision == subject.canary)
            .map(|trip| trip.reason)
    }

    /// Writes what differs. False where the run has changed meanwhile.
    async fn write(&mut self, run: &AnalysisRun, plan: &Plan) -> Result<bool, kube::Error> {
        let before = run.status.clone().unwrap_or_default();
        let Some(change) = patch::of_status(run, &before, &plan.status) else {
            return Ok(true);
        };
        let runs = self.api(run);
        let written = runs
            .patch(
                &run.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&change),
            )
            .await;
        match written {
            Ok(written) => {
                self.runs.insert(key_of(&written), written);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What was measured is in the status now; of a run that is over nothing is kept.
    fn written(&mut self, run: &AnalysisRun, observed: &Observed, plan: &Plan) {
        let key = key_of(run);
        let phase = plan.status.phase.as_ref();
        if phase.is_some_and(AnalysisPhase::is_completed) {
            if let Some(uid) = run.uid() {
                self.tests.forget(&uid);
            }
            self.call_off(&key);
        } else if let Some(outside) = self.outside.get_mut(&key) {
            let same = |metric: &String, taken: &mut plan::Taken| {
                observed.taken.get(metric).is_none_or(|seen| seen != taken)
            };
            outside.taken.retain(same);
        }
    }

    /// Begins a measurement outside. It reads the run as it is written now.
    fn begin(&mut self, run: &AnalysisRun, metric: &str) {
        let key = key_of(run);
        let Some(run) = self.runs.get(&key).cloned() else {
            return;
        };
        let outside = self.outside.entry(key.clone()).or_default();
        if outside.uid != run.uid() {
            *outside = super::Outside {
                uid: run.uid(),
                ..super::Outside::default()
            };
        }
        let of_metric = |it: &&crds::analysis::Metric| it.name == metric;
        let is_job = run.spec.metrics.iter().find(of_metric);
        let is_job = is_job.is_none_or(|it| it.provider.job.is_some());
        let (measurer, client) = (self.measurer.clone(), self.client.clone());
        let name = metric.to_owned();
        let task = async move {
            let outcome = measurer.measure(&client, &run, &name).await;
            Measured {
                key,
                uid: run.uid(),
                metric: name,
                outcome,
            }
        };
        let handle = self.tasks.spawn(task);
        let handle = (!is_job).then_some(handle);
        outside.measuring.insert(metric.to_owned(), handle);
    }

    async fn delete(&self, run: &AnalysisRun) -> Result<(), kube::Error> {
        let only_this = Preconditions {
            uid: run.uid(),
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(only_this),
            ..DeleteParams::background()
        };
        match self.api(run).delete(&run.name_any(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn api(&self, run: &AnalysisRun) -> Api<AnalysisRun> {
        Api::namespaced(self.client.clone(), &run.namespace().unwrap_or_default())
    }

    async fn tell(&mut self, run: &AnalysisRun, notes: &[plan::Note]) {
        for note in notes {
            self.told += 1;
            events::tell(&self.client, run, note, (self.clock.now(), self.told)).await;
        }
    }
}

/// Whether the run only begins to be measured: its status is written with what comes of that.
fn begins(run: &AnalysisRun, plan: &Plan) -> bool {
    let phase = run.status.as_ref().and_then(|status| status.phase.as_ref());
    phase.is_none() && !plan.measure.is_empty() && plan.status.metric_results.is_empty()
}
