//! TLS termination: certificates by SNI, rehearsed before they are used.
//!
//! A certificate that does not match its key is refused by whoever loads it first. The article that
//! Sluice answers had that happen in production. So [`rehearse`] does everything that a client will
//! do, beforehand: it parses chain and key, checks that they match, that the chain is in date, that it
//! covers the names it is to answer, and shakes hands with itself in memory for each name. Errors name
//! the certificate's place in the document and never contain bytes of a key.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use uplink::check::{CertificateSource, CheckedConfig, ConfigError, Hostname};

mod rehearsal;
mod resolver;

pub(crate) use resolver::Names;

/// A certificate and its key, as they travel beside a snapshot.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPairBytes {
    /// The chain, leaf first, as PEM.
    pub certificate_pem: Vec<u8>,
    /// The leaf's private key, as PEM.
    pub key_pem: Vec<u8>,
}

/// Rehearsed certificates. Empty where the configuration has none: then TLS ports refuse handshakes.
#[derive(Clone, Debug, Default)]
pub struct TlsSetup {
    pub(crate) server: Option<Arc<ServerConfig>>,
    pub(crate) names: Arc<Names>,
    described: Vec<CertificateDescription>,
}

/// What people may see of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDescription {
    /// Where it came from: a file or a secret's reference.
    pub source: String,
    /// The SNI names that it answers.
    pub names: Vec<String>,
    /// The leaf's subject.
    pub subject: String,
    /// When it expires, in seconds since the Unix epoch.
    pub not_after_unix: i64,
    /// SHA-256 of the leaf, in hexadecimal.
    pub fingerprint: String,
}

/// Reads, checks and tries every certificate of a configuration; all errors at once.
pub fn rehearse(
    config: &CheckedConfig,
    secrets: &HashMap<String, KeyPairBytes>,
    now: SystemTime,
) -> Result<TlsSetup, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut loaded = Vec::new();
    for (index, certificate) in config.certificates.iter().enumerate() {
        let result = read(&certificate.source, secrets)
            .and_then(|pair| rehearsal::load(&certificate.names, &pair, now));
        match result {
            Ok(certificate) => loaded.push(certificate),
            Err(message) => errors.push(error(index, message)),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let described = describe(config, &loaded);
    let (server, names) = resolver::server(loaded).map_err(|message| vec![error(0, message)])?;
    for (index, certificate) in described.iter().enumerate() {
        let tried = server
            .iter()
            .flat_map(|it| certificate.names.iter().map(move |n| (it, n)));
        let failed = tried.filter_map(|(it, name)| rehearsal::handshake(it, name).err());
        errors.extend(failed.map(|message| error(index, message)));
    }
    if errors.is_empty() {
        Ok(TlsSetup {
            server,
            names,
            described,
        })
    } else {
        Err(errors)
    }
}

fn describe(config: &CheckedConfig, loaded: &[rehearsal::Loaded]) -> Vec<CertificateDescription> {
    let pairs = config.certificates.iter().zip(loaded);
    pairs
        .map(|(checked, loaded)| CertificateDescription {
            source: match &checked.source {
                CertificateSource::Files { certificate, .. } => certificate.display().to_string(),
                CertificateSource::Secret(reference) => reference.clone(),
            },
            names: loaded.names.iter().map(shown).collect(),
            subject: loaded.subject.clone(),
            not_after_unix: loaded.not_after_unix,
            fingerprint: loaded.fingerprint.clone(),
        })
        .collect()
}

fn read(
    source: &CertificateSource,
    secrets: &HashMap<String, KeyPairBytes>,
) -> Result<KeyPairBytes, String> {
    let file = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    match source {
        CertificateSource::Files { certificate, key } => Ok(KeyPairBytes {
            certificate_pem: file(certificate)?,
            key_pem: file(key)?,
        }),
        CertificateSource::Secret(reference) => secrets
            .get(reference)
            .cloned()
            .ok_or_else(|| format!("no certificate {reference} came with this configuration")),
    }
}

fn error(index: usize, message: String) -> ConfigError {
    ConfigError {
        path: format!("certificates[{index}]"),
        message,
    }
}

fn shown(name: &Hostname) -> String {
    match name {
        Hostname::Exact(name) => name.clone(),
        Hostname::Wildcard(suffix) => format!("*.{suffix}"),
    }
}

// === impl KeyPairBytes ===

impl fmt::Debug for KeyPairBytes {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "KeyPairBytes({} bytes of certificate)",
            self.certificate_pem.len()
        )
    }
}

// === impl TlsSetup ===

impl TlsSetup {
    /// What people may see of each certificate, in the order of the document.
    pub fn describe(&self) -> &[CertificateDescription] {
        &self.described
    }
}

#[cfg(test)]
mod tests;
