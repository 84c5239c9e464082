//! An exchange: everything that is counted about one request, from its head to its body's end.
//!
//! It is boxed once, lives in the request's future until the response head and in the response's body
//! after that, and counts when it is dropped; so whatever ends a request (its last byte, a broken
//! upstream, a client that leaves) passes through one place. It holds its cluster and its metric
//! children, never the snapshot.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::Request;
use http::header::HeaderValue;

use crate::clock::micros;
use crate::error::RequestError;
use crate::observe::FailureClass;
use crate::observe::evidence::{Draw, Slot};
use crate::observe::open::{Entry, Waiting};
use crate::observe::series::{Origin, RetryResult, Rule};
use crate::respond::{CLIENT_CLOSED, status};
use crate::split::{Choice, Key};
use crate::upstream::Lease;
use crate::worker::Worker;
use crate::worker::connection::Connection;
use crate::worker::view::{LocalArm, LocalRoute};

mod line;

use line::Line;

/// Everything that is counted about one request.
#[derive(Debug)]
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    started: Instant,
    /// The arm that answers, while it is known.
    on: Option<OnArm>,
    /// The first attempt, while it may still turn out bad.
    judged: Option<Judged>,
    lease: Option<Lease>,
    /// 0 before the response head.
    status: u16,
    origin: Origin,
    ending: Ending,
    bytes: u64,
    /// Only where the access log is on.
    line: Option<Box<Line>>,
}

/// How far the response's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    Complete,
    Broken,
}

/// Where the split sent a request.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) arm: Rc<LocalArm>,
    pub(crate) rule: Rule,
    pub(crate) key: Key,
    pub(crate) sequence: u64,
    pub(crate) set_cookie: Option<HeaderValue>,
}

/// Counts a request as open on an arm while it exists.
#[derive(Debug)]
struct OnArm {
    arm: Rc<LocalArm>,
    worker: usize,
}

/// A connection that was upgraded.
#[derive(Debug)]
pub(crate) struct Tunnel {
    worker: Rc<Worker>,
    _on: Option<OnArm>,
    _lease: Option<Lease>,
}

/// A first attempt and what it is evidence of.
#[derive(Debug)]
struct Judged {
    arm: Rc<LocalArm>,
    sequence: u64,
    draw: Draw,
    /// Whether an endpoint that had not warmed up was asked: how long it took says nothing.
    cold: Cell<bool>,
}

// === impl Exchange ===

impl Exchange {
    pub(crate) fn begin<B>(
        worker: Rc<Worker>,
        connection: Rc<Connection>,
        request: &Request<B>,
    ) -> Box<Self> {
        worker.process().in_flight.add(1);
        let line = worker
            .shared
            .access_log()
            .is_on()
            .then(|| Box::new(Line::new(request)));
        Box::new(Self {
            started: worker.shared.clock().now(),
            worker,
            connection,
            on: None,
            judged: None,
            lease: None,
            status: 0,
            origin: Origin::Client,
            ending: Ending::Open,
            bytes: 0,
            line,
        })
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The route is known, and why the request goes where it goes.
    pub(crate) fn routed(&mut self, route: &LocalRoute, rule: Rule) {
        if let Some(line) = &mut self.line {
            line.routed(route, rule);
        }
    }

    /// The first attempt begins: from now on it is open on its arm, and waits for a response head.
    /// An attempt that stable may stand in for does not wait longer than the age that is a failure.
    pub(crate) fn enter(
        &mut self,
        routed: &Routed,
        timeout: Option<Duration>,
        may_fall_back: bool,
    ) -> Waiting {
        let arm = &routed.arm;
        arm.series_shard(self.worker.index).decisions[routed.rule as usize].add(1);
        let slot = slot(&self.worker, arm, routed.sequence);
        let draw = match (routed.key, slot) {
            (Key::User(bucket), Some(slot)) => slot.draw_keyed(bucket),
            (Key::Unkeyed, _) => Draw::Unkeyed,
            _ => Draw::Chosen,
        };
        if let Some(slot) = slot {
            slot.requests.add(1);
        }
        self.judged = Some(Judged {
            arm: Rc::clone(arm),
            sequence: routed.sequence,
            draw,
            cold: Cell::new(false),
        });
        self.on = Some(OnArm::new(arm, self.worker.index));
        let threshold = may_fall_back.then_some(arm.age_threshold);
        let limit = timeout.into_iter().chain(threshold).min();
        self.wait(arm, limit, (routed.sequence, draw, true))
    }

    /// The attempt goes to an endpoint that has not warmed up: whether it fails is evidence, how long
    /// it takes is not.
    pub(crate) fn cold(&self, waiting: &Waiting) {
        if let Some(judged) = &self.judged {
            judged.cold.set(true);
        }
        waiting.cold();
    }

    /// A further attempt begins: bounded by what is left of the time, but no evidence.
    pub(crate) fn enter_unjudged(&self, arm: &Rc<LocalArm>, timeout: Option<Duration>) -> Waiting {
        self.wait(arm, timeout, (0, Draw::Chosen, false))
    }

    fn wait(
        &self,
        arm: &Rc<LocalArm>,
        limit: Option<Duration>,
        (sequence, draw, judged): (u64, Draw, bool),
    ) -> Waiting {
        self.worker.open.enter(Entry {
            arm: Rc::clone(arm),
            sequence,
            draw,
            judged,
            cold: false,
            started: self.started,
            deadline: limit.map(|limit| self.started + limit),
            too_old: false,
            timed_out: false,
            waker: None,
        })
    }

    /// The canary's turn, but it has no endpoint: a canary failure that nobody waits for.
    pub(crate) fn no_endpoints(&self, canary: &Rc<LocalArm>, key: Key, sequence: u64) {
        let class = FailureClass::NoEndpoints;
        canary.series_shard(self.worker.index).failures[class as usize].add(1);
        let Some(slot) = slot(&self.worker, canary, sequence) else {
            return;
        };
        slot.requests.add(1);
        let draw = match key {
            Key::None => Draw::Chosen,
            Key::Unkeyed => Draw::Unkeyed,
            Key::User(bucket) => slot.draw_keyed(bucket),
        };
        slot.decide(draw, Some(class));
    }

    /// The first attempt's outcome, unless its age had decided it before.
    pub(crate) fn judge(&mut self, failure: Option<FailureClass>, too_old: bool) {
        let Some(judged) = &self.judged else { return };
        let us = self.age_us();
        let slot = slot(&self.worker, &judged.arm, judged.sequence);
        if let Some(slot) = slot
            && !judged.cold.get()
        {
            slot.latency(judged.draw, us);
        }
        if !too_old {
            if let Some(slot) = slot {
                slot.decide(judged.draw, failure);
            }
            if let Some(class) = failure {
                let shard = judged.arm.series_shard(self.worker.index);
                shard.failures[class as usize].add(1);
            }
        }
        if failure.is_some() || too_old {
            self.judged = None;
        }
    }

    /// The response head came.
    pub(crate) fn head(&mut self, status: u16, lease: Lease) {
        self.status = status;
        self.origin = Origin::Upstream;
        if let Some(line) = &mut self.line {
            line.upstream = Some(lease.endpoint.state.address());
        }
        self.lease = Some(lease);
    }

    /// Another arm answers from now on. What the first one sent is dropped; its arm is returned.
    pub(crate) fn move_to(&mut self, arm: &Rc<LocalArm>, rule: Rule) -> Option<Rc<LocalArm>> {
        self.judged = None;
        // hyper reads a short rest of the dropped answer and keeps the connection, or closes it.
        self.give_back();
        self.status = 0;
        self.origin = Origin::Client;
        arm.series_shard(self.worker.index).decisions[rule as usize].add(1);
        if let Some(line) = &mut self.line {
            line.moved(rule);
        }
        let before = self.on.replace(OnArm::new(arm, self.worker.index));
        before.map(|on| Rc::clone(&on.arm))
    }

    /// A wish to retry came to nothing.
    pub(crate) fn retried(&self, result: RetryResult) {
        if let Some(on) = &self.on {
            self.count_retry(&on.arm, result);
        }
    }

    /// What came of a wish to retry what this arm failed.
    pub(crate) fn count_retry(&self, arm: &LocalArm, result: RetryResult) {
        arm.series_shard(self.worker.index).retries[result as usize].add(1);
    }

    /// The proxy answers by itself.
    pub(crate) fn refused(&mut self, error: RequestError) {
        self.status = match error {
            RequestError::ClientGone => CLIENT_CLOSED,
            error => status(error).as_u16(),
        };
        self.origin = match error {
            RequestError::ClientGone => Origin::Client,
            _ => Origin::Proxy,
        };
        self.lease = None;
        if let Some(rejection) = error.rejection() {
            self.worker.process().rejected[rejection as usize].add(1);
        }
    }

    /// The connection becomes a tunnel, which counts as open on its arm and its endpoint.
    pub(crate) fn tunnel(&mut self) -> Tunnel {
        self.judged = None;
        let on = self.on.as_ref().map(|on| OnArm::new(&on.arm, on.worker));
        Tunnel::new(Rc::clone(&self.worker), on, self.lease.take())
    }

    pub(crate) fn body_piece(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    pub(crate) fn body_complete(&mut self) {
        if self.ending == Ending::Open {
            self.ending = Ending::Complete;
            self.give_back();
        }
    }

    pub(crate) fn body_broke(&mut self) {
        if self.ending == Ending::Open {
            self.ending = Ending::Broken;
        }
    }

    /// As early as the body is complete, so that the next request finds the connection.
    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            let keep = self.worker.shared.limits().idle_per_endpoint;
            lease.give_back(keep, self.worker.now());
        }
    }

    /// A response that came whole in its head but broke off in its body is a failure after all.
    fn count_truncation(&mut self) {
        let Some(judged) = self.judged.take() else {
            return;
        };
        let class = FailureClass::Truncated;
        judged.arm.series_shard(self.worker.index).failures[class as usize].add(1);
        if let Some(slot) = slot(&self.worker, &judged.arm, judged.sequence) {
            slot.fail(judged.draw, class);
        }
        if let Some(lease) = &self.lease {
            judged
                .arm
                .cluster
                .endpoint_failed(&lease.endpoint, self.worker.now());
        }
    }

    fn age_us(&self) -> u64 {
        let now = self.worker.shared.clock().now();
        micros(now.saturating_duration_since(self.started))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.worker.process().in_flight.sub(1);
        match self.ending {
            Ending::Complete => {}
            Ending::Broken => self.count_truncation(),
            Ending::Open => self.origin = Origin::Client,
        }
        if self.status == 0 {
            self.status = CLIENT_CLOSED;
        }
        let us = self.age_us();
        if let Some(on) = &self.on {
            on.arm
                .series_shard(self.worker.index)
                .response(self.status, self.origin, us);
        }
        let arm = self.on.take();
        let Some(line) = self.line.take() else { return };
        let arm = arm.as_ref().map(|on| on.arm.as_ref());
        let end = line::End {
            status: self.status,
            origin: self.origin,
            truncated: self.ending == Ending::Broken,
            bytes: self.bytes,
            us,
            peer: self.connection.peer,
            unix_ms: self.worker.shared.clock().unix_ms(),
        };
        if !self
            .worker
            .shared
            .access_log()
            .offer(line.finish(arm, &end))
        {
            self.worker.process().log_lines_dropped.add(1);
        }
    }
}

fn slot<'a>(worker: &Worker, arm: &'a LocalArm, sequence: u64) -> Option<&'a Slot> {
    arm.evidence.as_ref()?.shard(worker.index).slot(sequence)
}

// === impl Routed ===

impl Routed {
    pub(crate) fn new(arm: Rc<LocalArm>, choice: Choice) -> Self {
        let Choice {
            rule,
            key,
            sequence,
            set_cookie,
            ..
        } = choice;
        Self {
            arm,
            rule,
            key,
            sequence,
            set_cookie,
        }
    }

    /// A route without a split: one cluster, no evidence.
    pub(crate) fn plainly(arm: &Rc<LocalArm>) -> Self {
        let arm = Rc::clone(arm);
        Self {
            arm,
            rule: Rule::Only,
            key: Key::None,
            sequence: 0,
            set_cookie: None,
        }
    }
}

// === impl OnArm ===

impl OnArm {
    fn new(arm: &Rc<LocalArm>, worker: usize) -> Self {
        arm.series_shard(worker).in_flight.add(1);
        if let Some(evidence) = &arm.evidence {
            evidence.shard(worker).in_flight.add(1);
        }
        Self {
            arm: Rc::clone(arm),
            worker,
        }
    }
}

impl Drop for OnArm {
    fn drop(&mut self) {
        self.arm.series_shard(self.worker).in_flight.sub(1);
        if let Some(evidence) = &self.arm.evidence {
            evidence.shard(self.worker).in_flight.sub(1);
        }
    }
}

// === impl Tunnel ===

impl Tunnel {
    /// Its client's connection still exists, only that HTTP is done with it.
    fn new(worker: Rc<Worker>, on: Option<OnArm>, lease: Option<Lease>) -> Self {
        worker.process().connections.add(1);
        Self {
            worker,
            _on: on,
            _lease: lease,
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.worker.process().connections.sub(1);
    }
}
