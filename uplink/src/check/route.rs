//! Routes: conditions, a backend that exists, and no two routes for the same request.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::{
    Backend, CheckedRoute, Faults, HeaderCondition, Path, PathCondition, RouteCondition,
    ValueCondition, address, exactly_one, shown, value,
};
use crate::document::{BackendRef, PathMatch, Route, RouteMatch, RoutingConfig};
use crate::limits::{MAX_ROUTE_PAIRS, MAX_ROUTES};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: Duration = Duration::from_hours(1);

pub(super) fn check_all(faults: &mut Faults, document: &RoutingConfig) -> Vec<CheckedRoute> {
    let parent = Path::ROOT.field("routes");
    if !few_enough(faults, &parent, &document.routes) {
        return Vec::new();
    }
    unique_names(faults, &parent, &document.routes);
    let checked: Vec<_> = document
        .routes
        .iter()
        .enumerate()
        .map(|(index, route)| check(faults, &parent.index(index), route, document))
        .collect();
    unambiguous(faults, &parent, &checked);
    checked.into_iter().flatten().collect()
}

/// Notes an error where `name` is not among `known`.
pub(super) fn known<T>(
    faults: &mut Faults,
    path: &Path<'_>,
    name: &str,
    known: &BTreeMap<String, T>,
    kind: &str,
) -> bool {
    if known.contains_key(name) {
        return true;
    }
    let suggestion = faults.suggestion(name, known.keys().map(String::as_str));
    let message = if suggestion.is_empty() {
        format!(
            "unknown {kind} {}: expected a name under `{kind}s`",
            shown(name)
        )
    } else {
        format!("unknown {kind} {}{suggestion}", shown(name))
    };
    faults.add(path, message);
    false
}

fn few_enough(faults: &mut Faults, path: &Path<'_>, routes: &[Route]) -> bool {
    let given = routes.len();
    if given > MAX_ROUTES {
        faults.add(
            path,
            format!("{given} routes are too many: expected at most {MAX_ROUTES}"),
        );
        return false;
    }
    let pairs: usize = routes
        .iter()
        .map(|route| route.hostnames.len().max(1) * route.matches.len().max(1))
        .sum();
    if pairs > MAX_ROUTE_PAIRS {
        faults.add(
            path,
            format!(
                "{pairs} pairs of a hostname and a match are too many: expected at most \
                 {MAX_ROUTE_PAIRS}"
            ),
        );
    }
    pairs <= MAX_ROUTE_PAIRS
}

fn unique_names(faults: &mut Faults, parent: &Path<'_>, routes: &[Route]) {
    let mut taken = HashMap::new();
    for (index, route) in routes.iter().enumerate() {
        let first = *taken.entry(&route.name).or_insert(index);
        if first != index {
            let name = shown(&route.name);
            faults.add(
                &parent.index(index).field("name"),
                format!("name {name} is taken by routes[{first}]: route names must be unique"),
            );
        }
    }
}

fn check(
    faults: &mut Faults,
    path: &Path<'_>,
    raw: &Route,
    document: &RoutingConfig,
) -> Option<CheckedRoute> {
    let name = faults.take(&path.field("name"), value::name(&raw.name));
    let hostnames_path = path.field("hostnames");
    let hostnames: Vec<_> = raw
        .hostnames
        .iter()
        .enumerate()
        .filter_map(|(index, text)| {
            faults.take(&hostnames_path.index(index), address::hostname(text))
        })
        .collect();
    let conditions = conditions(faults, &path.field("matches"), &raw.matches);
    let backend = backend(faults, &path.field("backend"), &raw.backend, document);
    let timeout = timeout(faults, &path.field("timeout"), raw.timeout.as_deref());
    // A hostname or a match that was refused would make the route wider than was meant.
    let complete =
        hostnames.len() == raw.hostnames.len() && conditions.len() == raw.matches.len().max(1);
    Some(CheckedRoute {
        name: name?,
        hostnames,
        conditions,
        backend: backend?,
        // `0s` is no limit.
        timeout: Some(timeout?).filter(|timeout| !timeout.is_zero()),
    })
    .filter(|_| complete)
}

fn timeout(faults: &mut Faults, path: &Path<'_>, raw: Option<&str>) -> Option<Duration> {
    raw.map_or(Some(DEFAULT_TIMEOUT), |text| {
        faults.take(path, value::duration_in(text, Duration::ZERO..=MAX_TIMEOUT))
    })
}

fn backend(
    faults: &mut Faults,
    path: &Path<'_>,
    raw: &BackendRef,
    document: &RoutingConfig,
) -> Option<Backend> {
    let one = exactly_one(
        faults,
        path,
        &[
            ("split", raw.split.is_some()),
            ("cluster", raw.cluster.is_some()),
        ],
    );
    let split = raw.split.as_ref().filter(|name| {
        known(
            faults,
            &path.field("split"),
            name,
            &document.splits,
            "split",
        )
    });
    let cluster = raw.cluster.as_ref().filter(|name| {
        known(
            faults,
            &path.field("cluster"),
            name,
            &document.clusters,
            "cluster",
        )
    });
    split
        .map(|name| Backend::Split(name.clone()))
        .or_else(|| cluster.map(|name| Backend::Cluster(name.clone())))
        .filter(|_| one)
}

/// Without a match every path matches.
fn conditions(faults: &mut Faults, path: &Path<'_>, raw: &[RouteMatch]) -> Vec<RouteCondition> {
    if raw.is_empty() {
        return vec![RouteCondition {
            path: PathCondition::Prefix(String::new()),
            headers: Vec::new(),
        }];
    }
    raw.iter()
        .enumerate()
        .filter_map(|(index, raw)| condition(faults, &path.index(index), raw))
        .collect()
}

fn condition(faults: &mut Faults, path: &Path<'_>, raw: &RouteMatch) -> Option<RouteCondition> {
    let path_condition = match &raw.path {
        Some(raw) => path_condition(faults, &path.field("path"), raw),
        None => Some(PathCondition::Prefix(String::new())),
    };
    let headers = value::header_conditions(faults, &path.field("headers"), &raw.headers);
    let complete = headers.len() == raw.headers.len();
    Some(RouteCondition {
        path: path_condition?,
        headers,
    })
    .filter(|_| complete)
}

fn path_condition(faults: &mut Faults, path: &Path<'_>, raw: &PathMatch) -> Option<PathCondition> {
    let one = exactly_one(
        faults,
        path,
        &[
            ("exact", raw.exact.is_some()),
            ("prefix", raw.prefix.is_some()),
        ],
    );
    let exact = raw.exact.as_deref().and_then(|text| {
        faults
            .take(&path.field("exact"), value::path(text))
            .map(PathCondition::Exact)
    });
    let prefix = raw.prefix.as_deref().and_then(|text| {
        faults
            .take(&path.field("prefix"), value::path_prefix(text))
            .map(PathCondition::Prefix)
    });
    exact.or(prefix).filter(|_| one)
}

/// Two routes with the same hostname and match: which one wins would be an accident of their order.
fn unambiguous(faults: &mut Faults, parent: &Path<'_>, routes: &[Option<CheckedRoute>]) {
    let mut taken: HashMap<(String, String), usize> = HashMap::new();
    for (index, route) in routes.iter().enumerate() {
        let Some(route) = route else { continue };
        let pairs = pairs(route);
        let clash = pairs
            .iter()
            .find_map(|pair| taken.get(pair).map(|first| (*first, pair)));
        if let Some((first, (host, condition))) = clash {
            let name = routes[first].as_ref().map(|route| shown(&route.name));
            let name = name.unwrap_or_default();
            faults.add(
                &parent.index(index),
                format!(
                    "the same hostname and match as route {name} (routes[{first}]): {host}, \
                     {condition}"
                ),
            );
        }
        for pair in pairs {
            taken.entry(pair).or_insert(index);
        }
    }
}

fn pairs(route: &CheckedRoute) -> Vec<(String, String)> {
    let hosts: Vec<String> = if route.hostnames.is_empty() {
        vec!["every host".to_owned()]
    } else {
        route.hostnames.iter().map(ToString::to_string).collect()
    };
    let conditions: Vec<String> = route.conditions.iter().map(described).collect();
    hosts
        .iter()
        .flat_map(|host| conditions.iter().map(|c| (host.clone(), c.clone())))
        .collect()
}

/// The condition as text, the same for the same condition whatever the order of its headers.
fn described(condition: &RouteCondition) -> String {
    let mut headers: Vec<String> = condition.headers.iter().map(described_header).collect();
    headers.sort_unstable();
    headers.dedup();
    let path = match &condition.path {
        PathCondition::Exact(path) => format!("path {path:?}"),
        PathCondition::Prefix(prefix) => format!("prefix {:?}", format!("{prefix}/")),
    };
    std::iter::once(path)
        .chain(headers)
        .collect::<Vec<_>>()
        .join(", ")
}

fn described_header(condition: &HeaderCondition) -> String {
    let name = &condition.name;
    match &condition.value {
        ValueCondition::Exact(value) => format!("header {name} {value:?}"),
        ValueCondition::Prefix(prefix) => format!("header {name} prefix {prefix:?}"),
        ValueCondition::Regex(regex) => format!("header {name} regex {:?}", regex.as_str()),
    }
}
