//! A client's connection, as its requests know it.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::HeaderValue;

use super::Limits;
use crate::forward::Hop;
use crate::tls::Names;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) hop: Hop,
    /// The names when it was made, and the certificate that it was made with; only where the client
    /// asked for a name.
    certificate: Option<(Arc<Names>, usize)>,
}

// === impl Connection ===

impl Connection {
    pub(crate) fn plain(peer: SocketAddr, limits: &Limits) -> Self {
        Self {
            peer,
            hop: hop(peer, limits, false),
            certificate: None,
        }
    }

    pub(crate) fn tls(
        peer: SocketAddr,
        limits: &Limits,
        names: &Arc<Names>,
        sni: Option<&str>,
    ) -> Self {
        let place = sni.and_then(|name| names.place(name));
        let certificate = place.map(|place| (Arc::clone(names), place));
        Self {
            peer,
            hop: hop(peer, limits, true),
            certificate,
        }
    }

    /// Whether the host belongs to another certificate than this connection's: a client that reuses
    /// a connection for it must be told (RFC 9110 section 15.5.20).
    pub(crate) fn is_misdirected(&self, host: &str) -> bool {
        let certificate = self.certificate.as_ref();
        certificate.is_some_and(|(names, place)| names.place(host) != Some(*place))
    }
}

fn hop(peer: SocketAddr, limits: &Limits, tls: bool) -> Hop {
    let ip = peer.ip();
    let address = HeaderValue::try_from(ip.to_string());
    Hop {
        address: address.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
        trusted: limits
            .trusted_hops
            .iter()
            .any(|network| network.contains(&ip)),
        tls,
    }
}
