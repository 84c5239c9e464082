//! Who descends from this process, read from `/proc`.
//!
//! A process that leaves its group or session keeps its ancestry, and when its parent dies the
//! kernel gives it to the nearest subreaper, which is us. So the tree of parents is the one thing
//! that a process cannot escape from.

use std::{collections::HashMap, fs, time::Duration};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

/// How often the tree is read again until nobody is left. With [`ROUND`] this is about ten seconds,
/// after which only processes stuck in the kernel can remain.
const ROUNDS: u32 = 2000;
/// The pause between two looks, for the kernel to finish what was killed.
const ROUND: Duration = Duration::from_millis(5);

/// Sends `signal` to every living descendant.
pub(super) fn signal_all(signal: Signal) -> usize {
    let found = living();
    for pid in &found {
        // It may have ended since it was listed; then there is nothing to do. Its number cannot
        // have been given away within microseconds, as numbers are handed out in a ring.
        let _ = kill_process(*pid, signal);
    }
    found.len()
}

/// Kills until nobody is left; a process that forks meanwhile is found by the next look.
pub(super) async fn end_all() {
    for _ in 0..ROUNDS {
        let left = signal_all(Signal::KILL);
        reap(|_, _| ());
        if left == 0 {
            return;
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Collects every ended child of this process, adopted ones included.
pub(super) fn reap(mut seen: impl FnMut(Pid, WaitStatus)) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        seen(pid, status);
    }
}

fn living() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut children: HashMap<i32, Vec<(i32, bool)>> = HashMap::new();
    for entry in entries.flatten() {
        let stat = entry.path().join("stat");
        if let Some(process) = fs::read_to_string(stat).ok().as_deref().and_then(parse) {
            children
                .entry(process.parent)
                .or_default()
                .push((process.pid, process.zombie));
        }
    }
    let mut found = Vec::new();
    let mut next = vec![getpid().as_raw_nonzero().get()];
    while let Some(parent) = next.pop() {
        for (pid, zombie) in children.remove(&parent).unwrap_or_default() {
            next.push(pid);
            if !zombie {
                found.extend(Pid::from_raw(pid));
            }
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    zombie: bool,
}

/// Reads `/proc/<pid>/stat`: the name stands in parentheses and may itself contain parentheses and
/// blanks (proc_pid_stat(5)), so the fields are counted from the last one.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(' ')?;
    let (_, fields) = rest.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process {
        pid: pid.parse().ok()?,
        parent,
        zombie: matches!(state, "Z" | "X"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_are_read_past_any_name() {
        let table = [
            ("12 (sh) S 1 12 12 0", Some((12, 1, false))),
            ("13 (a) b) (c) Z 12 12 12 0", Some((13, 12, true))),
            ("14 (evil) S 1) R 13 1 1", Some((14, 13, false))),
            ("nonsense", None),
            ("15 (x) S", None),
        ];
        for (line, expected) in table {
            let expected = expected.map(|(pid, parent, zombie)| Process {
                pid,
                parent,
                zombie,
            });
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
