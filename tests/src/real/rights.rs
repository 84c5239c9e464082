//! The rights that `deploy/` gives to the controller, and a token of exactly those.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Plane, REPOSITORY, kubeconfig_of};

/// The account that has them.
const ACCOUNT: &str = "sluice-controller";
/// What of an installation is about rights.
const KINDS: [&str; 5] = [
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
];

/// An installation of `deploy/kustomize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// For the whole cluster.
    Cluster,
    /// For one namespace.
    Namespaced,
}

/// Grants them in `namespace`, as an installation into it would, and writes a kubeconfig of the
/// account into `dir` that leads to `server`.
pub async fn grant(
    plane: &Plane,
    (install, namespace): (Install, &str),
    dir: &Path,
    server: &str,
) -> PathBuf {
    let manifests = dir.join("rights.json");
    let objects = objects(plane, install, namespace).await;
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(&manifests, list.to_string()).expect("a file");
    let path = manifests.to_str().expect("a path in UTF-8");
    // Other tests may do the same at the same time.
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", path];
    plane.kubectl.run(&apply).await;
    let token = ["create", "token", ACCOUNT, "--namespace", namespace];
    let token = plane.kubectl.run(&token).await;
    let kubeconfig = dir.join("kubeconfig");
    let text = kubeconfig_of(server, token.trim(), namespace).to_string();
    std::fs::write(&kubeconfig, text).expect("a file");
    kubeconfig
}

/// Removes what an installation left in the cluster; the rest goes with the namespace.
pub async fn revoke(plane: &Plane, namespace: &str) {
    let binding = binding(namespace);
    let delete = ["delete", "clusterrolebinding", &binding];
    plane
        .kubectl
        .run(&[&delete[..], &["--ignore-not-found"]].concat())
        .await;
}

/// Each namespace has a binding of its own, so that installations of several tests do not take the
/// rights from each other.
fn binding(namespace: &str) -> String {
    format!("{ACCOUNT}-{namespace}")
}

/// What of the installation is about rights, in this namespace.
async fn objects(plane: &Plane, install: Install, namespace: &str) -> Vec<Value> {
    let folder = match install {
        Install::Cluster => "cluster",
        Install::Namespaced => "namespaced",
    };
    let folder = format!("{REPOSITORY}/deploy/kustomize/{folder}");
    let rendered = plane.kubectl.run(&["kustomize", &folder]).await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("installation.yaml");
    std::fs::write(&file, rendered).expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    let as_json = ["create", "--dry-run=client", "-o", "json", "-f", file];
    let rendered = plane.kubectl.run(&as_json).await;
    let objects = serde_json::Deserializer::from_str(&rendered).into_iter::<Value>();
    let mut objects: Vec<Value> = objects.map(|object| object.expect("JSON")).collect();
    objects.retain(|object| KINDS.iter().any(|kind| object["kind"] == *kind));
    for object in &mut objects {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if kind == "ClusterRoleBinding" {
            object["metadata"]["name"] = binding(namespace).into();
        }
        if !kind.starts_with("Cluster") {
            object["metadata"]["namespace"] = namespace.into();
        }
        let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
        for subject in subjects.into_iter().flatten() {
            subject["namespace"] = namespace.into();
        }
    }
    objects
}
