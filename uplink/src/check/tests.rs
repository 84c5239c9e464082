use std::time::Duration;

use super::*;
use crate::document::read_yaml_or_json;
use crate::sticky;

const FULL: &str = include_str!("../../examples/full.yaml");
const MINIMAL: &str = include_str!("../../examples/minimal.yaml");
const STICKY: &str = include_str!("../../examples/sticky.yaml");
const TLS: &str = include_str!("../../examples/tls.yaml");

fn checked(text: &str) -> Result<CheckedConfig, Vec<ConfigError>> {
    check(&read_yaml_or_json(text)?)
}

/// Errors as text, of the full example with one piece replaced.
fn errors_with(piece: &str, replacement: &str) -> Vec<String> {
    assert!(FULL.contains(piece), "no {piece:?} in the full example");
    match checked(&FULL.replacen(piece, replacement, 1)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_example_is_accepted() {
    for (name, text) in [
        ("minimal", MINIMAL),
        ("sticky", STICKY),
        ("tls", TLS),
        ("full", FULL),
    ] {
        if let Err(errors) = checked(text) {
            panic!("{name}: {errors:?}");
        }
    }
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = checked(STICKY).expect("the example is good");
    let split = &config.splits["shop"];
    assert_eq!(split.rollout_uid, "shop");
    assert_eq!(split.max_weight, 100);
    assert_eq!(split.salt, sticky::split_salt("shop", "shop-v2"));
    assert_eq!(split.age_threshold, Duration::from_secs(5));
    assert_eq!(split.warm_up, Duration::from_secs(10));
    assert!(split.fallback_to_stable && split.fuse.is_some());
    let chosen = split.override_.as_ref().expect("an override");
    assert!(matches!(
        chosen.header,
        Some((_, OverrideRule::AlwaysNever))
    ));
    assert!(chosen.trust.is_none());
    let cluster = &config.clusters["shop-v1"];
    assert_eq!(cluster.revision, "shop-v1");
    assert_eq!(cluster.connect_timeout, Duration::from_secs(1));
    assert_eq!(cluster.outlier.map(|policy| policy.max_percent), Some(50));
    let route = &config.routes[0];
    assert_eq!(route.timeout, Some(Duration::from_secs(30)));
    assert_eq!(route.conditions.len(), 1);
    assert_eq!(
        route.conditions[0].path,
        PathCondition::Prefix(String::new())
    );
}

#[test]
fn the_checked_form_is_normal() {
    let config = checked(FULL).expect("the example is good");
    assert_eq!(
        config.routes[0].conditions[0].path,
        PathCondition::Prefix("/api".into()),
        "a prefix loses its trailing slash"
    );
    assert_eq!(config.routes[1].timeout, None, "0s is no timeout");
    let endpoints: Vec<_> = config.clusters["my-app-66c8f4d79"]
        .endpoints
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(endpoints, ["10.0.0.3:8080", "[2001:db8::7]:8080"]);
    assert_eq!(config.clusters["my-app-66c8f4d79"].outlier, None);
    let tls = checked(TLS).expect("the example is good");
    assert_eq!(
        tls.routes[0].hostnames[1],
        Hostname::Wildcard("shop.example.com".into())
    );
}

#[test]
fn a_regex_is_about_the_whole_value() {
    let config = checked(FULL).expect("the example is good");
    let ValueCondition::Regex(regex) = &config.routes[0].conditions[0].headers[2].value else {
        panic!("the third header has a regex");
    };
    for (value, matches) in [
        ("curl/8.1", true),
        ("curl/9.1", false),
        ("my curl/8.1", false),
        ("curl/8.1\n", false),
    ] {
        assert_eq!(regex.is_match(value), matches, "{value:?}");
    }
}

/// What is replaced in the full example, by what, and the beginning of the one error.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "fleet: default/my-app",
        "fleet: my-app",
        "fleet: invalid fleet \"my-app\": expected `namespace/name`",
    ),
    (
        "names: [my-app.example.com]",
        "names: [\"a.*.com\"]",
        "certificates[0].names[0]: invalid hostname \"a.*.com\": a wildcard",
    ),
    (
        "@sha256:9f86",
        "@sha256:9F86",
        "certificates[0].secret: invalid secret reference",
    ),
    (
        "    secret: default",
        "    files: {certificate: a, key: b}\n    secret: default",
        "certificates[0]: exactly one of `files`, `secret` is required, more than one",
    ),
    (
        "- name: api\n",
        "- name: \"\"\n",
        "routes[0].name: invalid name \"\"",
    ),
    (
        "- name: everything-else",
        "- name: api",
        "routes[1].name: name \"api\" is taken by routes[0]",
    ),
    (
        "hostnames: [my-app.example.com]",
        "hostnames: [\"my-app.example.com:80\"]",
        "routes[0].hostnames[0]: invalid hostname \"my-app.example.com:80\": expected a hostname without port",
    ),
    (
        "hostnames: [my-app.example.com]",
        "hostnames: [my_app.example.com]",
        "routes[0].hostnames[0]: invalid hostname",
    ),
    (
        "hostnames: [my-app.example.com]",
        "hostnames: [\"*\"]",
        "routes[0].hostnames[0]: invalid hostname \"*\": leave `hostnames` out",
    ),
    (
        "{prefix: /api/}",
        "{prefix: api}",
        "routes[0].matches[0].path.prefix: invalid path \"api\"",
    ),
    (
        "{prefix: /api/}",
        "{prefix: /api//}",
        "routes[0].matches[0].path.prefix: invalid path prefix \"/api//\"",
    ),
    (
        "{prefix: /api/}",
        "{prefix: /, exact: /}",
        "routes[0].matches[0].path: exactly one of `exact`, `prefix`",
    ),
    (
        "{exact: /healthz}",
        "{exact: \"/healthz?x=1\"}",
        "routes[0].matches[1].path.exact: invalid path",
    ),
    (
        "{exact: /healthz}",
        "{}",
        "routes[0].matches[1].path: exactly one of `exact`, `prefix` is required, none",
    ),
    (
        "name: X-Tenant",
        "name: \"X Tenant\"",
        "routes[0].matches[0].headers[0].name: invalid header name \"X Tenant\"",
    ),
    (
        "exact: acme",
        "exact: \"a\\nb\"",
        "routes[0].matches[0].headers[0].exact: invalid header value",
    ),
    (
        ", exact: acme",
        "",
        "routes[0].matches[0].headers[0]: exactly one of `exact`, `prefix`, `regex` is required, none",
    ),
    (
        "curl/[78]",
        "a)|(b",
        "routes[0].matches[0].headers[2].regex: invalid regular expression \"a)|(b\\\\..*\": unopened group",
    ),
    (
        "curl/[78]",
        "(?:a{1000}){1000}",
        "routes[0].matches[0].headers[2].regex: invalid regular expression \"(?:a{1000}){1000}\\\\..*\": it needs more than 1 MiB",
    ),
    (
        "{split: default/my-app}",
        "{split: default/myapp}",
        "routes[0].backend.split: unknown split \"default/myapp\", did you mean `default/my-app`?",
    ),
    (
        "{cluster: my-app-5b7d9c6f4}",
        "{cluster: zzz}",
        "routes[1].backend.cluster: unknown cluster \"zzz\": expected a name under `clusters`",
    ),
    (
        "{cluster: my-app-5b7d9c6f4}",
        "{}",
        "routes[1].backend: exactly one of `split`, `cluster` is required, none",
    ),
    (
        "timeout: 2m30s",
        "timeout: 10m.",
        "routes[0].timeout: invalid duration \"10m.\": expected numbers with units",
    ),
    (
        "timeout: 2m30s",
        "timeout: 61m",
        "routes[0].timeout: \"61m\" is out of range: expected 0s to 1h",
    ),
    (
        "stable: my-app-5b7d9c6f4",
        "stable: my-app-66c8f4d79",
        "splits[\"default/my-app\"].canary: cluster \"my-app-66c8f4d79\" is the stable one too",
    ),
    (
        "canary: my-app-66c8f4d79",
        "canary: my-app-66c8f4d78",
        "splits[\"default/my-app\"].canary: unknown cluster",
    ),
    (
        "weight: 25",
        "weight: 1001",
        "splits[\"default/my-app\"].weight: 1001 is out of range: expected 0 to 1000",
    ),
    (
        "maxWeight: 1000",
        "maxWeight: 0",
        "splits[\"default/my-app\"].maxWeight: 0 is out of range: expected 1 to 1000000",
    ),
    (
        "maxWeight: 1000",
        "maxWeight: 1000001",
        "splits[\"default/my-app\"].maxWeight: 1000001 is out of range",
    ),
    (
        "cookie: {name: my_app_id",
        "cookie: {name: \"my app\"",
        "splits[\"default/my-app\"].sticky.cookie.name: invalid cookie name \"my app\"",
    ),
    (
        "cookie: {name: my_app_id",
        "cookie: {name: canary",
        "splits[\"default/my-app\"].override.cookie: cookie \"canary\" is the sticky one too",
    ),
    (
        "maxAge: 168h",
        "maxAge: 8761h",
        "splits[\"default/my-app\"].sticky.cookie.maxAge: \"8761h\" is out of range: expected 1s to 8760h",
    ),
    (
        "      cookie: {name: my_app_id, maxAge: 168h}",
        "      {}",
        "splits[\"default/my-app\"].sticky: exactly one of `header`, `cookie` is required, none",
    ),
    (
        "salt: 000102030405060708090a0b0c0d0e0f",
        "salt: 0001zz",
        "splits[\"default/my-app\"].salt: invalid salt \"0001zz\": expected 32 hexadecimal digits",
    ),
    (
        "value: \"true\"",
        "value: a\n      pattern: b",
        "splits[\"default/my-app\"].override: only one of `value`, `pattern`",
    ),
    (
        "header: X-Canary-User\n",
        "\n",
        "splits[\"default/my-app\"].override.value: `value` is about a header's value",
    ),
    (
        "value: \"true\"",
        "pattern: \"(\"",
        "splits[\"default/my-app\"].override.pattern: invalid regular expression",
    ),
    (
        "10.0.0.0/8",
        "10.0.0.1",
        "splits[\"default/my-app\"].override.trust[0]: invalid network \"10.0.0.1\": expected a CIDR such as \"10.0.0.0/8\" or \"2001:db8::/32\"; did you mean \"10.0.0.1/32\"?",
    ),
    (
        "- {name: X-Tester, exact: \"yes\"}",
        "[]",
        "splits[\"default/my-app\"].headerRoutes[0].headers: at least one header",
    ),
    (
        "alpha: 0.001",
        "alpha: 0.5",
        "splits[\"default/my-app\"].fuse.alpha: 0.5 is out of range",
    ),
    (
        "alpha: 0.001",
        "alpha: 0",
        "splits[\"default/my-app\"].fuse.alpha: 0 is out of range",
    ),
    (
        "ratio: 1.5",
        "ratio: 0.9",
        "splits[\"default/my-app\"].fuse.ratio: 0.9 is out of range: expected 1 to 1000",
    ),
    (
        "minErrors: 3",
        "minErrors: 0",
        "splits[\"default/my-app\"].fuse.minErrors: 0 is out of range: expected 1 to 1000",
    ),
    (
        "    fuse:",
        "    warmUp: 2h\n    fuse:",
        "splits[\"default/my-app\"].warmUp: \"2h\" is out of range: expected 0s to 1h",
    ),
    (
        "ageThreshold: 5s",
        "ageThreshold: 5ms",
        "splits[\"default/my-app\"].fuse.ageThreshold: \"5ms\" is out of range: expected 10ms to 1h",
    ),
    (
        "10.0.0.1:8080",
        "my-app:8080",
        "clusters[\"my-app-5b7d9c6f4\"].endpoints[0]: invalid endpoint \"my-app:8080\"",
    ),
    (
        "10.0.0.1:8080",
        "10.0.0.1:0",
        "clusters[\"my-app-5b7d9c6f4\"].endpoints[0]: invalid endpoint \"10.0.0.1:0\": expected a port",
    ),
    (
        "\"[2001:db8::7]:8080\"",
        "2001:db8::7:8080",
        "clusters[\"my-app-66c8f4d79\"].endpoints[0]: invalid endpoint",
    ),
    (
        "connectTimeout: 500ms",
        "connectTimeout: 0s",
        "clusters[\"my-app-5b7d9c6f4\"].connectTimeout: \"0s\" is out of range: expected 1ms to 1m",
    ),
    (
        "baseTime: 10s",
        "baseTime: 2h",
        "clusters[\"my-app-5b7d9c6f4\"].outlierEjection.baseTime: \"2h\" is out of range",
    ),
    (
        "maxPercent: 50",
        "maxPercent: 101",
        "clusters[\"my-app-5b7d9c6f4\"].outlierEjection.maxPercent: 101 is out of range",
    ),
];

#[test]
fn each_mistake_is_told_with_its_path_and_value() {
    for (piece, replacement, expected) in REFUSED {
        let errors = errors_with(piece, replacement);
        assert_eq!(errors.len(), 1, "{replacement:?}: {errors:?}");
        assert!(
            errors[0].starts_with(expected),
            "{replacement:?}: {}",
            errors[0]
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "
routes:
  - {name: a, hostnames: [\"-\"], backend: {cluster: wbe}, timeout: soon}
  - {name: a, matches: [{path: {}}], backend: {}}
splits:
  s: {stable: nowhere, weight: 200, salt: x}
clusters:
  web: {endpoints: [web:80, 10.0.0.1]}
";
    let errors = checked(text).expect_err("nothing in it is right");
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "routes[1].name",
            "routes[0].hostnames[0]",
            "routes[0].backend.cluster",
            "routes[0].timeout",
            "routes[1].matches[0].path",
            "routes[1].backend",
            "splits[\"s\"].stable",
            "splits[\"s\"].weight",
            "splits[\"s\"].salt",
            "clusters[\"web\"].endpoints[0]",
            "clusters[\"web\"].endpoints[1]",
        ]
    );
}

#[test]
fn two_routes_for_the_same_request_are_refused() {
    let with = |first: &str, second: &str| {
        checked(&format!(
            "
routes:
  - {{name: a, {first} backend: {{cluster: web}}}}
  - {{name: b, {second} backend: {{cluster: web}}}}
clusters: {{web: {{}}}}
"
        ))
    };
    for (first, second) in [
        ("", ""),
        ("matches: [{path: {prefix: /}}],", ""),
        (
            "matches: [{path: {prefix: /a/}}],",
            "matches: [{path: {prefix: /a}}],",
        ),
        (
            "hostnames: [A.example],",
            "hostnames: [b.example, a.example],",
        ),
        (
            "matches: [{headers: [{name: X-A, exact: a}, {name: b, exact: b}]}],",
            "matches: [{headers: [{name: b, exact: b}, {name: x-a, exact: a}]}],",
        ),
    ] {
        let errors = with(first, second).expect_err(second);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].path, "routes[1]");
        assert!(
            errors[0].message.contains("route \"a\" (routes[0])"),
            "{errors:?}"
        );
    }
    for (first, second) in [
        ("hostnames: [a.example],", ""),
        (
            "matches: [{path: {exact: /a}}],",
            "matches: [{path: {prefix: /a}}],",
        ),
        ("matches: [{headers: [{name: a, exact: a}]}],", ""),
    ] {
        assert!(with(first, second).is_ok(), "{first} {second}");
    }
}

#[test]
fn endpoints_and_routes_are_bounded() {
    let addresses = |count: u32| -> Vec<String> {
        (0..count)
            .map(|n| format!("{}:80", std::net::Ipv4Addr::from(0x0a00_0000 + n)))
            .collect()
    };
    assert_eq!(
        check_endpoints("web", &addresses(10_000)).map(|e| e.len()),
        Ok(10_000)
    );
    let errors = check_endpoints("web", &addresses(10_001)).expect_err("one too many");
    assert_eq!(
        errors[0].to_string(),
        "clusters[\"web\"].endpoints: 10001 endpoints are too many: expected at most 10000"
    );
    let mut document = read_yaml_or_json(MINIMAL).expect("the example is good");
    document.routes = vec![document.routes[0].clone(); 10_001];
    let errors = check(&document).expect_err("one too many");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].path, "routes");
}

#[test]
fn a_long_value_is_cut_in_errors() {
    let long = "x".repeat(1_000_000);
    let errors = errors_with("exact: /healthz", &format!("exact: {long}"));
    assert!(
        errors[0].len() < 500 && errors[0].contains("(1000000 bytes)"),
        "{}",
        errors[0].len()
    );
}
