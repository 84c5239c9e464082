//! Names: which are allowed, and how one is made from `generateName`.

use serde_json::Value;

use super::kinds::Kind;
use super::refuse::Cause;

/// The letters of generated names: no vowels, so that no words come up (as in Kubernetes).
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
/// A generated name keeps to the length of a label.
const LONGEST_BASE: usize = 63 - SUFFIX;

/// A name from a base, unlike others with a high likelihood.
pub(super) fn generate(base: &str, random: &mut fastrand::Rng) -> String {
    let kept: String = base.chars().take(LONGEST_BASE).collect();
    let letters = (0..SUFFIX).map(|_| char::from(ALPHABET[random.usize(..ALPHABET.len())]));
    kept.chars().chain(letters).collect()
}

/// A random (version 4) UUID.
pub(super) fn uid(random: &mut fastrand::Rng) -> String {
    let bits = random.u128(..);
    let bits = (bits & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// What is wrong with an object's name, if anything.
pub(super) fn check(kind: &Kind, name: &str) -> Option<Cause> {
    let (fine, why) = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => (is_label(name), LABEL),
        ("", "Service") => {
            let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
            (is_label(name) && begins, SERVICE)
        }
        _ => (is_subdomain(name), SUBDOMAIN),
    };
    (!fine).then(|| Cause::invalid("metadata.name", &Value::String(name.to_owned()), why))
}

pub(super) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

pub(super) fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

pub(super) fn is_subdomain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let part = |part: &str| {
        !part.is_empty()
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}
