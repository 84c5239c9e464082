use crds::AnalysisRunSpec;
use serde_json::{Value, json};

use super::*;

fn template(spec: Value) -> Arc<AnalysisTemplateSpec> {
    Arc::new(serde_json::from_value(spec).unwrap())
}

fn metric(name: &str) -> Value {
    json!({"name": name, "provider": {"plugin": {"sluice/proxy": {"compare": "errors"}}}})
}

fn compose(analysis: Value, namespaced: Value, cluster: Value) -> Result<AnalysisRunSpec, String> {
    let of = |specs: Value| {
        let Value::Object(specs) = specs else {
            panic!("not templates")
        };
        specs
            .into_iter()
            .map(|(name, spec)| (name, template(spec)))
            .collect()
    };
    let templates = Templates {
        namespaced: of(namespaced),
        cluster: of(cluster),
    };
    let rollout: Rollout = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "my-app", "namespace": "shop", "uid": "u-1",
                     "labels": {"team": "cart", "a.b/c": "d"}, "annotations": {"note": "hi"}},
        "spec": {"replicas": 5, "template": {"spec": {"containers": [{"name": "a", "image": "a:2"}]}}},
    }))
    .unwrap();
    run_for(&ComposeInput {
        rollout: &rollout,
        analysis: &serde_json::from_value(analysis).unwrap(),
        templates: &templates,
        stable_hash: "stable1",
        latest_hash: "latest2",
    })
    .map_err(|error| error.to_string())
}

fn metrics_of(spec: &AnalysisRunSpec) -> Vec<&str> {
    spec.metrics
        .iter()
        .map(|metric| metric.name.as_str())
        .collect()
}

#[test]
fn templates_are_flattened_once_each_and_those_of_the_namespace_come_first() {
    let spec = compose(
        json!({"templates": [{"templateName": "shared", "clusterScope": true},
                             {"templateName": "a"}, {"templateName": "b"}]}),
        json!({"a": {"metrics": [metric("a")], "templates": [{"templateName": "b"}, {"templateName": "a"}]},
               "b": {"metrics": [metric("b")], "templates": [{"templateName": "shared", "clusterScope": true}]}}),
        json!({"shared": {"metrics": [metric("shared")]}}),
    );
    assert_eq!(metrics_of(&spec.unwrap()), ["a", "b", "shared"]);
}

#[test]
fn what_conflicts_is_refused_in_argos_words() {
    let two = json!({"templates": [{"templateName": "a"}, {"templateName": "b"}]});
    let rows = [
        (
            json!({"a": {"metrics": [metric("m")]}, "b": {"metrics": [metric("m")]}}),
            "two metrics have the same name 'm'",
        ),
        (json!({"a": {}}), "AnalysisTemplate 'b' not found"),
        (
            json!({"a": {"args": [{"name": "x", "value": "1"}]}, "b": {"args": [{"name": "x", "value": "2"}]}}),
            "Argument `x` specified multiple times with different values: '1', '2'",
        ),
        (
            json!({"a": {"args": [{"name": "x"}]}, "b": {}}),
            "args.x was not resolved",
        ),
        (
            json!({"a": {"dryRun": [{"metricName": "m"}]}, "b": {"dryRun": [{"metricName": "m"}]}}),
            "two Dry-Run metric rules have the same name 'm'",
        ),
        (
            json!({"a": {"measurementRetention": [{"metricName": "m", "limit": 1}]},
                   "b": {"measurementRetention": [{"metricName": "m", "limit": 2}]}}),
            "two Measurement Retention metric rules have the same name 'm'",
        ),
    ];
    for (templates, expected) in rows {
        assert_eq!(
            compose(two.clone(), templates, json!({})).unwrap_err(),
            expected
        );
    }
    let cluster = json!({"templates": [{"templateName": "c", "clusterScope": true}]});
    assert_eq!(
        compose(cluster, json!({}), json!({})).unwrap_err(),
        "ClusterAnalysisTemplate 'c' not found"
    );
}

#[test]
fn the_first_value_of_an_argument_wins_and_the_rollouts_overrides_it() {
    let spec = compose(
        json!({"templates": [{"templateName": "a"}, {"templateName": "b"}],
               "args": [{"name": "y", "value": "mine"}, {"name": "undeclared", "value": "1"},
                        {"name": "token", "value": "plain"}]}),
        json!({"a": {"args": [{"name": "x"}, {"name": "y", "value": "theirs"},
                              {"name": "token", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
               "b": {"args": [{"name": "x", "value": "from b"},
                              {"name": "key", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}}),
        json!({}),
    )
    .unwrap();
    let args = serde_json::to_value(&spec.args).unwrap();
    let expected = json!([
        {"name": "x", "value": "from b"},
        {"name": "y", "value": "mine"},
        {"name": "token", "value": "plain"},
        {"name": "key", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]);
    assert_eq!(args, expected);
}

#[test]
fn arguments_are_read_from_the_rollout() {
    let path = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let rows = [
        (json!({"podTemplateHashValue": "Stable"}), Ok("stable1")),
        (json!({"podTemplateHashValue": "Latest"}), Ok("latest2")),
        (path("metadata.name"), Ok("my-app")),
        (path("metadata.namespace"), Ok("shop")),
        (path("metadata.uid"), Ok("u-1")),
        (path("metadata.labels['team']"), Ok("cart")),
        (path("metadata.labels['a.b/c']"), Ok("d")),
        (path("metadata.labels['absent']"), Ok("")),
        (path("metadata.annotations['note']"), Ok("hi")),
        (
            path("metadata.generation"),
            Err("unsupported fieldPath: metadata.generation"),
        ),
        (path("spec.replicas"), Ok("5")),
        (path("spec.template.spec.containers[0].image"), Ok("a:2")),
        (
            path("spec.template.spec.containers[1].image"),
            Err("index 1 out of range"),
        ),
        (
            path("spec.absent"),
            Err("invalid path spec.absent in rollout"),
        ),
        (
            path("spec.template"),
            Err("path spec.template in rollout must terminate in a primitive value"),
        ),
    ];
    for (from, expected) in rows {
        let composed = compose(
            json!({"templates": [{"templateName": "a"}], "args": [{"name": "x", "valueFrom": from}]}),
            json!({"a": {"args": [{"name": "x"}]}}),
            json!({}),
        );
        let value = composed.map(|spec| spec.args[0].value.clone().unwrap());
        assert_eq!(
            value,
            expected.map(str::to_owned).map_err(str::to_owned),
            "{from}"
        );
    }
}

#[test]
fn rules_of_rollout_and_templates_are_joined() {
    let spec = compose(
        json!({"templates": [{"templateName": "a"}], "dryRun": [{"metricName": "x"}],
               "measurementRetention": [{"metricName": "x", "limit": 3}]}),
        json!({"a": {"dryRun": [{"metricName": "y"}], "metrics": [metric("x"), metric("y")]}}),
        json!({}),
    )
    .unwrap();
    let dry: Vec<_> = spec
        .dry_run
        .iter()
        .map(|rule| rule.metric_name.as_str())
        .collect();
    assert_eq!(dry, ["x", "y"]);
    assert_eq!(spec.measurement_retention[0].limit, 3);
}
