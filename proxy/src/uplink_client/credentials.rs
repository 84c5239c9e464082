//! By what this proxy knows the controller, and the controller it.
//!
//! The authorities and the token are files that others renew while the proxy runs (a ConfigMap, a
//! projected token), so they are read again for each connection. A stream that is open stays open:
//! neither end looks at them again.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::args::Credentials;

/// A file of authorities: a ConfigMap holds no more.
const MAX_CA_BYTES: u64 = 1024 * 1024;

/// A token; API servers take no longer header.
const MAX_TOKEN_BYTES: u64 = 16 * 1024;

/// Why there is nothing to connect with.
#[derive(Debug, Error)]
pub(super) enum CredentialError {
    #[error("cannot read --{flag} {path}")]
    Read {
        flag: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("--{flag} {path} has more than {limit} bytes")]
    TooLong {
        flag: &'static str,
        path: PathBuf,
        limit: u64,
    },
    #[error(
        "--controller-ca {0} holds no certificate in PEM; mount the key ca.crt of the ConfigMap \
         sluice-uplink-ca, which the controller keeps in the fleet's namespace"
    )]
    NoAuthority(PathBuf),
    #[error(
        "--controller-token {0} holds no token; mount a projected ServiceAccount token for the \
         controller's audience"
    )]
    NoToken(PathBuf),
}

// === impl Credentials ===

impl Credentials {
    /// What the controller is checked by.
    pub(super) async fn tls(&self) -> Result<ClientTlsConfig, CredentialError> {
        let pem = read("controller-ca", &self.ca, MAX_CA_BYTES).await?;
        let parsed = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        if parsed.is_ok_and(|certificates| !certificates.is_empty()) {
            return Ok(ClientTlsConfig::new()
                .domain_name(self.name.clone())
                .ca_certificate(Certificate::from_pem(pem)));
        }
        Err(CredentialError::NoAuthority(self.ca.clone()))
    }

    /// Adds what this proxy is known by.
    pub(super) async fn sign<T>(&self, request: &mut Request<T>) -> Result<(), CredentialError> {
        let Some(path) = &self.token else {
            return Ok(());
        };
        let token = read("controller-token", path, MAX_TOKEN_BYTES).await?;
        let token = std::str::from_utf8(&token).map(str::trim).unwrap_or("");
        let bearer = AsciiMetadataValue::try_from(format!("Bearer {token}"));
        let (false, Ok(mut bearer)) = (token.is_empty(), bearer) else {
            return Err(CredentialError::NoToken(path.clone()));
        };
        // Kept out of debug output and of the header compression's tables.
        bearer.set_sensitive(true);
        request.metadata_mut().insert("authorization", bearer);
        Ok(())
    }
}

async fn read(flag: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, CredentialError> {
    let failed = |source| CredentialError::Read {
        flag,
        path: path.to_owned(),
        source,
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut content = Vec::new();
    let mut bounded = file.take(limit + 1);
    bounded.read_to_end(&mut content).await.map_err(failed)?;
    if content.len() as u64 > limit {
        let path = path.to_owned();
        return Err(CredentialError::TooLong { flag, path, limit });
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
