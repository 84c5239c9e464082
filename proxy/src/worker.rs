//! Workers: one thread per core, each with a single-threaded runtime and its own everything.
//!
//! A worker has its own listeners (SO_REUSEPORT: the kernel spreads connections), its own upstream
//! connections, its own random numbers and its own shards of every counter. Workers share only what
//! is in [`Shared`]: the snapshot, read once per request, and the state behind it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::accept::Listener;
use crate::access_log::AccessLog;
use crate::clock::Clock;
use crate::snapshot::Snapshot;
use crate::state::State;

pub(crate) mod connection;
mod drain;
mod limits;
mod run;
pub(crate) mod view;

pub use drain::{DrainPhase, DrainSignal};
pub use limits::Limits;
pub(crate) use run::{LocalExecutor, Worker};

/// What all workers share, and the control thread with them.
#[derive(Debug)]
pub struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// Counts up with every snapshot; 0 before the first. Workers look at this alone.
    generation: AtomicU64,
    state: Arc<State>,
    clock: Clock,
    access_log: AccessLog,
    drain: DrainSignal,
    limits: Limits,
}

/// What a worker is started with.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Its number, below [`State::workers`].
    pub index: usize,
    /// Its own listeners.
    pub listeners: Vec<Listener>,
    /// What it shares.
    pub shared: Arc<Shared>,
}

/// A running worker.
#[derive(Debug)]
pub struct WorkerHandle {
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<()>>,
}

/// Starts a worker's thread.
pub fn spawn(config: WorkerConfig) -> io::Result<WorkerHandle> {
    let shared = Arc::clone(&config.shared);
    let thread = std::thread::Builder::new().name(format!("worker-{}", config.index));
    Ok(WorkerHandle {
        shared,
        thread: thread.spawn(move || run::run(config))?,
    })
}

// === impl Shared ===

impl Shared {
    /// No configuration is in force yet.
    pub fn new(state: Arc<State>, access_log: AccessLog, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            snapshot: ArcSwap::from_pointee(Snapshot::empty()),
            generation: AtomicU64::new(0),
            state,
            clock: Clock,
            access_log,
            drain: DrainSignal::new(),
            limits,
        })
    }

    /// Puts a snapshot into force in every worker. Its weights first: they are bound to canary
    /// revisions, so those that are in force already may take them at once.
    pub fn install(&self, snapshot: Snapshot) {
        let before = self.snapshot.load_full();
        for split in &snapshot.splits {
            let weight = (split.document_weight, split.max_weight);
            split.state.put_in_force(
                &split.canary,
                &split.stable_revision,
                split.has_canary,
                weight,
            );
        }
        let stays = |split: &Arc<_>| {
            snapshot
                .splits
                .iter()
                .any(|it| Arc::ptr_eq(&it.state, split))
        };
        for gone in before.splits.iter().filter(|split| !stays(&split.state)) {
            gone.state.leave_force();
        }
        self.snapshot.store(Arc::new(snapshot));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Whether a configuration was ever installed.
    pub fn is_configured(&self) -> bool {
        self.generation() > 0
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// What outlives snapshots.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Tells workers to drain.
    pub fn drain(&self) -> &DrainSignal {
        &self.drain
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn access_log(&self) -> &AccessLog {
        &self.access_log
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }
}

// === impl WorkerHandle ===

impl WorkerHandle {
    /// Stops accepting, lets open requests finish until the deadline, then cuts what is left. All
    /// workers listen to the same signal, so calling it on one is calling it on all.
    pub fn drain(&self, deadline: Instant) {
        self.shared.drain.stop(deadline);
    }

    /// Whether the worker's thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the worker to end, which it does after [`Self::drain`]. Blocks the calling thread.
    pub fn join(self) -> io::Result<()> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the worker panicked")))
    }
}
