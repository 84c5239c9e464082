use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::checked;

fn table(routes: Value) -> Table {
    let config = json!({"routes": routes, "clusters": {"s": {}}});
    Table::new(&checked(config).routes)
}

fn route(name: &str, hostnames: Value, matches: Value) -> Value {
    json!({"name": name, "hostnames": hostnames, "matches": matches, "backend": {"cluster": "s"}})
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    pairs.collect()
}

/// Routes from any to very specific; the number is the place.
fn ladder() -> Table {
    table(json!([
        route("0 any", json!([]), json!([])),
        route("1 any /a", json!([]), json!([{"path": {"prefix": "/a"}}])),
        route("2 wild", json!(["*.example.com"]), json!([])),
        route("3 longer wild", json!(["*.eu.example.com"]), json!([])),
        route(
            "4 host",
            json!(["x.eu.example.com"]),
            json!([{"path": {"prefix": "/a"}}])
        ),
        route(
            "5 host exact",
            json!(["x.eu.example.com"]),
            json!([{"path": {"exact": "/a/b"}}])
        ),
        route(
            "6 host longer",
            json!(["x.eu.example.com"]),
            json!([{"path": {"prefix": "/a/b/"}}])
        ),
        route(
            "7 header",
            json!([]),
            json!([
                {"path": {"prefix": "/a"}, "headers": [{"name": "x-v", "exact": "2"}]},
                {"path": {"prefix": "/h"}, "headers": [{"name": "x-v", "prefix": "2"}]},
            ])
        ),
        route(
            "8 two headers",
            json!([]),
            json!([{"path": {"prefix": "/a"}, "headers": [
            {"name": "x-v", "exact": "2"}, {"name": "x-w", "regex": "[0-9]+"}]}])
        ),
    ]))
}

#[test]
fn the_most_specific_route_wins() {
    let table = ladder();
    let none: &[(&str, &str)] = &[];
    let rows = [
        ("other", "/", none, Some(0)),
        ("other", "/a", none, Some(1)),
        ("other", "/a/", none, Some(1)),
        ("other", "/a/b/c", none, Some(1)),
        ("other", "/ab", none, Some(0)),
        ("y.example.com", "/a", none, Some(2)),
        ("example.com", "/", none, Some(0)),
        ("z.y.example.com", "/", none, Some(2)),
        ("y.eu.example.com", "/", none, Some(3)),
        ("x.eu.example.com", "/a/c", none, Some(4)),
        ("x.eu.example.com", "/a/b", none, Some(5)),
        ("x.eu.example.com", "/a/b/c", none, Some(6)),
        ("x.eu.example.com", "/q", none, Some(3)),
        ("other", "/a", &[("x-v", "2")], Some(7)),
        ("other", "/h", &[("x-v", "21")], Some(7)),
        ("other", "/h", &[("x-v", "12")], Some(0)),
        ("other", "/a", &[("x-v", "2"), ("x-w", "77")], Some(8)),
        ("other", "/a", &[("x-v", "2"), ("x-w", "7a")], Some(7)),
    ];
    for (host, path, pairs, wanted) in rows {
        assert_eq!(
            table.find(host, path, &headers(pairs)),
            wanted,
            "{host}{path} {pairs:?}"
        );
    }
}

#[test]
fn no_route_is_no_route() {
    let table = table(json!([route(
        "a",
        json!(["a"]),
        json!([{"path": {"exact": "/x"}}])
    )]));
    assert_eq!(table.find("b", "/x", &HeaderMap::new()), None);
    assert_eq!(table.find("a", "/x/", &HeaderMap::new()), None);
}

#[test]
fn hosts_are_compared_without_case_port_and_trailing_dot() {
    let rows = [
        ("Example.COM:8080", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
    ];
    for (authority, wanted) in rows {
        assert_eq!(normal_host(authority), wanted, "{authority:?}");
    }
}

/// The order in plain words, over every condition: what the table must find.
fn slowly(paths: &[(bool, String)], path: &str) -> Option<usize> {
    let matches = |(exact, wanted): &(bool, String)| {
        let rest = path.strip_prefix(wanted.as_str());
        let under = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if *exact {
            path == wanted
        } else {
            under || wanted == "/"
        }
    };
    let fitting = paths.iter().enumerate().filter(|(_, it)| matches(it));
    fitting
        .max_by_key(|(place, (exact, wanted))| (*exact, wanted.len(), usize::MAX - place))
        .map(|it| it.0)
}

proptest! {
    #[test]
    fn the_table_finds_what_a_plain_search_finds(
        paths in proptest::collection::btree_set((any::<bool>(), "(/[ab]{1,2}){1,4}"), 1..20),
        asked in "(/[ab]{1,2}){1,5}",
    ) {
        let paths: Vec<_> = paths.into_iter().collect();
        let routes: Vec<_> = paths.iter().enumerate().map(|(place, (exact, path))| {
            let kind = if *exact { "exact" } else { "prefix" };
            route(&place.to_string(), json!([]), json!([{"path": {kind: path}}]))
        }).collect();
        let found = table(json!(routes)).find("any", &asked, &HeaderMap::new());
        prop_assert_eq!(found, slowly(&paths, &asked));
    }
}
