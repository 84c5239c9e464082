//! Names and addresses of machines: hostnames, endpoints, networks, Kubernetes names.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Hostname, shown};

/// RFC 1123 §2.1 and RFC 1035 §2.3.4.
const MAX_HOSTNAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// A host to match, lower case, without port; a wildcard is the whole first label or nothing.
pub(super) fn hostname(text: &str) -> Result<Hostname, String> {
    let lower = text.to_ascii_lowercase();
    let (wildcard, name) = match lower.strip_prefix("*.") {
        Some(suffix) => (true, suffix),
        None => (false, lower.as_str()),
    };
    if !is_hostname(name) {
        let hint = hostname_hint(text);
        return Err(format!("invalid hostname {}: {hint}", shown(text)));
    }
    let name = name.to_owned();
    Ok(if wildcard {
        Hostname::Wildcard(name)
    } else {
        Hostname::Exact(name)
    })
}

fn hostname_hint(text: &str) -> &'static str {
    if text == "*" {
        return "leave `hostnames` out for every host";
    }
    if text.contains('*') {
        return "a wildcard is only allowed as the whole first label, as in `*.example.com`";
    }
    if text.contains("://") || text.contains('/') {
        return "expected a hostname without scheme and path";
    }
    if text.contains(':') {
        return "expected a hostname without port";
    }
    if text.ends_with('.') {
        return "expected a hostname without a dot at its end";
    }
    "expected labels of letters, digits and `-` (RFC 1123), such as `app.example.com` or \
     `*.example.com`"
}

/// Labels of lower-case letters, digits and inner hyphens, joined by dots.
fn is_hostname(name: &str) -> bool {
    name.len() <= MAX_HOSTNAME_BYTES && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_LABEL_BYTES).contains(&label.len())
        && label.bytes().all(allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A fleet: `namespace/name`.
pub(super) fn fleet(text: &str) -> Result<String, String> {
    if is_namespaced(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "invalid fleet {}: expected `namespace/name`, such as \"default/my-app\"",
        shown(text)
    ))
}

/// A Secret and the digest of its content: `namespace/name@sha256:digest`.
pub(super) fn secret_reference(text: &str) -> Result<String, String> {
    let digest = |hex: &str| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let good = text
        .split_once("@sha256:")
        .is_some_and(|(secret, hex)| is_namespaced(secret) && digest(hex));
    if good {
        return Ok(text.to_owned());
    }
    Err(format!(
        "invalid secret reference {}: expected `namespace/name@sha256:` and 64 lower-case hexadecimal \
         digits",
        shown(text)
    ))
}

fn is_namespaced(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(namespace, name)| is_label(namespace) && is_hostname(name))
}

/// An endpoint: an IP address with a port.
pub(super) fn endpoint(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) => Err(format!(
            "invalid endpoint {}: expected a port from 1 to 65535",
            shown(text)
        )),
        Err(_) => Err(format!(
            "invalid endpoint {}: expected an IP address with a port, such as \"10.0.0.1:8080\" or \
             \"[2001:db8::1]:8080\" (names are not resolved)",
            shown(text)
        )),
    }
}

/// A network in CIDR notation; bits beyond the prefix are dropped.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>().map(|net| net.trunc()).map_err(|_| {
        let meant = text
            .parse::<IpAddr>()
            .map(|ip| format!("; did you mean \"{}\"?", IpNet::from(ip)))
            .unwrap_or_default();
        format!(
            "invalid network {}: expected a CIDR such as \"10.0.0.0/8\" or \"2001:db8::/32\"{meant}",
            shown(text)
        )
    })
}
