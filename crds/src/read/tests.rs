use serde_json::json;

use super::*;
use crate::int_or_string::count;
use crate::{AnalysisRun, ClusterAnalysisTemplate, Experiment, Rollout};

const ARTICLE: &str = include_str!("article.yaml");

#[test]
fn the_articles_complete_example_is_read() {
    let mut documents = documents(ARTICLE).unwrap();
    assert_eq!(documents.len(), 2);
    let rollout: Rollout = read(documents.pop().unwrap()).unwrap();
    let template: ClusterAnalysisTemplate = read(documents.pop().unwrap()).unwrap();

    let metrics = &template.spec.metrics;
    assert_eq!(metrics.len(), 2);
    assert_eq!(metrics[0].failure_limit.as_ref().map(count), Some(3));
    assert_eq!(metrics[0].provider.names(), ["prometheus"]);

    let canary = rollout.spec.strategy.unwrap().canary.unwrap();
    let steps: Vec<String> = canary
        .steps
        .iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        steps,
        [
            "setWeight: 10",
            "setCanaryScale{replicas: 3}",
            "pause: 10m",
            "setWeight: 30",
            "pause",
            "setWeight: 60",
            "pause: 10m",
            "setWeight: 100",
        ]
    );
    let analysis = canary.analysis.unwrap();
    assert_eq!(analysis.starting_step, Some(1));
    assert_eq!(analysis.templates[0].cluster_scope, Some(true));
    let template = rollout.spec.template.unwrap();
    assert_eq!(
        template.containers().next().unwrap().image(),
        Some("my-app:v2")
    );
}

#[test]
fn the_articles_mistyped_pause_is_an_error_that_says_what_was_meant() {
    let text = ARTICLE.replace("duration: 10m #", "duration: 10m. #");
    let rollout: Rollout = read(documents(&text).unwrap().pop().unwrap()).unwrap();
    let steps = rollout
        .spec
        .strategy
        .unwrap()
        .canary
        .unwrap()
        .steps
        .unwrap();
    let error = steps[2].pause.as_ref().unwrap().seconds().unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"invalid duration "10m.": unexpected "." after "10m"; did you mean "10m"?"#
    );
}

#[test]
fn wrong_types_are_errors_with_a_path() {
    let step = |step: Value| json!({ "spec": { "strategy": { "canary": { "steps": [step] } } } });
    let table = [
        (json!({ "spec": { "replicas": "three" } }), "spec.replicas"),
        (json!({ "spec": { "template": [] } }), "spec.template"),
        (
            step(json!({ "setWeight": "20" })),
            "spec.strategy.canary.steps[0].setWeight",
        ),
        (
            step(json!({ "pause": 10 })),
            "spec.strategy.canary.steps[0].pause",
        ),
        (
            step(json!({ "pause": { "duration": true } })),
            "spec.strategy.canary.steps[0].pause.duration",
        ),
        (
            json!({ "spec": {}, "status": { "observedGeneration": 4 } }),
            "status.observedGeneration",
        ),
    ];
    for (mut document, path) in table {
        document["apiVersion"] = "argoproj.io/v1alpha1".into();
        document["kind"] = "Rollout".into();
        document["metadata"] = json!({ "name": "app" });
        let error = read::<Rollout>(document).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{path}: ")), "{error}");
    }
}

#[test]
fn lists_are_opened_and_empty_documents_left_out() {
    let text = "---\n---\nkind: List\nitems: [{kind: A}, {kind: B}]\n---\nkind: C\nitems: 3\n";
    let documents = documents(text).unwrap();
    assert_eq!(
        documents,
        [
            json!({ "kind": "A" }),
            json!({ "kind": "B" }),
            json!({ "kind": "C", "items": 3 })
        ]
    );
    assert!(super::documents("a: [").is_err());
}

/// Puts a field that nobody knows into every object on the way.
fn strange(mut value: Value) -> Value {
    match &mut value {
        Value::Object(object) => {
            for inner in object.values_mut() {
                *inner = strange(inner.take());
            }
            object.insert("strangeField".into(), json!({ "kept": [1, "two"] }));
        }
        Value::Array(list) => {
            for inner in list {
                *inner = strange(inner.take());
            }
        }
        _ => {}
    }
    value
}

fn round_trip<T: serde::de::DeserializeOwned + serde::Serialize>(kind: &str, half: [Value; 2]) {
    let [spec, status] = half.map(strange);
    let mut document = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": { "name": "app" },
        "spec": spec,
    });
    document["status"] = status;
    let object: T = read(document.clone()).unwrap();
    assert_eq!(serde_json::to_value(&object).unwrap(), document);
}

#[test]
fn unknown_fields_of_a_rollout_survive_at_every_level() {
    round_trip::<Rollout>("Rollout", [rollout_spec(), rollout_status()]);
}

fn rollout_spec() -> Value {
    let analysis = json!({
        "templates": [{ "templateName": "t" }],
        "args": [{ "name": "a", "valueFrom": { "podTemplateHashValue": "Latest" } }],
        "dryRun": [{ "metricName": "m" }],
        "measurementRetention": [{ "metricName": "m", "limit": 3 }],
    });
    json!({
        "replicas": 3,
        "template": { "spec": { "containers": [{ "name": "app" }] } },
        "workloadRef": { "name": "w" },
        "rollbackWindow": { "revisions": 1 },
        "analysis": { "successfulRunHistoryLimit": 1 },
        "strategy": {
            "blueGreen": {
                "activeService": "a",
                "prePromotionAnalysis": analysis,
                "antiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": { "weight": 1 },
                },
            },
            "canary": {
                "steps": [
                    { "setWeight": 5 },
                    { "pause": { "duration": "5m" } },
                    { "setCanaryScale": { "weight": 5 } },
                    { "analysis": analysis },
                    { "experiment": { "templates": [{
                        "name": "x", "specRef": "canary", "service": { "name": "s" },
                    }], "analyses": [{ "name": "a", "templateName": "t" }] } },
                    { "setHeaderRoute": { "name": "h", "match": [
                        { "headerName": "X", "headerValue": { "exact": "1" } },
                    ] } },
                    { "setMirrorRoute": { "name": "h", "match": [
                        { "method": { "exact": "GET" }, "path": { "prefix": "/" } },
                    ] } },
                    { "plugin": { "name": "p", "config": { "any": true } } },
                ],
                "pingPong": { "pingService": "a", "pongService": "b" },
                "replicaProgressThreshold": { "type": "Percent", "value": 90 },
                "canaryMetadata": {},
                "trafficRouting": {
                    "plugins": { "sluice/proxy": { "fleet": "f" } },
                    "managedRoutes": [{ "name": "h" }],
                    "istio": { "virtualService": { "name": "v", "tcpRoutes": [{ "port": 1 }] } },
                    "alb": { "servicePort": 80 },
                },
            },
        },
    })
}

fn rollout_status() -> Value {
    let time = "2026-01-02T03:04:05Z";
    json!({
        "observedGeneration": "7",
        "HPAReplicas": 3,
        "stableRS": "abc",
        "pauseConditions": [{ "reason": "CanaryPauseStep", "startTime": time }],
        "conditions": [{
            "type": "Progressing", "status": "True", "lastUpdateTime": time,
            "lastTransitionTime": time, "reason": "r", "message": "",
        }],
        "canary": {
            "weights": { "canary": { "weight": 5 }, "stable": { "weight": 95 } },
            "stepPluginStatuses": [{ "index": 0, "name": "p", "status": { "any": true } }],
            "currentStepAnalysisRunStatus": { "name": "a", "status": "Running" },
        },
        "blueGreen": { "activeSelector": "abc" },
        "alb": { "loadBalancer": { "name": "n" } },
        "duration": { "totalManualPauseDurationSeconds": 3 },
    })
}

#[test]
fn unknown_fields_of_runs_and_experiments_survive_at_every_level() {
    let metrics = json!([{
        "name": "m",
        "count": "{{args.count}}",
        "provider": {
            "prometheus": { "authentication": { "oauth2": { "tokenUrl": "u" } } },
            "job": { "spec": { "template": {} } },
            "web": { "url": "u", "jsonBody": { "a": 1 } },
            "kayenta": {
                "address": "a", "application": "a", "canaryConfigName": "c",
                "metricsAccountName": "m", "configurationAccountName": "c",
                "storageAccountName": "s", "threshold": { "pass": 90, "marginal": 70 },
                "scopes": [],
            },
            "cloudWatch": { "metricDataQueries": [{ "metricStat": { "metric": {} } }] },
        },
    }]);
    let args =
        json!([{ "name": "a", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }]);
    let spec = json!({
        "metrics": metrics, "args": args, "ttlStrategy": { "secondsAfterSuccess": 1 },
    });
    let status = json!({
        "phase": "Running",
        "runSummary": { "count": 1 },
        "metricResults": [{
            "name": "m", "phase": "Running", "measurements": [{ "phase": "A newer word" }],
        }],
    });
    round_trip::<AnalysisRun>("AnalysisRun", [spec, status]);

    let spec = json!({
        "templates": [{ "name": "t", "template": { "spec": {} }, "service": {} }],
        "analyses": [{ "name": "a", "templateName": "t", "args": args }],
    });
    let status = json!({
        "phase": "Running",
        "templateStatuses": [{ "name": "t", "status": "Running" }],
        "analysisRuns": [{ "name": "a", "analysisRun": "r", "phase": "Running" }],
    });
    round_trip::<Experiment>("Experiment", [spec, status]);
}
