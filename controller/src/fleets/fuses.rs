//! Trips of the proxies' fuses for one Rollout: which count, and which are echoes of a reset one.
//!
//! One proxy's trip is enough, and the first one wins. It counts however late it is reported, as
//! long as nobody reset that revision after it. A reset reaches the proxies that are connected at
//! once; one that was away still reports its old trip when it comes back, is told again, and is
//! not believed until it has a newer one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uplink::proto;

use crate::traffic::FuseTrip;

/// Revisions of one Rollout whose trips and resets are remembered; the oldest reset makes room.
const MAX_REVISIONS: usize = 64;

/// Proxies of one Rollout whose echoes are remembered.
const MAX_ECHOES: usize = 8_192;

/// The fuses of one Rollout.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    trips: BTreeMap<String, FuseTrip>,
    /// When each revision was last reset, in milliseconds since the Unix epoch.
    resets: BTreeMap<String, i64>,
    /// Trips that were reset, by proxy and revision: when they happened, by the proxy's own clock.
    echoes: BTreeMap<(String, String), i64>,
    /// Trips that are reported at present, by proxy and revision.
    reported: BTreeMap<(String, String), i64>,
}

/// What a report of a fuse means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing new.
    Nothing,
    /// The first trip of this revision.
    Tripped,
    /// A trip that was reset: the proxy must be told (again).
    Echo,
}

// === impl Book ===

impl Book {
    /// Takes what a proxy says of its fuse.
    pub(super) fn report(&mut self, proxy: &str, fuse: &proto::Fuse) -> Meaning {
        let key = (proxy.to_owned(), fuse.revision.clone());
        if !fuse.tripped {
            self.reported.retain(|(by, _), _| by != proxy);
            self.echoes.retain(|(by, _), _| by != proxy);
            return Meaning::Nothing;
        }
        if self.is_echo(&key, fuse.tripped_at_ms) {
            let known = self.echoes.insert(key, fuse.tripped_at_ms) == Some(fuse.tripped_at_ms);
            return if known {
                Meaning::Nothing
            } else {
                Meaning::Echo
            };
        }
        if self.reported.len() < MAX_ECHOES {
            self.reported.insert(key, fuse.tripped_at_ms);
        }
        if self.trips.contains_key(&fuse.revision) || self.trips.len() >= MAX_REVISIONS {
            return Meaning::Nothing;
        }
        let trip = FuseTrip {
            proxy: proxy.to_owned(),
            revision: fuse.revision.clone(),
            reason: reason(proxy, fuse),
        };
        self.trips.insert(fuse.revision.clone(), trip);
        Meaning::Tripped
    }

    /// Forgets the trip of a revision, and remembers that it was reset.
    pub(super) fn reset(&mut self, revision: &str, now: Timestamp) {
        self.trips.remove(revision);
        if self.resets.len() >= MAX_REVISIONS && !self.resets.contains_key(revision) {
            let oldest = self
                .resets
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(name, _)| name.clone());
            oldest.and_then(|name| self.resets.remove(&name));
        }
        self.resets
            .insert(revision.to_owned(), now.as_millisecond());
        let reset = self.reported.extract_if(.., |(_, of), _| of == revision);
        let reset: Vec<_> = reset.collect();
        self.echoes.extend(reset);
        while self.echoes.len() > MAX_ECHOES {
            self.echoes.pop_first();
        }
    }

    /// The trip that counts for a revision.
    pub(super) fn trip(&self, revision: &str) -> Option<&FuseTrip> {
        self.trips.get(revision)
    }

    fn is_echo(&self, key: &(String, String), tripped_at: i64) -> bool {
        self.echoes.get(key) == Some(&tripped_at)
            || self
                .resets
                .get(&key.1)
                .is_some_and(|reset| tripped_at <= *reset)
    }
}

/// The proxy's own sentence has the counts, the e-value and α; it may not name the proxy.
fn reason(proxy: &str, fuse: &proto::Fuse) -> String {
    let said = if fuse.reason.is_empty() {
        format!(
            "canary {} of {} failed, stable {} of {}; e = {:.1} at α = {}",
            fuse.canary_bad,
            fuse.canary_exposed,
            fuse.stable_bad,
            fuse.stable_exposed,
            fuse.e_value,
            fuse.alpha
        )
    } else {
        fuse.reason.clone()
    };
    if said.contains(proxy) {
        said
    } else {
        format!("fuse of proxy {proxy} tripped: {said}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tripped(revision: &str, at: i64) -> proto::Fuse {
        proto::Fuse {
            tripped: true,
            revision: revision.into(),
            tripped_at_ms: at,
            canary_bad: 5,
            canary_exposed: 9,
            ..proto::Fuse::default()
        }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).expect("in range")
    }

    #[test]
    fn the_first_trip_wins_and_is_kept() {
        let mut book = Book::default();
        assert_eq!(book.report("p1", &proto::Fuse::default()), Meaning::Nothing);
        assert_eq!(book.report("p1", &tripped("r2", 5)), Meaning::Tripped);
        assert_eq!(book.report("p2", &tripped("r2", 3)), Meaning::Nothing);
        let trip = book.trip("r2").expect("tripped");
        assert_eq!(trip.proxy, "p1");
        assert!(
            trip.reason.contains("p1") && trip.reason.contains("5 of 9"),
            "{}",
            trip.reason
        );
        assert_eq!(book.trip("r3"), None);
        book.report("p1", &proto::Fuse::default());
        assert!(book.trip("r2").is_some(), "kept until it is reset");
    }

    #[test]
    fn a_reset_trip_is_not_believed_again_but_a_newer_one_is() {
        let mut book = Book::default();
        // The proxy's clock runs ahead of ours.
        book.report("p1", &tripped("r2", 9_000));
        book.reset("r2", at(100));
        assert_eq!(book.trip("r2"), None);
        assert_eq!(
            book.report("p1", &tripped("r2", 9_000)),
            Meaning::Nothing,
            "crossed the reset"
        );
        assert_eq!(
            book.report("away", &tripped("r2", 90)),
            Meaning::Echo,
            "told again"
        );
        assert_eq!(
            book.report("away", &tripped("r2", 90)),
            Meaning::Nothing,
            "once"
        );
        assert_eq!(book.report("p1", &tripped("r2", 9_500)), Meaning::Tripped);
    }

    #[test]
    fn a_reset_is_about_one_revision() {
        let mut book = Book::default();
        book.report("p1", &tripped("r2", 5));
        book.reset("r1", at(100));
        assert!(book.trip("r2").is_some());
    }
}
