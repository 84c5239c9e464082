//! Leaving without losing a request.
//!
//! 1. `/readyz` turns 503, and connections close after their present answer (HTTP/1.1
//!    `connection: close`, HTTP/2 GOAWAY); new ones are still accepted, because load balancers take a
//!    while to learn that this proxy leaves (`--drain-delay`).
//! 2. Listeners close; requests in flight may finish for `--drain-timeout`; what is left then is cut.
//! 3. The controller hears a goodbye, and the process ends with 0.
//!
//! A second signal skips what is left of the waiting. (The first does not, even where a drain was asked
//! for before: that is a preStop hook, after which the kubelet sends SIGTERM.)

use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::control::Control;
use crate::worker::WorkerHandle;

/// How often the end of the workers' threads is looked for.
const JOIN_POLL: Duration = Duration::from_millis(20);

/// Workers end at their deadline by themselves; one that does not by then is left behind.
const JOIN_GRACE: Duration = Duration::from_secs(2);

/// How this process ends.
#[derive(Clone, Debug)]
pub struct Drain(watch::Sender<Wish>);

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Serve,
    Leave,
    LeaveNow,
}

/// How long a drain may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the failing readiness to the closing of listeners.
    pub(crate) delay: Duration,
    /// From then to the end of requests in flight.
    pub(crate) timeout: Duration,
}

// === impl Drain ===

impl Drain {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Wish::Serve))
    }

    /// Begins to drain, unless it has begun.
    pub fn ask(&self) {
        self.0.send_if_modified(|wish| {
            let first = *wish == Wish::Serve;
            if first {
                *wish = Wish::Leave;
            }
            first
        });
    }

    /// Begins to drain, or skips what is left of its waiting: open requests are cut.
    pub fn hurry(&self) {
        self.0.send_replace(Wish::LeaveNow);
    }

    /// Whether a drain has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() != Wish::Serve
    }

    async fn wished(&self, least: Wish) {
        // The sender is ours, so the wait can only end with the wish.
        let _ = self.0.subscribe().wait_for(|wish| *wish >= least).await;
    }
}

/// Serves until a drain is asked for, then leaves. False where workers ended by themselves before, or
/// had to be left behind.
pub(crate) async fn run(control: &Control, workers: Vec<WorkerHandle>, patience: Patience) -> bool {
    tokio::select! {
        () = control.drain.wished(Wish::Leave) => {}
        () = any_ended(&workers) => {
            error!("a worker ended by itself");
            control.drain.ask();
        }
    }
    info!(delay = ?patience.delay, timeout = ?patience.timeout, "draining");
    let signal = control.shared.drain();
    signal.begin();
    tokio::select! {
        () = tokio::time::sleep(patience.delay) => {}
        () = control.drain.wished(Wish::LeaveNow) => {}
    }
    signal.stop(control.clock.now() + patience.timeout);
    control.leaving.cancel();
    let ended = tokio::select! {
        () = all_ended(&workers) => true,
        () = overdue(control, patience.timeout) => false,
    };
    ended && joined(workers)
}

/// Past the deadline, the workers' own or the one of a second signal.
async fn overdue(control: &Control, timeout: Duration) {
    tokio::select! {
        () = tokio::time::sleep(timeout) => {}
        () = control.drain.wished(Wish::LeaveNow) => {
            warn!("asked to hurry: open requests are cut");
            control.shared.drain().stop(control.clock.now());
        }
    }
    tokio::time::sleep(JOIN_GRACE).await;
    error!("workers did not end in time and are left behind");
}

async fn any_ended(workers: &[WorkerHandle]) {
    while !workers.iter().any(WorkerHandle::is_finished) {
        tokio::time::sleep(JOIN_POLL).await;
    }
}

async fn all_ended(workers: &[WorkerHandle]) {
    while !workers.iter().all(WorkerHandle::is_finished) {
        tokio::time::sleep(JOIN_POLL).await;
    }
}

/// All have ended, so this does not block.
fn joined(workers: Vec<WorkerHandle>) -> bool {
    let mut well = true;
    for (index, worker) in workers.into_iter().enumerate() {
        if let Err(problem) = worker.join() {
            error!(worker = index, error = %problem, "worker failed");
            well = false;
        }
    }
    well
}
