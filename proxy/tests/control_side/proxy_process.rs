//! A real proxy in this process, on ports of the system's choice.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sluice_proxy::args::{AccessLog, Membership, Settings, Source};
use sluice_proxy::run::{Addresses, Running, Signals, start};

use crate::http_client::{Answer, get, json};
use crate::{eventually, fake_controller::FakeController};

pub(crate) const FLEET: &str = "shop/app";

/// A running proxy; it is drained when it is dropped.
pub(crate) struct Proxy {
    running: Option<Running>,
    pub(crate) at: Addresses,
}

impl Proxy {
    pub(crate) fn of_file(path: &Path) -> Self {
        Self::start(settings(Source::File(path.to_owned())))
    }

    pub(crate) fn of_controller(controller: &FakeController, state_dir: Option<PathBuf>) -> Self {
        let membership = Membership {
            credentials: None,
            controller: controller.url().parse().expect("loopback"),
            fleet: FLEET.to_owned(),
            proxy: "proxy-1".to_owned(),
        };
        Self::start(Settings {
            state_dir,
            ..settings(Source::Controller(membership))
        })
    }

    pub(crate) fn start(settings: Settings) -> Self {
        let running = start(settings, Signals::Ignore).expect("started");
        let at = running.addresses().clone();
        Self {
            running: Some(running),
            at,
        }
    }

    /// Drains, and says whether that went well.
    pub(crate) async fn stop(mut self) -> bool {
        let running = self.running.take().expect("not stopped yet");
        running.drain().ask();
        tokio::task::spawn_blocking(|| running.wait())
            .await
            .expect("no panic")
    }

    pub(crate) fn begin_to_drain(&self) {
        self.running.as_ref().expect("running").drain().ask();
    }

    pub(crate) async fn ready(&self) {
        eventually("ready", async || {
            let answer = get(self.at.status, "/readyz").await?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    pub(crate) async fn get(&self) -> Option<Answer> {
        get(self.at.data, "/").await
    }

    /// The bodies of some answers, all of them 200.
    pub(crate) async fn bodies(&self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            let answer = self.get().await.expect("an answer");
            assert_eq!(answer.status, 200, "{answer:?}");
            bodies.push(answer.body);
        }
        bodies
    }

    pub(crate) async fn config(&self) -> serde_json::Value {
        json(self.at.admin, "/config").await
    }

    pub(crate) async fn metrics(&self) -> String {
        get(self.at.status, "/metrics")
            .await
            .expect("a scrape")
            .body
    }

    /// The value of a series by its whole name, as a whole number.
    pub(crate) async fn metric(&self, series: &str) -> i64 {
        let text = self.metrics().await;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {series} in\n{text}"));
        value.parse::<f64>().expect("a number").round() as i64
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.drain().hurry();
            let ended = running.wait();
            assert!(ended || std::thread::panicking(), "the proxy ended badly");
        }
    }
}

pub(crate) fn settings(source: Source) -> Settings {
    let any = "127.0.0.1:0".parse().expect("an address");
    Settings {
        listen: any,
        listen_tls: Some(any),
        status: any,
        admin: any,
        workers: 2,
        source,
        poll: Duration::from_millis(20),
        state_dir: None,
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(5),
        access_log: AccessLog::Off,
    }
}
