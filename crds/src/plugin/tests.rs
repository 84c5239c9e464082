use serde_json::json;

use super::*;
use crate::duration::GoDuration;

const AT: &str = "plugins.sluice/proxy";

fn routing_errors(value: Value) -> Vec<String> {
    let errors = ProxyRouting::parse(&value, AT).unwrap_err();
    errors
        .iter()
        .map(|error| format!("{}: {}", error.path, error.message))
        .collect()
}

fn metric_errors(value: Value) -> Vec<String> {
    let errors = ProxyMetric::parse(&value, AT).unwrap_err();
    errors
        .iter()
        .map(|error| format!("{}: {}", error.path, error.message))
        .collect()
}

#[test]
fn a_complete_routing_block_is_read() {
    let routing = ProxyRouting::parse(
        &json!({
            "fleet": "my-app",
            "hostnames": ["My-App.example.com", "*.example.org"],
            "port": "http",
            "protocol": "h2c",
            "tls": { "secretName": "my-app-tls" },
            "sticky": { "cookie": { "name": "side", "maxAge": "24h" } },
            "override": { "header": "X-Canary", "pattern": "^team-", "trust": ["10.0.0.0/8"] },
            "fallback": { "to": "stable" },
            "fuse": { "alpha": 0.001, "ratio": 1.5, "minErrors": 3, "ageThreshold": "2s" },
        }),
        AT,
    )
    .unwrap();
    let expected = ProxyRouting {
        fleet: Some("my-app".into()),
        hostnames: vec!["my-app.example.com".into(), "*.example.org".into()],
        port: Some(PortRef::Name("http".into())),
        protocol: Some(Protocol::H2c),
        tls_secret: Some("my-app-tls".into()),
        sticky: Some(Sticky::Cookie {
            name: Some("side".into()),
            max_age: Some(GoDuration::from_seconds(86_400)),
        }),
        override_: Some(Override {
            by: OverrideBy::Header("X-Canary".into()),
            value: OverrideValue::Pattern("^team-".into()),
            trust: Trust::From(vec!["10.0.0.0/8".parse().unwrap()]),
        }),
        fallback_to_stable: true,
        fuse: Fuse {
            enabled: true,
            alpha: Some(0.001),
            ratio: Some(1.5),
            min_errors: Some(3),
            age_threshold: GoDuration::from_seconds(2),
        },
    };
    assert_eq!(routing, expected);
}

#[test]
fn an_empty_routing_block_has_a_fuse_and_nothing_else() {
    let routing = ProxyRouting::parse(&json!({}), AT).unwrap();
    assert_eq!(routing, ProxyRouting::default());
    assert!(routing.fuse.enabled);
    assert_eq!(routing.fuse.age_threshold, GoDuration::from_seconds(5));
    let off = ProxyRouting::parse(&json!({ "fuse": { "enabled": false } }), AT).unwrap();
    assert!(!off.fuse.enabled);
    let stable = ProxyRouting::parse(&json!({ "override": { "cookie": "c" } }), AT).unwrap();
    assert_eq!(stable.override_.unwrap().value, OverrideValue::AlwaysNever);
}

#[test]
fn every_mistake_in_a_routing_block_is_an_error() {
    let table = [
        (json!(3), ": must be an object with fleet"),
        (
            json!({ "flet": "a" }),
            ".flet: unknown key \"flet\"; did you mean \"fleet\"?",
        ),
        (
            json!({ "zzz": 1 }),
            ".zzz: unknown key \"zzz\"; known keys are fleet, hostnames, port",
        ),
        (
            json!({ "fleet": "My_App" }),
            ".fleet: must be a name of lower-case letters",
        ),
        (
            json!({ "fleet": 3 }),
            ".fleet: must be a name of lower-case letters",
        ),
        (
            json!({ "hostnames": "a.b" }),
            ".hostnames: must be a list of hostnames",
        ),
        (
            json!({ "hostnames": ["a.b", "a b"] }),
            ".hostnames[1]: must be a hostname",
        ),
        (
            json!({ "hostnames": ["a.b:80"] }),
            ".hostnames[0]: must be a hostname",
        ),
        (
            json!({ "hostnames": ["10.0.0.1"] }),
            ".hostnames[0]: must be a hostname",
        ),
        (
            json!({ "hostnames": ["a.*.b"] }),
            ".hostnames[0]: must be a hostname",
        ),
        (
            json!({ "hostnames": ["a.b", "A.b"] }),
            ".hostnames[1]: is listed twice",
        ),
        (
            json!({ "port": 0 }),
            ".port: must be the name of a port, or a number from 1 to 65535",
        ),
        (
            json!({ "port": 65536 }),
            ".port: must be the name of a port",
        ),
        (
            json!({ "port": "a-name-that-is-too-long" }),
            ".port: must be the name of a port",
        ),
        (
            json!({ "protocol": "http2" }),
            ".protocol: must be \"http1\" or \"h2c\"; did you mean \"http1\"?",
        ),
        (
            json!({ "tls": {} }),
            ".tls.secretName: required: the name of a Secret",
        ),
        (
            json!({ "tls": { "secret": "a" } }),
            ".tls.secret: unknown key \"secret\"; did you mean \"secretName\"?",
        ),
        (
            json!({ "sticky": {} }),
            ".sticky: must have exactly one of header and cookie",
        ),
        (
            json!({ "sticky": { "header": "X", "cookie": {} } }),
            ".sticky: must have exactly one",
        ),
        (
            json!({ "sticky": { "header": "X User" } }),
            ".sticky.header: must be the name of a header",
        ),
        (
            json!({ "sticky": { "cookie": { "name": "a;b" } } }),
            ".sticky.cookie.name: must be the name of a cookie",
        ),
        (
            json!({ "sticky": { "cookie": { "maxAge": "1d" } } }),
            ".sticky.cookie.maxAge: invalid duration \"1d\": unknown unit \"d\"; did you mean \"24h\"?",
        ),
        (
            json!({ "sticky": { "cookie": { "maxAge": 60 } } }),
            ".sticky.cookie.maxAge: must be a duration",
        ),
        (
            json!({ "sticky": { "cookie": { "maxAge": "-1s" } } }),
            ".sticky.cookie.maxAge: must be longer than 0s",
        ),
        (
            json!({ "override": { "value": "x" } }),
            ".override: must have a header or a cookie",
        ),
        (
            json!({ "override": { "header": "X", "value": "a", "pattern": "b" } }),
            ".override: must have at most one of value and pattern",
        ),
        (
            json!({ "override": { "header": "X", "value": "" } }),
            ".override.value: must be a string that is not empty",
        ),
        (
            json!({ "override": { "header": "X", "pattern": "(" } }),
            ".override.pattern: must be a regular expression of at most 1048576 bytes",
        ),
        (
            json!({ "override": { "header": "X", "pattern": "(\\w{200}){200}" } }),
            ".override.pattern: must be a regular expression of at most 1048576 bytes",
        ),
        (
            json!({ "override": { "header": "X", "trust": "all" } }),
            ".override.trust: must be \"any\" or a list of CIDRs",
        ),
        (
            json!({ "override": { "header": "X", "trust": [] } }),
            ".override.trust: must be \"any\" or a list of CIDRs",
        ),
        (
            json!({ "override": { "header": "X", "trust": ["10.0.0.0/33"] } }),
            ".override.trust[0]: must be a CIDR",
        ),
        (
            json!({ "fallback": {} }),
            ".fallback.to: required: \"stable\"",
        ),
        (
            json!({ "fallback": { "to": "canary" } }),
            ".fallback.to: must be \"stable\"",
        ),
        (
            json!({ "fuse": { "alpha": 0.5 } }),
            ".fuse.alpha: must be a number above 0 and below 0.5",
        ),
        (
            json!({ "fuse": { "alpha": 0 } }),
            ".fuse.alpha: must be a number above 0 and below 0.5",
        ),
        (
            json!({ "fuse": { "ratio": 0.9 } }),
            ".fuse.ratio: must be a number of at least 1",
        ),
        (
            json!({ "fuse": { "minErrors": 0 } }),
            ".fuse.minErrors: must be a whole number from 1",
        ),
        (
            json!({ "fuse": { "minError": 3 } }),
            ".fuse.minError: unknown key \"minError\"; did you mean \"minErrors\"?",
        ),
        (
            json!({ "fuse": { "enabled": "no" } }),
            ".fuse.enabled: must be true or false",
        ),
        (
            json!({ "fuse": { "ageThreshold": "5" } }),
            ".fuse.ageThreshold: invalid duration \"5\": missing unit",
        ),
    ];
    for (value, expected) in table {
        let errors = routing_errors(value.clone());
        assert_eq!(errors.len(), 1, "{value}: {errors:?}");
        assert!(
            errors[0].starts_with(&format!("{AT}{expected}")),
            "{value}: {errors:?}"
        );
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let errors = ProxyRouting::parse(
        &json!({ "flet": "a", "port": -1, "fuse": { "alpha": 2, "ratio": "x" } }),
        AT,
    )
    .unwrap_err();
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    let expected = [".flet", ".port", ".fuse.alpha", ".fuse.ratio"];
    assert_eq!(paths, expected.map(|path| format!("{AT}{path}")));
    assert_eq!(
        errors[1].to_string(),
        format!(
            "{AT}.port: Invalid value: -1: must be the name of a port, or a number from 1 to 65535"
        )
    );
}

#[test]
fn metric_blocks_are_read() {
    let plain = |test| ProxyMetric {
        test,
        alpha: None,
        ratio: None,
        min_evidence: None,
        on_insufficient: None,
    };
    let table = [
        (
            json!({ "compare": "errors" }),
            plain(ProxyTest::Compare(Comparison::Errors)),
        ),
        (
            json!({ "compare": "latency" }),
            plain(ProxyTest::Compare(Comparison::Latency)),
        ),
        (
            json!({ "successRate": { "min": 0.99 } }),
            plain(ProxyTest::SuccessRate { min: 0.99 }),
        ),
        (
            json!({ "latency": { "quantile": 0.95, "max": "500ms" } }),
            plain(ProxyTest::Latency {
                quantile: 0.95,
                max: GoDuration::from_nanoseconds(500_000_000),
            }),
        ),
        (
            json!({
                "compare": "errors", "alpha": 0.01, "ratio": 1, "minEvidence": 50,
                "onInsufficient": "inconclusive",
            }),
            ProxyMetric {
                alpha: Some(0.01),
                ratio: Some(1.0),
                min_evidence: Some(50),
                on_insufficient: Some(OnInsufficient::Inconclusive),
                ..plain(ProxyTest::Compare(Comparison::Errors))
            },
        ),
    ];
    for (value, expected) in table {
        assert_eq!(ProxyMetric::parse(&value, AT), Ok(expected), "{value}");
    }
}

#[test]
fn every_mistake_in_a_metric_block_is_an_error() {
    let with = |key: &str, value: Value| json!({ "compare": "errors", key: value });
    let table = [
        (json!("errors"), ": must be an object with compare"),
        (
            json!({}),
            ": must have exactly one of compare, successRate and latency",
        ),
        (
            json!({ "compare": "errors", "successRate": { "min": 0.9 } }),
            ": must have exactly one of compare and successRate",
        ),
        (
            json!({ "compare": "error" }),
            ".compare: must be \"errors\" or \"latency\"; did you mean \"errors\"?",
        ),
        (
            json!({ "successRate": {} }),
            ".successRate.min: required: a number above 0 and below 1",
        ),
        (
            json!({ "successRate": { "min": 99 } }),
            ".successRate.min: must be a number above 0 and below 1",
        ),
        (
            json!({ "successRate": 0.99 }),
            ".successRate: must be an object with min",
        ),
        (
            json!({ "latency": { "quantile": 0.9 } }),
            ".latency.max: required: a duration",
        ),
        (
            json!({ "latency": { "max": "1s" } }),
            ".latency.quantile: required",
        ),
        (
            json!({ "latency": { "quantile": 1, "max": "1s" } }),
            ".latency.quantile: must be a number above 0",
        ),
        (
            json!({ "latency": { "quantile": 0.9, "max": "0s" } }),
            ".latency.max: must be longer than 0s",
        ),
        (
            with("alpha", json!(0.7)),
            ".alpha: must be a number above 0 and below 0.5",
        ),
        (
            with("ratio", json!("2")),
            ".ratio: must be a number of at least 1",
        ),
        (
            with("minEvidence", json!(1.5)),
            ".minEvidence: must be a whole number from 1",
        ),
        (
            with("onInsufficient", json!("succes")),
            ".onInsufficient: must be \"success\" or \"inconclusive\"; did you mean \"success\"?",
        ),
        (
            with("minEvidense", json!(3)),
            ".minEvidense: unknown key \"minEvidense\"; did you mean \"minEvidence\"?",
        ),
    ];
    for (value, expected) in table {
        let errors = metric_errors(value.clone());
        assert_eq!(errors.len(), 1, "{value}: {errors:?}");
        assert!(
            errors[0].starts_with(&format!("{AT}{expected}")),
            "{value}: {errors:?}"
        );
    }
}
