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

/// Grants them in `namespace`, as an installation into it would, and writes a kubeconfig of the
/// account into `dir` that leads to `server`.
pub async fn grant(plane: &Plane, namespace: &str, dir: &Path, server: &str) -> PathBuf {
    let manifests = dir.join("rights.json");
    let objects = objects(plane, namespace).await;
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(&manifests, list.to_string()).expect("a file");
    let path = manifests.to_str().expect("a path in UTF-8");
    plane.kubectl.run(&["apply", "-f", path]).await;
    let token = ["create", "token", ACCOUNT, "--namespace", namespace];
    let token = plane.kubectl.run(&token).await;
    let kubeconfig = dir.join("kubeconfig");
    let text = kubeconfig_of(server, token.trim(), namespace).to_string();
    std::fs::write(&kubeconfig, text).expect("a file");
    kubeconfig
}

/// What of the installation is about rights, in this namespace.
async fn objects(plane: &Plane, namespace: &str) -> Vec<Value> {
    let file = format!("{REPOSITORY}/tests/src/real/rights.yaml");
    let render = ["create", "--dry-run=client", "-o", "json", "-f", &file];
    let rendered = plane.kubectl.run(&render).await;
    let objects = serde_json::Deserializer::from_str(&rendered).into_iter::<Value>();
    let mut objects: Vec<Value> = objects.map(|object| object.expect("JSON")).collect();
    objects.retain(|object| KINDS.iter().any(|kind| object["kind"] == *kind));
    for object in &mut objects {
        if !object["kind"]
            .as_str()
            .is_some_and(|it| it.starts_with("Cluster"))
        {
            object["metadata"]["namespace"] = namespace.into();
        }
        for subject in object["subjects"].as_array_mut().into_iter().flatten() {
            subject["namespace"] = namespace.into();
        }
    }
    objects
}
