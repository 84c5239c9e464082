//! `sluice up` as people start it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::site::print_logs;

/// How long it may take until everything is ready.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How long it may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// A running `sluice up`.
#[derive(Debug)]
pub struct Up {
    child: Child,
    /// What it said when everything was ready.
    pub ready: Ready,
    dir: tempfile::TempDir,
}

/// The line that `--json` promises.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    /// The kubeconfig.
    pub kubeconfig: PathBuf,
    /// The API server's URL.
    pub api: String,
    /// The first fleet's URL.
    pub proxy: Option<String>,
    /// Each fleet's URL.
    pub fleets: BTreeMap<String, String>,
}

impl Up {
    /// Starts it with manifests, and waits until it is ready. `number` keeps the addresses of
    /// clusters apart that run at the same time.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub async fn start(program: &Path, number: u8, manifests: &[&Path]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(program);
        command.args(["up", "--json", "--proxies", "1"]);
        command
            .arg("--pod-range")
            .arg(crate::site::pod_range(number).to_string());
        command.arg("--data-dir").arg(dir.path());
        for manifest in manifests {
            command.arg("-f").arg(manifest);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("a program that starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = timeout(READY_WITHIN, lines.next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            print_logs(dir.path());
            panic!("sluice up is not ready: {line:?}");
        };
        let ready = serde_json::from_str(&line).expect("the promised line");
        Self { child, ready, dir }
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        let pid = self.child.id().expect("running");
        i32::try_from(pid).expect("a process number")
    }

    /// The first fleet.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn proxy(&self) -> SocketAddr {
        let url = self.ready.proxy.as_deref().expect("a fleet");
        url.strip_prefix("http://")
            .expect("a URL")
            .parse()
            .expect("an address")
    }

    /// Asks it to end, and waits until it has; true if that went well.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a process number");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("ours");
        let ended = timeout(ENDS_WITHIN, self.child.wait()).await;
        ended.expect("an end").expect("a child").success()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if std::thread::panicking() {
            print_logs(self.dir.path());
        }
    }
}
