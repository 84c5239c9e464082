//! Route: which rule a request falls under.
//!
//! The most specific hostname wins (exact, then the longest wildcard, then none), then the path
//! (exact, then the longest prefix in whole elements), then the number of header conditions, then the
//! order of the document; the order of Gateway API. A route whose host or path is more specific but
//! whose other conditions fail does not hide a less specific one. Compiled once, searched by hash:
//! the cost depends on the labels of the host and the elements of the path, not on the number of routes.

use std::borrow::Cow;
use std::collections::HashMap;

use http::HeaderMap;
use uplink::check::{CheckedRoute, HeaderCondition, Hostname, PathCondition, ValueCondition};

/// Routes in the shape that the search wants.
#[derive(Debug, Default)]
pub(crate) struct Table {
    exact: HashMap<String, Paths>,
    /// By suffix, without `*.`.
    wildcard: HashMap<String, Paths>,
    any: Paths,
}

/// The conditions of one hostname, by path.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<String, Vec<Candidate>>,
    prefix: HashMap<String, Vec<Candidate>>,
    longest_prefix: usize,
    /// The prefix of every path.
    every: Vec<Candidate>,
}

/// What a condition asks beside host and path, and the route it leads to. Those with more headers
/// come first; of equal ones the earlier route.
#[derive(Debug)]
struct Candidate {
    headers: Vec<HeaderCondition>,
    route: usize,
}

/// The host as routes know it: lower case, without port and trailing dot.
pub(crate) fn normal_host(authority: &str) -> Cow<'_, str> {
    let host = without_port(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// Whether all conditions hold.
pub(crate) fn all_match(conditions: &[HeaderCondition], headers: &HeaderMap) -> bool {
    conditions.iter().all(|condition| {
        let values = headers.get_all(&condition.name);
        values
            .iter()
            .any(|value| value_matches(&condition.value, value.as_bytes()))
    })
}

fn value_matches(condition: &ValueCondition, value: &[u8]) -> bool {
    match condition {
        ValueCondition::Exact(wanted) => value == wanted.as_bytes(),
        ValueCondition::Prefix(wanted) => value.starts_with(wanted.as_bytes()),
        ValueCondition::Regex(regex) => {
            std::str::from_utf8(value).is_ok_and(|value| regex.is_match(value))
        }
    }
}

/// `[::1]:80` is a host in brackets; elsewhere the last colon begins the port.
fn without_port(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority
            .find(']')
            .map_or(authority, |end| &authority[..=end]);
    }
    authority
        .rfind(':')
        .map_or(authority, |colon| &authority[..colon])
}

// === impl Table ===

impl Table {
    pub(crate) fn new(routes: &[CheckedRoute]) -> Self {
        let mut table = Self::default();
        for (index, route) in routes.iter().enumerate() {
            if route.hostnames.is_empty() {
                table.any.add(index, route);
            }
            for hostname in &route.hostnames {
                let paths = match hostname {
                    Hostname::Exact(name) => table.exact.entry(name.clone()),
                    Hostname::Wildcard(suffix) => table.wildcard.entry(suffix.clone()),
                };
                paths.or_default().add(index, route);
            }
        }
        table
    }

    /// The route of a request, by its place in the configuration. The host must be [`normal_host`].
    pub(crate) fn find(&self, host: &str, path: &str, headers: &HeaderMap) -> Option<usize> {
        let exact = self.exact.get(host);
        exact
            .and_then(|paths| paths.find(path, headers))
            .or_else(|| self.find_wildcard(host, path, headers))
            .or_else(|| self.any.find(path, headers))
    }

    fn find_wildcard(&self, host: &str, path: &str, headers: &HeaderMap) -> Option<usize> {
        if self.wildcard.is_empty() {
            return None;
        }
        let suffixes = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        suffixes
            .filter_map(|suffix| self.wildcard.get(suffix))
            .find_map(|paths| paths.find(path, headers))
    }
}

// === impl Paths ===

impl Paths {
    fn add(&mut self, index: usize, route: &CheckedRoute) {
        for condition in &route.conditions {
            let candidates = match &condition.path {
                PathCondition::Exact(path) => self.exact.entry(path.clone()).or_default(),
                PathCondition::Prefix(path) if path.is_empty() => &mut self.every,
                PathCondition::Prefix(path) => {
                    self.longest_prefix = self.longest_prefix.max(path.len());
                    self.prefix.entry(path.clone()).or_default()
                }
            };
            candidates.push(Candidate {
                headers: condition.headers.clone(),
                route: index,
            });
            // Stable: of equally many headers the earlier stays first.
            candidates.sort_by_key(|candidate| usize::MAX - candidate.headers.len());
        }
    }

    fn find(&self, path: &str, headers: &HeaderMap) -> Option<usize> {
        if !self.exact.is_empty()
            && let Some(route) = first(self.exact.get(path), headers)
        {
            return Some(route);
        }
        if self.longest_prefix > 0 {
            let slashes = path.rmatch_indices('/').map(|(slash, _)| slash);
            let ends = std::iter::once(path.len()).chain(slashes);
            let mut ends = ends.filter(|end| *end > 0 && *end <= self.longest_prefix);
            let found = ends.find_map(|end| first(self.prefix.get(&path[..end]), headers));
            if found.is_some() {
                return found;
            }
        }
        first(Some(&self.every), headers)
    }
}

fn first(candidates: Option<&Vec<Candidate>>, headers: &HeaderMap) -> Option<usize> {
    let mut candidates = candidates?.iter();
    candidates
        .find(|it| all_match(&it.headers, headers))
        .map(|it| it.route)
}

#[cfg(test)]
mod tests;
