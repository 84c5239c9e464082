//! A real Prometheus that scrapes proxies, where the machine has one.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};

use crate::wait::{LONG, eventually};

/// What it says once it serves, before its address.
const LISTENING: &str = "msg=\"Listening on\" address=";

/// A running Prometheus. It ends when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    child: Child,
    /// What it writes goes on being read, so that it never waits for a reader.
    _log: tokio::task::JoinHandle<()>,
    _data: TempDir,
}

// === impl Prometheus ===

impl Prometheus {
    /// One that scrapes `targets` every second; `None` where this machine has no Prometheus.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start(targets: &[SocketAddr]) -> Option<Self> {
        let data = tempfile::tempdir().expect("a directory");
        let config = data.path().join("prometheus.yml");
        let listed: Vec<String> = targets.iter().map(|it| format!("\"{it}\"")).collect();
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: sluice-proxy\n    static_configs:\n      - targets: [{}]\n",
            listed.join(", ")
        );
        std::fs::write(&config, text).expect("a file");
        let mut child = spawn(&config, data.path())?;
        let stderr = child.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines();
        let told = tokio::time::timeout(LONG, address(&mut lines)).await;
        let address = told
            .expect("it listens in time")
            .expect("it says where it listens");
        let log = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self {
            address,
            child,
            _log: log,
            _data: data,
        })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it has scraped a series of this name.
    pub async fn has(&self, series: &str) {
        let path = format!("/api/v1/query?query={series}");
        eventually(&format!("{series} in Prometheus"), LONG, async || {
            let answer = crate::http::get(self.address, &path).await?;
            answer.body.contains("\"value\"").then_some(())
        })
        .await;
    }

    /// Ends it as a crash would.
    ///
    /// # Panics
    ///
    /// When it cannot be ended.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child of ours");
    }
}

fn spawn(config: &Path, data: &Path) -> Option<Child> {
    let started = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            data.join("tsdb").display()
        ))
        .arg("--web.listen-address=127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    match started {
        Ok(child) => Some(child),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("prometheus does not start: {error}"),
    }
}

async fn address(
    lines: &mut tokio::io::Lines<BufReader<ChildStderr>>,
) -> anyhow::Result<SocketAddr> {
    while let Some(line) = lines.next_line().await? {
        let Some((_, rest)) = line.split_once(LISTENING) else {
            continue;
        };
        let address = rest.split_whitespace().next().context("no address")?;
        return Ok(address.parse()?);
    }
    anyhow::bail!("it ended")
}
