//! The checked form of a routing configuration: illegal states are unsayable here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use regex::Regex;

use crate::document::Protocol;
use crate::weight::EpochWeight;

/// A routing configuration whose every reference resolves and every value is in range.
#[derive(Clone, Debug)]
pub struct CheckedConfig {
    /// The fleet it is for, as `namespace/name`, where it says so.
    pub fleet: Option<String>,
    /// Certificates, in the order of the document.
    pub certificates: Vec<CheckedCertificate>,
    /// Routes, in the order of the document.
    pub routes: Vec<CheckedRoute>,
    /// Splits by name.
    pub splits: BTreeMap<String, CheckedSplit>,
    /// Clusters by name.
    pub clusters: BTreeMap<String, CheckedCluster>,
}

/// A certificate reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCertificate {
    /// SNI names; empty means the names in the certificate.
    pub names: Vec<Hostname>,
    /// Where its bytes come from.
    pub source: CertificateSource,
}

/// Where a certificate's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// PEM files.
    Files {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// The leaf's private key.
        key: PathBuf,
    },
    /// `namespace/name@sha256:digest`: bytes that travel beside the document.
    Secret(String),
}

/// A host to match: lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hostname {
    /// This name only.
    Exact(String),
    /// `*.suffix`: one or more labels before the suffix (kept without `*.`).
    Wildcard(String),
}

/// A route.
#[derive(Clone, Debug)]
pub struct CheckedRoute {
    /// Its unique name.
    pub name: String,
    /// Hosts; empty means every host.
    pub hostnames: Vec<Hostname>,
    /// Conditions of which one must hold; never empty.
    pub conditions: Vec<RouteCondition>,
    /// Where matching requests go.
    pub backend: Backend,
    /// From the request head to the response head; `None` for no limit.
    pub timeout: Option<Duration>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug)]
pub struct RouteCondition {
    /// The path.
    pub path: PathCondition,
    /// The headers.
    pub headers: Vec<HeaderCondition>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathCondition {
    /// The whole path.
    Exact(String),
    /// Whole path elements, without a trailing slash; empty means every path.
    Prefix(String),
}

/// A condition on a header.
#[derive(Clone, Debug)]
pub struct HeaderCondition {
    /// The header.
    pub name: HeaderName,
    /// What its value must be.
    pub value: ValueCondition,
}

/// A condition on a value.
#[derive(Clone, Debug)]
pub enum ValueCondition {
    /// The whole value.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// The whole value, as an anchored regular expression.
    Regex(Regex),
}

/// A resolved backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A split's name.
    Split(String),
    /// A cluster's name.
    Cluster(String),
}

/// The key of the sticky hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Salt(pub [u8; 16]);

/// A split.
#[derive(Clone, Debug)]
pub struct CheckedSplit {
    /// The Rollout's UID, or the split's name.
    pub rollout_uid: String,
    /// The stable cluster's name.
    pub stable: String,
    /// The canary cluster's name.
    pub canary: Option<String>,
    /// The document's weight, at most `max_weight`.
    pub weight: EpochWeight,
    /// The weight that means every request; at least 1.
    pub max_weight: u32,
    /// What keeps a user on one side.
    pub sticky: Option<CheckedSticky>,
    /// The sticky hash's key.
    pub salt: Salt,
    /// How a request may choose its side.
    pub override_: Option<CheckedOverride>,
    /// Conditions that lead to the canary.
    pub header_routes: Vec<CheckedHeaderRoute>,
    /// Whether stable answers what the canary failed and may safely be retried.
    pub fallback_to_stable: bool,
    /// The fuse, unless it is off.
    pub fuse: Option<CheckedFuse>,
    /// A request without a response head for this long is a failure, fuse or not.
    pub age_threshold: Duration,
    /// For so long after an endpoint turned ready its response times are no evidence.
    pub warm_up: Duration,
}

/// Where the sticky key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckedSticky {
    /// A header's value.
    Header(HeaderName),
    /// A cookie that the proxy issues.
    Cookie {
        /// Its name.
        name: String,
        /// How long browsers keep it.
        max_age: Duration,
    },
}

/// How a request may choose its side.
#[derive(Clone, Debug)]
pub struct CheckedOverride {
    /// The header and its rule; goes before the cookie.
    pub header: Option<(HeaderName, OverrideRule)>,
    /// The cookie (`always` and `never`).
    pub cookie: Option<String>,
    /// Client networks from which an override is believed; `None` means any.
    pub trust: Option<Vec<IpNet>>,
}

/// What an override header's value means.
#[derive(Clone, Debug)]
pub enum OverrideRule {
    /// `always` chooses the canary, `never` stable.
    AlwaysNever,
    /// This value chooses the canary.
    Value(String),
    /// A value that matches chooses the canary.
    Pattern(Regex),
}

/// A managed header route.
#[derive(Clone, Debug)]
pub struct CheckedHeaderRoute {
    /// Its name.
    pub name: String,
    /// Conditions, all of which must hold; never empty.
    pub headers: Vec<HeaderCondition>,
}

/// The fuse's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckedFuse {
    /// Probability of a false trip over the release, for the whole fleet.
    pub alpha: f64,
    /// Tolerated ratio of failure rates.
    pub ratio: f64,
    /// Failures of the canary before it can trip.
    pub min_errors: u32,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCluster {
    /// The revision that its endpoints run.
    pub revision: String,
    /// What they speak.
    pub protocol: Protocol,
    /// Where they are; sorted, without duplicates, at most 10,000.
    pub endpoints: Vec<SocketAddr>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// When an endpoint is left out for a while; `None` for never.
    pub outlier: Option<OutlierPolicy>,
}

/// When an endpoint is left out for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierPolicy {
    /// Failures in a row that eject.
    pub consecutive_failures: u32,
    /// The first ejection's length.
    pub base_time: Duration,
    /// At most this share of the endpoints at once, in per cent.
    pub max_percent: u32,
}

// === impl Hostname ===

impl std::fmt::Display for Hostname {
    /// As a document has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}
