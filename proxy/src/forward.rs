//! Forward: the headers of a message on its way to the next hop.
//!
//! Hop-by-hop headers (RFC 9110 section 7.6.1) are about one connection and stay on it. A client may
//! name further ones in `Connection`, but not those that the origin's trust rests on: else it could
//! strip `Authorization` or `X-Forwarded-For` from its own request. The map itself is forwarded, not
//! copied; where no hop-by-hop header is present, which is nearly always, finding that out is all.
//!
//! `X-Forwarded-For`, `-Proto` and `-Host` say what this proxy saw. What a client wrote there is
//! overwritten, unless its address is a trusted hop: then the address is appended and the rest kept.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING,
};
use http::{Request, Uri, Version};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What the forwarding headers say about a connection; made once per connection.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// The client's address, as a header value.
    pub(crate) address: HeaderValue,
    /// Whether the client may say for whom it forwards.
    pub(crate) trusted: bool,
    /// Whether the connection is TLS.
    pub(crate) tls: bool,
}

/// Makes a request's headers ready for the upstream. The host is the request's authority.
pub(crate) fn request_headers(headers: &mut HeaderMap, host: &HeaderValue, hop: &Hop) {
    let own = hop_by_hop(headers);
    let trailers = own.contains(&TE) && accepts_trailers(headers);
    strip(headers, own);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let proto = HeaderValue::from_static(if hop.tls { "https" } else { "http" });
    if hop.trusted {
        append_address(headers, &hop.address);
        headers.entry(X_FORWARDED_PROTO).or_insert(proto);
        headers
            .entry(X_FORWARDED_HOST)
            .or_insert_with(|| host.clone());
    } else {
        headers.insert(X_FORWARDED_FOR, hop.address.clone());
        headers.insert(X_FORWARDED_PROTO, proto);
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
}

/// HTTP/2 may split the cookies over several headers; other hops expect one (RFC 9113 section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// Gives a request the version and target form that an HTTP/1.1 upstream expects.
pub(crate) fn to_http1<B>(request: &mut Request<B>, host: &HeaderValue) {
    *request.version_mut() = Version::HTTP_11;
    if !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, host.clone());
    }
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    }
}

/// Gives a request the version and target form that an HTTP/2 upstream expects: the authority moves
/// from `Host` into the target (RFC 9113 section 8.3.1).
pub(crate) fn to_http2<B>(request: &mut Request<B>, host: &HeaderValue) {
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(HOST);
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = http::uri::Authority::try_from(host.as_bytes()).ok();
    if parts.authority.is_some()
        && let Ok(uri) = Uri::from_parts(parts)
    {
        *request.uri_mut() = uri;
    }
}

/// Makes a response's headers ready for the client. A length beside a transfer coding is not the
/// body's (RFC 9112 section 6.3) and would survive the coding.
pub(crate) fn response_headers(headers: &mut HeaderMap) {
    let own = hop_by_hop(headers);
    if own.contains(&TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers, own);
}

/// The headers of this message that are about one connection only: none or one in most messages, so
/// that looking for them is nearly all the cost.
fn hop_by_hop(headers: &HeaderMap) -> Vec<HeaderName> {
    let names = headers.keys().filter(|name| is_hop_by_hop(name));
    names.cloned().collect()
}

/// Removes what is about one connection only, and what `Connection` names beside.
fn strip(headers: &mut HeaderMap, hop_by_hop: Vec<HeaderName>) {
    if hop_by_hop.is_empty() {
        return;
    }
    for name in named_by_connection(headers).into_iter().chain(hop_by_hop) {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

/// Headers that a `Connection` header names and may name. What nearly all of them say, and what names
/// no header that would be kept, is passed over first.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let values = values.filter(|value| !is_plain_option(value.as_bytes()));
    let values = values.filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(','));
    let names = names.filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok());
    names.filter(|name| !is_protected(name)).collect()
}

/// A header called `keep-alive` is removed whether it is named or not.
fn is_plain_option(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// What the next hop's understanding of the message, or its trust in it, rests on.
fn is_protected(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-")
        || name.starts_with("content-")
        || matches!(
            name,
            "host" | "authorization" | "cookie" | "set-cookie" | "forwarded"
        )
        || matches!(
            name,
            "x-real-ip" | "x-request-id" | "via" | "date" | "cache-control"
        )
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Adds the client's address to the end of the list that a trusted hop sent.
fn append_address(headers: &mut HeaderMap, address: &HeaderValue) {
    let earlier = headers.get_all(X_FORWARDED_FOR).iter();
    let mut list: Vec<&[u8]> = earlier.map(HeaderValue::as_bytes).collect();
    list.push(address.as_bytes());
    let list = HeaderValue::from_bytes(&list.join(&b", "[..]));
    headers.insert(X_FORWARDED_FOR, list.unwrap_or_else(|_| address.clone()));
}

#[cfg(test)]
mod tests;
