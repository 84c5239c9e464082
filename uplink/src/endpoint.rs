//! Addresses of the uplink, and over which of them plaintext may travel.

use std::net::IpAddr;

use thiserror::Error;

/// The uplink's address, as a proxy is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkAddress {
    url: String,
    host: String,
    tls: bool,
}

/// Why an uplink address is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// Not a URL of the form `https://host:port`.
    #[error(
        "uplink address {0:?} is not of the form https://sluice-controller.sluice.svc:9190, or \
         http://127.0.0.1:9190 on one machine"
    )]
    Malformed(String),
    /// Plaintext beyond loopback.
    #[error(
        "uplink address {0:?} would carry plaintext beyond this machine; only loopback addresses \
         (127.0.0.0/8, [::1], localhost) may be used without TLS, others with https://"
    )]
    PlaintextBeyondLoopback(String),
}

// === impl UplinkAddress ===

impl UplinkAddress {
    /// Parses `https://host:port` or `http://host:port`, and refuses plaintext on anything but
    /// loopback.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        let (scheme, authority) = text.split_once("://").ok_or_else(malformed)?;
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(malformed()),
        };
        let authority = authority.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or_else(malformed)?;
        port.parse::<u16>().map_err(|_| malformed())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', '@', '?', '#']) {
            return Err(malformed());
        }
        let loopback =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !tls && !loopback {
            return Err(AddressError::PlaintextBeyondLoopback(text.to_owned()));
        }
        Ok(Self {
            url: format!("{scheme}://{authority}"),
            host: host.to_owned(),
            tls,
        })
    }

    /// The address as a URL without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The host: a DNS name or an IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is `https`.
    pub fn is_tls(&self) -> bool {
        self.tls
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
    }

    #[test]
    fn tls_goes_anywhere() {
        for (text, host) in [
            ("https://10.0.0.1:9190", "10.0.0.1"),
            (
                "https://sluice-controller.sluice.svc:9190/",
                "sluice-controller.sluice.svc",
            ),
            ("https://[2001:db8::1]:1", "2001:db8::1"),
        ] {
            let address = UplinkAddress::parse(text).expect(text);
            assert_eq!((address.host(), address.is_tls()), (host, true));
            assert_eq!(address.as_str(), text.trim_end_matches('/'));
        }
        for bad in ["https://a", "https://a/b:1", "https://user@host:1"] {
            assert!(UplinkAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
