//! OAuth 2 client credentials (RFC 6749, section 4.4): a token, kept until shortly before it ends.
//!
//! Servers differ in where they want the client's name and secret. As Go's library does, the
//! `Authorization` header is tried first and the body second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Answer, Certificates, Fetch, FetchError, Request, form};
use crate::clock::Clock;

/// Tokens that are kept; beyond that all are forgotten, which costs a request each.
const MOST_TOKENS: usize = 256;

/// A token is not used in the last seconds of its life, so that it does not end under way.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// How much of a refusal is told, in bytes.
const TOLD: usize = 512;

/// Who asks for a token, and where.
#[derive(Clone)]
pub struct Grant {
    /// Where tokens come from.
    pub token_url: String,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
    /// Whether certificates are checked.
    pub certificates: Certificates,
    /// How long it may take.
    pub timeout: Duration,
}

/// The tokens of a process.
#[derive(Debug, Default)]
pub struct Tokens {
    /// By the digest of the grant, so that no secret is kept. Held for a look-up only.
    kept: Mutex<BTreeMap<[u8; 32], Token>>,
}

/// A token.
#[derive(Clone)]
struct Token {
    header: String,
    ends: Timestamp,
}

/// Tokens are secrets.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

// === impl Tokens ===

impl Tokens {
    /// The value of the `Authorization` header for a grant.
    pub async fn authorization(
        &self,
        grant: &Grant,
        fetch: &dyn Fetch,
        clock: Clock,
    ) -> Result<String, FetchError> {
        let key = grant.digest();
        if let Some(token) = self.known(&key, clock.now()) {
            return Ok(token);
        }
        let (header, lives) = grant.ask(fetch).await?;
        if let Some(lives) = lives {
            let ends = clock.now().saturating_add(lives).unwrap_or(Timestamp::MAX);
            let header = header.clone();
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MOST_TOKENS {
                kept.clear();
            }
            kept.insert(key, Token { header, ends });
        }
        Ok(header)
    }

    /// The server did not take the token: the next one is a new one.
    pub fn forget(&self, grant: &Grant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&grant.digest());
    }

    fn known(&self, key: &[u8; 32], now: Timestamp) -> Option<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let token = kept.get(key)?;
        let usable = token.ends.duration_since(now) > MARGIN;
        usable.then(|| token.header.clone())
    }
}

// === impl Grant ===

impl Grant {
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let scopes = self.scopes.join(" ");
        for part in [
            &self.token_url,
            &self.client_id,
            &self.client_secret,
            &scopes,
        ] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update([u8::from(self.certificates == Certificates::Any)]);
        digest.finalize().into()
    }

    /// A new token as a header, and how long it lives where the server says so.
    async fn ask(&self, fetch: &dyn Fetch) -> Result<(String, Option<SignedDuration>), FetchError> {
        let scope = self.scopes.join(" ");
        let mut pairs = vec![("grant_type", "client_credentials")];
        if !self.scopes.is_empty() {
            pairs.push(("scope", scope.as_str()));
        }
        let encoded = |text: &str| {
            let pair = form(&[("", text)]);
            pair.trim_start_matches('=').to_owned()
        };
        let named = format!(
            "{}:{}",
            encoded(&self.client_id),
            encoded(&self.client_secret)
        );
        let basic = format!("Basic {}", STANDARD.encode(named));
        let first = self.request(&pairs).header("authorization", basic);
        if let Ok(token) = token(fetch.fetch(first).await) {
            return Ok(token);
        }
        pairs.push(("client_id", self.client_id.as_str()));
        pairs.push(("client_secret", self.client_secret.as_str()));
        token(fetch.fetch(self.request(&pairs)).await)
    }

    fn request(&self, pairs: &[(&str, &str)]) -> Request {
        let mut request = Request::new(Method::POST, &self.token_url)
            .header("content-type", "application/x-www-form-urlencoded");
        request.body = Some(form(pairs).into_bytes());
        request.timeout = self.timeout;
        request.certificates = self.certificates;
        request
    }
}

/// Reads a token; the texts are those of Go's library.
fn token(
    answer: Result<Answer, FetchError>,
) -> Result<(String, Option<SignedDuration>), FetchError> {
    let refused = |text: String| FetchError::Token(text);
    let answer = answer.map_err(|error| refused(format!("cannot fetch token: {error}")))?;
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let text = |name: &str| {
        let value = said.as_ref()?.get(name)?.as_str()?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    if let Some(code) = text("error") {
        let more = text("error_description").map_or(String::new(), |more| format!(" {more:?}"));
        return Err(refused(format!("{code:?}{more}")));
    }
    if !(200..300).contains(&answer.status) {
        let body = String::from_utf8_lossy(&answer.body);
        let body: String = body.chars().take(TOLD).collect();
        let status = http::StatusCode::from_u16(answer.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default();
        let code = answer.status;
        return Err(refused(format!(
            "cannot fetch token: {code} {status}\nResponse: {body}"
        )));
    }
    if said.is_none() {
        return Err(refused(
            "cannot parse json: the answer is no JSON".to_owned(),
        ));
    }
    let access = text("access_token")
        .ok_or_else(|| refused("server response missing access_token".to_owned()))?;
    let kind = match text("token_type") {
        Some(kind) if !kind.eq_ignore_ascii_case("bearer") => kind,
        _ => "Bearer".to_owned(),
    };
    // Some servers write the number as a string.
    let lives = said.as_ref().and_then(|said| said.get("expires_in"));
    let lives = lives.and_then(|lives| lives.as_i64().or_else(|| lives.as_str()?.parse().ok()));
    let lives = lives
        .filter(|lives| *lives > 0)
        .map(SignedDuration::from_secs);
    Ok((format!("{kind} {access}"), lives))
}
