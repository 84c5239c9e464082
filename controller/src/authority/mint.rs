//! Makes keys and certificates. ECDSA over P-256 throughout.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use thiserror::Error;

use super::due::{CA_VALIDITY, CLOCK_SKEW, Due, SERVING_VALIDITY};
use super::material::{Material, MaterialError, Pair};

/// Why nothing was made.
#[derive(Debug, Error)]
pub enum MintError {
    /// The library refused.
    #[error("a certificate cannot be made")]
    Library(#[from] rcgen::Error),
    /// What was made cannot be read, or a time is out of range.
    #[error("a certificate was made and is not usable")]
    Unusable(#[from] MaterialError),
}

// === impl Material ===

impl Material {
    /// A new authority and a serving certificate for these names.
    pub fn begin(names: &BTreeSet<String>, now: Timestamp) -> Result<Self, MintError> {
        let signer = authority(now)?;
        Ok(Self {
            serving: serving(&signer, names, now)?,
            signer,
            next: None,
            former: Vec::new(),
        })
    }

    /// What `kept` is to become, if anything is due.
    pub fn renewed(
        kept: Option<&Self>,
        names: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Option<Self>, MintError> {
        let due = Due::of(kept, names, now);
        if due.is_nothing() {
            return Ok(None);
        }
        let Some(kept) = kept.filter(|_| !due.begin) else {
            return Self::begin(names, now).map(Some);
        };
        kept.clone().done(due, now).map(Some)
    }

    fn done(mut self, due: Due, now: Timestamp) -> Result<Self, MintError> {
        if due.promote
            && let Some(next) = self.next.take()
        {
            self.former.push(self.signer.trusted());
            self.signer = next;
        }
        if due.successor {
            self.next = Some(authority(now)?);
        }
        if due.forget {
            self.former.retain(|trusted| trusted.not_after > now);
        }
        if let Some(names) = due.serve {
            self.serving = serving(&self.signer, &names, now)?;
        }
        Ok(self)
    }
}

fn authority(now: Timestamp) -> Result<Pair, MintError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut parameters = valid(Vec::new(), now, now + CA_VALIDITY)?;
    // Different for each, so that a client need not try one after the other.
    let name = format!("sluice-uplink-ca-{}", now.as_second());
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = parameters.self_signed(&key)?;
    Ok(Pair::new("signer", certificate.pem(), key.serialize_pem())?)
}

fn serving(signer: &Pair, names: &BTreeSet<String>, now: Timestamp) -> Result<Pair, MintError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let until = signer.not_after.min(now + SERVING_VALIDITY);
    let mut parameters = valid(names.iter().cloned().collect(), now, until)?;
    let name = "sluice-controller uplink";
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signer_key = KeyPair::from_pem(&signer.key)?;
    let issuer = Issuer::from_ca_cert_pem(&signer.certificate, signer_key)?;
    let certificate = parameters.signed_by(&key, &issuer)?;
    Ok(Pair::new("tls", certificate.pem(), key.serialize_pem())?)
}

fn valid(
    names: Vec<String>,
    now: Timestamp,
    until: Timestamp,
) -> Result<CertificateParams, rcgen::Error> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |time: Timestamp| {
        let since = SignedDuration::from_secs(time.as_second().max(0));
        epoch + since.unsigned_abs()
    };
    let mut parameters = CertificateParams::new(names)?;
    // rcgen's own common name would be wrong on each of them.
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.not_before = at(now - CLOCK_SKEW);
    parameters.not_after = at(until);
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}
