//! What a request asks for: which host, in which form.

use std::borrow::Cow;

use http::header::{HOST, HeaderValue};
use http::{Method, Request, Version};

use crate::error::RequestError;
use crate::route::normal_host;

/// The host that a request is for, as the client wrote it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) host: HeaderValue,
    pub(crate) is_http1: bool,
}

// === impl Target ===

impl Target {
    /// RFC 9112 section 3.2: HTTP/1.1 has exactly one Host; a target in absolute form goes before it
    /// but must not contradict it, or two hops would see two requests.
    pub(crate) fn of<B>(request: &Request<B>) -> Result<Self, RequestError> {
        if request.method() == Method::CONNECT {
            return Err(RequestError::Unsupported("CONNECT is not supported"));
        }
        let is_http1 = request.version() < Version::HTTP_2;
        let mut hosts = request.headers().get_all(HOST).iter();
        let header = hosts.next();
        if hosts.next().is_some() {
            return Err(RequestError::Malformed("more than one Host header"));
        }
        let host = match (request.uri().authority(), header) {
            (Some(authority), header) => {
                let same = |it: &HeaderValue| {
                    it.as_bytes()
                        .eq_ignore_ascii_case(without_userinfo(authority.as_str()).as_bytes())
                };
                if !header.is_none_or(same) {
                    return Err(RequestError::Malformed(
                        "the Host header contradicts the target",
                    ));
                }
                match header {
                    Some(header) => header.clone(),
                    None => HeaderValue::from_str(without_userinfo(authority.as_str()))
                        .map_err(|_| RequestError::Malformed("the authority is not a host"))?,
                }
            }
            (None, Some(header)) => header.clone(),
            (None, None) if request.version() < Version::HTTP_11 => HeaderValue::from_static(""),
            (None, None) => return Err(RequestError::Malformed("no Host header")),
        };
        if host.to_str().is_err() {
            return Err(RequestError::Malformed("the Host header is not text"));
        }
        Ok(Self { host, is_http1 })
    }

    /// The host as routes know it.
    pub(crate) fn normal_host(&self) -> Cow<'_, str> {
        normal_host(self.host.to_str().unwrap_or_default())
    }
}

fn without_userinfo(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}
