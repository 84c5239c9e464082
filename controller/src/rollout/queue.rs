//! The queue: which Rollout is to be looked at when. One look at a time for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::traffic::RolloutKey;

/// The first wait after an error; it doubles.
const FIRST_BACKOFF: Duration = Duration::from_millis(1);
/// The longest wait after an error.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// Which Rollout is to be looked at when.
#[derive(Default)]
pub(super) struct Queue {
    /// Guards all of it; held for map operations only.
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    due: BTreeMap<RolloutKey, Timestamp>,
    busy: BTreeSet<RolloutKey>,
    failures: BTreeMap<RolloutKey, u32>,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Look at this one.
    Now(RolloutKey),
    /// Nothing before then.
    At(Timestamp),
    /// Nothing.
    Idle,
}

// === impl Queue ===

impl Queue {
    /// Looks at a Rollout at `at`, or before.
    pub(super) fn add(&self, key: RolloutKey, at: Timestamp) {
        {
            let mut state = self.state();
            let due = state.due.entry(key).or_insert(at);
            *due = (*due).min(at);
        }
        self.changed.notify_one();
    }

    /// Takes the one that is due longest and is not being looked at.
    pub(super) fn next(&self, now: Timestamp) -> Next {
        let mut state = self.state();
        let free = state
            .due
            .iter()
            .filter(|(key, _)| !state.busy.contains(*key));
        let Some((key, at)) = free
            .min_by_key(|(_, at)| **at)
            .map(|(key, at)| (key.clone(), *at))
        else {
            return Next::Idle;
        };
        if at > now {
            return Next::At(at);
        }
        state.due.remove(&key);
        state.busy.insert(key.clone());
        Next::Now(key)
    }

    /// A look ended well; the next one is at `at`, unless something happens.
    pub(super) fn done(&self, key: RolloutKey, at: Option<Timestamp>) {
        {
            let mut state = self.state();
            state.busy.remove(&key);
            state.failures.remove(&key);
        }
        match at {
            Some(at) => self.add(key, at),
            None => self.changed.notify_one(),
        }
    }

    /// A look ended badly; the next one waits, longer each time.
    pub(super) fn failed(&self, key: RolloutKey, now: Timestamp) {
        let wait = {
            let mut state = self.state();
            state.busy.remove(&key);
            let failures = state.failures.entry(key.clone()).or_default();
            *failures = failures.saturating_add(1);
            FIRST_BACKOFF
                .saturating_mul(1 << (*failures - 1).min(20))
                .min(LONGEST_BACKOFF)
        };
        let at = jiff::SignedDuration::try_from(wait)
            .ok()
            .and_then(|wait| now.saturating_add(wait).ok());
        self.add(key, at.unwrap_or(now));
    }

    /// Something was added or finished. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // No operation leaves the maps half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> RolloutKey {
        RolloutKey {
            namespace: "default".to_owned(),
            name: name.to_owned(),
        }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_rollout_is_looked_at_once_at_a_time_and_again_if_something_happened() {
        let queue = Queue::default();
        queue.add(key("a"), at(5));
        queue.add(key("a"), at(3));
        queue.add(key("a"), at(9));
        assert_eq!(queue.next(at(2)), Next::At(at(3)));
        assert_eq!(queue.next(at(3)), Next::Now(key("a")));
        queue.add(key("a"), at(3));
        assert_eq!(queue.next(at(3)), Next::Idle);
        queue.done(key("a"), None);
        assert_eq!(queue.next(at(3)), Next::Now(key("a")));
        queue.done(key("a"), None);
        assert_eq!(queue.next(at(100)), Next::Idle);
    }

    #[test]
    fn failures_wait_from_one_millisecond_to_ten_seconds() {
        let queue = Queue::default();
        let mut waits = Vec::new();
        for _ in 0..16 {
            queue.failed(key("a"), at(0));
            let Next::At(next) = queue.next(at(0)) else {
                panic!("nothing to wait for")
            };
            waits.push(next.as_millisecond());
            assert_eq!(queue.next(next), Next::Now(key("a")));
        }
        assert_eq!(waits[..4], [1, 2, 4, 8]);
        assert_eq!(waits.last(), Some(&10_000));
        queue.done(key("a"), Some(at(7)));
        assert_eq!(queue.next(at(0)), Next::At(at(7)));
    }
}
