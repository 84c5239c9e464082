//! Addresses of the uplink, and over which of them plaintext may travel.

use std::net::IpAddr;

use thiserror::Error;

/// The uplink's address, as a proxy is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkAddress(String);

/// Why an uplink address is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// Not a URL of the form `http://host:port`.
    #[error("uplink address {0:?} is not of the form http://127.0.0.1:9190")]
    Malformed(String),
    /// Plaintext beyond loopback.
    #[error(
        "uplink address {0:?} would carry plaintext beyond this machine; only loopback addresses \
         (127.0.0.0/8, [::1], localhost) may be used without TLS"
    )]
    PlaintextBeyondLoopback(String),
    /// TLS is not served yet.
    #[error("uplink address {0:?}: TLS of the uplink is not built yet; use http:// on loopback")]
    Tls(String),
}

// === impl UplinkAddress ===

impl UplinkAddress {
    /// Parses `http://host:port` and refuses plaintext on anything but loopback.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.starts_with("https://") {
            return Err(AddressError::Tls(text.to_owned()));
        }
        let malformed = || AddressError::Malformed(text.to_owned());
        let authority = text
            .strip_prefix("http://")
            .ok_or_else(malformed)?
            .trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or_else(malformed)?;
        port.parse::<u16>().map_err(|_| malformed())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let loopback =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if host.is_empty() || host.contains('/') {
            return Err(malformed());
        }
        if !loopback {
            return Err(AddressError::PlaintextBeyondLoopback(text.to_owned()));
        }
        Ok(Self(format!("http://{authority}")))
    }

    /// The address as a URL without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for UplinkAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_is_for_loopback_only() {
        for good in [
            "http://127.0.0.1:9190",
            "http://127.9.8.7:1",
            "http://[::1]:9190",
            "http://localhost:9190/",
        ] {
            assert!(UplinkAddress::parse(good).is_ok(), "{good}");
        }
        for beyond in [
            "http://10.0.0.1:9190",
            "http://sluice-controller:9190",
            "http://[2001:db8::1]:1",
        ] {
            assert_eq!(
                UplinkAddress::parse(beyond),
                Err(AddressError::PlaintextBeyondLoopback(beyond.to_owned()))
            );
        }
        for bad in [
            "127.0.0.1:9190",
            "http://127.0.0.1",
            "http://:1",
            "ftp://127.0.0.1:1",
            "http://127.0.0.1:x",
        ] {
            assert_eq!(
                UplinkAddress::parse(bad),
                Err(AddressError::Malformed(bad.to_owned())),
                "{bad}"
            );
        }
        assert!(matches!(
            UplinkAddress::parse("https://127.0.0.1:1"),
            Err(AddressError::Tls(_))
        ));
    }
}
