//! The bounds of the data path that a deployment may change; the others are constants where they hold.

use std::time::Duration;

/// Settings with defaults that fit a public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections of one worker; further ones are closed at once.
    pub connections_per_worker: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a request head may take, and an idle connection may stay (HTTP/1.1).
    pub head_timeout: Duration,
    /// Headers of a request.
    pub max_headers: usize,
    /// Bytes of a request head.
    pub max_head_bytes: usize,
    /// Requests at once on one HTTP/2 connection.
    pub max_streams: u32,
    /// Idle connections that a worker keeps per endpoint (HTTP/1.1).
    pub idle_per_endpoint: usize,
    /// How long an idle upstream connection is kept.
    pub idle_timeout: Duration,
    /// Client networks whose X-Forwarded-* headers are believed and extended; those of everybody
    /// else are overwritten.
    pub trusted_hops: Vec<ipnet::IpNet>,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_worker: 20_000,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_mins(1),
            max_headers: 100,
            max_head_bytes: 64 * 1024,
            max_streams: 256,
            idle_per_endpoint: 256,
            idle_timeout: Duration::from_secs(55),
            trusted_hops: Vec::new(),
        }
    }
}
