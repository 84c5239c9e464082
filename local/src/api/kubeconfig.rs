//! A kubeconfig for the port.

/// A kubeconfig (JSON, which is YAML too) whose current context is the server at `url`.
pub fn kubeconfig(url: &str) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sluice", "cluster": {"server": url}}],
        "users": [{"name": "sluice", "user": {}}],
        "contexts": [{
            "name": "sluice",
            "context": {"cluster": "sluice", "user": "sluice", "namespace": "default"},
        }],
        "current-context": "sluice",
    });
    format!("{config:#}\n")
}
