//! Who leads: a Lease, taken and renewed by the rules of client-go.
//!
//! A Lease names its holder and is renewed every `retry_period`. Whoever finds that it has not
//! changed for `lease_duration` *by its own clock* (other machines' clocks are not trusted) takes
//! it. A holder that has not managed to renew for `renew_deadline` writes nothing any more
//! ([`gate`]), and that is before anybody else may start; it goes on when it renews, which it can only
//! while nobody else has taken the Lease. It steps down when somebody has. The number of transitions
//! is the term by which proxies order what controllers say.
//!
//! Without election ([`Election::competes`] false) the Lease is taken at once from whoever has it:
//! for one controller on one machine, whose messages must outrank those of its former self.

mod gate;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

pub use gate::Gate;

/// The Lease's name, Argo's: the two never work on one cluster unawares.
pub const LEASE_NAME: &str = "argo-rollouts-controller-lock";

/// How to be elected.
#[derive(Clone, Debug)]
pub struct Election {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who this is: different for each process.
    pub identity: String,
    /// False takes the Lease at once.
    pub competes: bool,
    /// How long others wait for a holder that is silent.
    pub lease_duration: Duration,
    /// How long a holder tries to renew before it stops.
    pub renew_deadline: Duration,
    /// How long between two tries.
    pub retry_period: Duration,
}

/// A Lease that is held.
#[derive(Debug)]
pub struct Leadership {
    gate: Gate,
    /// When the last renewal that succeeded was sent.
    renewed: Timestamp,
    election: Election,
    api: Api<Lease>,
    clock: Clock,
    lease: Lease,
    /// Lease transitions, counted from 1.
    pub term: u64,
}

/// Why leadership ended.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Lost {
    /// Somebody else has it.
    #[error("the lease {lease} was taken by {holder}")]
    Taken {
        /// The Lease.
        lease: String,
        /// Its holder.
        holder: String,
    },
}

/// What was last seen of a Lease, and since when it is like this.
#[derive(Clone, Debug, Default)]
struct Seen {
    spec: Option<LeaseSpec>,
    since: Option<Timestamp>,
}

/// What one look at the Lease says.
#[derive(Clone, Debug, PartialEq)]
enum Look {
    /// It may be taken, by writing this.
    Free(Box<LeaseSpec>),
    /// This one holds it.
    Held(String),
}

// === impl Election ===

impl Election {
    /// client-go's (and Argo's) periods.
    pub fn new(namespace: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: LEASE_NAME.to_owned(),
            identity: identity.to_owned(),
            competes: true,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// Waits until the Lease is this process's, and opens `gate`. `follow` is told who holds it
    /// meanwhile. Cancel-safe: a Lease that was just taken runs out by itself. `client` must not wait
    /// for turns, and not for the gate.
    pub async fn acquire(
        self,
        client: Client,
        clock: Clock,
        gate: Gate,
        follow: impl Fn(String),
    ) -> Leadership {
        let api: Api<Lease> = Api::namespaced(client, &self.namespace);
        let mut seen = Seen::default();
        loop {
            let renewed = clock.now();
            let attempt = self.attempt(&api, &mut seen, renewed, &follow);
            // A network that swallows packets answers never.
            let Ok(attempt) = tokio::time::timeout(self.renew_deadline, attempt).await else {
                tracing::warn!("no answer about the lease, asking again");
                continue;
            };
            match attempt {
                Ok(Some(lease)) => {
                    let transitions = spec_of(&lease).lease_transitions.unwrap_or_default();
                    let term = u64::try_from(transitions).unwrap_or_default() + 1;
                    tracing::info!(identity = self.identity, term, "leading");
                    let leadership = Leadership {
                        gate,
                        renewed,
                        election: self,
                        api,
                        clock,
                        lease,
                        term,
                    };
                    leadership.open();
                    return leadership;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the lease cannot be taken, trying again"),
            }
            tokio::time::sleep(self.retry_period).await;
        }
    }

    async fn attempt(
        &self,
        api: &Api<Lease>,
        seen: &mut Seen,
        now: Timestamp,
        follow: &impl Fn(String),
    ) -> Result<Option<Lease>, kube::Error> {
        let Some(mut lease) = api.get_opt(&self.name).await? else {
            let mut lease = Lease::default();
            lease.metadata.name = Some(self.name.clone());
            lease.spec = Some(self.taken(&LeaseSpec::default(), now));
            return raced(api.create(&PostParams::default(), &lease).await);
        };
        match self.look(&spec_of(&lease), seen, now) {
            Look::Held(holder) => {
                follow(holder);
                Ok(None)
            }
            Look::Free(spec) => {
                lease.spec = Some(*spec);
                raced(
                    api.replace(&self.name, &PostParams::default(), &lease)
                        .await,
                )
            }
        }
    }

    /// Pure: whether a Lease may be taken, as seen over time by our own clock.
    fn look(&self, spec: &LeaseSpec, seen: &mut Seen, now: Timestamp) -> Look {
        if seen.spec.as_ref() != Some(spec) {
            *seen = Seen {
                spec: Some(spec.clone()),
                since: Some(now),
            };
        }
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let silent = seen
            .since
            .map_or(SignedDuration::ZERO, |since| now.duration_since(since));
        let duration = spec.lease_duration_seconds.unwrap_or_default().max(0);
        let expired = silent >= SignedDuration::from_secs(i64::from(duration));
        if !holder.is_empty() && holder != self.identity && self.competes && !expired {
            return Look::Held(holder);
        }
        Look::Free(Box::new(self.taken(spec, now)))
    }

    fn taken(&self, before: &LeaseSpec, now: Timestamp) -> LeaseSpec {
        let ours = before.holder_identity.as_deref() == Some(self.identity.as_str());
        let first = before.holder_identity.is_none() && before.lease_transitions.is_none();
        let transitions = before.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.lease_duration.as_secs()).ok(),
            acquire_time: if ours {
                before.acquire_time.clone()
            } else {
                Some(MicroTime(now))
            },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if ours || first {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..before.clone()
        }
    }
}

/// Somebody was faster: not an error, look again.
fn raced(written: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match written {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

fn spec_of(lease: &Lease) -> LeaseSpec {
    lease.spec.clone().unwrap_or_default()
}

// === impl Leadership ===

impl Leadership {
    /// Renews the Lease until somebody else has it, or until `stop`. While it cannot be renewed the gate
    /// is shut, and it opens with the next renewal.
    pub async fn keep(&mut self, stop: &CancellationToken) -> Result<(), Lost> {
        let mut silent = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.election.retry_period) => {}
                () = stop.cancelled() => return Ok(()),
            }
            let sent = self.clock.now();
            match tokio::time::timeout(self.election.renew_deadline, self.renew()).await {
                Ok(Ok(())) => {
                    self.renewed = sent;
                    self.open();
                    if std::mem::take(&mut silent) {
                        tracing::info!("the lease is renewed again: going on");
                    }
                }
                Ok(Err(Some(lost))) => {
                    self.gate.shut();
                    return Err(lost);
                }
                Ok(Err(None)) | Err(_) => {
                    let shut = !self.gate.is_open(self.clock.now());
                    if shut && !std::mem::replace(&mut silent, true) {
                        let seconds = self.election.renew_deadline.as_secs();
                        tracing::warn!(
                            "the lease could not be renewed for {seconds} s: nothing is written until it is"
                        );
                    }
                }
            }
        }
    }

    /// Until the renew deadline after the last renewal was sent; without competition nobody else can
    /// have taken over.
    fn open(&self) {
        let deadline = SignedDuration::try_from(self.election.renew_deadline);
        let until = deadline
            .ok()
            .filter(|_| self.election.competes)
            .and_then(|deadline| self.renewed.checked_add(deadline).ok());
        self.gate.open_until(until.unwrap_or(Timestamp::MAX));
    }

    /// `Err(None)`: it may work the next time.
    async fn renew(&mut self) -> Result<(), Option<Lost>> {
        let mut lease = self.lease.clone();
        lease.spec = Some(self.election.taken(&spec_of(&lease), self.clock.now()));
        match self
            .api
            .replace(&self.election.name, &PostParams::default(), &lease)
            .await
        {
            Ok(lease) => {
                self.lease = lease;
                return Ok(());
            }
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {}
            Err(error) => {
                tracing::warn!(%error, "the lease cannot be renewed, trying again");
                return Err(None);
            }
        }
        let current = self
            .api
            .get_opt(&self.election.name)
            .await
            .map_err(|_| None)?;
        let holder = current
            .as_ref()
            .and_then(|lease| spec_of(lease).holder_identity);
        match (current, holder) {
            (Some(lease), Some(holder)) if holder == self.election.identity => {
                self.lease = lease;
                Err(None)
            }
            (_, holder) => Err(Some(Lost::Taken {
                lease: self.name(),
                holder: holder.unwrap_or_else(|| "nobody".to_owned()),
            })),
        }
    }

    /// Gives the Lease up, so that a successor need not wait for it to run out. Whoever calls this
    /// has ended every task that writes.
    pub async fn release(self) {
        self.gate.shut();
        let mut lease = self.lease.clone();
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(self.clock.now()));
        }
        let parameters = PostParams::default();
        let release = self.api.replace(&self.election.name, &parameters, &lease);
        if !matches!(
            tokio::time::timeout(self.election.retry_period, release).await,
            Ok(Ok(_))
        ) {
            tracing::info!("the lease was not given up, it will run out");
        }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.election.namespace, self.election.name)
    }
}

#[cfg(test)]
mod tests;
