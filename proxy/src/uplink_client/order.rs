//! Which messages are too old to be taken. Pure.
//!
//! A former leader that was paused may wake up and speak; whoever speaks with a lower term than was
//! heard before is refused. Snapshots are ordered by their whole version, resets too; weights of one
//! term are ordered by their epochs.

use std::collections::BTreeMap;

use uplink::version::Version;

/// Splits whose last reset is remembered; beyond it the first names make room.
const MAX_RESETS: usize = 10_000;

/// What was heard so far.
#[derive(Debug, Default)]
pub(crate) struct Order {
    term: u64,
    snapshot: Version,
    resets: BTreeMap<String, Version>,
}

/// A message that is refused, and why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooOld {
    /// It is of a former leader.
    #[error("version {given} is of a former leader: term {heard} was heard from")]
    Term {
        /// The message's version.
        given: Version,
        /// The highest term.
        heard: u64,
    },
    /// A newer one was taken.
    #[error(
        "version {given} is lower than {taken}, which was taken before; a controller that lost its \
         lease's history is believed again after a restart of the proxy with an empty --state-dir"
    )]
    Lower {
        /// The message's version.
        given: Version,
        /// The highest taken.
        taken: Version,
    },
}

// === impl Order ===

impl Order {
    /// A snapshot: as new as the newest or newer.
    pub(crate) fn snapshot(&mut self, version: Version) -> Result<(), TooOld> {
        self.hear(version)?;
        if version < self.snapshot {
            return Err(TooOld::Lower {
                given: version,
                taken: self.snapshot,
            });
        }
        self.snapshot = version;
        Ok(())
    }

    /// Endpoints: not older than the snapshot that they complete.
    pub(crate) fn endpoints(&mut self, version: Version) -> Result<(), TooOld> {
        self.hear(version)?;
        if version < self.snapshot {
            return Err(TooOld::Lower {
                given: version,
                taken: self.snapshot,
            });
        }
        Ok(())
    }

    /// A weight, ordered by its epoch within a term.
    pub(crate) fn weights(&mut self, version: Version) -> Result<(), TooOld> {
        self.hear(version)
    }

    /// A reset: each is obeyed once, or one that is sent again would clear a later trip.
    pub(crate) fn reset(&mut self, split: &str, version: Version) -> Result<(), TooOld> {
        self.hear(version)?;
        let taken = self.resets.get(split).copied();
        if let Some(taken) = taken.filter(|taken| version <= *taken) {
            return Err(TooOld::Lower {
                given: version,
                taken,
            });
        }
        if self.resets.len() >= MAX_RESETS {
            self.resets.pop_first();
        }
        self.resets.insert(split.to_owned(), version);
        Ok(())
    }

    fn hear(&mut self, version: Version) -> Result<(), TooOld> {
        if version.term < self.term {
            return Err(TooOld::Term {
                given: version,
                heard: self.term,
            });
        }
        self.term = version.term;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(term: u64, counter: u64) -> Version {
        Version { term, counter }
    }

    #[test]
    fn snapshots_never_go_back_and_may_be_sent_again() {
        let mut order = Order::default();
        for (version, taken) in [
            (v(1, 5), true),
            (v(1, 5), true),
            (v(1, 4), false),
            (v(2, 1), true),
            (v(1, 9), false),
        ] {
            assert_eq!(order.snapshot(version).is_ok(), taken, "{version}");
        }
    }

    #[test]
    fn a_former_leader_is_refused_in_everything() {
        let mut order = Order::default();
        order.weights(v(3, 1)).expect("first");
        let heard = TooOld::Term {
            given: v(2, 9),
            heard: 3,
        };
        assert_eq!(order.snapshot(v(2, 9)), Err(heard));
        assert!(order.endpoints(v(2, 9)).is_err());
        assert!(order.weights(v(2, 9)).is_err());
        assert!(order.reset("a", v(2, 9)).is_err());
    }

    #[test]
    fn a_reset_is_obeyed_once_per_split() {
        let mut order = Order::default();
        order.reset("a", v(1, 2)).expect("first");
        order.reset("b", v(1, 2)).expect("another split");
        assert!(order.reset("a", v(1, 2)).is_err());
        order.reset("a", v(1, 3)).expect("newer");
    }
}
