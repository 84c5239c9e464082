//! The syntax of the names in a block.

use regex::RegexBuilder;

/// What a pattern may take compiled, so that a manifest cannot fill a proxy's memory.
pub(super) const MAX_REGEX_BYTES: usize = 1 << 20;

/// What a pattern may take written.
const MAX_PATTERN_LENGTH: usize = 4096;

/// A label of RFC 1123.
pub(super) fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A fleet, of the same namespace or of another one.
pub(super) fn is_fleet(name: &str) -> bool {
    name.split_once('/').map_or_else(
        || is_dns_label(name),
        |(namespace, name)| is_dns_label(namespace) && is_dns_label(name),
    )
}

/// A name of labels, the first of which may be `*` as in RFC 6125. No port, no final dot, and no
/// address: certificates and routes are by name.
pub(super) fn is_hostname(name: &str) -> bool {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    !is_address && is_secret_name(bare)
}

/// A DNS subdomain of RFC 1123, which names of Secrets are.
pub(super) fn is_secret_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

/// A field name of RFC 9110 §5.1.
pub(super) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token_byte)
}

/// A cookie name of RFC 6265 §4.1.1, which is a token too.
pub(super) fn is_cookie_name(name: &str) -> bool {
    is_header_name(name)
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A regular expression that compiles within [`MAX_REGEX_BYTES`], as it was written.
pub(super) fn pattern(text: &str) -> Result<String, String> {
    if text.len() > MAX_PATTERN_LENGTH {
        return Err(format!("longer than {MAX_PATTERN_LENGTH} characters"));
    }
    RegexBuilder::new(text)
        .size_limit(MAX_REGEX_BYTES)
        .build()
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}
