//! Who is calling: a ServiceAccount of Kubernetes, known by its token.
//!
//! The API server alone can say whether a token is good ([`Reviewer`]); what it said is remembered by
//! the token's digest ([`known`]). While the API server is away, a token that it knew before stays
//! good until it expires. A stream's caller is asked for once, when it opens: Kubernetes itself does
//! not end a watch whose token expired.

mod known;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::clock::Clock;
use known::{Known, Look, expiry};

/// A token; API servers take no longer header.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// How long the API server may take to say who has a token. The proxy waits for three seconds.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(2);

/// Reviews under way at once; a fleet that connects at once waits in line.
const MAX_REVIEWS: usize = 32;

/// Of what the API server says, so much is repeated to a caller.
const MAX_REASON_CHARS: usize = 300;

/// How a ServiceAccount's name begins.
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// Where the pod's name stands in a review of a token that is bound to one.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// A ServiceAccount, and the pod that its token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The pod, for a token that Kubernetes projected into one.
    pub pod: Option<String>,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A process on this machine, over loopback: whoever runs it may do anything here.
    Neighbour,
    /// Somebody known to Kubernetes.
    Account(Account),
}

/// Asks the API server about tokens.
pub struct Reviewer {
    api: Api<TokenReview>,
    audience: String,
    clock: Clock,
    /// Held while a verdict is looked up or put in.
    known: Mutex<Known>,
    room: Arc<Semaphore>,
}

/// What the API server says of a token: whose it is, or why it is not accepted.
type Verdict = Result<Account, String>;

// === impl Reviewer ===

impl Reviewer {
    /// Tokens must be for `audience`.
    pub fn new(client: Client, audience: impl Into<String>, clock: Clock) -> Self {
        Self {
            api: Api::all(client),
            audience: audience.into(),
            clock,
            known: Mutex::default(),
            room: Arc::new(Semaphore::new(MAX_REVIEWS)),
        }
    }

    /// Whose request that is. UNAUTHENTICATED where it has no token or not a good one, UNAVAILABLE
    /// where that cannot be found out now.
    pub async fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let Some(value) = metadata.get("authorization") else {
            return Err(self.refused("the proxy sent no token"));
        };
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Bearer "));
        let Some(token) = token.filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN_BYTES)
        else {
            return Err(self.refused("what the proxy sent is no bearer token"));
        };
        let verdict = self.verdict(token).await?;
        verdict
            .map(Caller::Account)
            .map_err(|why| self.refused(&why))
    }

    async fn verdict(&self, token: &str) -> Result<Verdict, Status> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let before = self.known().look(&digest, self.clock.now());
        if let Look::Fresh(verdict) = before {
            return Ok(verdict);
        }
        match self.review(token).await {
            Ok(verdict) => {
                let now = self.clock.now();
                self.known()
                    .learn(digest, verdict.clone(), expiry(token), now);
                Ok(verdict)
            }
            Err(unknown) => match before {
                Look::Stale(account) => {
                    tracing::warn!(
                        why = unknown.message(),
                        account = account.name,
                        namespace = account.namespace,
                        "a known token is taken as it was"
                    );
                    Ok(Ok(account))
                }
                _ => Err(unknown),
            },
        }
    }

    async fn review(&self, token: &str) -> Result<Verdict, Status> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![self.audience.clone()]),
            },
            ..TokenReview::default()
        };
        let parameters = PostParams::default();
        let asked = async {
            // The semaphore is never closed.
            let _room = self.room.acquire().await;
            self.api.create(&parameters, &review).await
        };
        match tokio::time::timeout(REVIEW_TIMEOUT, asked).await {
            Ok(Ok(answered)) => Ok(verdict(answered.status.unwrap_or_default(), &self.audience)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the API server does not say whose token that is");
                Err(Status::unavailable(
                    "the API server cannot be asked about the proxy's token now",
                ))
            }
            Err(_) => Err(Status::unavailable(
                "the API server did not say in time whose token that is",
            )),
        }
    }

    fn refused(&self, why: &str) -> Status {
        Status::unauthenticated(format!(
            "{why}; accepted are ServiceAccount tokens for the audience {}",
            self.audience
        ))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without tokens, and without what is known of them.
impl std::fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviewer")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

// === impl Caller ===

impl Caller {
    /// Whether it may be a proxy of that fleet (`namespace/name`), and under which name: a pod is
    /// called as Kubernetes calls it. PERMISSION_DENIED where it may not.
    pub fn join(&self, fleet: &str, proxy: &str) -> Result<String, Status> {
        let Self::Account(account) = self else {
            return Ok(proxy.to_owned());
        };
        let (namespace, _) = fleet.split_once('/').unwrap_or_default();
        if account.namespace != namespace {
            return Err(Status::permission_denied(format!(
                "the token is of ServiceAccount {}/{}, and a proxy joins only fleets of its own \
                 namespace, not {fleet}",
                account.namespace, account.name
            )));
        }
        Ok(match &account.pod {
            None => proxy.to_owned(),
            Some(pod) if pod == proxy => pod.clone(),
            // Several in one pod, or one on its host's network.
            Some(pod) => format!("{pod}/{proxy}"),
        })
    }
}

/// Reads the API server's answer. It must say itself that the token is for us: one that knows no
/// audiences leaves them out.
fn verdict(status: TokenReviewStatus, audience: &str) -> Verdict {
    if status.authenticated != Some(true) {
        let why = status.error.filter(|error| !error.is_empty());
        let why =
            why.unwrap_or_else(|| "it is unknown, expired or for another audience".to_owned());
        let why: String = why.chars().take(MAX_REASON_CHARS).collect();
        return Err(format!(
            "the API server does not accept the proxy's token: {why}"
        ));
    }
    let audiences = status.audiences.unwrap_or_default();
    if !audiences.iter().any(|it| it == audience) {
        return Err("the proxy's token is for another audience".to_owned());
    }
    let user = status.user.unwrap_or_default();
    let username = user.username.unwrap_or_default();
    let account = username.strip_prefix(ACCOUNT_PREFIX);
    let Some((namespace, name)) = account.and_then(|account| account.split_once(':')) else {
        return Err("the proxy's token is of no ServiceAccount".to_owned());
    };
    let pods = user.extra.and_then(|mut extra| extra.remove(POD_NAME));
    Ok(Account {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        pod: pods.and_then(|pods| pods.into_iter().next()),
    })
}

#[cfg(test)]
mod tests;
