//! The way to the API server: every request of the controller goes through [`guarded`].
//!
//! It waits for its turn ([`bucket`]), so that a thousand releases at once do not crowd out
//! everybody else. A write is then sent only while the lease says so ([`Gate`]): whoever waited too
//! long, or stood still, writes nothing any more. It is answered in time or given up, and counted.

mod bucket;
mod path;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use thiserror::Error;
use tower::BoxError;
use tower::util::service_fn;

use crate::clock::Clock;
use crate::leader::Gate;
use crate::metrics::Metrics;

use bucket::Bucket;
use path::Target;

pub use bucket::Limits;

/// How long the API server may take for the head of an answer. Its own limit for a request that is no
/// watch is a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// The group of our own kinds, which have a bucket of their own, as each client of Argo's controller has.
const OURS: &str = "argoproj.io";

/// Why a request was not sent, or not waited for any longer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// The lease is not held, or not any more.
    #[error("not written: this controller does not hold the lease now")]
    NotLeading,
    /// Too slow.
    #[error("the API server did not answer for {} s", ANSWER_TIMEOUT.as_secs())]
    Unanswered,
}

/// An extension of a request: when the look was due in which it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Due(pub Timestamp);

/// What requests pass.
struct Guard {
    client: Client,
    gate: Gate,
    clock: Clock,
    ours: Bucket,
    others: Bucket,
    metrics: Arc<Metrics>,
}

/// A client whose requests wait for their turn, and whose writes pass `gate`.
pub fn guarded(
    client: Client,
    limits: Limits,
    gate: Gate,
    clock: Clock,
    metrics: Arc<Metrics>,
) -> Client {
    let namespace = client.default_namespace().to_owned();
    let guard = Arc::new(Guard {
        client,
        gate,
        clock,
        ours: Bucket::new(limits, clock.now()),
        others: Bucket::new(limits, clock.now()),
        metrics,
    });
    let service = service_fn(move |request: Request<Body>| {
        let guard = guard.clone();
        async move { guard.send(request).await }
    });
    Client::new(service, namespace)
}

// === impl Guard ===

impl Guard {
    /// Waits for a turn. Events are for people and wait behind everything that a release needs.
    async fn turn(&self, bucket: &Bucket, target: &Target) {
        let wait = if target.resource == "events" {
            loop {
                let Some(wait) = bucket.spare(self.clock.now()) else {
                    break Duration::ZERO;
                };
                tokio::time::sleep(wait).await;
            }
        } else {
            bucket.reserve(self.clock.now())
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let target = Target::of(request.method(), request.uri());
        let bucket = if target.group == OURS {
            &self.ours
        } else {
            &self.others
        };
        self.turn(bucket, &target).await;
        if is_write(request.method(), &target) && !self.gate.is_open(self.clock.now()) {
            return Err(Refused::NotLeading.into());
        }
        if let Some(Due(due)) = request.extensions().get() {
            let after = self.clock.now().duration_since(*due);
            let after = Duration::try_from(after).unwrap_or_default();
            self.metrics.responded(after);
        }
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.client.send(request)).await;
        let answer = answer.map_err(|_| Refused::Unanswered)?;
        let code = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        self.metrics.requested(&target.labels(), code);
        Ok(answer?)
    }
}

/// Reviews are created, but change nothing.
fn is_write(method: &Method, target: &Target) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS];
    !reads.contains(method) && !target.resource.ends_with("reviews")
}

#[cfg(test)]
mod tests;
