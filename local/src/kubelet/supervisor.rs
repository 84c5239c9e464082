//! No process outlives us, however we end, SIGKILL included.
//!
//! The parent does not start a command itself. It starts *this program again* with a hidden
//! argument; that copy, the supervisor, becomes a subreaper (orphans of its command are reparented
//! to it and not to init), starts the command in a process group of its own, and then reads its
//! standard input: a pipe that the parent holds open and never writes to but for an order. When the
//! parent dies in any way the kernel closes the pipe, and the supervisor terminates every
//! descendant, those that called setsid or forked twice included. The end of the pipe cannot be
//! missed: it is a state, not an event, so a parent that dies before its supervisor has read the
//! first byte is noticed like any other.
//!
//! What this cannot survive is somebody who kills the supervisor itself with SIGKILL. It lives in a
//! session of its own, so neither a signal to the parent's process group nor a closed terminal
//! reaches it.
//!
//! The parent's half is [`Shim`] and [`Child`]; the other half is [`main`].

use std::{ffi::OsString, io, path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    process::{ChildStdin, Command},
};

mod descendants;
mod watch;

pub use watch::main;

/// The hidden first argument that makes the `sluice` binary a supervisor.
pub const SUPERVISE: &str = "__supervise";

/// What the kernel calls the program that this process runs.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// How long descendants have between SIGTERM and SIGKILL when the parent is gone.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// The exit code when the command could not be started, as a shell reports it.
pub const CANNOT_START: u8 = 127;

/// The order to send SIGTERM to the command's process group.
const TERMINATE: u8 = b'T';
/// The order to kill every descendant now.
const KILL: u8 = b'K';

/// How to start a supervisor: a program and the arguments that make it one.
#[derive(Clone, Debug)]
pub struct Shim {
    program: OsString,
    args: Vec<OsString>,
}

/// What a supervisor is to run. No shell is added.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The working directory; the parent's if none.
    pub cwd: Option<PathBuf>,
}

/// A running supervisor, and so the command that it runs. Dropping it ends the command.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    orders: Option<ChildStdin>,
    pid: u32,
}

// === impl Shim ===

impl Shim {
    /// This very program with [`SUPERVISE`] as its first argument. `/proc/self/exe` still names the
    /// program when its file has been replaced by a newer build.
    pub fn current() -> Self {
        Self::of(OWN_PROGRAM, [SUPERVISE])
    }

    /// Another program that calls [`main`] when it is given `args`.
    pub fn of<A: Into<OsString>>(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
        }
    }

    /// The command line of a supervisor that runs `job`. The caller may still say where standard
    /// output and error go; standard input belongs to the supervisor.
    pub fn command(&self, job: &Job) -> Command {
        let mut command = Command::new(&self.program);
        if self.program == OWN_PROGRAM {
            // For those who look at the list of processes.
            command.arg0("sluice");
        }
        command.args(&self.args).arg("--").args(&job.argv);
        command
            .env_clear()
            .envs(job.env.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &job.cwd {
            command.current_dir(cwd);
        }
        command.stdin(Stdio::piped());
        command
    }
}

// === impl Child ===

impl Child {
    /// Starts a command that [`Shim::command`] made.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        let mut process = command.stdin(Stdio::piped()).spawn()?;
        let orders = process.stdin.take();
        let pid = process.id().unwrap_or_default();
        Ok(Self {
            process,
            orders,
            pid,
        })
    }

    /// The supervisor's process id; the command is a child of that process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The command's standard output, if it was piped and not yet taken.
    pub fn take_stdout(&mut self) -> Option<tokio::process::ChildStdout> {
        self.process.stdout.take()
    }

    /// The command's standard error, if it was piped and not yet taken.
    pub fn take_stderr(&mut self) -> Option<tokio::process::ChildStderr> {
        self.process.stderr.take()
    }

    /// Waits until the command and all that it started are gone; the command's exit code, or 128
    /// plus the signal that ended it. Cancel-safe.
    pub async fn wait(&mut self) -> io::Result<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.process.wait().await?;
        Ok(status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
    }

    /// Sends SIGTERM to the command's process group.
    pub async fn terminate(&mut self) {
        self.order(TERMINATE).await;
    }

    /// Kills the command and every descendant.
    pub async fn kill(&mut self) {
        self.order(KILL).await;
    }

    /// SIGTERM, and SIGKILL to whatever is left after `grace`. Not cancel-safe: a caller that
    /// stops waiting leaves the command terminating.
    pub async fn stop(&mut self, grace: Duration) -> io::Result<i32> {
        self.terminate().await;
        if let Ok(exit) = tokio::time::timeout(grace, self.wait()).await {
            return exit;
        }
        self.kill().await;
        self.wait().await
    }

    /// A supervisor that has already ended has carried out every order.
    async fn order(&mut self, order: u8) {
        if let Some(orders) = &mut self.orders
            && orders.write_all(&[order]).await.is_err()
        {
            self.orders = None;
        }
    }
}
