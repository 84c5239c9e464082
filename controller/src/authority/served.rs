//! The serving certificate in force, as TLS handshakes ask for it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio::sync::watch;

use super::material::{Material, MaterialError};

/// The protocol of gRPC, as TLS names it.
const H2: &[u8] = b"h2";

/// What is served, and what proxies are to trust; nothing at first.
#[derive(Debug, Default)]
pub struct Served {
    key: ArcSwapOption<CertifiedKey>,
    bundle: watch::Sender<Option<Arc<str>>>,
}

// === impl Served ===

impl Served {
    /// From now on handshakes are made with this. Connections that are open stay.
    pub fn adopt(&self, material: &Material) -> Result<(), MaterialError> {
        self.key.store(Some(material.certified()?));
        let bundle = Some(Arc::from(material.bundle()));
        self.bundle.send_if_modified(|before| {
            let changed = *before != bundle;
            *before = bundle;
            changed
        });
        Ok(())
    }

    /// What proxies are to trust, in PEM.
    pub fn bundle(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.bundle.subscribe()
    }

    /// For an acceptor: TLS 1.3 alone, which every proxy speaks, and HTTP/2.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let mut config = builder
            .with_protocol_versions(&[&version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![H2.to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.load_full()
    }
}
