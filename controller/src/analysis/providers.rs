//! Providers: who measures.
//!
//! [`sluice_proxy`] looks at what the proxies counted, which is in memory. [`prometheus`] and [`web`]
//! ask a server and give a [`Reading`]; [`job`] starts a Kubernetes Job, whose end is the measurement.
//! The others are refused when the spec is checked.

pub mod job;
pub mod jsonpath;
pub mod prometheus;
pub mod sluice_proxy;
pub mod web;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crds::analysis::providers::{Authentication, Header};
use http::Method;

use crate::clock::Clock;
use crate::conditions::Value;
use crate::fetch::tokens::{Grant, Tokens};
use crate::fetch::{Answer, Certificates, Fetch, FetchError, Request};

pub use sluice_proxy::Look;

/// What a server said of a metric.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The `result` of conditions.
    pub result: Value,
    /// The measurement's value.
    pub text: String,
    /// The measurement's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// The way to a metric's server, with what opens its door.
pub struct Outside<'a> {
    /// How requests are made.
    pub fetch: &'a dyn Fetch,
    /// The tokens of this process.
    pub tokens: &'a Tokens,
    /// The time.
    pub clock: Clock,
    /// The `Authorization` header and, where it is a token, what it was granted for.
    door: Option<(String, Option<Grant>)>,
}

// === impl Outside ===

impl<'a> Outside<'a> {
    /// A way without a door.
    pub fn new(fetch: &'a dyn Fetch, tokens: &'a Tokens, clock: Clock) -> Self {
        Self {
            fetch,
            tokens,
            clock,
            door: None,
        }
    }

    /// Gets what opens the door, by basic authentication or OAuth 2.
    pub async fn authenticate(
        &mut self,
        authentication: &Authentication,
        (certificates, timeout): (Certificates, Duration),
    ) -> Result<(), FetchError> {
        if let Some(basic) = &authentication.basic_auth {
            let user = basic.username.as_deref().unwrap_or_default();
            let password = basic.password.as_deref().unwrap_or_default();
            let header = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            self.door = Some((header, None));
        }
        let given = authentication.oauth2.as_ref();
        let Some(oauth2) = given.filter(|oauth2| set(oauth2.token_url.as_ref())) else {
            return Ok(());
        };
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let grant = Grant {
            token_url: text(&oauth2.token_url),
            client_id: text(&oauth2.client_id),
            client_secret: text(&oauth2.client_secret),
            scopes: oauth2.scopes.clone(),
            certificates,
            timeout,
        };
        let header = self
            .tokens
            .authorization(&grant, self.fetch, self.clock)
            .await?;
        self.door = Some((header, Some(grant)));
        Ok(())
    }

    /// What opened the door, which must not be shown: the header's parts.
    pub fn secrets(&self) -> Vec<String> {
        let header = self.door.iter().map(|(header, _)| header);
        header
            .flat_map(|header| header.split(' ').skip(1))
            .map(str::to_owned)
            .collect()
    }

    /// Asks; a token that is refused is not used again.
    pub async fn ask(&self, request: Request) -> Result<Answer, FetchError> {
        let answer = self.fetch.fetch(request).await?;
        if let (401, Some((_, Some(grant)))) = (answer.status, &self.door) {
            self.tokens.forget(grant);
        }
        Ok(answer)
    }

    fn header(&self) -> Option<(String, String)> {
        let (header, _) = self.door.as_ref()?;
        Some(("authorization".to_owned(), header.clone()))
    }
}

/// What is wrong with an authentication before anything is asked; the text is Argo's.
fn missing(authentication: &Authentication) -> Option<&'static str> {
    let oauth2 = authentication.oauth2.as_ref()?;
    let complete = set(oauth2.client_id.as_ref()) && set(oauth2.client_secret.as_ref());
    (set(oauth2.token_url.as_ref()) && !complete)
        .then_some("missing mandatory parameter in metric for OAuth2 setup")
}

fn set(field: Option<&String>) -> bool {
    field.is_some_and(|text| !text.is_empty())
}

fn pairs(headers: &[Header]) -> impl Iterator<Item = (String, String)> + '_ {
    headers
        .iter()
        .map(|header| (header.key.clone(), header.value.clone()))
}

fn certificates(insecure: Option<bool>) -> Certificates {
    match insecure {
        Some(true) => Certificates::Any,
        _ => Certificates::Checked,
    }
}

/// An error of Argo's client, about an address that may be shown.
fn told(error: &FetchError, method: &Method, shown: &str) -> String {
    error.told(method, shown)
}
