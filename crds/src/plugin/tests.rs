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
            "warmUp": "1m",
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
        warm_up: Some(GoDuration::from_seconds(60)),
    };
    assert_eq!(routing, expected);
}

#[test]
fn an_empty_routing_block_has_a_fuse_and_nothing_else() {
    let routing = ProxyRouting::parse(&json!({}), AT).unwrap();
    assert_eq!(routing, ProxyRouting::default());
    assert!(routing.fuse.enabled);
    assert_eq!(routing.fuse.age_threshold, GoDuration::from_seconds(5));
    let warm = ProxyRouting::parse(&json!({ "warmUp": "0s" }), AT).unwrap();
    assert_eq!(warm.warm_up, Some(GoDuration::from_seconds(0)));
    let off = ProxyRouting::parse(&json!({ "fuse": { "enabled": false } }), AT).unwrap();
    assert!(!off.fuse.enabled);
    let stable = ProxyRouting::parse(&json!({ "override": { "cookie": "c" } }), AT).unwrap();
    assert_eq!(stable.override_.unwrap().value, OverrideValue::AlwaysNever);
}

#[test]
fn a_fleet_is_of_the_same_namespace_unless_it_names_another() {
    let fleet = |block: Value| {
        let routing = ProxyRouting::parse(&block, AT).unwrap();
        routing.fleet_of("shop", "web")
    };
    assert_eq!(fleet(json!({})), "shop/web");
    assert_eq!(fleet(json!({"fleet": "edge"})), "shop/edge");
    assert_eq!(fleet(json!({"fleet": "gateways/edge"})), "gateways/edge");
}

/// A block with one mistake, and the beginning of the path and message that it must give.
const ROUTING_MISTAKES: &[(&str, &str)] = &[
    ("3", ": must be an object with fleet"),
    (
        r#"{ "flet": "a" }"#,
        ".flet: unknown key \"flet\"; did you mean \"fleet\"?",
    ),
    (
        r#"{ "zzz": 1 }"#,
        ".zzz: unknown key \"zzz\"; known keys are fleet, hostnames, port",
    ),
    (r#"{ "warmUp": "-1s" }"#, ".warmUp: must be longer than 0s"),
    (
        r#"{ "fleet": "My_App" }"#,
        ".fleet: must be a name of lower-case letters",
    ),
    (
        r#"{ "fleet": "shop/edge/web" }"#,
        ".fleet: must be a name of lower-case letters",
    ),
    (
        r#"{ "fleet": 3 }"#,
        ".fleet: must be a name of lower-case letters",
    ),
    (
        r#"{ "hostnames": "a.b" }"#,
        ".hostnames: must be a list of hostnames",
    ),
    (
        r#"{ "hostnames": ["a.b", "a b"] }"#,
        ".hostnames[1]: must be a hostname",
    ),
    (
        r#"{ "hostnames": ["a.b:80"] }"#,
        ".hostnames[0]: must be a hostname",
    ),
    (
        r#"{ "hostnames": ["10.0.0.1"] }"#,
        ".hostnames[0]: must be a hostname",
    ),
    (
        r#"{ "hostnames": ["a.*.b"] }"#,
        ".hostnames[0]: must be a hostname",
    ),
    (
        r#"{ "hostnames": ["a.b", "A.b"] }"#,
        ".hostnames[1]: is listed twice",
    ),
    (
        r#"{ "port": 0 }"#,
        ".port: must be the name of a port, or a number from 1 to 65535",
    ),
    (r#"{ "port": 65536 }"#, ".port: must be the name of a port"),
    (
        r#"{ "port": "a-name-that-is-too-long" }"#,
        ".port: must be the name of a port",
    ),
    (
        r#"{ "protocol": "http2" }"#,
        ".protocol: must be \"http1\" or \"h2c\"; did you mean \"http1\"?",
    ),
    (
        r#"{ "tls": {} }"#,
        ".tls.secretName: required: the name of a Secret",
    ),
    (
        r#"{ "tls": { "secretName": "a", "secret": "a" } }"#,
        ".tls.secret: unknown key \"secret\"; did you mean \"secretName\"?",
    ),
    (
        r#"{ "sticky": {} }"#,
        ".sticky: must have exactly one of header and cookie",
    ),
    (
        r#"{ "sticky": { "header": "X", "cookie": {} } }"#,
        ".sticky: must have exactly one",
    ),
    (
        r#"{ "sticky": { "header": "X User" } }"#,
        ".sticky.header: must be the name of a header",
    ),
    (
        r#"{ "sticky": { "cookie": { "name": "a;b" } } }"#,
        ".sticky.cookie.name: must be the name of a cookie",
    ),
    (
        r#"{ "sticky": { "cookie": { "maxAge": "1d" } } }"#,
        ".sticky.cookie.maxAge: invalid duration \"1d\": unknown unit \"d\"; did you mean \"24h\"?",
    ),
    (
        r#"{ "sticky": { "cookie": { "maxAge": 60 } } }"#,
        ".sticky.cookie.maxAge: must be a duration",
    ),
    (
        r#"{ "sticky": { "cookie": { "maxAge": "-1s" } } }"#,
        ".sticky.cookie.maxAge: must be longer than 0s",
    ),
    (
        r#"{ "override": { "value": "x" } }"#,
        ".override: must have a header or a cookie",
    ),
    (
        r#"{ "override": { "header": "X", "value": "a", "pattern": "b" } }"#,
        ".override: must have at most one of value and pattern",
    ),
    (
        r#"{ "override": { "header": "X", "value": "" } }"#,
        ".override.value: must be a string that is not empty",
    ),
    (
        r#"{ "override": { "header": "X", "pattern": "(" } }"#,
        ".override.pattern: must be a regular expression of at most 1048576 bytes",
    ),
    (
        r#"{ "override": { "header": "X", "pattern": "(\\w{200}){200}" } }"#,
        ".override.pattern: must be a regular expression of at most 1048576 bytes",
    ),
    (
        r#"{ "override": { "header": "X", "trust": "all" } }"#,
        ".override.trust: must be \"any\" or a list of CIDRs",
    ),
    (
        r#"{ "override": { "header": "X", "trust": [] } }"#,
        ".override.trust: must be \"any\" or a list of CIDRs",
    ),
    (
        r#"{ "override": { "header": "X", "trust": ["10.0.0.0/33"] } }"#,
        ".override.trust[0]: must be a CIDR",
    ),
    (
        r#"{ "fallback": {} }"#,
        ".fallback.to: required: \"stable\"",
    ),
    (
        r#"{ "fallback": { "to": "canary" } }"#,
        ".fallback.to: must be \"stable\"",
    ),
    (
        r#"{ "fuse": { "alpha": 0.5 } }"#,
        ".fuse.alpha: must be a number above 0 and below 0.5",
    ),
    (
        r#"{ "fuse": { "alpha": 0 } }"#,
        ".fuse.alpha: must be a number above 0 and below 0.5",
    ),
    (
        r#"{ "fuse": { "ratio": 0.9 } }"#,
        ".fuse.ratio: must be a number of at least 1",
    ),
    (
        r#"{ "fuse": { "minErrors": 0 } }"#,
        ".fuse.minErrors: must be a whole number from 1",
    ),
    (
        r#"{ "fuse": { "minError": 3 } }"#,
        ".fuse.minError: unknown key \"minError\"; did you mean \"minErrors\"?",
    ),
    (
        r#"{ "fuse": { "enabled": "no" } }"#,
        ".fuse.enabled: must be true or false",
    ),
    (
        r#"{ "fuse": { "ageThreshold": "5" } }"#,
        ".fuse.ageThreshold: invalid duration \"5\": missing unit",
    ),
];

#[test]
fn every_mistake_in_a_routing_block_is_an_error() {
    for (text, expected) in ROUTING_MISTAKES {
        let errors = routing_errors(serde_json::from_str(text).unwrap());
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(
            errors[0].starts_with(&format!("{AT}{expected}")),
            "{text}: {errors:?}"
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

/// A block with one mistake, and the beginning of the path and message that it must give.
const METRIC_MISTAKES: &[(&str, &str)] = &[
    (r#""errors""#, ": must be an object with compare"),
    (
        "{}",
        ": must have exactly one of compare, successRate and latency",
    ),
    (
        r#"{ "compare": "errors", "successRate": { "min": 0.9 } }"#,
        ": must have exactly one of compare and successRate",
    ),
    (
        r#"{ "compare": "error" }"#,
        ".compare: must be \"errors\" or \"latency\"; did you mean \"errors\"?",
    ),
    (
        r#"{ "successRate": {} }"#,
        ".successRate.min: required: a number above 0 and below 1",
    ),
    (
        r#"{ "successRate": { "min": 99 } }"#,
        ".successRate.min: must be a number above 0 and below 1",
    ),
    (
        r#"{ "successRate": 0.99 }"#,
        ".successRate: must be an object with min",
    ),
    (
        r#"{ "latency": { "quantile": 0.9 } }"#,
        ".latency.max: required: a duration",
    ),
    (
        r#"{ "latency": { "max": "1s" } }"#,
        ".latency.quantile: required",
    ),
    (
        r#"{ "latency": { "quantile": 1, "max": "1s" } }"#,
        ".latency.quantile: must be a number above 0",
    ),
    (
        r#"{ "latency": { "quantile": 0.9, "max": "0s" } }"#,
        ".latency.max: must be longer than 0s",
    ),
    (
        r#"{ "compare": "errors", "alpha": 0.7 }"#,
        ".alpha: must be a number above 0 and below 0.5",
    ),
    (
        r#"{ "compare": "errors", "ratio": "2" }"#,
        ".ratio: must be a number of at least 1",
    ),
    (
        r#"{ "compare": "errors", "minEvidence": 1.5 }"#,
        ".minEvidence: must be a whole number from 1",
    ),
    (
        r#"{ "compare": "errors", "onInsufficient": "succes" }"#,
        ".onInsufficient: must be \"success\" or \"inconclusive\"; did you mean \"success\"?",
    ),
    (
        r#"{ "compare": "errors", "minEvidense": 3 }"#,
        ".minEvidense: unknown key \"minEvidense\"; did you mean \"minEvidence\"?",
    ),
];

#[test]
fn every_mistake_in_a_metric_block_is_an_error() {
    for (text, expected) in METRIC_MISTAKES {
        let errors = metric_errors(serde_json::from_str(text).unwrap());
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(
            errors[0].starts_with(&format!("{AT}{expected}")),
            "{text}: {errors:?}"
        );
    }
}
