//! The control side of a real proxy: a fake controller, real apps, real sockets, one process.

#[path = "control_side/app.rs"]
mod app;
#[path = "control_side/commands.rs"]
mod commands;
#[path = "control_side/drains.rs"]
mod drains;
#[path = "control_side/fake_controller.rs"]
mod fake_controller;
#[path = "control_side/files.rs"]
mod files;
#[path = "control_side/fuses.rs"]
mod fuses;
#[path = "control_side/http_client.rs"]
mod http_client;
#[path = "control_side/keeps.rs"]
mod keeps;
#[path = "control_side/proxy_process.rs"]
mod proxy_process;
#[path = "control_side/snapshots.rs"]
mod snapshots;
#[path = "control_side/uplinks.rs"]
mod uplinks;

use std::future::Future;
use std::time::Duration;

/// Nothing in these tests takes as long; a slow machine may.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks again until the answer is there.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}
