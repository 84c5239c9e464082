//! Discovery: which groups, versions and kinds there are. Derived from the kinds of the moment, so
//! a definition shows as soon as it is stored.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{Kind, Kinds};
use super::request::Request;
use super::server::ApiServer;

/// The version that the server says it is: the one whose behaviour it follows.
const VERSION: (&str, &str, &str) = ("1", "34", "v1.34.4");

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Answers a path of discovery; nothing for any other path.
pub(super) fn answer(server: &ApiServer, request: &Request) -> Option<Value> {
    if request.method != http::Method::GET {
        return None;
    }
    let state = server.state();
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Some(version()),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"],
                               "serverAddressByClientCIDRs": []})),
        ["apis"] => {
            let groups: Vec<Value> = groups(&state.kinds)
                .iter()
                .map(|name| group(&state.kinds, name))
                .collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["api", "v1"] => Some(resources(&state.kinds, "", "v1")),
        ["apis", name] => groups(&state.kinds).iter().any(|one| one == name).then(|| {
            let mut group = group(&state.kinds, name);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }),
        ["apis", name, version] => {
            let known = versions(&state.kinds, name)
                .iter()
                .any(|one| one == version);
            known.then(|| resources(&state.kinds, name, version))
        }
        _ => None,
    }
}

fn version() -> Value {
    let (major, minor, git) = VERSION;
    json!({"major": major, "minor": minor, "gitVersion": format!("{git}+sluice"),
           "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "",
           "compiler": "rustc", "platform": "linux"})
}

fn groups(kinds: &Kinds) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for kind in kinds.iter().filter(|kind| !kind.group.is_empty()) {
        if !names.contains(&kind.group) {
            names.push(kind.group.clone());
        }
    }
    names
}

/// The versions of a group, the preferred one first: stable before beta before alpha.
fn versions(kinds: &Kinds, group: &str) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.group == group) {
        if !versions.contains(&kind.version) {
            versions.push(kind.version.clone());
        }
    }
    versions.sort_by_key(|version| (version.contains("alpha"), version.contains("beta")));
    versions
}

fn group(kinds: &Kinds, name: &str) -> Value {
    let versions: Vec<Value> = versions(kinds, name)
        .iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn resources(kinds: &Kinds, group: &str, version: &str) -> Value {
    let here = kinds
        .iter()
        .filter(|kind| kind.group == group && kind.version == version);
    let listed: Vec<Value> = here.flat_map(of_kind).collect();
    let name = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name,
           "resources": listed})
}

fn of_kind(kind: &Arc<Kind>) -> Vec<Value> {
    let mut listed = vec![json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": VERBS, "shortNames": kind.short,
        "categories": kind.categories,
    })];
    let mut add = |name: &str, of: [&str; 3], verbs: &[&str]| {
        let mut one = json!({
            "name": format!("{}/{name}", kind.plural), "singularName": "",
            "namespaced": kind.namespaced, "kind": of[2], "verbs": verbs,
        });
        if !of[1].is_empty() {
            one["group"] = json!(of[0]);
            one["version"] = json!(of[1]);
        }
        listed.push(one);
    };
    if kind.status {
        add("status", ["", "", &kind.kind], &["get", "patch", "update"]);
    }
    if kind.scale.is_some() {
        add(
            "scale",
            ["autoscaling", "v1", "Scale"],
            &["get", "patch", "update"],
        );
    }
    if kind.is_pod() {
        add("log", ["", "", "Pod"], &["get"]);
        add("binding", ["", "", "Binding"], &["create"]);
        add("eviction", ["policy", "v1", "Eviction"], &["create"]);
    }
    listed
}
