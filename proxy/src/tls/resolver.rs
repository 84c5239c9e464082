//! Which certificate answers which SNI name.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use uplink::check::Hostname;

use super::rehearsal::Loaded;

/// Certificates by name: exact before the longest wildcard. A client without SNI gets the first one.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashMap<String, usize>,
    wildcard: HashMap<String, usize>,
    keys: Vec<Arc<CertifiedKey>>,
}

/// The names as rustls asks them.
#[derive(Debug)]
struct Resolver(Arc<Names>);

/// The server side of TLS for these certificates; none without certificates.
pub(super) fn server(
    loaded: Vec<Loaded>,
) -> Result<(Option<Arc<ServerConfig>>, Arc<Names>), String> {
    let mut names = Names::default();
    for (index, certificate) in loaded.into_iter().enumerate() {
        for name in certificate.names {
            // Of two certificates with one name the first in the document answers.
            match name {
                Hostname::Exact(name) => names.exact.entry(name).or_insert(index),
                Hostname::Wildcard(suffix) => names.wildcard.entry(suffix).or_insert(index),
            };
        }
        names.keys.push(certificate.key);
    }
    let names = Arc::new(names);
    if names.keys.is_empty() {
        return Ok((None, names));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?;
    let resolver = Arc::new(Resolver(Arc::clone(&names)));
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    // Stateless, so that every worker resumes what any of them began.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|it| it.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Some(Arc::new(config)), names))
}

// === impl Names ===

impl Names {
    /// The place of the certificate that answers a name (lower case).
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        let mut suffixes = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        let exact = self.exact.get(name);
        exact
            .or_else(|| suffixes.find_map(|suffix| self.wildcard.get(suffix)))
            .copied()
    }
}

// === impl Resolver ===

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let place = match hello.server_name() {
            None => 0,
            Some(name) if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                self.0.place(&name.to_ascii_lowercase())?
            }
            Some(name) => self.0.place(name)?,
        };
        self.0.keys.get(place).cloned()
    }
}
