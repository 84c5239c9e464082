//! A request's line in the access log.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::HOST;
use http::{Method, Request, Version};
use serde::Serialize;

use crate::observe::series::{Origin, Rule};
use crate::worker::view::{LocalArm, LocalRoute};

/// What is noted while the request goes on.
#[derive(Debug)]
pub(crate) struct Line {
    method: Method,
    host: String,
    path: String,
    version: Version,
    route: Option<Arc<str>>,
    rule: Option<Rule>,
    /// Why the first arm was chosen, where another one answered.
    first_rule: Option<Rule>,
    pub(crate) upstream: Option<SocketAddr>,
}

/// What is known at the end.
pub(crate) struct End {
    pub(crate) status: u16,
    pub(crate) origin: Origin,
    pub(crate) truncated: bool,
    pub(crate) bytes: u64,
    pub(crate) us: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) unix_ms: u64,
}

#[derive(Serialize)]
struct Fields<'a> {
    time_ms: u64,
    client: SocketAddr,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    protocol: &'a str,
    status: u16,
    origin: &'a str,
    truncated: bool,
    bytes: u64,
    duration_us: u64,
    route: Option<&'a str>,
    split: Option<&'a str>,
    role: Option<&'a str>,
    revision: Option<&'a str>,
    rule: Option<&'a str>,
    first_rule: Option<&'a str>,
    upstream: Option<SocketAddr>,
}

// === impl Line ===

impl Line {
    pub(crate) fn new<B>(request: &Request<B>) -> Self {
        let header = request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok());
        let host = request
            .uri()
            .authority()
            .map(http::uri::Authority::as_str)
            .or(header);
        Self {
            method: request.method().clone(),
            host: host.unwrap_or_default().to_owned(),
            // Without the query: it is where secrets travel.
            path: request.uri().path().to_owned(),
            version: request.version(),
            route: None,
            rule: None,
            first_rule: None,
            upstream: None,
        }
    }

    pub(crate) fn routed(&mut self, route: &LocalRoute, rule: Rule) {
        self.route = Some(Arc::clone(&route.name));
        self.rule = Some(rule);
    }

    pub(crate) fn moved(&mut self, rule: Rule) {
        self.first_rule = self.rule.replace(rule);
        self.upstream = None;
    }

    pub(crate) fn finish(&self, arm: Option<&LocalArm>, end: &End) -> String {
        let key = arm.map(|arm| arm.series.key());
        let fields = Fields {
            time_ms: end.unix_ms,
            client: end.peer,
            method: self.method.as_str(),
            host: &self.host,
            path: &self.path,
            protocol: protocol(self.version),
            status: end.status,
            origin: end.origin.as_str(),
            truncated: end.truncated,
            bytes: end.bytes,
            duration_us: end.us,
            route: self.route.as_deref(),
            split: key
                .map(|key| key.split.as_str())
                .filter(|split| !split.is_empty()),
            role: arm.map(|arm| arm.role.as_str()),
            revision: key.map(|key| key.revision.as_str()),
            rule: self.rule.map(Rule::as_str),
            first_rule: self.first_rule.map(Rule::as_str),
            upstream: self.upstream,
        };
        let mut line = serde_json::to_string(&fields).unwrap_or_default();
        line.push('\n');
        line
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
