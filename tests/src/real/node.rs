//! The node: our own kubelet, as cluster admin, with pods that are processes.
//!
//! One for all tests of a process, on a thread of its own: a test's runtime ends with the test. When
//! the process ends, supervisors end whatever it still ran.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use cli::part::Exe;
use ipnet::Ipv4Net;
use local::clock::Clock;
use local::kubelet::images::ImageCommands;
use local::kubelet::logs::Logs;
use local::kubelet::runtime::processes::{Processes, Settings};
use local::kubelet::{Config, Kubelet};
use tokio_util::sync::CancellationToken;

use super::client;

/// The control plane's network, which is local inside of `run`: the API server accepts its addresses
/// in EndpointSlices, and processes can bind them.
const PODS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 17);
/// The node's own address, outside of that.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 244, 128, 1);

static STARTED: Once = Once::new();

/// Starts it, once.
pub fn start(program: &Path, kubeconfig: &Path) {
    STARTED.call_once(|| {
        let (program, kubeconfig) = (program.to_owned(), kubeconfig.to_owned());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(run(program, kubeconfig));
        });
    });
}

async fn run(program: PathBuf, kubeconfig: PathBuf) {
    let (client, clock) = (client(&kubeconfig).await, Clock::system());
    let dir = tempfile::tempdir().expect("a directory");
    let inherited = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    let settings = Settings {
        shim: Exe::at(program).shim(),
        images: ImageCommands::default(),
        caller: ["PATH", "HOME", "LANG"]
            .into_iter()
            .filter_map(inherited)
            .collect::<BTreeMap<_, _>>(),
        host_ip: HOST,
    };
    let logs = Logs::new(dir.path().to_owned(), clock);
    let runtime = Arc::new(Processes::new(client.clone(), settings, logs));
    let kubelet = Kubelet {
        client,
        clock,
        config: Config {
            node: "processes".to_owned(),
            host_ip: HOST,
            pod_range: PODS,
        },
        runtime,
    };
    kubelet.run(CancellationToken::new()).await;
}
