//! Runs that are measured outside: by servers, and by Jobs.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};

use super::*;
use crate::fetch::Answer;
use crate::fetch::pretended::Pretended as Server;

pub(super) fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer {
        status,
        content_type: None,
        body: body.into(),
    }
}

fn vector(value: &str) -> Answer {
    let sample = json!({"metric": {}, "value": [1, value]});
    let data = json!({"resultType": "vector", "result": [sample]});
    answer(200, json!({"status": "success", "data": data}).to_string())
}

fn prometheus(fields: Value) -> Value {
    let mut metric = json!({
        "name": "rate", "successCondition": "result[0] >= 0.95",
        "provider": {"prometheus": {"address": "http://prom:9090", "query": "up"}},
    });
    let fields = fields.as_object().unwrap().clone();
    metric.as_object_mut().unwrap().extend(fields);
    json!({"metrics": [metric]})
}

fn job(fields: Value) -> Value {
    let pod =
        json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let mut metric = json!({"name": "smoke", "provider": {"job": {"spec": {"template": pod, "backoffLimit": 0}}}});
    let fields = fields.as_object().unwrap().clone();
    metric.as_object_mut().unwrap().extend(fields);
    json!({"metrics": [metric]})
}

pub(super) async fn with_server(server: &Server) -> Stage {
    let means = Means {
        fetch: Arc::new(server.clone()),
        ..Means::default()
    };
    Stage::with(1, means).await
}

impl Stage {
    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.server.client(), "default")
    }

    /// The Jobs that are there, once there are so many.
    async fn until_jobs(&self, count: usize) -> Vec<Job> {
        let waiting = async {
            loop {
                let mut jobs = self
                    .jobs()
                    .list(&ListParams::default())
                    .await
                    .unwrap()
                    .items;
                jobs.retain(|job| job.metadata.deletion_timestamp.is_none());
                if jobs.len() == count {
                    return jobs;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("so many Jobs")
    }

    async fn end_job(&self, name: &str, condition: &str) {
        let status = json!({"status": {"conditions": [{"type": condition, "status": "True"}]}});
        self.jobs()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
    }

    pub(super) async fn all_of(&self, kind: &str) -> String {
        let events: Api<CoreEvent> = Api::namespaced(self.server.client(), "default");
        match kind {
            "events" => {
                let events = events.list(&ListParams::default()).await.unwrap();
                serde_json::to_string(&events.items).unwrap()
            }
            _ => serde_json::to_string(&self.api().get("run").await.unwrap()).unwrap(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn prometheus_measures_a_run_to_its_end() {
    let server = Server::new(|_| Ok(vector("0.97")));
    let stage = with_server(&server).await;
    let spec = prometheus(json!({"interval": "1m", "count": 3, "initialDelay": "5s"}));
    stage.start("Step", spec).await;
    let began = stage.clock.now();
    let run = stage.until(is_completed).await;
    assert_eq!(phase(&run), "Successful");
    assert_eq!(stage.clock.now().duration_since(began).as_secs(), 125);
    let result = &run.status.as_ref().unwrap().metric_results[0];
    assert_eq!((result.count, result.successful), (Some(3), Some(3)));
    assert_eq!(result.metadata["ResolvedPrometheusQuery"], "up");
    let last = &result.measurements[2];
    assert_eq!(last.value.as_deref(), Some("[0.97]"));
    assert!(last.started_at.is_some() && last.finished_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dead_prometheus_ends_as_argo_ends_it() {
    let stage = with_server(&Server::nobody()).await;
    let began = stage.clock.now();
    stage
        .start("Background", prometheus(json!({"interval": "5m"})))
        .await;
    let run = stage.until(is_completed).await;
    assert_eq!(stage.clock.now().duration_since(began).as_secs(), 40);
    assert_eq!(phase(&run), "Error");
    let refused =
        "Post \"http://prom:9090/api/v1/query\": dial tcp prom:9090: connect: connection refused";
    let status = run.status.unwrap();
    let expected = format!(
        "Metric \"rate\" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4): \"Error Message: {refused}\""
    );
    assert_eq!(status.message, Some(expected));
    let result = &status.metric_results[0];
    assert_eq!((result.error, result.count), (Some(5), None));
    assert_eq!(result.measurements[4].message.as_deref(), Some(refused));
    assert_eq!(result.measurements[4].value, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_holds_up_nobody_else() {
    let server = Server::new(|_| Ok(vector("1"))).taking(Duration::from_mins(2));
    let stage = with_server(&server).await;
    let mut spec = prometheus(json!({}));
    spec["metrics"][0]["provider"]["prometheus"]["timeout"] = json!(300);
    let more = errors(json!({"interval": "10s", "count": 3}));
    spec["metrics"]
        .as_array_mut()
        .unwrap()
        .push(more["metrics"][0].clone());
    stage.count(0, 100, 900);
    stage.start("Step", spec).await;
    let of_proxies = |run: &AnalysisRun| {
        let results = run.status.as_ref().map(|status| &status.metric_results);
        results.and_then(|all| all.iter().find(|it| it.name == "errors")?.count) == Some(3)
    };
    let began = stage.clock.now();
    stage.until(of_proxies).await;
    assert!(stage.clock.now().duration_since(began).as_secs() < 30);
    let run = stage.until(is_completed).await;
    assert_eq!(phase(&run), "Successful");
    assert_eq!(server.asked().len(), 1, "asked once");
}

#[tokio::test(start_paused = true)]
async fn what_is_measured_about_the_same_time_is_written_together() {
    let stage = with_server(&Server::new(|_| Ok(vector("0.5")))).await;
    let mut spec = prometheus(json!({}));
    let mut good = spec["metrics"][0].clone();
    (good["name"], good["successCondition"]) = (json!("good"), json!("true"));
    spec["metrics"].as_array_mut().unwrap().insert(0, good);
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    stage.server.on_write(move |write| {
        let is_patch = write.resource == "analysisruns" && write.method == "PATCH";
        count.fetch_add(usize::from(is_patch), Ordering::Relaxed);
        local::api::Verdict::Proceed
    });
    stage.start("Step", spec).await;
    let run = stage.until(is_completed).await;
    assert_eq!(phase(&run), "Failed");
    assert_eq!(written.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_without_a_rollout_may_be_terminated() {
    let server = Server::new(|_| Ok(answer(200, "{\"ok\":true}")));
    let stage = with_server(&server).await;
    let web = json!({"url": "http://app/", "jsonPath": "{$.ok}"});
    let metric = json!({"name": "ok", "interval": "1m", "successCondition": "result", "provider": {"web": web}});
    let run = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "run"}, "spec": {"metrics": [metric]},
    });
    let run = serde_json::from_value(run).unwrap();
    let created = stage.api().create(&PostParams::default(), &run).await;
    created.unwrap();
    let run = stage.until(|run| taken(run) == 2).await;
    assert_eq!(phase(&run), "Running");
    let terminate = json!({"spec": {"terminate": true}});
    stage
        .api()
        .patch("run", &PatchParams::default(), &Patch::Merge(&terminate))
        .await
        .unwrap();
    let run = stage.until(is_completed).await;
    assert_eq!(phase(&run), "Successful");
    let status = run.status.unwrap();
    assert_eq!(status.message.as_deref(), Some("Run Terminated"));
    assert_eq!(
        status.metric_results[0].measurements[0].value.as_deref(),
        Some("true")
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_job_is_the_measurement() {
    for (condition, expected) in [("Complete", "Successful"), ("Failed", "Failed")] {
        let stage = Stage::set(0).await;
        stage.start("Step", job(json!({}))).await;
        let made = stage.until_jobs(1).await.remove(0);
        let begun = stage.until(|run| taken_measurements(run) == 1).await;
        assert_eq!(phase(&begun), "Running");
        // Nothing is written while nothing happens.
        tokio::time::sleep(Duration::from_mins(30)).await;
        let later = stage.api().get("run").await.unwrap();
        assert_eq!(begun.resource_version(), later.resource_version());
        let name = made.name_any();
        assert_eq!(name, format!("{}.smoke.1", begun.uid().unwrap()));
        stage.end_job(&name, condition).await;
        let run = stage.until(is_completed).await;
        assert_eq!(phase(&run), expected);
        let measurement = &run.status.unwrap().metric_results[0].measurements[0];
        assert_eq!(measurement.metadata["job-name"], name);
        assert_eq!(measurement.metadata["job-namespace"], "default");
        assert!(measurement.finished_at.is_some());
    }
}

fn taken_measurements(run: &AnalysisRun) -> usize {
    let results = run.status.as_ref().map(|status| &status.metric_results);
    results
        .and_then(|results| Some(results.first()?.measurements.len()))
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_job_survives_the_controller_and_is_made_once() {
    let mut stage = Stage::set(0).await;
    stage
        .start("Step", job(json!({"interval": "1m", "count": 2})))
        .await;
    stage.until(|run| taken_measurements(run) == 1).await;
    stage.controller.cancel();
    stage.tasks.join_next().await.unwrap().unwrap();
    // It ends while nobody looks.
    let name = stage.until_jobs(1).await[0].name_any();
    stage.end_job(&name, "Complete").await;
    stage.start_controller();
    let second = stage.until_jobs(2).await;
    let last = second
        .iter()
        .map(kube::ResourceExt::name_any)
        .max()
        .unwrap();
    assert!(last.ends_with(".smoke.2"), "{last}");
    stage.end_job(&last, "Complete").await;
    assert_eq!(phase(&stage.until(is_completed).await), "Successful");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_deleted_is_an_error_of_its_measurement() {
    let stage = Stage::set(0).await;
    stage
        .start("Step", job(json!({"consecutiveErrorLimit": 0})))
        .await;
    stage.until(|run| taken_measurements(run) == 1).await;
    let name = stage.until_jobs(1).await[0].name_any();
    let deleted = stage
        .jobs()
        .delete(&name, &DeleteParams::background())
        .await;
    deleted.unwrap();
    let run = stage.until(is_completed).await;
    assert_eq!(phase(&run), "Error");
    let message = run.status.unwrap().metric_results[0].measurements[0]
        .message
        .clone();
    assert_eq!(message, Some(format!("job.batch \"{name}\" not found")));
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_image_is_missing_is_inconclusive() {
    let stage = Stage::set(0).await;
    stage.start("Step", job(json!({}))).await;
    let run = stage.until(|run| taken_measurements(run) == 1).await;
    let made = stage.until_jobs(1).await.remove(0);
    let labels = json!({"batch.kubernetes.io/job-name": made.name_any(), "analysisrun.argoproj.io/uid": run.uid()});
    let pod = json!({"metadata": {"name": "p", "labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pods: Api<Pod> = Api::namespaced(stage.server.client(), "default");
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let state = json!({"waiting": {"reason": "ErrImagePull", "message": "no"}});
    let container = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let status = json!({"status": {"containerStatuses": [container]}});
    pods.patch_status("p", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    let run = stage.until(is_completed).await;
    assert_eq!(phase(&run), "Inconclusive");
    let message = run.status.unwrap().metric_results[0].measurements[0]
        .message
        .clone();
    let expected = "Pod p, container c has terminal error (ErrImagePull): no\n";
    assert_eq!(message.as_deref(), Some(expected));
}

#[tokio::test(start_paused = true)]
async fn a_job_ends_with_its_run() {
    let server = Server::new(|_| Ok(vector("0")));
    // Somebody ends the run, or another metric fails.
    for fails in [false, true] {
        let stage = with_server(&server).await;
        let mut spec = job(json!({}));
        if fails {
            let failing = prometheus(json!({"initialDelay": "30s"}));
            spec["metrics"]
                .as_array_mut()
                .unwrap()
                .push(failing["metrics"][0].clone());
        }
        stage.start("Step", spec).await;
        stage.until(|run| taken_measurements(run) == 1).await;
        stage.until_jobs(1).await;
        if !fails {
            let terminate = json!({"spec": {"terminate": true}});
            let (runs, params) = (stage.api(), PatchParams::default());
            let patched = runs.patch("run", &params, &Patch::Merge(&terminate)).await;
            patched.unwrap();
        }
        let run = stage.until(is_completed).await;
        stage.until_jobs(0).await;
        let status = run.status.as_ref().unwrap();
        let measurement = &status.metric_results[0].measurements[0];
        assert_eq!(measurement.phase, AnalysisPhase::Inconclusive);
        assert_eq!(measurement.message.as_deref(), Some("Metric Terminated"));
        let (expected, message) = if fails {
            (
                "Failed",
                "Metric \"rate\" assessed Failed due to failed (1) > failureLimit (0)",
            )
        } else {
            (
                "Inconclusive",
                "Metric \"smoke\" assessed Inconclusive due to inconclusive (1) > inconclusiveLimit (0): \"Error Message: Metric Terminated\"",
            )
        };
        assert_eq!(
            (phase(&run), status.message.as_deref()),
            (expected, Some(message))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_of_measurements_that_are_not_kept_go() {
    let stage = Stage::set(0).await;
    let mut spec = job(json!({"interval": "10s", "count": 4}));
    spec["measurementRetention"] = json!([{"metricName": "smoke", "limit": 2}]);
    stage.start("Step", spec).await;
    for number in 1..=4 {
        let name = format!(".smoke.{number}");
        let waiting = async {
            loop {
                let jobs = stage.jobs().list(&ListParams::default()).await.unwrap();
                let found = jobs.items.iter().map(kube::ResourceExt::name_any);
                if let Some(found) = found.filter(|it| it.ends_with(&name)).max() {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("the next Job");
        stage.end_job(&found, "Complete").await;
    }
    let run = stage.until(is_completed).await;
    assert_eq!((phase(&run), taken_measurements(&run)), ("Successful", 2));
    let left = stage.until_jobs(2).await;
    let mut left: Vec<_> = left.iter().map(kube::ResourceExt::name_any).collect();
    left.sort();
    assert!(
        left[0].ends_with(".3") && left[1].ends_with(".4"),
        "{left:?}"
    );
}
