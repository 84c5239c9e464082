//! A part of the program that is kept running: started under a supervisor, started again when it
//! ends, its output in a bounded log file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use local::kubelet::supervisor::{Child, Job, Shim};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::log_file::LogFile;

/// The pause before the first new start; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Who ran this long starts again after the shortest pause.
const STEADY: Duration = Duration::from_secs(10);
/// How long the last lines of an ended process are waited for.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Orders that wait to be carried out.
const MAX_ORDERS: usize = 8;
/// Output is read in pieces of this size.
const PIECE: usize = 8 * 1024;

/// What is kept running.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name in messages.
    pub name: String,
    /// How to start a supervisor.
    pub shim: Shim,
    /// What the supervisor runs.
    pub job: Job,
    /// Where its output goes.
    pub log: PathBuf,
    /// How long it may take to end when asked to.
    pub grace: Duration,
}

/// Keeps it running until told otherwise. Dropping it ends the process.
#[derive(Debug)]
pub struct Keeper {
    name: String,
    log: PathBuf,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Kill,
    Halt,
    Resume,
    Stop,
}

// === impl Keeper ===

impl Keeper {
    /// Starts it.
    pub fn start(kept: Kept) -> io::Result<Self> {
        let log = Arc::new(LogFile::open(&kept.log)?);
        let (orders, inbox) = mpsc::channel(MAX_ORDERS);
        let (name, path) = (kept.name.clone(), kept.log.clone());
        let task = tokio::spawn(Keeping { kept, log, inbox }.run());
        Ok(Self {
            name,
            log: path,
            orders,
            task,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its output is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Kills the process with SIGKILL; it is started again.
    pub async fn kill(&self) {
        self.order(Order::Kill).await;
    }

    /// Kills the process with SIGKILL and leaves it dead until [`Self::resume`].
    pub async fn halt(&self) {
        self.order(Order::Halt).await;
    }

    /// Starts it again after [`Self::halt`].
    pub async fn resume(&self) {
        self.order(Order::Resume).await;
    }

    /// Asks the process to end, kills it when its grace is over, and starts it no more.
    pub async fn stop(self) {
        self.order(Order::Stop).await;
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    /// Who keeps has ended only if it was told to.
    async fn order(&self, order: Order) {
        let _ = self.orders.send(order).await;
    }
}

struct Keeping {
    kept: Kept,
    log: Arc<LogFile>,
    inbox: mpsc::Receiver<Order>,
}

/// How a run of the process ended, or what came between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Again,
    Later,
    Halted,
    Over,
}

impl Keeping {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let (next, steady) = self.once().await;
            pause = if steady { FIRST_PAUSE } else { pause };
            let next = match next {
                Next::Later => {
                    self.note(&format!("starts again in {pause:?}"));
                    let next = self.rest(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    next
                }
                other => other,
            };
            match next {
                Next::Halted if !self.resumed().await => return,
                Next::Over => return,
                _ => {}
            }
        }
    }

    /// One run of the process, and whether it ran for long.
    async fn once(&mut self) -> (Next, bool) {
        let mut command = self.kept.shim.command(&self.kept.job);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = match Child::spawn(command) {
            Ok(child) => child,
            Err(error) => {
                self.note(&format!("cannot be started: {error}"));
                return (Next::Later, false);
            }
        };
        let mut pumps = JoinSet::new();
        pumps.spawn(pump(child.take_stdout(), Arc::clone(&self.log)));
        pumps.spawn(pump(child.take_stderr(), Arc::clone(&self.log)));
        let mut long = std::pin::pin!(tokio::time::sleep(STEADY));
        let mut steady = false;
        let next = loop {
            tokio::select! {
                exit = child.wait() => {
                    self.note(&format!("ended by itself: {exit:?}"));
                    break Next::Later;
                }
                order = self.inbox.recv() => if let Some(next) = self.obey(order, &mut child).await {
                    break next;
                },
                () = &mut long, if !steady => steady = true,
            }
        };
        let _ = timeout(LAST_LINES, async {
            while pumps.join_next().await.is_some() {}
        })
        .await;
        (next, steady)
    }

    async fn obey(&self, order: Option<Order>, child: &mut Child) -> Option<Next> {
        let next = match order {
            Some(Order::Resume) => return None,
            Some(Order::Kill) => Next::Again,
            Some(Order::Halt) => Next::Halted,
            Some(Order::Stop) => {
                let ended = child.stop(self.kept.grace).await;
                self.note(&format!("was stopped: {ended:?}"));
                return Some(Next::Over);
            }
            None => Next::Over,
        };
        child.kill().await;
        let ended = child.wait().await;
        self.note(&format!("was killed: {ended:?}"));
        Some(next)
    }

    /// Waits before the next start; an order may change what comes next.
    async fn rest(&mut self, pause: Duration) -> Next {
        match timeout(pause, self.inbox.recv()).await {
            Err(_) | Ok(Some(Order::Kill | Order::Resume)) => Next::Again,
            Ok(Some(Order::Halt)) => Next::Halted,
            Ok(Some(Order::Stop) | None) => Next::Over,
        }
    }

    /// Waits until it may run again; false if it never may.
    async fn resumed(&mut self) -> bool {
        loop {
            match self.inbox.recv().await {
                Some(Order::Resume) => return true,
                Some(Order::Kill | Order::Halt) => {}
                Some(Order::Stop) | None => return false,
            }
        }
    }

    fn note(&self, what: &str) {
        self.log
            .write(format!("sluice up: {} {what}\n", self.kept.name).as_bytes());
    }
}

async fn pump(from: Option<impl AsyncRead + Unpin>, log: Arc<LogFile>) {
    let Some(mut from) = from else { return };
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        log.write(&piece[..length]);
    }
}
