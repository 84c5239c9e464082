//! The client of production: reqwest, which follows redirects and `HTTP_PROXY` as Go's client does.

use std::error::Error as _;
use std::io;
use std::sync::OnceLock;

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Answer, Certificates, Fetch, FetchError, LARGEST_BODY, MOST_REDIRECTS, Request};

/// Idle connections that are kept to one server.
const IDLE_CONNECTIONS: usize = 4;

/// One client for the process. It is made at the first request: reading the machine's roots costs
/// time and memory that a controller without metrics never spends.
#[derive(Debug, Default)]
pub struct Client {
    checked: OnceLock<Result<reqwest::Client, FetchError>>,
    any: OnceLock<Result<reqwest::Client, FetchError>>,
}

// === impl Client ===

impl Client {
    /// A client that has connected to nobody.
    pub fn new() -> Self {
        Self::default()
    }

    fn of(&self, certificates: Certificates) -> Result<reqwest::Client, FetchError> {
        let made = match certificates {
            Certificates::Checked => self.checked.get_or_init(checked),
            Certificates::Any => self.any.get_or_init(any),
        };
        made.clone()
    }
}

fn builder() -> reqwest::ClientBuilder {
    // Whoever embeds this controller may not have chosen a provider yet; the first choice stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::limited(MOST_REDIRECTS))
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .user_agent(concat!("sluice-controller/", env!("CARGO_PKG_VERSION")))
}

/// A machine without any root (an image from scratch) can still speak HTTP: there, every certificate
/// is refused.
fn checked() -> Result<reqwest::Client, FetchError> {
    let without_roots = |_| builder().tls_certs_only([]).build();
    let made = builder().build().or_else(without_roots);
    made.map_err(|error| broken(&error))
}

fn any() -> Result<reqwest::Client, FetchError> {
    let made = builder().tls_danger_accept_invalid_certs(true).build();
    made.map_err(|error| broken(&error))
}

impl Fetch for Client {
    fn fetch(&self, request: Request) -> BoxFuture<'_, Result<Answer, FetchError>> {
        Box::pin(async move {
            let limit = request.timeout;
            let asked = ask(self.of(request.certificates)?, request);
            tokio::time::timeout(limit, asked)
                .await
                .map_err(|_| FetchError::TimedOut)?
        })
    }
}

async fn ask(client: reqwest::Client, request: Request) -> Result<Answer, FetchError> {
    let url = reqwest::Url::parse(&request.url);
    let url = url.map_err(|error| FetchError::Url(error.to_string()))?;
    let mut sent = client
        .request(request.method, url)
        .headers(headers(&request.headers)?);
    if let Some(body) = request.body {
        sent = sent.body(body);
    }
    let mut response = sent.send().await.map_err(|error| told(&error))?;
    let mut answer = Answer {
        status: response.status().as_u16(),
        content_type: response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        body: Vec::new(),
    };
    while let Some(chunk) = response.chunk().await.map_err(|error| told(&error))? {
        if answer.body.len().saturating_add(chunk.len()) > LARGEST_BODY {
            return Err(FetchError::TooLarge);
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let wrong = || FetchError::Header(name.clone());
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// What went wrong, without the URL.
fn told(error: &reqwest::Error) -> FetchError {
    if error.is_redirect() {
        return FetchError::Redirects;
    }
    if error.is_timeout() {
        return FetchError::TimedOut;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            return FetchError::Refused;
        }
        if cause.to_string().contains("failed to lookup address") {
            return FetchError::NoSuchHost;
        }
        source = cause.source();
    }
    broken(error)
}

/// The innermost cause: the outer ones say only that something failed.
fn broken(error: &reqwest::Error) -> FetchError {
    let mut inner: Option<&dyn std::error::Error> = error.source();
    while let Some(deeper) = inner.and_then(std::error::Error::source) {
        inner = Some(deeper);
    }
    let text = match inner {
        Some(cause) => cause.to_string(),
        None if error.is_builder() => "the request cannot be made".to_owned(),
        None => "the request failed".to_owned(),
    };
    FetchError::Broken(text)
}
