//! Certificates: references only. Whether the bytes are any good is the proxy's rehearsal.

use std::path::PathBuf;

use super::{CertificateSource, CheckedCertificate, Faults, Path, address, exactly_one};
use crate::document::{Certificate, CertificateFiles};

pub(super) fn check_all(faults: &mut Faults, raw: &[Certificate]) -> Vec<CheckedCertificate> {
    let parent = Path::ROOT.field("certificates");
    raw.iter()
        .enumerate()
        .filter_map(|(index, certificate)| check(faults, &parent.index(index), certificate))
        .collect()
}

fn check(faults: &mut Faults, path: &Path<'_>, raw: &Certificate) -> Option<CheckedCertificate> {
    let names_path = path.field("names");
    let names = raw
        .names
        .iter()
        .enumerate()
        .filter_map(|(index, name)| faults.take(&names_path.index(index), address::hostname(name)))
        .collect();
    let one = exactly_one(
        faults,
        path,
        &[
            ("files", raw.files.is_some()),
            ("secret", raw.secret.is_some()),
        ],
    );
    let files = raw
        .files
        .as_ref()
        .and_then(|raw| files(faults, &path.field("files"), raw));
    let secret = raw.secret.as_deref().and_then(|text| {
        faults
            .take(&path.field("secret"), address::secret_reference(text))
            .map(CertificateSource::Secret)
    });
    Some(CheckedCertificate {
        names,
        source: files.or(secret).filter(|_| one)?,
    })
}

fn files(
    faults: &mut Faults,
    path: &Path<'_>,
    raw: &CertificateFiles,
) -> Option<CertificateSource> {
    let certificate = faults.take(&path.field("certificate"), file(&raw.certificate));
    let key = faults.take(&path.field("key"), file(&raw.key));
    Some(CertificateSource::Files {
        certificate: certificate?,
        key: key?,
    })
}

fn file(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("expected the path of a PEM file".to_owned());
    }
    Ok(PathBuf::from(text))
}
