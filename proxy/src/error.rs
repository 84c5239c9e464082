//! What can go wrong with a request: whose fault, at which point, and whether it may be tried again.
//!
//! Both are decided where the error is made and never guessed later. [`crate::respond`] alone turns
//! errors into responses.

use crate::observe::FailureClass;
use crate::observe::series::Rejection;

/// Why a request could not be answered by an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("no configuration is in force yet")]
    NoConfiguration,
    #[error("no route for this host and path")]
    NoRoute,
    #[error("this connection's certificate is not for this host")]
    Misdirected,
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("the client went away while it sent the request")]
    ClientGone,
    #[error("{}", .0.message())]
    Upstream(UpstreamError),
}

/// How an attempt at an upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamError {
    pub(crate) class: FailureClass,
    pub(crate) sent: Sent,
}

/// How much of the request the upstream may have seen: what a retry depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Not a byte: always safe to try elsewhere.
    Never,
    /// On a connection used before, which closed without a byte of answer: it was probably closed
    /// as idle, but nobody can know. Safe for idempotent requests.
    OnReused,
    /// It may have been processed. Safe for idempotent requests.
    Maybe,
}

// === impl RequestError ===

impl RequestError {
    /// The counter of refused requests; `None` for those that were routed.
    pub(crate) fn rejection(self) -> Option<Rejection> {
        match self {
            Self::Malformed(_) => Some(Rejection::BadRequest),
            Self::NoConfiguration => Some(Rejection::NoConfiguration),
            Self::NoRoute => Some(Rejection::NoRoute),
            Self::Misdirected => Some(Rejection::Misdirected),
            Self::Unsupported(_) => Some(Rejection::Unsupported),
            Self::ClientGone | Self::Upstream(_) => None,
        }
    }
}

// === impl UpstreamError ===

impl UpstreamError {
    fn message(self) -> &'static str {
        match self.class {
            FailureClass::Connect => "no upstream endpoint accepted a connection",
            FailureClass::NoEndpoints => "no upstream endpoint is available",
            FailureClass::Timeout | FailureClass::TooOld => "the upstream did not answer in time",
            _ => "the upstream closed the connection before it answered",
        }
    }
}
