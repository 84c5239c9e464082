//! No process outlives `sluice`.

use std::time::Duration;

use sluice_tests::processes::{command_line, descendants, kill, runs};
use sluice_tests::up::Up;
use sluice_tests::wait::{LONG, eventually};

use crate::{example, number, program};

/// Supervisor, controller, proxy, and ten pods, each process with its own supervisor.
const PROCESSES: usize = 24;
/// Two seconds to end by themselves, and time to be killed on a busy machine.
const GONE_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_a_sluice_up_that_is_killed() {
    let up = Up::start(program(), number::ORPHANS, &[example()]).await;
    let pid = up.pid();
    let all = eventually("all processes", LONG, async || {
        let all = descendants(pid);
        (all.len() >= PROCESSES).then_some(all)
    })
    .await;
    kill(pid);
    let left = || all.iter().copied().filter(|process| runs(*process));
    let gone = async || left().next().is_none().then_some(());
    let in_time = tokio::time::timeout(GONE_WITHIN, eventually("the end", LONG, gone)).await;
    let left: Vec<_> = left().map(command_line).collect();
    assert!(
        in_time.is_ok(),
        "after {GONE_WITHIN:?} these still run: {left:#?}"
    );
}
