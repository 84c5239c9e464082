//! The queue: what is to be looked at when. One look at a time for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

/// The first wait after an error; it doubles.
const FIRST_BACKOFF: Duration = Duration::from_millis(1);
/// The longest wait after an error.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// What is to be looked at when, by name. As long as there are names: each stands in it once.
pub struct Queue<K> {
    /// Guards all of it; held for map operations only.
    state: Mutex<State<K>>,
    changed: Notify,
}

struct State<K> {
    due: BTreeMap<K, Timestamp>,
    /// Those of `due` that are not being looked at, the earliest first.
    free: BTreeSet<(Timestamp, K)>,
    /// Those that are being looked at, and when that was due.
    busy: BTreeMap<K, Timestamp>,
    failures: BTreeMap<K, Failures>,
}

/// Looks at one that ended badly, one after the other.
struct Failures {
    count: u32,
    /// When the first of them was due.
    since: Timestamp,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<K> {
    /// Look at this one.
    Now(K),
    /// Nothing before then.
    At(Timestamp),
    /// Nothing.
    Idle,
}

// === impl Queue ===

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                due: BTreeMap::new(),
                free: BTreeSet::new(),
                busy: BTreeMap::new(),
                failures: BTreeMap::new(),
            }),
            changed: Notify::new(),
        }
    }
}

impl<K: Clone + Ord> Queue<K> {
    /// Looks at it at `at`, or before.
    pub fn add(&self, key: K, at: Timestamp) {
        self.state().add(key, at);
        self.changed.notify_one();
    }

    /// Takes the one that is due longest and is not being looked at.
    pub fn next(&self, now: Timestamp) -> Next<K> {
        let mut state = self.state();
        match state.free.first() {
            None => return Next::Idle,
            Some((at, _)) if *at > now => return Next::At(*at),
            Some(_) => {}
        }
        let Some((at, key)) = state.free.pop_first() else {
            return Next::Idle;
        };
        state.due.remove(&key);
        let since = state.failures.get(&key).map_or(at, |it| it.since);
        state.busy.insert(key.clone(), since);
        Next::Now(key)
    }

    /// When the look that is under way was due; after failures, when the first of them was.
    pub fn since(&self, key: &K) -> Option<Timestamp> {
        self.state().busy.get(key).copied()
    }

    /// A look ended well; the next one is at `at`, unless something happens.
    pub fn done(&self, key: &K, at: Option<Timestamp>) {
        {
            let mut state = self.state();
            state.failures.remove(key);
            state.release(key);
            if let Some(at) = at {
                state.add(key.clone(), at);
            }
        }
        self.changed.notify_one();
    }

    /// A look ended badly; the next one waits, longer each time.
    pub fn failed(&self, key: &K, now: Timestamp) {
        {
            let mut state = self.state();
            let since = state.busy.get(key).copied().unwrap_or(now);
            let failures = state.failures.entry(key.clone());
            let failures = failures.or_insert(Failures { count: 0, since });
            failures.count = failures.count.saturating_add(1);
            let wait = FIRST_BACKOFF
                .saturating_mul(1 << (failures.count - 1).min(20))
                .min(LONGEST_BACKOFF);
            let wait = jiff::SignedDuration::try_from(wait).ok();
            let at = wait.and_then(|wait| now.saturating_add(wait).ok());
            state.release(key);
            state.add(key.clone(), at.unwrap_or(now));
        }
        self.changed.notify_one();
    }

    /// It is gone: nothing of it is due, unless it is added again.
    pub fn forget(&self, key: &K) {
        let mut state = self.state();
        state.failures.remove(key);
        if let Some(at) = state.due.remove(key) {
            state.free.remove(&(at, key.clone()));
        }
    }

    /// How many wait for a look that is due.
    pub fn depth(&self, now: Timestamp) -> usize {
        let state = self.state();
        state.free.iter().take_while(|(at, _)| *at <= now).count()
    }

    /// Something was added or finished. Cancel-safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State<K>> {
        // No operation leaves the maps half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl<K: Clone + Ord> State<K> {
    fn add(&mut self, key: K, at: Timestamp) {
        let before = self.due.get(&key).copied();
        if before.is_some_and(|before| before <= at) {
            return;
        }
        self.due.insert(key.clone(), at);
        if self.busy.contains_key(&key) {
            return;
        }
        if let Some(before) = before {
            self.free.remove(&(before, key.clone()));
        }
        self.free.insert((at, key));
    }

    fn release(&mut self, key: &K) {
        self.busy.remove(key);
        if let Some(at) = self.due.get(key) {
            self.free.insert((*at, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_rollout_is_looked_at_once_at_a_time_and_again_if_something_happened() {
        let queue = Queue::default();
        queue.add("a", at(5));
        queue.add("a", at(3));
        queue.add("a", at(9));
        assert_eq!(queue.next(at(2)), Next::At(at(3)));
        assert_eq!(queue.next(at(3)), Next::Now("a"));
        queue.add("a", at(3));
        assert_eq!(queue.next(at(3)), Next::Idle);
        queue.done(&"a", None);
        assert_eq!(queue.next(at(3)), Next::Now("a"));
        queue.done(&"a", None);
        assert_eq!(queue.next(at(100)), Next::Idle);
    }

    #[test]
    fn the_one_that_is_due_longest_comes_first() {
        let queue = Queue::default();
        for (key, due) in [("a", 5), ("b", 3), ("c", 9)] {
            queue.add(key, at(due));
        }
        assert_eq!(queue.depth(at(5)), 2);
        assert_eq!(queue.next(at(9)), Next::Now("b"));
        // What happens to one that is being looked at waits for its end.
        queue.add("b", at(1));
        assert_eq!(queue.next(at(9)), Next::Now("a"));
        queue.done(&"b", Some(at(20)));
        assert_eq!(queue.next(at(9)), Next::Now("b"));
        queue.done(&"b", None);
        queue.forget(&"c");
        assert_eq!(queue.next(at(9)), Next::Idle);
    }

    #[test]
    fn failures_wait_from_one_millisecond_to_ten_seconds() {
        let queue = Queue::default();
        let mut waits = Vec::new();
        queue.add("a", at(0));
        assert_eq!(queue.next(at(0)), Next::Now("a"));
        for _ in 0..16 {
            queue.failed(&"a", at(0));
            let Next::At(next) = queue.next(at(0)) else {
                panic!("nothing to wait for")
            };
            waits.push(next.as_millisecond());
            assert_eq!(queue.next(next), Next::Now("a"));
        }
        assert_eq!(waits[..4], [1, 2, 4, 8]);
        assert_eq!(queue.since(&"a"), Some(at(0)), "it was due with the first");
        assert_eq!(waits.last(), Some(&10_000));
        queue.done(&"a", Some(at(7)));
        assert_eq!(queue.next(at(0)), Next::At(at(7)));
        assert_eq!(queue.next(at(9)), Next::Now("a"));
        assert_eq!(queue.since(&"a"), Some(at(7)));
    }
}
