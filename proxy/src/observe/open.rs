//! Requests that still wait for their response head: the worker's own table, looked at every tick.
//!
//! A canary that accepts requests and never answers fails none of them. So each tick walks the table:
//! it publishes how many wait for how long, it decides those older than the age threshold as failed
//! (once; the answer, should it come, changes nothing), and it wakes those whose deadline has passed.
//! One walk every 50 ms replaces a timer per request.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use judgement::bucket_of;

use super::FailureClass;
use super::evidence::{ArmState, Draw, LatencyCounts};
use crate::clock::micros;
use crate::worker::view::LocalArm;

/// How often a worker looks at its table: the grain of age thresholds and timeouts.
pub const TICK: Duration = Duration::from_millis(50);

/// The table.
#[derive(Debug, Default)]
pub(crate) struct OpenTable(RefCell<Table>);

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// What the last tick published, to be taken back by the next.
    published: Vec<Published>,
}

/// An attempt that waits for its response head.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) arm: Rc<LocalArm>,
    pub(crate) sequence: u64,
    pub(crate) draw: Draw,
    /// Only first attempts are judged.
    pub(crate) judged: bool,
    /// Whether it goes to an endpoint that has not warmed up, so that its age says nothing.
    pub(crate) cold: bool,
    pub(crate) started: Instant,
    /// When to give up; `None` for never.
    pub(crate) deadline: Option<Instant>,
    pub(crate) too_old: bool,
    pub(crate) timed_out: bool,
    pub(crate) waker: Option<Waker>,
}

/// Ages of the requests that wait in one arm and epoch.
#[derive(Debug)]
struct Published {
    arm: Rc<LocalArm>,
    sequence: u64,
    ages: LatencyCounts,
}

/// An attempt's place in the table; it leaves with this.
#[derive(Debug)]
pub(crate) struct Waiting {
    table: Rc<OpenTable>,
    place: usize,
}

// === impl OpenTable ===

impl OpenTable {
    pub(crate) fn enter(self: &Rc<Self>, entry: Entry) -> Waiting {
        let mut table = self.0.borrow_mut();
        let place = if let Some(place) = table.free.pop() {
            table.entries[place] = Some(entry);
            place
        } else {
            table.entries.push(Some(entry));
            table.entries.len() - 1
        };
        Waiting {
            table: Rc::clone(self),
            place,
        }
    }

    /// One walk.
    pub(crate) fn tick(&self, worker: usize, now: Instant) {
        let wakers = self.0.borrow_mut().tick(worker, now);
        // A waker may run code that comes back here, so none is called under the borrow.
        wakers.into_iter().for_each(Waker::wake);
    }
}

// === impl Table ===

impl Table {
    fn tick(&mut self, worker: usize, now: Instant) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for published in &mut self.published {
            published.ages = LatencyCounts::default();
        }
        let mut published = std::mem::take(&mut self.published);
        for entry in self.entries.iter_mut().flatten() {
            entry.decide_if_too_old(worker, now);
            entry.add_age(&mut published, now);
            if entry.deadline.is_some_and(|deadline| deadline <= now) && !entry.timed_out {
                entry.timed_out = true;
                wakers.extend(entry.waker.take());
            }
        }
        for published in &published {
            published.store(worker);
        }
        published.retain(|it| it.ages.0.iter().any(|count| *count > 0));
        self.published = published;
        wakers
    }
}

// === impl Entry ===

impl Entry {
    fn decide_if_too_old(&mut self, worker: usize, now: Instant) {
        let age = now.saturating_duration_since(self.started);
        if self.too_old || !self.judged || age < self.arm.age_threshold {
            return;
        }
        self.too_old = true;
        self.arm.series_shard(worker).failures[FailureClass::TooOld as usize].add(1);
        let evidence = self.arm.evidence.as_deref();
        if let Some(slot) = evidence.and_then(|it| it.shard(worker).slot(self.sequence)) {
            slot.decide(self.draw, Some(FailureClass::TooOld));
        }
    }

    fn add_age(&self, published: &mut Vec<Published>, now: Instant) {
        let counts = self.judged && !self.cold && self.draw.is_latency_evidence();
        if !counts || self.arm.evidence.is_none() {
            return;
        }
        let same =
            |it: &&mut Published| it.sequence == self.sequence && same_evidence(&it.arm, &self.arm);
        let age = bucket_of(micros(now.saturating_duration_since(self.started)));
        if let Some(it) = published.iter_mut().find(same) {
            it.ages.0[age] += 1;
            return;
        }
        let arm = Rc::clone(&self.arm);
        let mut fresh = Published {
            arm,
            sequence: self.sequence,
            ages: LatencyCounts::default(),
        };
        fresh.ages.0[age] = 1;
        published.push(fresh);
    }
}

fn same_evidence(one: &LocalArm, other: &LocalArm) -> bool {
    let address = |arm: &LocalArm| arm.evidence.as_ref().map(std::sync::Arc::as_ptr);
    address(one) == address(other)
}

// === impl Published ===

impl Published {
    fn store(&self, worker: usize) {
        let evidence: Option<&ArmState> = self.arm.evidence.as_deref();
        let Some(slot) = evidence.and_then(|it| it.shard(worker).slot(self.sequence)) else {
            return;
        };
        for (counter, age) in slot.waiting.iter().zip(self.ages.0) {
            counter.set(age);
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Whether the deadline has passed; if not, the task is woken when it does.
    pub(crate) fn poll_deadline(&self, context: &Context<'_>) -> Poll<()> {
        let mut table = self.table.0.borrow_mut();
        let Some(Some(entry)) = table.entries.get_mut(self.place) else {
            return Poll::Pending;
        };
        if entry.timed_out {
            return Poll::Ready(());
        }
        if entry.deadline.is_none() {
            return Poll::Pending;
        }
        match &entry.waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            _ => entry.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The attempt goes to an endpoint that has not warmed up.
    pub(crate) fn cold(&self) {
        let mut table = self.table.0.borrow_mut();
        if let Some(Some(entry)) = table.entries.get_mut(self.place) {
            entry.cold = true;
        }
    }

    /// Leaves the table, and says whether the attempt was decided as too old meanwhile.
    pub(crate) fn leave(self) -> bool {
        let table = self.table.0.borrow();
        table
            .entries
            .get(self.place)
            .and_then(Option::as_ref)
            .is_some_and(|entry| entry.too_old)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut table = self.table.0.borrow_mut();
        let left = table.entries.get_mut(self.place).and_then(Option::take);
        table.free.push(self.place);
        drop(table);
        drop(left);
    }
}
