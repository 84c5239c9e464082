//! What the Secret holds, read and written.
//!
//! | key | what |
//! |---|---|
//! | `tls.crt`, `tls.key` | the serving certificate |
//! | `signer.crt`, `signer.key` | the authority that signed it |
//! | `next.crt`, `next.key` | the one that will follow, while it is only published |
//! | `ca.crt` | all that proxies are to trust: these two, and former ones that are still valid |

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::extensions::GeneralName;

use super::CA_KEY;

/// Former authorities that are kept: more than two never overlap.
const MAX_FORMER: usize = 8;

/// All of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    pub(super) signer: Pair,
    pub(super) next: Option<Pair>,
    /// Trusted until they expire.
    pub(super) former: Vec<Trusted>,
    pub(super) serving: Pair,
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) names: BTreeSet<String>,
}

/// A certificate alone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Trusted {
    pub(super) certificate: String,
    pub(super) not_after: Timestamp,
}

/// Why a Secret cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MaterialError {
    /// A key is missing.
    #[error("the Secret has no {0}")]
    Missing(&'static str),
    /// Not what its name says.
    #[error("{what} of the Secret is no {expected} in PEM")]
    Malformed {
        /// The key.
        what: &'static str,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The halves of a pair are not of each other.
    #[error("{0}.key of the Secret is not the key of {0}.crt")]
    Foreign(&'static str),
}

/// The data of a Secret.
pub type Data = BTreeMap<String, ByteString>;

// === impl Material ===

impl Material {
    pub(super) fn read(data: &Data) -> Result<Self, MaterialError> {
        let signer = Pair::read("signer", data)?;
        let next = data.contains_key("next.crt");
        let next = next.then(|| Pair::read("next", data)).transpose()?;
        let bundle = text("ca.crt", data)?;
        let known = |trusted: &Trusted| {
            trusted.certificate == signer.certificate
                || next
                    .as_ref()
                    .is_some_and(|next| trusted.certificate == next.certificate)
        };
        let mut former = Trusted::read_all("ca.crt", &bundle)?;
        former.retain(|trusted| !known(trusted));
        former.truncate(MAX_FORMER);
        Ok(Self {
            serving: Pair::read("tls", data)?,
            signer,
            next,
            former,
        })
    }

    /// The data of a Secret that holds it.
    pub fn write(&self) -> Data {
        let mut data = Data::new();
        let pairs = [("tls", Some(&self.serving)), ("signer", Some(&self.signer))];
        for (name, pair) in pairs.into_iter().chain([("next", self.next.as_ref())]) {
            let Some(pair) = pair else { continue };
            data.insert(format!("{name}.crt"), bytes(&pair.certificate));
            data.insert(format!("{name}.key"), bytes(&pair.key));
        }
        data.insert(CA_KEY.to_owned(), bytes(&self.bundle()));
        data
    }

    /// What proxies are to trust, in PEM: the signer first.
    pub fn bundle(&self) -> String {
        let mut bundle = self.signer.certificate.clone();
        let next = self.next.iter().map(|next| &next.certificate);
        let former = self.former.iter().map(|trusted| &trusted.certificate);
        next.chain(former).for_each(|pem| bundle.push_str(pem));
        bundle
    }

    /// What the uplink is served with.
    pub(super) fn certified(&self) -> Result<Arc<CertifiedKey>, MaterialError> {
        self.serving.certified("tls").map(Arc::new)
    }

    /// For a log: until when what is valid.
    pub(super) fn summary(&self) -> String {
        let names: Vec<_> = self.serving.names.iter().map(String::as_str).collect();
        format!(
            "serving certificate for {} valid until {}, authority until {}",
            names.join(", "),
            self.serving.not_after,
            self.signer.not_after
        )
    }
}

/// Without keys.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material")
            .field("summary", &self.summary())
            .finish_non_exhaustive()
    }
}

// === impl Pair ===

impl Pair {
    /// Reads what the certificate says.
    pub(super) fn new(
        what: &'static str,
        certificate: String,
        key: String,
    ) -> Result<Self, MaterialError> {
        let malformed = || MaterialError::Malformed {
            what,
            expected: "certificate",
        };
        let der =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| malformed())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| malformed())?;
        let validity = parsed.validity();
        let at = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).map_err(|_| malformed())
        };
        let alternative = parsed.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|it| &it.value.general_names);
        let pair = Self {
            not_before: at(validity.not_before)?,
            not_after: at(validity.not_after)?,
            names: names.filter_map(name).collect(),
            certificate,
            key,
        };
        pair.certified(what)?;
        Ok(pair)
    }

    fn read(what: &'static str, data: &Data) -> Result<Self, MaterialError> {
        let (certificate, key) = match what {
            "tls" => ("tls.crt", "tls.key"),
            "next" => ("next.crt", "next.key"),
            _ => ("signer.crt", "signer.key"),
        };
        Self::new(what, text(certificate, data)?, text(key, data)?)
    }

    fn certified(&self, what: &'static str) -> Result<CertifiedKey, MaterialError> {
        let malformed = |expected| MaterialError::Malformed { what, expected };
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| malformed("certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let key = key.map_err(|_| malformed("private key"))?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        certified.map_err(|_| MaterialError::Foreign(what))
    }

    /// The certificate, without the key.
    pub(super) fn trusted(&self) -> Trusted {
        Trusted {
            certificate: self.certificate.clone(),
            not_after: self.not_after,
        }
    }
}

// === impl Trusted ===

impl Trusted {
    fn read_all(what: &'static str, bundle: &str) -> Result<Vec<Self>, MaterialError> {
        let malformed = || MaterialError::Malformed {
            what,
            expected: "list of certificates",
        };
        let end = "-----END CERTIFICATE-----";
        let blocks = bundle
            .split_inclusive(end)
            .filter(|block| block.contains(end));
        let parsed = blocks.map(|block| {
            let certificate = format!("{}\n", block.trim());
            let der = CertificateDer::from_pem_slice(certificate.as_bytes());
            let der = der.map_err(|_| malformed())?;
            let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| malformed())?;
            let not_after = parsed.validity().not_after.timestamp();
            Ok(Self {
                not_after: Timestamp::from_second(not_after).map_err(|_| malformed())?,
                certificate,
            })
        });
        parsed.collect()
    }
}

fn text(what: &'static str, data: &Data) -> Result<String, MaterialError> {
    let found = data.get(what).ok_or(MaterialError::Missing(what))?;
    String::from_utf8(found.0.clone()).map_err(|_| MaterialError::Malformed {
        what,
        expected: "text",
    })
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let six = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| six()).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}
