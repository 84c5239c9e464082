//! The rehearsal of one certificate: everything that a client will do, beforehand and in memory.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use uplink::check::Hostname;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::KeyPairBytes;

/// A certificate that parsed, matches its key, is in date and covers its names.
pub(super) struct Loaded {
    pub(super) names: Vec<Hostname>,
    pub(super) key: Arc<CertifiedKey>,
    pub(super) subject: String,
    pub(super) not_after_unix: i64,
    pub(super) fingerprint: String,
}

/// Round trips that a handshake may take in memory; a real one takes two.
const MAX_TURNS: usize = 10;

/// Checks a pair. `wanted` are the names it is to answer; empty means those that it has.
pub(super) fn load(
    wanted: &[Hostname],
    pair: &KeyPairBytes,
    now: SystemTime,
) -> Result<Loaded, String> {
    let chain = CertificateDer::pem_slice_iter(&pair.certificate_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the certificate is not PEM: {error}"))?;
    let leaf = chain
        .first()
        .ok_or("no certificate in the PEM, expected a chain, leaf first")?;
    // The cause is left out: it could quote the file, and the file is a key.
    let key = PrivateKeyDer::from_pem_slice(&pair.key_pem)
        .map_err(|_| "no private key in the PEM, expected PKCS#8, PKCS#1 or SEC1".to_owned())?;
    for (depth, certificate) in chain.iter().enumerate() {
        in_date(certificate, depth, now)?;
    }
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| unparsable(0, &error))?;
    let own = own_names(&parsed);
    let names = covered(wanted, own)?;
    let (subject, not_after_unix) = (
        parsed.subject().to_string(),
        parsed.validity().not_after.timestamp(),
    );
    let fingerprint = hex::encode(Sha256::digest(leaf));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = CertifiedKey::from_der(chain, key, &provider)
        .map_err(|error| format!("certificate and key do not belong together: {error}"))?;
    Ok(Loaded {
        names,
        key: Arc::new(key),
        subject,
        not_after_unix,
        fingerprint,
    })
}

/// Shakes hands with the server in memory, asking for a name, and checks that this name's
/// certificate came. A wildcard is asked with a label in its place.
pub(super) fn handshake(server: &Arc<ServerConfig>, name: &str) -> Result<(), String> {
    let asked = name.replacen('*', "rehearsal", 1);
    let failed = |error: &dyn std::fmt::Display| {
        format!("a handshake with itself for {name:?} failed: {error}")
    };
    let sni = ServerName::try_from(asked).map_err(|error| failed(&error))?;
    let client = client_config().map_err(|error| failed(&error))?;
    let mut client = ClientConnection::new(client, sni).map_err(|error| failed(&error))?;
    let mut server = ServerConnection::new(Arc::clone(server)).map_err(|error| failed(&error))?;
    for _ in 0..MAX_TURNS {
        pass(&mut client, &mut server).map_err(|error| failed(&error))?;
        pass(&mut server, &mut client).map_err(|error| failed(&error))?;
        if !client.is_handshaking() && !server.is_handshaking() {
            return Ok(());
        }
    }
    Err(failed(&"it did not finish"))
}

/// Carries what one side has to say to the other.
fn pass<F, T, A, B>(from: &mut F, to: &mut T) -> Result<(), String>
where
    F: std::ops::DerefMut<Target = rustls::ConnectionCommon<A>>,
    T: std::ops::DerefMut<Target = rustls::ConnectionCommon<B>>,
    A: rustls::SideData,
    B: rustls::SideData,
{
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire)
            .map_err(|error| error.to_string())?;
    }
    let mut wire = wire.as_slice();
    while !wire.is_empty() {
        to.read_tls(&mut wire).map_err(|error| error.to_string())?;
        to.process_new_packets()
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn in_date(certificate: &CertificateDer<'_>, depth: usize, now: SystemTime) -> Result<(), String> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| unparsable(depth, &error))?;
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now > validity.not_after.timestamp() {
        return Err(format!(
            "certificate {depth} of the chain expired at {}",
            validity.not_after
        ));
    }
    if now < validity.not_before.timestamp() {
        let from = validity.not_before;
        return Err(format!(
            "certificate {depth} of the chain is not valid before {from}"
        ));
    }
    Ok(())
}

fn unparsable(depth: usize, error: &dyn std::fmt::Display) -> String {
    format!("certificate {depth} of the chain does not parse: {error}")
}

/// DNS names of the certificate, lower case. Names that no host can have are left out.
fn own_names(certificate: &X509Certificate<'_>) -> Vec<Hostname> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
    let names = names.map(|name| match name.strip_prefix("*.") {
        Some(suffix) => Hostname::Wildcard(suffix.to_owned()),
        None => Hostname::Exact(name),
    });
    names.collect()
}

/// The names to answer, each of which must be in the certificate.
fn covered(wanted: &[Hostname], own: Vec<Hostname>) -> Result<Vec<Hostname>, String> {
    if wanted.is_empty() {
        let none = "the certificate has no DNS names and none are given";
        return if own.is_empty() {
            Err(none.to_owned())
        } else {
            Ok(own)
        };
    }
    match wanted
        .iter()
        .find(|name| !own.iter().any(|it| covers(it, name)))
    {
        None => Ok(wanted.to_vec()),
        Some(name) => {
            let own: Vec<_> = own.iter().map(super::shown).collect();
            let (name, own) = (super::shown(name), own.join(", "));
            Err(format!(
                "the certificate does not cover {name:?}, only {own}"
            ))
        }
    }
}

/// A wildcard in a certificate stands for exactly one label (RFC 6125 section 6.4.3).
fn covers(own: &Hostname, wanted: &Hostname) -> bool {
    match (own, wanted) {
        (Hostname::Wildcard(suffix), Hostname::Exact(name)) => {
            name.split_once('.').is_some_and(|(_, rest)| rest == suffix)
        }
        (own, wanted) => own == wanted,
    }
}

/// A client that believes any chain: whom clients trust is theirs to say. It does check that the
/// server holds the key of the certificate it shows.
fn client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let believer = Arc::new(AnyChain(Arc::clone(&provider)));
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(believer);
    Ok(Arc::new(builder.with_no_client_auth()))
}

#[derive(Debug)]
struct AnyChain(Arc<CryptoProvider>);

// === impl AnyChain ===

impl ServerCertVerifier for AnyChain {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
