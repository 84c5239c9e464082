//! The control thread from its start to its end: makes the tasks, waits for the drain, ends the tasks.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Signals;
use crate::access_log::AccessLogWriter;
use crate::admin::Admin;
use crate::apply::{Board, WeightBook};
use crate::args::{Settings, Source};
use crate::clock::Clock;
use crate::control::{self, Control, door};
use crate::drain::{self, Drain, Patience};
use crate::fuse::Fuses;
use crate::kept::Store;
use crate::status::Status;
use crate::uplink_client::{Uplink, source};
use crate::worker::{Shared, WorkerHandle};

/// How long tasks may take to end after the last request: a goodbye, a file to be written.
const END_WAIT: Duration = Duration::from_secs(2);

/// What the control thread starts with.
pub(super) struct Parts {
    pub(super) settings: Settings,
    pub(super) signals: Signals,
    pub(super) store: Store,
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Vec<WorkerHandle>,
    pub(super) drain: Drain,
    pub(super) status: TcpListener,
    pub(super) admin: TcpListener,
    pub(super) log_writer: Option<AccessLogWriter>,
}

/// Runs until drained; true where that went well.
pub(super) fn run(mut parts: Parts) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let log_writer = parts.log_writer.take();
    let outcome = runtime.and_then(|runtime| {
        let outcome = runtime.block_on(serve(parts));
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(well) => {
            // The last sender is gone with the last worker; a worker left behind still holds one.
            if let Some(writer) = log_writer.filter(|_| well) {
                writer.finish();
            }
            info!(well, "stopped");
            well
        }
        Err(problem) => {
            error!(error = %problem, "the control thread could not start");
            false
        }
    }
}

async fn serve(parts: Parts) -> io::Result<bool> {
    let Parts {
        settings,
        signals,
        store,
        shared,
        workers,
        drain,
        status,
        admin,
        ..
    } = parts;
    let uplink = match &settings.source {
        Source::Controller(membership) => Some(Arc::new(Uplink::new(membership.clone()))),
        Source::File(_) => None,
    };
    let fuses = Arc::new(Fuses::new(Arc::clone(shared.state()), store.clone(), Clock));
    let control = Arc::new(Control {
        shared,
        clock: Clock,
        store,
        board: Arc::new(Board::default()),
        weights: Arc::new(WeightBook::default()),
        fuses,
        uplink,
        drain,
        leaving: CancellationToken::new(),
    });
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (status, admin) = (listener(status)?, listener(admin)?);
    tasks.spawn(door::serve(
        status,
        Arc::new(Status(Arc::clone(&control))),
        stop.clone(),
    ));
    tasks.spawn(door::serve(
        admin,
        Arc::new(Admin(Arc::clone(&control))),
        stop.clone(),
    ));
    if signals == Signals::Obey {
        tasks.spawn(obey(control.drain.clone(), stop.clone()));
    }
    spawn_source(&mut tasks, &control, &settings, &stop);
    spawn_watchers(&mut tasks, &control, &stop);
    let patience = Patience {
        delay: settings.drain_delay,
        timeout: settings.drain_timeout,
    };
    let well = until_drained(&control, workers, patience, &mut tasks).await;
    stop.cancel();
    let ended = tokio::time::timeout(END_WAIT, async {
        while tasks.join_next().await.is_some() {}
    });
    if ended.await.is_err() {
        error!("tasks did not end in time");
    }
    Ok(well)
}

fn spawn_source(
    tasks: &mut JoinSet<()>,
    control: &Arc<Control>,
    settings: &Settings,
    stop: &CancellationToken,
) {
    let poll = settings.poll;
    match (&settings.source, &control.uplink) {
        (Source::File(path), _) => {
            let (control, path, stop) = (Arc::clone(control), path.clone(), stop.clone());
            tasks.spawn(async move { control::follow_file(&control, path, poll, &stop).await });
        }
        (Source::Controller(_), Some(uplink)) => {
            let (at, of, until) = (Arc::clone(uplink), Arc::clone(control), stop.clone());
            tasks.spawn(async move { at.run(&of, &until).await });
            let (at, of, until) = (Arc::clone(uplink), Arc::clone(control), stop.clone());
            tasks.spawn(async move { source::run(&at, of.applier(), &of, poll, &until).await });
        }
        (Source::Controller(_), None) => {}
    }
}

fn spawn_watchers(tasks: &mut JoinSet<()>, control: &Arc<Control>, stop: &CancellationToken) {
    let (fuses, until) = (Arc::clone(&control.fuses), stop.clone());
    tasks.spawn(async move { fuses.run(until).await });
    let (of, until) = (Arc::clone(control), stop.clone());
    tasks.spawn(async move { control::keep(&of, &until).await });
    let (of, until) = (Arc::clone(control), stop.clone());
    tasks.spawn(async move { control::sweep(&of, &until).await });
}

/// A task that panics takes the proxy down in good order: one without fuses, or that answers no
/// probe, must not look healthy.
async fn until_drained(
    control: &Arc<Control>,
    workers: Vec<WorkerHandle>,
    patience: Patience,
    tasks: &mut JoinSet<()>,
) -> bool {
    let drained = drain::run(control, workers, patience);
    tokio::pin!(drained);
    let mut healthy = true;
    loop {
        tokio::select! {
            well = &mut drained => return well && healthy,
            Some(Err(problem)) = tasks.join_next() => {
                error!(error = %problem, "a control task failed");
                healthy = false;
                control.drain.ask();
            }
        }
    }
}

async fn obey(drain: Drain, stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        error!("signals cannot be heard; only the admin listener can end this proxy");
        return;
    };
    for signals in 0u32.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.cancelled() => return,
        }
        if signals == 0 {
            drain.ask();
        } else {
            drain.hurry();
        }
    }
}

fn listener(socket: TcpListener) -> io::Result<tokio::net::TcpListener> {
    socket.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(socket)
}
