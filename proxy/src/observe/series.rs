//! What Prometheus shows: cumulative counts per route and arm, per cluster, and per process.
//!
//! Every series exists, at zero, from the moment a snapshot names it, or the first rate over it
//! would be NaN. Label values are closed sets. Children are resolved when a snapshot is built; the
//! request path indexes arrays.

use judgement::{LATENCY_BUCKETS, bucket_of};

use super::{Counter, Role, add_all, zeros};

/// Who made a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The upstream.
    Upstream,
    /// This proxy, because something failed.
    Proxy,
    /// Nobody: the client went away first.
    Client,
}

/// Why a request went to the side it went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The route has no split, or the split no canary.
    Only,
    /// The override header or cookie said so.
    Override,
    /// A managed header route matched.
    HeaderRoute,
    /// By the hash of the request's sticky header.
    StickyHeader,
    /// By the hash of the request's sticky cookie (an issued one too).
    StickyCookie,
    /// Drawn for itself.
    Random,
    /// The canary failed it, stable answered it.
    Fallback,
    /// The fuse had tripped.
    Fuse,
    /// The canary's turn, but the canary had no usable endpoint.
    NoEndpoints,
}

/// What came of a wish to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryResult {
    /// The retry was answered below 500.
    Ok,
    /// The retry failed as well.
    Failed,
    /// The retry budget was spent.
    Budget,
    /// The body did not fit into the replay buffer, or was still under way.
    BodyTooLarge,
    /// The method is not idempotent and the request may have been processed.
    NotIdempotent,
    /// The attempts were used up.
    OverLimit,
}

/// Why a request was refused before it was routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Malformed, or without the Host that HTTP/1.1 demands.
    BadRequest,
    /// The head was larger than the limits.
    HeadTooLarge,
    /// No route matched.
    NoRoute,
    /// The authority is not one that this TLS connection was made for.
    Misdirected,
    /// A method or protocol change that is not supported (CONNECT, unknown upgrades).
    Unsupported,
    /// The TLS handshake failed or took too long.
    TlsHandshake,
    /// More connections than the limit.
    Connections,
    /// No configuration is in force yet.
    NoConfiguration,
}

const CLASSES: usize = 5;
const ORIGINS: usize = Origin::ALL.len();
const RULES: usize = Rule::ALL.len();
const RETRIES: usize = RetryResult::ALL.len();
const REJECTIONS: usize = Rejection::ALL.len();

/// Labels of a traffic series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The route's name.
    pub route: String,
    /// The split's name; empty for a route that leads to a cluster directly.
    pub split: String,
    /// The arm's side.
    pub role: Role,
    /// The arm's revision.
    pub revision: String,
}

/// A traffic series, summed over workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesTotals {
    /// Its labels.
    pub key: SeriesKey,
    /// Responses by status class (index 0 is 1xx) and [`Origin`].
    pub responses: [[u64; ORIGINS]; CLASSES],
    /// Requests by the [`Rule`] that sent them here.
    pub decisions: [u64; RULES],
    /// Wishes to retry a request that this arm failed, by [`RetryResult`].
    pub retries: [u64; RETRIES],
    /// First attempts that this arm failed, by [`super::FailureClass`].
    pub failures: [u64; super::FailureClass::ALL.len()],
    /// Requests open right now.
    pub in_flight: u64,
    /// Full responses by duration, per bucket of `judgement::LATENCY_BOUNDS_US`.
    pub duration: [u64; LATENCY_BUCKETS],
    /// The sum of these durations, in microseconds.
    pub duration_sum_us: u64,
}

/// A route's traffic on one arm. Outlives snapshots.
#[derive(Debug)]
pub struct Series {
    key: SeriesKey,
    shards: Box<[SeriesShard]>,
}

/// One worker's part of a series. Only that worker writes.
#[derive(Debug)]
pub(crate) struct SeriesShard {
    responses: [Counter; CLASSES * ORIGINS],
    pub(crate) decisions: [Counter; RULES],
    pub(crate) retries: [Counter; RETRIES],
    pub(crate) failures: [Counter; super::FailureClass::ALL.len()],
    pub(crate) in_flight: Counter,
    duration: [Counter; LATENCY_BUCKETS],
    duration_sum_us: Counter,
}

/// Connections to a cluster's endpoints, summed over workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolTotals {
    /// Connections made.
    pub opened: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Requests that found an idle or shared connection.
    pub reused: u64,
    /// Connections open now.
    pub open: u64,
}

/// One worker's connections to a cluster. Only that worker writes.
#[derive(Debug, Default)]
pub(crate) struct PoolShard {
    pub(crate) opened: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) reused: Counter,
    pub(crate) open: Counter,
}

/// What belongs to no route, summed over workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessTotals {
    /// Requests (and connections) refused, by [`Rejection`].
    pub rejected: [u64; REJECTIONS],
    /// Connections accepted.
    pub accepted: u64,
    /// Client connections open now.
    pub connections: u64,
    /// Requests open now, in any stage.
    pub in_flight: u64,
    /// Access log lines that found the channel full.
    pub log_lines_dropped: u64,
}

/// One worker's part of the process's counts. Only that worker writes.
#[derive(Debug)]
pub(crate) struct ProcessShard {
    pub(crate) rejected: [Counter; REJECTIONS],
    pub(crate) accepted: Counter,
    pub(crate) connections: Counter,
    pub(crate) in_flight: Counter,
    pub(crate) log_lines_dropped: Counter,
}

// === impl Series ===

impl Series {
    pub(crate) fn new(key: SeriesKey, workers: usize) -> Self {
        Self {
            key,
            shards: (0..workers).map(|_| SeriesShard::new()).collect(),
        }
    }

    /// Its labels.
    pub fn key(&self) -> &SeriesKey {
        &self.key
    }

    pub(crate) fn shard(&self, worker: usize) -> &SeriesShard {
        &self.shards[worker]
    }

    pub(crate) fn collect(&self) -> SeriesTotals {
        let mut totals = SeriesTotals {
            key: self.key.clone(),
            responses: [[0; ORIGINS]; CLASSES],
            decisions: [0; RULES],
            retries: [0; RETRIES],
            failures: [0; super::FailureClass::ALL.len()],
            in_flight: 0,
            duration: [0; LATENCY_BUCKETS],
            duration_sum_us: 0,
        };
        for shard in &self.shards {
            shard.add_to(&mut totals);
        }
        totals
    }
}

// === impl SeriesShard ===

impl SeriesShard {
    fn new() -> Self {
        Self {
            responses: zeros(),
            decisions: zeros(),
            retries: zeros(),
            failures: zeros(),
            in_flight: Counter::default(),
            duration: zeros(),
            duration_sum_us: Counter::default(),
        }
    }

    /// A response was passed on to its end (or as far as it went).
    pub(crate) fn response(&self, status: u16, origin: Origin, us: u64) {
        let class = usize::from((status / 100).clamp(1, 5)) - 1;
        self.responses[class * ORIGINS + origin as usize].add(1);
        self.duration[bucket_of(us)].add(1);
        self.duration_sum_us.add(us);
    }

    fn add_to(&self, totals: &mut SeriesTotals) {
        for (class, sums) in totals.responses.iter_mut().enumerate() {
            for (origin, sum) in sums.iter_mut().enumerate() {
                *sum += self.responses[class * ORIGINS + origin].get();
            }
        }
        add_all(&mut totals.decisions, &self.decisions);
        add_all(&mut totals.retries, &self.retries);
        add_all(&mut totals.failures, &self.failures);
        add_all(&mut totals.duration, &self.duration);
        totals.in_flight += self.in_flight.get();
        totals.duration_sum_us += self.duration_sum_us.get();
    }
}

// === impl PoolShard ===

impl PoolShard {
    pub(crate) fn add_to(&self, totals: &mut PoolTotals) {
        totals.opened += self.opened.get();
        totals.connect_failures += self.connect_failures.get();
        totals.reused += self.reused.get();
        totals.open += self.open.get();
    }
}

// === impl ProcessShard ===

impl ProcessShard {
    pub(crate) fn new() -> Self {
        Self {
            rejected: zeros(),
            accepted: Counter::default(),
            connections: Counter::default(),
            in_flight: Counter::default(),
            log_lines_dropped: Counter::default(),
        }
    }

    pub(crate) fn add_to(&self, totals: &mut ProcessTotals) {
        add_all(&mut totals.rejected, &self.rejected);
        totals.accepted += self.accepted.get();
        totals.connections += self.connections.get();
        totals.in_flight += self.in_flight.get();
        totals.log_lines_dropped += self.log_lines_dropped.get();
    }
}

// === impl Origin ===

impl Origin {
    /// All, in the order of their index.
    pub const ALL: [Self; 3] = [Self::Upstream, Self::Proxy, Self::Client];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Proxy => "proxy",
            Self::Client => "client",
        }
    }
}

// === impl Rule ===

impl Rule {
    /// All, in the order of their index.
    pub const ALL: [Self; 9] = [
        Self::Only,
        Self::Override,
        Self::HeaderRoute,
        Self::StickyHeader,
        Self::StickyCookie,
        Self::Random,
        Self::Fallback,
        Self::Fuse,
        Self::NoEndpoints,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Override => "override",
            Self::HeaderRoute => "header_route",
            Self::StickyHeader => "sticky_header",
            Self::StickyCookie => "sticky_cookie",
            Self::Random => "random",
            Self::Fallback => "fallback",
            Self::Fuse => "fuse",
            Self::NoEndpoints => "no_endpoints",
        }
    }
}

// === impl RetryResult ===

impl RetryResult {
    /// All, in the order of their index.
    pub const ALL: [Self; 6] = [
        Self::Ok,
        Self::Failed,
        Self::Budget,
        Self::BodyTooLarge,
        Self::NotIdempotent,
        Self::OverLimit,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Budget => "budget",
            Self::BodyTooLarge => "body_too_large",
            Self::NotIdempotent => "not_idempotent",
            Self::OverLimit => "over_limit",
        }
    }
}

// === impl Rejection ===

impl Rejection {
    /// All, in the order of their index.
    pub const ALL: [Self; 8] = [
        Self::BadRequest,
        Self::HeadTooLarge,
        Self::NoRoute,
        Self::Misdirected,
        Self::Unsupported,
        Self::TlsHandshake,
        Self::Connections,
        Self::NoConfiguration,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::HeadTooLarge => "head_too_large",
            Self::NoRoute => "no_route",
            Self::Misdirected => "misdirected",
            Self::Unsupported => "unsupported",
            Self::TlsHandshake => "tls_handshake",
            Self::Connections => "connections",
            Self::NoConfiguration => "no_configuration",
        }
    }
}
