//! A real Kubernetes control plane: what the tests beside one are told with.
//!
//! `.ci/real` starts one and says so by `SLUICE_REAL`; [`plane`] is it, or a line that says that a
//! test was not run. Its pods are processes of ours: a [`node`] is our own kubelet, pointed at it.
//! [`ground`] is a namespace with a controller that has the [`rights`] of `deploy/` and no others,
//! which reaches the API server through a [`door`] that keeps a record of every answer and that a
//! test may shut; and with a fleet of real
//! proxies that know it by a [`service`]. [`argo`] is Argo's own controller and plugin,
//! [`schemas`] compares its CRDs with ours.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::kubectl;

pub mod node;

pub mod door;
pub mod rights;
pub mod service;

pub mod ground;

pub mod argo;
pub mod schemas;

/// Where this repository is.
pub const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The control plane.
#[derive(Clone)]
pub struct Plane {
    /// A client with all rights.
    pub client: Client,
    /// What it was made from.
    pub kubeconfig: PathBuf,
    /// kubectl with all rights.
    pub kubectl: kubectl::Client,
}

/// Who watches the whole cluster must be alone on it.
static WHOLE: RwLock<()> = RwLock::const_new(());
static CRDS: OnceCell<()> = OnceCell::const_new();

/// The control plane, with our CRDs on it and a node; nothing where there is none, and a line that
/// says so. `program` is what runs supervisors.
///
/// # Panics
///
/// When there should be one and it cannot be used.
#[expect(
    clippy::print_stderr,
    reason = "a test that proves nothing must say so"
)]
pub async fn plane(program: &Path) -> Option<Plane> {
    let what = std::env::var("SLUICE_REAL").unwrap_or_default();
    if what != "pods" {
        eprintln!("skipped: no real control plane whose pods are ours (SLUICE_REAL={what:?})");
        return None;
    }
    let plane = Plane::of_environment().await;
    node::start(program, &plane.kubeconfig);
    Some(plane)
}

/// The control plane, with our CRDs on it, whatever runs its pods; nothing where there is none, and a
/// line that says so.
///
/// # Panics
///
/// When there should be one and it cannot be used.
#[expect(
    clippy::print_stderr,
    reason = "a test that proves nothing must say so"
)]
pub async fn any_plane() -> Option<Plane> {
    if std::env::var_os("SLUICE_REAL").is_none() {
        eprintln!("skipped: no real control plane (SLUICE_REAL)");
        return None;
    }
    Some(Plane::of_environment().await)
}

/// Installs CRDs and waits until they are served.
pub async fn install_crds(kubectl: &kubectl::Client, dir: &Path) {
    let dir = dir.to_str().expect("a path in UTF-8");
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", dir];
    kubectl.run(&apply).await;
    let wait = ["wait", "--for=condition=Established", "--timeout=30s", "-f"];
    kubectl.run(&[&wait[..], &[dir]].concat()).await;
}

/// A client of whoever a kubeconfig says.
pub async fn client(kubeconfig: &Path) -> Client {
    Client::try_from(config(kubeconfig).await).expect("a client")
}

async fn config(kubeconfig: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a usable kubeconfig")
}

// === impl Plane ===

impl Plane {
    async fn of_environment() -> Self {
        let kubeconfig = PathBuf::from(std::env::var_os("KUBECONFIG").expect("KUBECONFIG"));
        let kubectl = kubectl::Client::kubectl(&kubeconfig).expect("kubectl on the PATH");
        let client = client(&kubeconfig).await;
        CRDS.get_or_init(async || {
            let dir = format!("{REPOSITORY}/deploy/crds");
            install_crds(&kubectl, Path::new(&dir)).await;
        })
        .await;
        Self {
            client,
            kubeconfig,
            kubectl,
        }
    }

    /// Until the guard is dropped, no other test of this process has a controller.
    pub async fn alone(&self) -> RwLockWriteGuard<'static, ()> {
        WHOLE.write().await
    }

    /// Until the guard is dropped, other tests have controllers of one namespace only.
    pub async fn beside_others(&self) -> RwLockReadGuard<'static, ()> {
        WHOLE.read().await
    }

    /// A client that says who it is itself: what passes through it carries its own token.
    pub async fn passing_client(&self) -> Client {
        let mut config = config(&self.kubeconfig).await;
        config.auth_info = kube::config::AuthInfo::default();
        Client::try_from(config).expect("a client")
    }
}

/// A kubeconfig for a token, with a default namespace.
pub fn kubeconfig_of(server: &str, token: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server, "insecure-skip-tls-verify": true}}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
    })
}
