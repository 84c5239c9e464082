//! The timer of request heads: a deadline per connection, looked at every tick.
//!
//! hyper arms a timer before each request head and drops it after. Tokio's costs an entry in its wheel
//! and two clock readings each time, for a limit of a minute. Here a connection has a place in a table
//! of its worker, arming writes the deadline there, and the worker's tick looks for those that passed.
//! hyper wants its timers to be `Send`, so the table belongs to the thread and a timer knows its place.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

use crate::clock::Clock;

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}

/// The connections of this thread whose heads are timed.
#[derive(Debug, Default)]
struct Table {
    /// As of the last tick.
    now: Option<Instant>,
    places: Vec<Place>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Place {
    deadline: Option<Instant>,
    /// The connection's task, known from its first wait on.
    waker: Option<Waker>,
}

/// A connection's place, which it leaves with this. To be dropped after the connection itself.
#[derive(Debug)]
pub(super) struct HeadPlace(usize);

/// The timer that a connection is given.
#[derive(Debug)]
pub(super) struct HeadTimer(usize);

/// The wait for one head.
#[derive(Debug)]
struct HeadWait {
    place: usize,
    deadline: Instant,
}

/// Wakes the connections whose deadline has passed.
pub(crate) fn tick(now: Instant) {
    let late = TABLE.with_borrow_mut(|table| table.tick(now));
    // A waker may run code that comes back here, so none is called under the borrow.
    late.into_iter().for_each(Waker::wake);
}

// === impl Table ===

impl Table {
    fn tick(&mut self, now: Instant) -> Vec<Waker> {
        self.now = Some(now);
        let is_late = |place: &&mut Place| place.deadline.is_some_and(|deadline| deadline <= now);
        let late = self.places.iter_mut().filter(is_late);
        late.filter_map(|place| {
            place.deadline = None;
            place.waker.clone()
        })
        .collect()
    }

    fn now(&self) -> Instant {
        self.now.unwrap_or_else(|| Clock.now())
    }
}

// === impl HeadPlace ===

impl HeadPlace {
    pub(super) fn enter() -> Self {
        let place = TABLE.with_borrow_mut(|table| {
            table.free.pop().unwrap_or_else(|| {
                table.places.push(Place::default());
                table.places.len() - 1
            })
        });
        Self(place)
    }

    pub(super) fn timer(&self) -> HeadTimer {
        HeadTimer(self.0)
    }
}

impl Drop for HeadPlace {
    fn drop(&mut self) {
        let left = TABLE.with_borrow_mut(|table| {
            table.free.push(self.0);
            std::mem::take(&mut table.places[self.0])
        });
        drop(left);
    }
}

// === impl HeadTimer ===

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadWait {
            place: self.0,
            deadline,
        })
    }

    /// About now: a limit may be a tick too early.
    fn now(&self) -> Instant {
        TABLE.with_borrow(Table::now)
    }
}

// === impl HeadWait ===

impl Future for HeadWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        TABLE.with_borrow_mut(|table| {
            if table.now() >= self.deadline {
                return Poll::Ready(());
            }
            let place = &mut table.places[self.place];
            place.deadline = Some(self.deadline);
            match &place.waker {
                Some(waker) if waker.will_wake(context.waker()) => {}
                _ => place.waker = Some(context.waker().clone()),
            }
            Poll::Pending
        })
    }
}

impl Sleep for HeadWait {}

impl Drop for HeadWait {
    fn drop(&mut self) {
        TABLE.with_borrow_mut(|table| table.places[self.place].deadline = None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_over(wait: &mut Pin<Box<dyn Sleep>>, woken: &Arc<Woken>) -> bool {
        let waker = Waker::from(Arc::clone(woken));
        wait.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
    }

    #[test]
    fn a_late_head_wakes_its_connection_and_no_other() {
        let start = Clock.now();
        tick(start);
        let (slow, quick) = (HeadPlace::enter(), HeadPlace::enter());
        let limit = Duration::from_mins(1);
        let (of_slow, of_quick) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        let mut wait = slow.timer().sleep(limit);
        let mut parsed = quick.timer().sleep(limit);
        assert!(!is_over(&mut wait, &of_slow));
        assert!(!is_over(&mut parsed, &of_quick));
        drop(parsed);
        tick(start + Duration::from_secs(59));
        assert!(!is_over(&mut wait, &of_slow));
        assert_eq!(of_slow.0.load(Ordering::Relaxed), 0);
        tick(start + limit);
        assert!(is_over(&mut wait, &of_slow));
        tick(start + limit * 2);
        assert_eq!(of_slow.0.load(Ordering::Relaxed), 1, "once");
        assert_eq!(of_quick.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_place_is_used_again_without_its_past() {
        let start = Clock.now();
        tick(start);
        let woken = Arc::<Woken>::default();
        let before = HeadPlace::enter();
        let mut wait = before.timer().sleep(Duration::from_secs(1));
        assert!(!is_over(&mut wait, &woken));
        let at = before.0;
        drop(wait);
        drop(before);
        let after = HeadPlace::enter();
        assert_eq!(after.0, at);
        tick(start + Duration::from_secs(2));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        assert_eq!(Arc::strong_count(&woken), 1, "the waker is gone");
    }
}
