//! No process outlives its parent: real processes, real signals. The parent that is killed is this
//! test program, started again in another role.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sluice_local::kubelet::supervisor::{Child, Job, Shim};

/// Says which job the parent's role is to run.
const ROLE: &str = "SUPERVISOR_TEST_SCRIPT";
/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

fn shim() -> Shim {
    Shim::of(env!("CARGO_BIN_EXE_sluice-supervise"), Vec::<String>::new())
}

fn shell(script: &str) -> Job {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Job {
        argv,
        env: vec![("PATH".into(), std::env::var("PATH").unwrap())],
        cwd: None,
    }
}

/// Starts `script`, and a pipe that ends when the last process that has it open is gone.
fn started(script: &str) -> (Child, tokio::process::ChildStdout) {
    let mut command = shim().command(&shell(script));
    command.stdout(Stdio::piped());
    let mut child = Child::spawn(command).unwrap();
    let out = child.take_stdout().unwrap();
    (child, out)
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what)
        .await
        .expect("it takes too long")
}

async fn line(out: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut line = Vec::new();
    while let Ok(byte) = out.read_u8().await {
        if byte == b'\n' {
            break;
        }
        line.push(byte);
    }
    String::from_utf8(line).unwrap()
}

/// A process that left its group and session and was adopted, and that ignores SIGTERM. It writes
/// its number to `$1` first.
fn escapee(file: &Path) -> String {
    let file = file.display();
    format!(
        "(setsid sh -c 'trap \"\" TERM; (echo $$ > {file}.new; mv {file}.new {file}; \
         while :; do sleep 1; done)' &); "
    )
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

/// Reads a file that somebody is about to write.
async fn written(file: PathBuf) -> String {
    within(async {
        loop {
            if let Ok(text) = fs::read_to_string(&file) {
                return text.trim().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

async fn gone(pid: &str) {
    within(async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_exit_code_is_the_commands() {
    let table = [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -KILL $$", 137),
        ("kill -SEGV $$", 139),
        ("exec /no/such/program", 127),
    ];
    for (script, expected) in table {
        let (mut child, _out) = started(script);
        assert_eq!(within(child.wait()).await.unwrap(), expected, "{script}");
    }
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_127_and_a_sentence() {
    use tokio::io::AsyncReadExt as _;
    let job = Job {
        argv: vec!["./no-such-program".to_owned()],
        ..Job::default()
    };
    let mut command = shim().command(&job);
    command.stderr(Stdio::piped());
    let mut child = Child::spawn(command).unwrap();
    let mut said = String::new();
    child
        .take_stderr()
        .unwrap()
        .read_to_string(&mut said)
        .await
        .unwrap();
    assert_eq!(within(child.wait()).await.unwrap(), 127);
    assert!(
        said.contains("cannot start \"./no-such-program\""),
        "{said}"
    );
}

#[tokio::test]
async fn the_environment_is_the_jobs_alone() {
    let mut job = shell("echo \"$A:$HOME:$(pwd)\"");
    job.env.push(("A".to_owned(), "b c".to_owned()));
    job.cwd = Some(PathBuf::from("/"));
    let mut command = shim().command(&job);
    command.stdout(Stdio::piped());
    let mut child = Child::spawn(command).unwrap();
    let mut out = child.take_stdout().unwrap();
    assert_eq!(within(line(&mut out)).await, "b c::/");
    within(child.wait()).await.unwrap();
}

#[tokio::test]
async fn sigterm_reaches_the_whole_group_and_may_be_answered() {
    let (mut child, mut out) = started("trap 'exit 3' TERM; echo up; while :; do sleep 1; done");
    assert_eq!(within(line(&mut out)).await, "up");
    child.terminate().await;
    assert_eq!(within(child.wait()).await.unwrap(), 3);
}

#[tokio::test]
async fn a_second_sigterm_to_the_supervisor_kills() {
    let (mut child, mut out) =
        started("trap 'echo heard' TERM; echo up; while :; do sleep 1; done");
    assert_eq!(within(line(&mut out)).await, "up");
    for heard in ["heard", ""] {
        kill_process(pid_of(child.pid()), Signal::TERM).unwrap();
        assert_eq!(within(line(&mut out)).await, heard);
    }
    assert_eq!(within(child.wait()).await.unwrap(), 137);
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_after_the_grace_with_all_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!(
        "trap '' TERM; {} echo up; while :; do sleep 1; done",
        escapee(&file)
    );
    let (mut child, mut out) = started(&script);
    assert_eq!(within(line(&mut out)).await, "up");
    let escaped = written(file).await;
    let code = within(child.stop(Duration::from_millis(100)))
        .await
        .unwrap();
    assert_eq!(code, 137);
    assert!(
        !is_alive(&escaped),
        "{escaped} is still there when the supervisor has ended"
    );
}

#[tokio::test]
async fn the_end_of_the_command_is_the_end_of_what_it_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let wait = format!("until [ -e {} ]; do sleep 0.01; done", file.display());
    let (mut child, _out) = started(&format!("{} {wait}; exit 5", escapee(&file)));
    assert_eq!(within(child.wait()).await.unwrap(), 5);
    let escaped = written(file).await;
    assert!(!is_alive(&escaped), "{escaped} is still there");
}

/// Not a test of its own: the parent that the next test kills.
#[tokio::test]
async fn parent_role() {
    let Ok(script) = std::env::var(ROLE) else {
        return;
    };
    let command = shim().command(&shell(&script));
    let child = Child::spawn(command).unwrap();
    writeln!(std::io::stdout(), "supervisor {}", child.pid()).unwrap();
    std::future::pending::<()>().await;
}

/// This program as a parent that runs `script`; killed when it is dropped.
struct Parent {
    process: std::process::Child,
    /// Held open, so that the parent does not end because nobody reads it.
    _out: std::io::Lines<BufReader<std::process::ChildStdout>>,
    supervisor: String,
}

impl Parent {
    /// As `kill -9 -PGID` does, or a terminal that ends its foreground job.
    fn kill_group(mut self) -> String {
        kill_process_group(pid_of(self.process.id()), Signal::KILL).unwrap();
        self.process.wait().unwrap();
        std::mem::take(&mut self.supervisor)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn pid_of(number: u32) -> Pid {
    Pid::from_raw(number.try_into().unwrap()).unwrap()
}

fn parent(script: &str) -> Parent {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_role", "--nocapture"])
        .env(ROLE, script)
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap()).lines();
    let supervisor = out
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            line.split_once("supervisor ")
                .map(|(_, pid)| pid.to_owned())
        })
        .unwrap();
    Parent {
        process,
        _out: out,
        supervisor,
    }
}

#[tokio::test]
async fn nobody_outlives_a_parent_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (escaped, main) = (dir.path().join("escaped"), dir.path().join("main"));
    let main_file = main.display();
    let script = format!(
        "trap '' TERM; {} echo $$ > {main_file}.new; mv {main_file}.new {main_file}; \
         while :; do sleep 1; done",
        escapee(&escaped)
    );
    let parent = parent(&script);
    let supervisor = parent.supervisor.clone();
    let (escaped, main) = (written(escaped).await, written(main).await);
    for pid in [&escaped, &main, &supervisor] {
        assert!(is_alive(pid), "{pid}");
    }
    drop(parent);
    for pid in [&escaped, &main, &supervisor] {
        gone(pid).await;
    }
}

#[tokio::test]
async fn a_parent_killed_at_once_with_its_group_leaves_nobody_either() {
    for _ in 0..10 {
        let supervisor = parent("while :; do sleep 1; done").kill_group();
        gone(&supervisor).await;
    }
}
