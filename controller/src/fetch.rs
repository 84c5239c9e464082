//! Fetch: the one way out to HTTP servers that are no proxies and no API server.
//!
//! Whoever asks describes a [`Request`] and gets a whole [`Answer`], both bounded. The way itself is
//! behind [`Fetch`]: [`client`] in production, [`pretended`] in virtual time. [`tokens`] gets OAuth 2
//! tokens over either.
//!
//! A [`FetchError`] never says what was sent: no URL, no header and no body, because any of them may
//! hold a Secret. Whoever tells people what failed names the address as the user wrote it.

pub mod client;
pub mod pretended;
pub mod tokens;

use std::fmt::Debug;
use std::time::Duration;

use futures::future::BoxFuture;
use http::Method;
use thiserror::Error;

pub use client::Client;

/// The largest body that is read, in bytes.
pub const LARGEST_BODY: usize = 8 * 1024 * 1024;

/// Redirects that are followed, as Go's client does.
pub const MOST_REDIRECTS: usize = 10;

/// What is asked.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// Headers; a later one of a name replaces an earlier one.
    pub headers: Vec<(String, String)>,
    /// The body, where there is one.
    pub body: Option<Vec<u8>>,
    /// How long all of it may take, the body of the answer included.
    pub timeout: Duration,
    /// Whether certificates are checked.
    pub certificates: Certificates,
}

/// Whether the server's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certificates {
    /// Against the machine's roots.
    #[default]
    Checked,
    /// Not at all: `insecure: true`.
    Any,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The media type, as it was sent.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// The URL is none.
    #[error("the URL is not valid: {0}")]
    Url(String),
    /// A header that HTTP does not allow.
    #[error("the header {0:?} has a name or a value that HTTP does not allow")]
    Header(String),
    /// Nobody listens there.
    #[error("connect: connection refused")]
    Refused,
    /// The name leads nowhere.
    #[error("no such host")]
    NoSuchHost,
    /// It took too long.
    #[error("context deadline exceeded")]
    TimedOut,
    /// More than [`MOST_REDIRECTS`].
    #[error("stopped after {MOST_REDIRECTS} redirects")]
    Redirects,
    /// More than [`LARGEST_BODY`].
    #[error("the answer is larger than {LARGEST_BODY} bytes")]
    TooLarge,
    /// No token could be had.
    #[error("oauth2: {0}")]
    Token(String),
    /// Anything else on the way.
    #[error("{0}")]
    Broken(String),
}

/// A way to ask.
pub trait Fetch: Debug + Send + Sync + 'static {
    /// Asks, and waits for the whole answer.
    fn fetch(&self, request: Request) -> BoxFuture<'_, Result<Answer, FetchError>>;
}

// === impl Request ===

impl Request {
    /// A request without headers and body that may take ten seconds.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout: Duration::from_secs(10),
            certificates: Certificates::Checked,
        }
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// The parts of a request may hold Secrets, so none of them is shown but the method.
impl Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

// === impl FetchError ===

impl FetchError {
    /// The error as Go's client tells it: what was asked at which address. `url` must be one that may
    /// be shown; a password in it is left out.
    pub fn told(&self, method: &Method, url: &str) -> String {
        let method = match *method {
            Method::POST => "Post",
            Method::PUT => "Put",
            _ => "Get",
        };
        let Ok(parsed) = reqwest::Url::parse(url) else {
            return format!("{method}: {self}");
        };
        let host = parsed.host_str().unwrap_or_default();
        let reason = match self {
            Self::Refused => {
                let port = parsed.port_or_known_default().unwrap_or_default();
                format!("dial tcp {host}:{port}: {self}")
            }
            Self::NoSuchHost => format!("dial tcp: lookup {host}: {self}"),
            _ => self.to_string(),
        };
        let shown = match parsed.password() {
            // Found in the text as it was typed, or not shown at all.
            Some(_) => without_password(url),
            None => url.to_owned(),
        };
        format!("{method} \"{shown}\": {reason}")
    }
}

/// `user:password@` as `user:***@`, as Go shows it.
fn without_password(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let at = rest[..end].rfind('@')?;
        let (user, _) = rest[..at].split_once(':')?;
        Some(format!("{scheme}://{user}:***{}", &rest[at..]))
    });
    parts.unwrap_or_else(|| "***".to_owned())
}

/// Pairs as a form, in the order of their names, as Go encodes them.
pub fn form(pairs: &[(&str, &str)]) -> String {
    let mut pairs = pairs.to_vec();
    pairs.sort_by_key(|(name, _)| *name);
    let mut carrier = reqwest::Url::parse("http://form/").expect("a constant that parses");
    carrier.query_pairs_mut().extend_pairs(pairs);
    carrier.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
