//! Argo's own controller and kubectl plugin, where they have been built.

use std::path::{Path, PathBuf};

use cli::up::keep::Keeper;

use super::Plane;
use super::ground::{SHORT_LEASE, Space};
use crate::kubectl;

/// Argo's programs and CRDs.
#[derive(Clone, Debug)]
pub struct Argo {
    assets: PathBuf,
}

// === impl Argo ===

impl Argo {
    /// Where `SLUICE_ARGO` says; nothing, and a line, where it says nothing.
    #[expect(
        clippy::print_stderr,
        reason = "a test that proves nothing must say so"
    )]
    pub fn found() -> Option<Self> {
        let assets = std::env::var_os("SLUICE_ARGO").map(PathBuf::from);
        let found = assets.filter(|dir| dir.join("rollouts-controller").is_file());
        if found.is_none() {
            eprintln!("skipped: no rollouts-controller (SLUICE_ARGO)");
        }
        found.map(|assets| Self { assets })
    }

    /// Its CRDs.
    pub fn crds(&self) -> PathBuf {
        self.assets.join("argo-crds")
    }

    /// Its plugin, as cluster admin.
    pub fn plugin(&self, plane: &Plane) -> kubectl::Client {
        kubectl::Client::of(self.assets.join("kubectl-argo-rollouts"), &plane.kubeconfig)
    }

    /// Starts its controller for one namespace, as cluster admin. It competes for the Lease of that
    /// namespace.
    pub fn start(&self, space: &Space) -> Keeper {
        let mut argv = vec![
            path(&self.assets.join("rollouts-controller")),
            format!("--kubeconfig={}", path(&space.plane.kubeconfig)),
            "--namespaced".to_owned(),
            format!("--namespace={}", space.namespace),
            // Any free port: several may run.
            "--healthzPort=0".to_owned(),
            "--metricsPort=0".to_owned(),
        ];
        argv.extend(SHORT_LEASE.map(str::to_owned));
        // Argo takes the Lease's namespace from here, as a pod would.
        let env = [("POD_NAMESPACE", space.namespace.as_str())];
        space.keep("argo", argv, &env)
    }
}

fn path(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
