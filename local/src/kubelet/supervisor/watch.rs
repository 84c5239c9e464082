//! The supervisor's own life: become a subreaper, start the command, then wait for the first of
//! three things: the command ends, the parent orders something, the parent is gone.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    pin::pin,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use rustix::process::{
    Pid, Signal, WaitStatus, getpid, kill_process_group, set_child_subreaper, setsid,
};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use super::{
    CANNOT_START, KILL, ORPHAN_GRACE, TERMINATE,
    descendants::{end_all, reap, signal_all},
};

/// Why a supervisor could not do its work.
#[derive(Debug, thiserror::Error)]
enum SuperviseError {
    #[error("nothing to run: expected `-- COMMAND [ARG]...` after the supervisor's argument")]
    NoCommand,
    #[error("standard input is not a pipe: a supervisor is started by sluice, not by hand")]
    NoPipe(#[source] io::Error),
    #[error("cannot become a subreaper")]
    Subreaper(#[source] io::Error),
    #[error("cannot watch signals and the parent")]
    Setup(#[source] io::Error),
    #[error("cannot start {program:?}: {source}")]
    Start {
        program: OsString,
        source: io::Error,
    },
}

/// Runs as a supervisor; `args` is what follows [`super::SUPERVISE`]. The exit code is the
/// command's, or 128 plus the signal that ended it.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match supervise(args.into_iter().collect()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Standard error is the container's log: the one place where a user looks.
            let _ = writeln!(io::stderr(), "sluice: {error}");
            ExitCode::from(CANNOT_START)
        }
    }
}

fn supervise(args: Vec<OsString>) -> Result<u8, SuperviseError> {
    let argv: Vec<OsString> = args.into_iter().skip_while(|arg| arg == "--").collect();
    let [program, rest @ ..] = argv.as_slice() else {
        return Err(SuperviseError::NoCommand);
    };
    // It fails only where we lead a group already, and then we are out of the parent's.
    let _ = setsid();
    set_child_subreaper(Some(getpid())).map_err(|e| SuperviseError::Subreaper(e.into()))?;
    // One thread, no pool: a supervisor stands beside every container.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SuperviseError::Setup)?;
    runtime.block_on(async {
        let mut watch = Watch::new()?;
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).process_group(0);
        let child = command.spawn().map_err(|source| SuperviseError::Start {
            program: program.clone(),
            source,
        })?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(watch
            .over(pid.expect("the kernel numbers processes from 1"))
            .await)
    })
}

/// All that a supervisor listens to. Made before the command is started, so that nothing is missed.
struct Watch {
    parent: pipe::Receiver,
    children: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

/// What a supervisor is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    ChildEnded,
    Terminate,
    Kill,
    ParentGone,
}

/// How far the ending has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    NotYet,
    Asked,
    Orphaned,
}

impl Watch {
    fn new() -> Result<Self, SuperviseError> {
        let stdin = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(SuperviseError::Setup)?;
        Ok(Self {
            parent: pipe::Receiver::from_owned_fd(stdin).map_err(SuperviseError::NoPipe)?,
            children: signal(SignalKind::child()).map_err(SuperviseError::Setup)?,
            terminate: signal(SignalKind::terminate()).map_err(SuperviseError::Setup)?,
            interrupt: signal(SignalKind::interrupt()).map_err(SuperviseError::Setup)?,
        })
    }

    /// Until the command has ended and nobody is left.
    async fn over(&mut self, command: Pid) -> u8 {
        let mut ending = Ending::NotYet;
        let mut patience = pin!(sleep(Duration::MAX));
        let status = loop {
            let heard = tokio::select! {
                heard = self.next(ending) => heard,
                () = &mut patience => Heard::Kill,
            };
            match heard {
                Heard::ChildEnded => {}
                Heard::Terminate if ending == Ending::NotYet => {
                    ending = Ending::Asked;
                    let _ = kill_process_group(command, Signal::TERM);
                }
                Heard::ParentGone => {
                    ending = Ending::Orphaned;
                    signal_all(Signal::TERM);
                    patience.set(sleep(ORPHAN_GRACE));
                }
                // A second SIGTERM means now.
                Heard::Kill | Heard::Terminate => break ended(command),
            }
            if let Some(status) = ended(command) {
                break Some(status);
            }
        };
        // The end of a container's first process is the end of all the others.
        end_all().await;
        status.map_or(128 + SIGKILL, exit_code)
    }

    async fn next(&mut self, ending: Ending) -> Heard {
        let mut order = [0];
        tokio::select! {
            _ = self.children.recv() => Heard::ChildEnded,
            _ = self.terminate.recv() => Heard::Terminate,
            _ = self.interrupt.recv() => Heard::Terminate,
            read = self.parent.read(&mut order), if ending != Ending::Orphaned => match read {
                Ok(1) if order[0] == TERMINATE => Heard::Terminate,
                Ok(1) if order[0] == KILL => Heard::Kill,
                _ => Heard::ParentGone,
            },
        }
    }
}

/// Collects all ended children; the status of `command`, if it is among them.
fn ended(command: Pid) -> Option<WaitStatus> {
    let mut found = None;
    reap(|pid, status| {
        if pid == command {
            found = Some(status);
        }
    });
    found
}

/// The number of SIGKILL, the same on every Linux.
const SIGKILL: u8 = 9;

/// The convention of shells and container runtimes.
fn exit_code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => i32::from(CANNOT_START),
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}
