//! The routing configuration as people write it and programs send it.
//!
//! These are the raw types: what was typed. [`crate::check`] gives them meaning. Every unknown key
//! is an error, every default stands here.

mod read;
mod shape;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::weight::EpochWeight;

pub use read::{digest, read_yaml_or_json, to_json};

/// Everything that decides where a request goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// The fleet that this is for, as `namespace/name`. Optional in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<String>,
    /// Certificates for TLS termination, chosen by SNI.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// Routes: the most specific one that matches a request decides its backend.
    pub routes: Vec<Route>,
    /// Splits between a stable and a canary cluster, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<String, Split>,
    /// Clusters: sets of endpoints that run the same revision, by name.
    pub clusters: BTreeMap<String, Cluster>,
}

/// A certificate, named by reference: the document never contains a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Certificate {
    /// SNI names that it answers, `*.` wildcards allowed. Default: the names in the certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// PEM files on the proxy's disk. Exactly one of `files` and `secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<CertificateFiles>,
    /// A Kubernetes Secret, as `namespace/name@sha256:digest`; its bytes travel beside the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Where a certificate's PEM files are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: String,
    /// The private key of the leaf.
    pub key: String,
}

/// Which requests go to which backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Shown in metrics and the access log. Unique.
    pub name: String,
    /// Hostnames without port; `*.example.com` matches one or more labels. Default: every host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// A request matches when one of these does. Default: every path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<RouteMatch>,
    /// Where matching requests go.
    pub backend: BackendRef,
    /// The time from the request head to the response head. Default `30s`, at most `1h`; `0s` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// All given conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteMatch {
    /// The path. Default: prefix `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// Headers, all of which must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
}

/// Exactly one of `exact` and `prefix`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathMatch {
    /// The whole path, without query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// Whole path elements: `/a` matches `/a` and `/a/b`, not `/ab`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// A header and exactly one of `exact`, `prefix` and `regex` for its value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderMatch {
    /// The header's name; case does not matter.
    pub name: String,
    /// The whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// The value's beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// A regular expression that matches the whole value (linear time, at most 1 MiB compiled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// Exactly one of `split` and `cluster`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendRef {
    /// A split's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// A cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// How requests are divided between a stable and a canary revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Split {
    /// The Rollout's UID: fuse trips and evidence are kept by it. Default: the split's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_uid: Option<String>,
    /// The cluster that runs the stable revision.
    pub stable: String,
    /// The cluster that runs the canary revision. Without one every request goes to stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// Requests out of `maxWeight` that go to the canary.
    #[serde(default)]
    pub weight: u32,
    /// The weight that means every request. Default 100.
    #[serde(default = "default_max_weight")]
    pub max_weight: u32,
    /// Orders weights; see [`EpochWeight`]. A file may leave it out.
    #[serde(default)]
    pub epoch: u64,
    /// What keeps a user on one side. Default: each request for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// 32 hexadecimal digits: the SipHash key. Another salt picks another set of users. Required with `sticky`
    /// on the wire; in a file the default is derived from the split's name and the canary's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// A header or cookie with which a request chooses its side.
    #[serde(rename = "override", default, skip_serializing_if = "Option::is_none")]
    pub override_: Option<Override>,
    /// Requests that match one of these go to the canary whatever the weight (Argo's setHeaderRoute).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub header_routes: Vec<HeaderRoute>,
    /// Answer from stable what the canary failed and may safely be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// For so long after an endpoint turned ready its response times are no evidence (a Go duration, 0s to
    /// 1h): a cold start is not a slow revision. Its failures always are. Default `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<String>,
    /// The fuse. On by default.
    #[serde(default)]
    pub fuse: Fuse,
}

/// Exactly one of `header` and `cookie`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sticky {
    /// The header whose value is the key. Requests without it are each drawn at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// A cookie that the proxy issues to requests without one; its id is the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<StickyCookie>,
}

/// The cookie that keeps a user on one side (HttpOnly, SameSite=Lax, Path=/, Secure on TLS).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
    /// How long browsers keep it (a Go duration). Default `24h`, at most `8760h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
}

/// The meaning of ingress-nginx's canary-by-header and canary-by-cookie: without `value` and `pattern`, the header
/// value `always` chooses the canary and `never` chooses stable; with one of them, a header that equals the value
/// or matches the pattern chooses the canary. The cookie knows `always` and `never` only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// The header. It goes before the cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The header value that chooses the canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A regular expression for header values that choose the canary. Not with `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// Client networks (CIDRs) from which an override is believed. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Vec<String>>,
}

/// A named set of header conditions that leads to the canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderRoute {
    /// The managed route's name.
    pub name: String,
    /// Header conditions, all of which must match. At least one.
    pub headers: Vec<HeaderMatch>,
}

/// Where a request goes that the canary failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fallback {
    /// Only `stable` makes sense.
    pub to: FallbackTo,
}

/// The side that answers instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FallbackTo {
    /// The stable cluster.
    Stable,
}

/// When a proxy takes the canary's share to zero by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fuse {
    /// Default true.
    pub enabled: bool,
    /// Probability of a false trip over the whole release, for the whole fleet; above 0, below 0.5. Default 0.001.
    pub alpha: f64,
    /// The canary may fail this many times as often as stable; 1 to 1000. Default 1.5.
    pub ratio: f64,
    /// Failures of the canary before it can trip; 1 to 1000. Default 3.
    pub min_errors: u32,
    /// A request without a response head for this long is a failure (a Go duration, 10ms to 1h). Default `5s`.
    pub age_threshold: String,
}

/// Endpoints that run the same revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// The revision (pod-template hash). Default: the cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The protocol that the endpoints speak. Default `http1`.
    #[serde(default)]
    pub protocol: Protocol,
    /// `address:port` of each endpoint.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// How long a connection may take to be made. Default `1s`, 1ms to 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<String>,
    /// When an endpoint is left out for a while.
    #[serde(default)]
    pub outlier_ejection: OutlierEjection,
}

/// What a cluster's endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// HTTP/1.1 in clear.
    #[default]
    Http1,
    /// HTTP/2 in clear, by prior knowledge.
    H2c,
}

/// Consecutive failures eject an endpoint, for longer each time; never the last one of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OutlierEjection {
    /// Failures (5xx, connect failure, reset, timeout) in a row that eject; 0 turns ejection off. Default 5.
    pub consecutive_failures: u32,
    /// The first ejection's length (a Go duration, 100ms to 1h); each further one is longer by as much, up to
    /// ten times. Default `10s`.
    pub base_time: String,
    /// At most this share of a cluster's endpoints is ejected at once, in per cent. Default 50.
    pub max_percent: u32,
}

fn default_max_weight() -> u32 {
    100
}

// === impl Split ===

impl Split {
    /// The weight as the document gives it.
    pub fn epoch_weight(&self) -> EpochWeight {
        EpochWeight {
            weight: self.weight,
            epoch: self.epoch,
        }
    }
}

// === impl Fuse ===

impl Default for Fuse {
    fn default() -> Self {
        Self {
            enabled: true,
            alpha: 0.001,
            ratio: 1.5,
            min_errors: 3,
            age_threshold: "5s".to_owned(),
        }
    }
}

// === impl OutlierEjection ===

impl Default for OutlierEjection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            base_time: "10s".to_owned(),
            max_percent: 50,
        }
    }
}
