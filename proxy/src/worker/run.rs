//! A worker's thread: its runtime, its tasks, its ticks, and its end.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::view::View;
use super::{DrainPhase, Shared, WorkerConfig};
use crate::accept;
use crate::observe::open::{OpenTable, TICK};
use crate::observe::series::ProcessShard;
use crate::random::generator;
use crate::request::budget::Budget;

/// How often idle upstream connections are looked at, in ticks.
const IDLE_TICKS: u64 = 20;

/// How often a stopping worker looks whether its last connection has ended.
const STOP_POLL: Duration = Duration::from_millis(10);

/// How long a stopping worker waits for the first bytes of connections that it has just accepted.
const UNUSED_GRACE: Duration = Duration::from_millis(250);

/// What one worker owns.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) random: RefCell<fastrand::Rng>,
    pub(crate) open: Rc<OpenTable>,
    pub(crate) budget: Budget,
    pub(crate) connections: Connections,
    view: RefCell<Rc<View>>,
    /// As of the last tick: good enough for ejections and idle times.
    now: Cell<Instant>,
    draining: Cell<bool>,
    closing: Cell<bool>,
    stopping: Cell<bool>,
}

/// Spawns onto the worker's own runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

/// The tasks that drive client connections, to be woken once when the proxy leaves.
#[derive(Debug, Default)]
pub(crate) struct Connections(Rc<RefCell<Wakers>>);

#[derive(Debug, Default)]
struct Wakers {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// A connection's place; it leaves with this.
#[derive(Debug)]
pub(crate) struct Place {
    wakers: Rc<RefCell<Wakers>>,
    at: usize,
}

/// The thread's body.
pub(super) fn run(config: WorkerConfig) -> io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(work(config))
}

async fn work(config: WorkerConfig) -> io::Result<()> {
    let worker = Rc::new(Worker::new(config.index, config.shared));
    let mut accepting = Vec::with_capacity(config.listeners.len());
    for listener in config.listeners {
        let socket = tokio::net::TcpListener::from_std(listener.socket)?;
        let task = accept::accept(Rc::clone(&worker), socket, listener.kind);
        accepting.push(tokio::task::spawn_local(task));
    }
    let ticking = tokio::task::spawn_local(tick(Rc::clone(&worker)));
    until_stopped(&worker, accepting).await;
    ticking.abort();
    Ok(())
}

/// Follows the drain signal to its end. What is still open then is cut by the runtime's end.
async fn until_stopped(worker: &Worker, accepting: Vec<JoinHandle<()>>) {
    let mut drain = worker.shared.drain().subscribe();
    let leaving = drain.wait_for(|phase| phase.is_draining()).await.is_ok();
    if leaving {
        worker.draining.set(true);
        worker.connections.wake_all();
    }
    let stopping = drain
        .wait_for(|phase| matches!(phase, DrainPhase::Stopping { .. }))
        .await;
    drop(stopping);
    worker.closing.set(true);
    worker.connections.wake_all();
    for task in accepting {
        // A task that panicked accepts nothing any more either.
        let _ = task.await;
    }
    let settled = worker.shared.clock().now() + UNUSED_GRACE;
    loop {
        let phase = *drain.borrow();
        let now = worker.shared.clock().now();
        let late = matches!(phase, DrainPhase::Stopping { deadline } if deadline <= now);
        if late || worker.process().connections.get() == 0 {
            return;
        }
        if now >= settled && !worker.stopping.replace(true) {
            worker.connections.wake_all();
        }
        tokio::time::sleep(STOP_POLL).await;
    }
}

async fn tick(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for count in 0u64.. {
        interval.tick().await;
        let before = worker.now.get();
        let now = worker.shared.clock().now();
        worker.now.set(now);
        worker.open.tick(worker.index, now);
        accept::head_timer::tick(now);
        worker.budget.tick(now.saturating_duration_since(before));
        let view = worker.view();
        if count % IDLE_TICKS == 0 {
            worker.close_idle(&view);
        }
    }
}

// === impl Worker ===

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Self {
        let view = View::new(shared.generation(), shared.snapshot(), None);
        Self {
            index,
            random: RefCell::new(generator()),
            open: Rc::default(),
            budget: Budget::new(shared.state().workers()),
            connections: Connections::default(),
            view: RefCell::new(Rc::new(view)),
            now: Cell::new(shared.clock().now()),
            draining: Cell::new(false),
            closing: Cell::new(false),
            stopping: Cell::new(false),
            shared,
        }
    }

    /// The view of the snapshot in force, made new where the generation has changed.
    pub(crate) fn view(&self) -> Rc<View> {
        let generation = self.shared.generation();
        let mut view = self.view.borrow_mut();
        if view.generation != generation {
            *view = Rc::new(View::new(generation, self.shared.snapshot(), Some(&view)));
        }
        Rc::clone(&view)
    }

    /// About now: as of the last tick.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether the listeners are to be closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Whether a connection without a request is closed.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub(crate) fn process(&self) -> &ProcessShard {
        self.shared.state().process(self.index)
    }

    fn close_idle(&self, view: &View) {
        let timeout = self.shared.limits().idle_timeout;
        let Some(oldest) = self.now().checked_sub(timeout) else {
            return;
        };
        for endpoint in view.clusters.iter().flat_map(|cluster| &cluster.endpoints) {
            endpoint.close_idle(oldest);
        }
    }
}

// === impl LocalExecutor ===

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

// === impl Connections ===

impl Connections {
    pub(crate) fn enter(&self, waker: &Waker) -> Place {
        let mut wakers = self.0.borrow_mut();
        let at = wakers.free.pop().unwrap_or(wakers.wakers.len());
        if at == wakers.wakers.len() {
            wakers.wakers.push(None);
        }
        wakers.wakers[at] = Some(waker.clone());
        Place {
            wakers: Rc::clone(&self.0),
            at,
        }
    }

    fn wake_all(&self) {
        let wakers: Vec<_> = self.0.borrow().wakers.iter().flatten().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut wakers = self.wakers.borrow_mut();
        wakers.wakers[self.at] = None;
        wakers.free.push(self.at);
    }
}
