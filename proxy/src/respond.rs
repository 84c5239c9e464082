//! Respond: the one table from an error to the response that the client gets.
//!
//! The body is one sentence, the same for everybody: neither an upstream's address nor anything that
//! the client sent appears in it.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode, Version};

use crate::error::{RequestError, UpstreamError};
use crate::observe::FailureClass;

/// Nginx's number for a client that went away; it is never sent, only counted and logged.
pub(crate) const CLIENT_CLOSED: u16 = 499;

/// The response to an error. Where a message's framing is in doubt, its connection is not used again.
pub(crate) fn respond(error: RequestError, version: Version) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{error}\n")));
    *response.status_mut() = status(error);
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    if matches!(error, RequestError::Malformed(_)) && version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

pub(crate) fn status(error: RequestError) -> StatusCode {
    match error {
        // RFC 9112 section 3.2: no Host, or several.
        RequestError::Malformed(_) | RequestError::ClientGone => StatusCode::BAD_REQUEST,
        RequestError::NoConfiguration => StatusCode::SERVICE_UNAVAILABLE,
        RequestError::NoRoute => StatusCode::NOT_FOUND,
        RequestError::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        RequestError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        RequestError::Upstream(UpstreamError { class, .. }) => match class {
            FailureClass::Connect | FailureClass::NoEndpoints => StatusCode::SERVICE_UNAVAILABLE,
            FailureClass::Timeout | FailureClass::TooOld => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Sent;

    #[test]
    fn each_error_has_its_status() {
        let upstream = |class| {
            RequestError::Upstream(UpstreamError {
                class,
                sent: Sent::Maybe,
            })
        };
        let rows = [
            (RequestError::Malformed("no Host"), 400),
            (RequestError::NoRoute, 404),
            (RequestError::Misdirected, 421),
            (RequestError::Unsupported("CONNECT"), 501),
            (RequestError::NoConfiguration, 503),
            (upstream(FailureClass::Connect), 503),
            (upstream(FailureClass::NoEndpoints), 503),
            (upstream(FailureClass::Reset), 502),
            (upstream(FailureClass::Timeout), 504),
            (upstream(FailureClass::TooOld), 504),
        ];
        for (error, wanted) in rows {
            assert_eq!(
                respond(error, Version::HTTP_11).status().as_u16(),
                wanted,
                "{error:?}"
            );
        }
    }

    #[test]
    fn only_a_malformed_request_costs_its_connection() {
        let malformed = RequestError::Malformed("no Host header");
        for (error, version, closes) in [
            (malformed, Version::HTTP_11, true),
            (malformed, Version::HTTP_2, false),
            (RequestError::NoRoute, Version::HTTP_11, false),
        ] {
            let response = respond(error, version);
            assert_eq!(
                response.headers().contains_key(CONNECTION),
                closes,
                "{error} {version:?}"
            );
        }
    }
}
