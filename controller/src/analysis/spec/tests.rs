use serde_json::{Value, json};

use super::*;

fn check_of(spec: Value) -> Result<CheckedRun, String> {
    let spec: AnalysisRunSpec = serde_json::from_value(spec).unwrap();
    checked(&spec, &spec.metrics)
}

fn one(fields: Value) -> Value {
    let mut metric =
        json!({"name": "m", "provider": {"plugin": {"sluice/proxy": {"compare": "errors"}}}});
    let Value::Object(fields) = fields else {
        panic!("not fields")
    };
    metric.as_object_mut().unwrap().extend(fields);
    json!({"metrics": [metric]})
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn what_is_wrong_is_said_in_argos_words() {
    let rows = [
        (json!({"metrics": []}), "no metrics specified"),
        (
            one(json!({"count": 2})),
            "metrics[0]: interval must be specified when count > 1",
        ),
        (
            one(json!({"count": 1, "failureLimit": 2})),
            "metrics[0]: count (1) must be >= failureLimit + consecutiveSuccessLimit (2 + 0) if both >= 0",
        ),
        (
            one(json!({"count": 1, "inconclusiveLimit": 2})),
            "metrics[0]: count must be >= inconclusiveLimit",
        ),
        (
            one(
                json!({"count": 3, "interval": "1s", "failureLimit": 2, "consecutiveSuccessLimit": 2}),
            ),
            "metrics[0]: count (3) must be >= failureLimit + consecutiveSuccessLimit (2 + 2) if both >= 0",
        ),
        (
            one(json!({"count": 1, "failureLimit": -1, "consecutiveSuccessLimit": 2})),
            "metrics[0]: count must be >= consecutiveSuccessLimit",
        ),
        (
            one(json!({"consecutiveSuccessLimit": -1})),
            "metrics[0]: consecutiveSuccessLimit must be >= 0",
        ),
        (
            one(json!({"failureLimit": -2})),
            "metrics[0]: failureLimit must be >= 0, or -1 to be disabled",
        ),
        (
            one(json!({"failureLimit": -1})),
            "metrics[0]: failureLimit and consecutiveSuccessLimit cannot both be disabled",
        ),
        (
            one(json!({"inconclusiveLimit": -1})),
            "metrics[0]: inconclusiveLimit must be >= 0",
        ),
        (
            one(json!({"consecutiveErrorLimit": -1})),
            "metrics[0]: consecutiveErrorLimit must be >= 0",
        ),
        (
            one(json!({"provider": {}})),
            "metrics[0]: no provider specified",
        ),
        (
            one(json!({"provider": {"web": {"url": "http://a"}, "plugin": {"sluice/proxy": {}}}})),
            "metrics[0]: multiple providers specified",
        ),
        (
            one(json!({"provider": {"graphite": {"query": "a"}}})),
            "metrics[0]: metric 'm' uses the provider 'graphite', which is not supported yet: \
          prometheus, web, job and the plugin 'sluice/proxy' are accepted",
        ),
        (
            one(json!({"provider": {"plugin": {"web": {}}}})),
            "metrics[0]: metric 'm' uses the provider 'web', which is not supported yet: \
          prometheus, web, job and the plugin 'sluice/proxy' are accepted",
        ),
        (
            one(json!({"provider": {"web": {"url": "http://a", "method": "PATCH"}}})),
            "metrics[0]: provider.web.method: \"PATCH\" is not supported: GET, POST or PUT is accepted",
        ),
        (
            one(
                json!({"provider": {"prometheus": {"authentication": {"sigv4": {"region": "r"}}}}}),
            ),
            "metrics[0]: provider.prometheus.authentication.sigv4 is not supported: \
          basicAuth, oauth2 or headers are accepted",
        ),
        (
            json!({"metrics": [one(json!({}))["metrics"][0], one(json!({}))["metrics"][0]]}),
            "metrics[1]: duplicate name 'm'",
        ),
        (
            json!({"metrics": [], "dryRun": [{"metricName": "m"}]}),
            "no metrics specified",
        ),
    ];
    for (spec, expected) in rows {
        assert_eq!(check_of(spec.clone()).unwrap_err(), expected, "{spec}");
    }
    for interval in ["10m.", "x"] {
        let error = check_of(one(json!({"interval": interval}))).unwrap_err();
        assert!(
            error.starts_with("metrics[0]: invalid interval string: "),
            "{error}"
        );
    }
    let unknown = one(json!({"provider": {"plugin": {"sluice/proxy": {"compar": "errors"}}}}));
    assert!(
        check_of(unknown)
            .unwrap_err()
            .contains("provider.plugin.sluice/proxy")
    );
}

#[test]
fn rules_must_be_about_a_metric() {
    for list in ["dryRun", "measurementRetention"] {
        let mut spec = one(json!({}));
        spec[list] =
            json!([{"metricName": "^m$", "limit": 2}, {"metricName": "other", "limit": 1}]);
        let expected = format!("{list}[1]: Rule didn't match any metric name(s)");
        assert_eq!(check_of(spec).unwrap_err(), expected);
    }
    let mut spec = one(json!({}));
    spec["dryRun"] = json!([{"metricName": ".*"}]);
    spec["measurementRetention"] = json!([{"metricName": "m", "limit": 3}]);
    let run = check_of(spec).unwrap();
    assert!(run.metrics[0].dry_run);
    assert_eq!(run.metrics[0].retention, 3);
}

#[test]
fn defaults_are_argos() {
    let metric = |fields| check_of(one(fields)).unwrap().metrics.remove(0);
    let plain = metric(json!({}));
    assert_eq!(
        (plain.count, plain.failure_limit, plain.retention),
        (Some(1), Some(0), 10)
    );
    assert_eq!(
        (plain.inconclusive_limit, plain.consecutive_error_limit),
        (0, 4)
    );
    assert_eq!(
        (plain.consecutive_success_limit, plain.dry_run),
        (None, false)
    );
    assert_eq!(metric(json!({"interval": "1m"})).count, None);
    assert_eq!(metric(json!({"interval": ""})).count, Some(1));
    assert_eq!(
        metric(json!({"count": -3, "interval": "1m"})).count,
        Some(-3)
    );
    assert_eq!(
        metric(json!({"count": "5", "interval": "1m"})).count,
        Some(5)
    );
    assert_eq!(
        metric(json!({"count": "many", "interval": "1m"})).count,
        None
    );
}
