//! Who descends from whom, from /proc.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// A process: its number, and when it started. Numbers are used again, pairs are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    started: u64,
}

/// All that `ancestor` started, and what those started.
pub fn descendants(ancestor: i32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        for (process, _) in all.iter().filter(|(_, of)| **of == parent) {
            parents.push(process.pid);
            found.push(*process);
        }
    }
    found
}

/// Whether it still runs. A zombie does not.
pub fn runs(process: Process) -> bool {
    stat(process.pid).is_some_and(|(now, _)| now == process)
}

/// Its command line, for messages.
pub fn command_line(process: Process) -> String {
    let text = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    String::from_utf8_lossy(&text).replace('\0', " ")
}

/// Sends SIGKILL.
pub fn kill(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process number");
    kill_process(pid, Signal::KILL).expect("a process of ours");
}

/// Processes and their parents.
fn all() -> BTreeMap<Process, i32> {
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    entries
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

fn stat(pid: i32) -> Option<(Process, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): the name may contain anything, so count from behind it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, parent, started) = (fields.first()?, fields.get(1)?, fields.get(19)?);
    (*state != "Z").then_some(())?;
    let process = Process {
        pid,
        started: started.parse().ok()?,
    };
    Some((process, parent.parse().ok()?))
}
