//! The fuse: this proxy takes a canary that is plainly on fire to zero by itself.
//!
//! Every [`LOOK_INTERVAL`] the split's evidence, as this proxy alone counted it, is put to the error
//! test at α divided by the fleet's size: with N proxies each at α/N, the chance that *any* of them
//! trips a healthy canary is at most α. A canary that accepts and never answers is evidence too,
//! because the data path counts a request older than the age threshold as failed.
//!
//! A trip is stored in the split's weight word, which every worker reads with each request, then on
//! disk, by Rollout UID and canary revision, and is reported. It outlives snapshots, weights and
//! restarts. Only a reset clears it: the controller's on retry, a person's over the admin listener,
//! or another canary revision, about which the trip says nothing.
//!
//! Limits: a canary without drawn traffic (weight 0, overrides only) is not watched, and a fault
//! that both sides share trips nothing, as it should.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use judgement::{Reasons, Verdict};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uplink::check::CheckedFuse;
use uplink::proto;

use crate::clock::Clock;
use crate::kept::{Store, Trip, Trips};
use crate::state::{SplitEvidence, State};

mod watch;

use watch::{Subject, Watch};

/// How often evidence is looked at. At 1,000 requests a second and 5 % this is every 2.5 canary
/// requests: looking more often finds nothing sooner.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Trips that are kept; the oldest goes.
const MAX_TRIPS: usize = 1_000;

/// What the configuration in force says about fuses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ratings {
    /// Settings by split; a split whose fuse is off is not in it.
    pub(crate) splits: BTreeMap<String, CheckedFuse>,
    /// Proxies of the fleet.
    pub(crate) fleet_size: u32,
}

/// The fuses of this proxy.
#[derive(Debug)]
pub(crate) struct Fuses {
    state: Arc<State>,
    store: Store,
    clock: Clock,
    book: Mutex<Book>,
    /// Told when a fuse trips or is reset, so that the report need not wait for its turn.
    changed: Notify,
}

/// Guarded by [`Fuses::book`]: short, never across an await.
#[derive(Debug, Default)]
struct Book {
    ratings: Ratings,
    /// By Rollout UID.
    trips: Trips,
    /// By Rollout UID.
    watches: BTreeMap<String, Watch>,
    /// What the last look at each split said, by Rollout UID.
    views: BTreeMap<String, proto::Fuse>,
    /// Rollout UIDs that had a watch before: the next one does not start from zero counts.
    watched: BTreeSet<String>,
    /// By split.
    trips_total: BTreeMap<String, u64>,
}

// === impl Fuses ===

impl Fuses {
    /// Fuses as they were when the proxy last ran.
    pub(crate) fn new(state: Arc<State>, store: Store, clock: Clock) -> Self {
        let trips = store.trips().unwrap_or_else(|problem| {
            error!(error = %problem, "tripped fuses of the last run are lost");
            Trips::new()
        });
        for (rollout_uid, trip) in &trips {
            warn!(
                split = trip.split,
                rollout_uid,
                revision = trip.revision,
                "fuse is still tripped"
            );
        }
        let book = Mutex::new(Book {
            trips,
            ..Book::default()
        });
        Self {
            state,
            store,
            clock,
            book,
            changed: Notify::new(),
        }
    }

    /// A configuration is about to come into force: its splits are taken to zero where they tripped
    /// before, and its settings hold from the next look on.
    pub(crate) fn rate(&self, ratings: Ratings, splits: &[(String, String)]) {
        let mut book = self.book();
        book.ratings = ratings;
        for (split, rollout_uid) in splits {
            if let Some(trip) = book.trips.get(rollout_uid) {
                self.state.split(split, rollout_uid).trip(&trip.revision);
            }
        }
    }

    /// Looks at every split until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look(),
                () = stop.cancelled() => return,
            }
        }
    }

    /// One look at every split in force.
    pub(crate) fn look(&self) {
        let splits = self.state.collect();
        let mut changed = false;
        let mut book = self.book();
        for split in &splits {
            changed |= self.look_at(&mut book, split);
        }
        book.forget(&splits);
        if changed {
            self.persist(&book.trips);
            drop(book);
            self.changed.notify_waiters();
        }
    }

    /// True where a trip came or went.
    fn look_at(&self, book: &mut Book, split: &SplitEvidence) -> bool {
        let Some(canary) = &split.canary_revision else {
            return false;
        };
        match book.trips.get(&split.rollout_uid) {
            Some(trip) if trip.revision == *canary => return false,
            Some(_) => {
                self.clear(book, &split.rollout_uid, "another canary revision came");
                return true;
            }
            None => {}
        }
        let Some(fuse) = book.ratings.splits.get(&split.split).copied() else {
            book.watches.remove(&split.rollout_uid);
            book.views.remove(&split.rollout_uid);
            return false;
        };
        let subject = Subject {
            stable: split.stable_revision.clone(),
            canary: canary.clone(),
            fuse,
            proxies: book.ratings.fleet_size,
        };
        let verdict = book.watch(split, subject).look(&split.arms);
        book.views
            .insert(split.rollout_uid.clone(), view(&verdict.reasons, canary));
        if verdict.is_worse() {
            self.trip(book, split, &verdict);
        }
        verdict.is_worse()
    }

    fn trip(&self, book: &mut Book, split: &SplitEvidence, verdict: &Verdict) {
        let revision = split.canary_revision.clone().unwrap_or_default();
        self.state
            .split(&split.split, &split.rollout_uid)
            .trip(&revision);
        let reasons = &verdict.reasons;
        let trip = Trip {
            split: split.split.clone(),
            revision,
            tripped_at_ms: i64::try_from(self.clock.unix_ms()).unwrap_or(i64::MAX),
            e_value: reasons.e,
            alpha: reasons.alpha,
            canary: (reasons.errors, reasons.requests),
            stable: (reasons.stable_errors, reasons.stable_requests),
            reason: reasons.to_string(),
        };
        warn!(
            split = trip.split,
            revision = trip.revision,
            reason = trip.reason,
            "fuse tripped"
        );
        *book.trips_total.entry(split.split.clone()).or_default() += 1;
        book.watches.remove(&split.rollout_uid);
        book.trips.insert(split.rollout_uid.clone(), trip);
        book.bound();
    }

    /// Clears the trip of this Rollout's revision (of any, where `revision` is empty). False where
    /// there was none.
    pub(crate) fn reset(&self, rollout_uid: &str, revision: &str) -> bool {
        let mut book = self.book();
        let about = book
            .trips
            .get(rollout_uid)
            .map(|trip| trip.revision.as_str());
        if about.is_none_or(|about| !revision.is_empty() && about != revision) {
            return false;
        }
        self.clear(&mut book, rollout_uid, "it was reset");
        self.persist(&book.trips);
        drop(book);
        self.changed.notify_waiters();
        true
    }

    /// The Rollout UID under which the split of this name last tripped.
    pub(crate) fn tripped_uid(&self, split: &str) -> Option<String> {
        let book = self.book();
        book.trips
            .iter()
            .find(|(_, trip)| trip.split == split)
            .map(|(uid, _)| uid.clone())
    }

    fn clear(&self, book: &mut Book, rollout_uid: &str, reason: &str) {
        let Some(trip) = book.trips.remove(rollout_uid) else {
            return;
        };
        self.state
            .split(&trip.split, rollout_uid)
            .reset(&trip.revision);
        // What was counted before the reset is not held against the retry: the watch begins anew.
        book.watches.remove(rollout_uid);
        book.views.remove(rollout_uid);
        info!(
            split = trip.split,
            revision = trip.revision,
            reason,
            "fuse no longer tripped"
        );
    }

    /// Before anything else happens: a trip that a crash could undo would be no fuse. The file is
    /// small and trips are rare, so the control thread waits for the disk.
    fn persist(&self, trips: &Trips) {
        if let Err(problem) = self.store.keep_trips(trips) {
            error!(error = %problem, cause = ?std::error::Error::source(&problem),
                   "tripped fuses are not kept and would not survive a restart");
        }
    }

    /// The state of one split's fuse, for reports, metrics and people; `None` where it is off.
    pub(crate) fn view(&self, split: &SplitEvidence) -> Option<proto::Fuse> {
        let book = self.book();
        let rated = book.ratings.splits.get(&split.split);
        if let Some(trip) = book.trips.get(&split.rollout_uid) {
            return Some(tripped(trip));
        }
        let untouched = || proto::Fuse {
            e_value: 1.0,
            alpha: rated.map_or(0.0, |fuse| fuse.alpha),
            revision: split.canary_revision.clone().unwrap_or_default(),
            ..proto::Fuse::default()
        };
        rated.map(|_| {
            book.views
                .get(&split.rollout_uid)
                .cloned()
                .unwrap_or_else(untouched)
        })
    }

    /// How often each split's fuse tripped in this process.
    pub(crate) fn trips_total(&self, split: &str) -> u64 {
        self.book().trips_total.get(split).copied().unwrap_or(0)
    }

    /// Waits until a fuse trips or is reset.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Book ===

impl Book {
    fn watch(&mut self, split: &SplitEvidence, subject: Subject) -> &mut Watch {
        let known = self.watches.get(&split.rollout_uid);
        if known.is_none_or(|watch| !watch.is_over(&subject.canary)) {
            let first = self.watched.insert(split.rollout_uid.clone());
            let counted = if first { &[][..] } else { &split.arms };
            let watch = Watch::begin(subject.clone(), counted);
            self.watches.insert(split.rollout_uid.clone(), watch);
        }
        let watch = self
            .watches
            .get_mut(&split.rollout_uid)
            .expect("inserted where it was missing");
        watch.adjust(&subject);
        watch
    }

    /// Splits that left take their watches with them; trips stay, for the split may come back.
    fn forget(&mut self, splits: &[SplitEvidence]) {
        let there = |uid: &String| splits.iter().any(|split| split.rollout_uid == *uid);
        self.watches.retain(|uid, _| there(uid));
        self.views.retain(|uid, _| there(uid));
        self.watched.retain(there);
    }

    /// Trips of Rollouts that are long gone make room for new ones.
    fn bound(&mut self) {
        while self.trips.len() > MAX_TRIPS {
            let oldest = self.trips.iter().min_by_key(|(_, trip)| trip.tripped_at_ms);
            let Some(uid) = oldest.map(|(uid, _)| uid.clone()) else {
                return;
            };
            self.trips.remove(&uid);
        }
    }
}

fn view(reasons: &Reasons, canary: &str) -> proto::Fuse {
    proto::Fuse {
        tripped: false,
        revision: canary.to_owned(),
        tripped_at_ms: 0,
        e_value: reasons.e,
        alpha: reasons.alpha,
        canary_bad: reasons.errors,
        canary_exposed: reasons.requests,
        stable_bad: reasons.stable_errors,
        stable_exposed: reasons.stable_requests,
        reason: reasons.to_string(),
    }
}

fn tripped(trip: &Trip) -> proto::Fuse {
    proto::Fuse {
        tripped: true,
        revision: trip.revision.clone(),
        tripped_at_ms: trip.tripped_at_ms,
        e_value: trip.e_value,
        alpha: trip.alpha,
        canary_bad: trip.canary.0,
        canary_exposed: trip.canary.1,
        stable_bad: trip.stable.0,
        stable_exposed: trip.stable.1,
        reason: trip.reason.clone(),
    }
}

#[cfg(test)]
mod tests;
