//! `trafficRouting.plugins.sluice/proxy`: which proxies split which traffic, and how.

use ipnet::IpNet;
use serde_json::Value;

use super::FieldError;
use super::block::{Block, Errors};
use super::metric::{alpha, positive, ratio, required};
use crate::duration::GoDuration;

mod names;

use names::{
    MAX_REGEX_BYTES, is_cookie_name, is_dns_label, is_fleet, is_header_name, is_hostname,
    is_secret_name, pattern,
};

/// How a Rollout's traffic is split by our proxies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyRouting {
    /// The fleet of proxies: a name, or `namespace/name` of another namespace; the Rollout's name
    /// when unset. See [`ProxyRouting::fleet_of`].
    pub fleet: Option<String>,
    /// The names that it is about; every request that reaches the fleet when empty.
    pub hostnames: Vec<String>,
    /// The port of the Services; needed where they have several.
    pub port: Option<PortRef>,
    /// How to talk to the pods; the Services' `appProtocol` when unset.
    pub protocol: Option<Protocol>,
    /// The Secret with the certificate for `hostnames`.
    pub tls_secret: Option<String>,
    /// What keeps a user on one side; each request for itself when unset.
    pub sticky: Option<Sticky>,
    /// What lets a request choose its side.
    pub override_: Option<Override>,
    /// Whether stable answers what the canary failed and may be retried.
    pub fallback_to_stable: bool,
    /// The fuse in each proxy.
    pub fuse: Fuse,
    /// For so long after a pod turned ready its response times are no evidence; a default when unset.
    pub warm_up: Option<GoDuration>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRef {
    /// By name.
    Name(String),
    /// By number.
    Number(u16),
}

/// How a proxy talks to the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 in clear.
    H2c,
}

/// What keeps a user on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// The value of a header.
    Header(String),
    /// A cookie that the proxy issues.
    Cookie {
        /// Its name; a default applies when unset.
        name: Option<String>,
        /// How long browsers keep it; as long as they run when unset.
        max_age: Option<GoDuration>,
    },
}

/// What lets a request choose its side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Where the choice stands; both may be looked at.
    pub by: OverrideBy,
    /// Which values choose the canary.
    pub value: OverrideValue,
    /// Whose choice counts.
    pub trust: Trust,
}

/// Where the choice of a side stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverrideBy {
    /// In a header.
    Header(String),
    /// In a cookie.
    Cookie(String),
    /// In a header, or else in a cookie.
    HeaderOrCookie {
        /// The header.
        header: String,
        /// The cookie.
        cookie: String,
    },
}

/// Which values choose the canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverrideValue {
    /// `always` the canary, `never` the canary, anything else no choice.
    AlwaysNever,
    /// Exactly this value.
    Exact(String),
    /// A value that this regular expression matches.
    Pattern(String),
}

/// Whose choice of a side counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Everybody's.
    #[default]
    Any,
    /// That of clients with these addresses.
    From(Vec<IpNet>),
}

/// The fuse in each proxy: it takes the canary to zero by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Fuse {
    /// Whether there is one; on unless switched off.
    pub enabled: bool,
    /// The chance of a false alarm; a default applies when unset.
    pub alpha: Option<f64>,
    /// How many times as many failures as stable the canary may have; a default when unset.
    pub ratio: Option<f64>,
    /// Failures of the canary below which it never trips; a default when unset.
    pub min_errors: Option<u64>,
    /// From this age on a request in flight counts as a failure.
    pub age_threshold: GoDuration,
}

const KEYS: &[&str] = &[
    "fleet",
    "hostnames",
    "port",
    "protocol",
    "tls",
    "sticky",
    "override",
    "fallback",
    "fuse",
    "warmUp",
];

// === impl Fuse ===

impl Fuse {
    /// The age of a request in flight that counts as a failure when nothing else is said.
    pub const DEFAULT_AGE_THRESHOLD: GoDuration = GoDuration::from_seconds(5);
}

impl Default for Fuse {
    fn default() -> Self {
        Self {
            enabled: true,
            alpha: None,
            ratio: None,
            min_errors: None,
            age_threshold: Self::DEFAULT_AGE_THRESHOLD,
        }
    }
}

// === impl ProxyRouting ===

impl ProxyRouting {
    /// Reads a block that stands at `path`; every error of it at once.
    pub fn parse(value: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let parsed =
            Block::open(value, path, KEYS, &mut errors).map(|block| routing(&block, &mut errors));
        errors.or(parsed)
    }

    /// The fleet's `namespace/name`, for the block of the Rollout of that namespace and name.
    pub fn fleet_of(&self, namespace: &str, rollout: &str) -> String {
        match &self.fleet {
            Some(fleet) if fleet.contains('/') => fleet.clone(),
            Some(fleet) => format!("{namespace}/{fleet}"),
            None => format!("{namespace}/{rollout}"),
        }
    }
}

fn routing(block: &Block<'_>, errors: &mut Errors) -> ProxyRouting {
    let label = "a name of lower-case letters, digits and '-', at most 63 long, or namespace/name";
    ProxyRouting {
        fleet: text(block, "fleet", label, is_fleet, errors),
        hostnames: hostnames(block, errors),
        port: port(block, errors),
        protocol: block.word(
            "protocol",
            &[("http1", Protocol::Http1), ("h2c", Protocol::H2c)],
            errors,
        ),
        tls_secret: tls(block, errors),
        sticky: sticky(block, errors),
        override_: override_(block, errors),
        fallback_to_stable: fallback(block, errors),
        fuse: fuse(block, errors),
        warm_up: warm_up(block, errors),
    }
}

fn text(
    block: &Block<'_>,
    key: &str,
    wanted: &str,
    is_valid: fn(&str) -> bool,
    errors: &mut Errors,
) -> Option<String> {
    let accept = |value: &Value| {
        value
            .as_str()
            .filter(|text| is_valid(text))
            .map(str::to_owned)
    };
    block.wanted(key, wanted, accept, errors)
}

fn inner<'a>(
    block: &Block<'a>,
    key: &str,
    known: &[&str],
    errors: &mut Errors,
) -> Option<Block<'a>> {
    Block::open(block.get(key)?, &block.path(key), known, errors)
}

fn hostnames(block: &Block<'_>, errors: &mut Errors) -> Vec<String> {
    let list = block.wanted("hostnames", "a list of hostnames", Value::as_array, errors);
    let mut names: Vec<String> = Vec::new();
    for (index, value) in list.into_iter().flatten().enumerate() {
        let path = format!("{}[{index}]", block.path("hostnames"));
        match value.as_str().map(str::to_ascii_lowercase) {
            Some(name) if names.contains(&name) => errors.push(&path, value, "is listed twice"),
            Some(name) if is_hostname(&name) => names.push(name),
            _ => errors.push(
                &path,
                value,
                "must be a hostname, as in \"app.example.com\" or \"*.example.com\"",
            ),
        }
    }
    names
}

fn port(block: &Block<'_>, errors: &mut Errors) -> Option<PortRef> {
    let accept = |value: &Value| match value {
        Value::String(name) if is_dns_label(name) && name.len() <= 15 => {
            Some(PortRef::Name(name.clone()))
        }
        Value::Number(number) => {
            let number = u16::try_from(number.as_u64()?)
                .ok()
                .filter(|number| *number > 0)?;
            Some(PortRef::Number(number))
        }
        _ => None,
    };
    block.wanted(
        "port",
        "the name of a port, or a number from 1 to 65535",
        accept,
        errors,
    )
}

fn tls(block: &Block<'_>, errors: &mut Errors) -> Option<String> {
    let tls = inner(block, "tls", &["secretName"], errors)?;
    let wanted = "the name of a Secret";
    required(&tls, "secretName", wanted, errors);
    text(&tls, "secretName", wanted, is_secret_name, errors)
}

fn sticky(block: &Block<'_>, errors: &mut Errors) -> Option<Sticky> {
    let sticky = inner(block, "sticky", &["header", "cookie"], errors)?;
    if sticky.present(&["header", "cookie"]).len() != 1 {
        let message = "must have exactly one of header and cookie";
        errors.push(sticky.own_path(), &sticky.value(), message);
    }
    let header = text(
        &sticky,
        "header",
        "the name of a header",
        is_header_name,
        errors,
    );
    let cookie = inner(&sticky, "cookie", &["name", "maxAge"], errors).map(|cookie| {
        let name = text(
            &cookie,
            "name",
            "the name of a cookie",
            is_cookie_name,
            errors,
        );
        Sticky::Cookie {
            name,
            max_age: cookie.duration("maxAge", errors),
        }
    });
    header.map(Sticky::Header).or(cookie)
}

fn override_(block: &Block<'_>, errors: &mut Errors) -> Option<Override> {
    let known = ["header", "cookie", "value", "pattern", "trust"];
    let block = inner(block, "override", &known, errors)?;
    let header = text(
        &block,
        "header",
        "the name of a header",
        is_header_name,
        errors,
    );
    let cookie = text(
        &block,
        "cookie",
        "the name of a cookie",
        is_cookie_name,
        errors,
    );
    if block.present(&["header", "cookie"]).is_empty() {
        let message = "must have a header or a cookie to look at";
        errors.push(block.own_path(), &block.value(), message);
    }
    let value = override_value(&block, errors);
    let trust = trust(&block, errors);
    let by = match (header, cookie) {
        (Some(header), Some(cookie)) => OverrideBy::HeaderOrCookie { header, cookie },
        (Some(header), None) => OverrideBy::Header(header),
        (None, cookie) => OverrideBy::Cookie(cookie?),
    };
    Some(Override { by, value, trust })
}

fn override_value(block: &Block<'_>, errors: &mut Errors) -> OverrideValue {
    if block.present(&["value", "pattern"]).len() > 1 {
        let message = "must have at most one of value and pattern";
        errors.push(block.own_path(), &block.value(), message);
    }
    let exact = text(
        block,
        "value",
        "a string that is not empty",
        |text| !text.is_empty(),
        errors,
    );
    if let Some(exact) = exact {
        return OverrideValue::Exact(exact);
    }
    let Some(value) = block.get("pattern") else {
        return OverrideValue::AlwaysNever;
    };
    match value.as_str().map(pattern) {
        Some(Ok(pattern)) => return OverrideValue::Pattern(pattern),
        Some(Err(error)) => errors.push(
            &block.path("pattern"),
            value,
            format!(
                "must be a regular expression of at most {MAX_REGEX_BYTES} bytes compiled: {error}"
            ),
        ),
        None => errors.push(
            &block.path("pattern"),
            value,
            "must be a regular expression",
        ),
    }
    OverrideValue::AlwaysNever
}

fn trust(block: &Block<'_>, errors: &mut Errors) -> Trust {
    let Some(value) = block.get("trust") else {
        return Trust::Any;
    };
    let path = block.path("trust");
    match value {
        Value::String(word) if word == "any" => Trust::Any,
        // An empty list would trust nobody, which is an override that never works.
        Value::Array(list) if !list.is_empty() => Trust::From(networks(list, &path, errors)),
        _ => {
            errors.push(
                &path,
                value,
                "must be \"any\" or a list of CIDRs, as in [\"10.0.0.0/8\"]",
            );
            Trust::Any
        }
    }
}

fn networks(list: &[Value], path: &str, errors: &mut Errors) -> Vec<IpNet> {
    let mut networks = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let Some(network) = value.as_str().and_then(|text| text.parse().ok()) else {
            let message = "must be a CIDR, as in \"10.0.0.0/8\" or \"2001:db8::/32\"";
            errors.push(&format!("{path}[{index}]"), value, message);
            continue;
        };
        networks.push(network);
    }
    networks
}

fn fallback(block: &Block<'_>, errors: &mut Errors) -> bool {
    let Some(fallback) = inner(block, "fallback", &["to"], errors) else {
        return false;
    };
    required(&fallback, "to", "\"stable\"", errors);
    fallback
        .word("to", &[("stable", true)], errors)
        .unwrap_or(false)
}

/// Of durations this one may be nothing: every answer is evidence then.
fn warm_up(block: &Block<'_>, errors: &mut Errors) -> Option<GoDuration> {
    let value = block.get("warmUp")?;
    let nothing = matches!(value.as_str(), Some("0" | "0s"));
    if nothing {
        return Some(GoDuration::from_seconds(0));
    }
    block.duration("warmUp", errors)
}

fn fuse(block: &Block<'_>, errors: &mut Errors) -> Fuse {
    let known = ["enabled", "alpha", "ratio", "minErrors", "ageThreshold"];
    let Some(fuse) = inner(block, "fuse", &known, errors) else {
        return Fuse::default();
    };
    Fuse {
        enabled: fuse
            .wanted("enabled", "true or false", Value::as_bool, errors)
            .unwrap_or(true),
        alpha: alpha(&fuse, errors),
        ratio: ratio(&fuse, errors),
        min_errors: fuse.wanted("minErrors", "a whole number from 1", positive, errors),
        age_threshold: fuse
            .duration("ageThreshold", errors)
            .unwrap_or(Fuse::DEFAULT_AGE_THRESHOLD),
    }
}
