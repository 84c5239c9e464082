//! The stock kubectl, where there is one: what people do with it to objects.

use std::path::PathBuf;
use std::process::Stdio;

use sluice_local::api::kubeconfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::support::{Place, on_a_cluster, place, place_on, server};

/// kubectl, pointed at a place.
struct Kubectl {
    place: Place,
    config: PathBuf,
    directory: tempfile::TempDir,
}

/// What a command printed, and how it ended.
struct Printed {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Kubectl {
    /// Nothing where there is no kubectl.
    async fn new() -> Option<Self> {
        let found = Command::new("kubectl")
            .arg("version")
            .arg("--client")
            .output()
            .await;
        if !found.is_ok_and(|found| found.status.success()) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        if on_a_cluster() {
            let config = PathBuf::from(std::env::var_os("KUBECONFIG")?);
            let place = place().await;
            return Some(Self {
                place,
                config,
                directory,
            });
        }
        let server = server();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = directory.path().join("kubeconfig");
        std::fs::write(&config, kubeconfig(&url)).unwrap();
        let place = place_on(server.client()).await;
        server.serve(listener, CancellationToken::new());
        Some(Self {
            place,
            config,
            directory,
        })
    }

    async fn run(&self, line: &str, input: &str) -> Printed {
        let mut child = Command::new("kubectl")
            .args(["--namespace", &self.place.namespace, "--cache-dir"])
            .arg(self.directory.path().join("cache"))
            .args(line.split(' '))
            .env("KUBECONFIG", &self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        Printed {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A command that succeeds, and what it printed.
    async fn does(&self, line: &str, input: &str) -> String {
        let printed = self.run(line, input).await;
        assert_eq!(
            printed.code,
            Some(0),
            "{line}: {}{}",
            printed.out,
            printed.err
        );
        printed.out
    }
}

fn manifest(value: &str, image: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: m}}
data: {{a: \"{value}\"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: d}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: d}}}}
  template:
    metadata: {{labels: {{app: d}}}}
    spec: {{containers: [{{name: c, image: \"{image}\", ports: [{{containerPort: 80}}]}}]}}
"
    )
}

#[tokio::test]
async fn kubectl_applies_on_the_server_and_hears_of_conflicts() {
    let Some(kubectl) = Kubectl::new().await else {
        return;
    };
    let first = manifest("1", "i:1");
    let told = kubectl.does("apply --server-side -f -", &first).await;
    assert_eq!(
        told,
        "configmap/m serverside-applied\ndeployment.apps/d serverside-applied\n"
    );
    kubectl.does("apply --server-side -f -", &first).await;
    let changed = manifest("2", "i:1");
    let other = "apply --server-side --field-manager=other -f -";
    let refused = kubectl.run(other, &changed).await;
    let conflict = "Apply failed with 1 conflict: conflict with \"kubectl\": .data.a";
    assert!(refused.err.contains(conflict), "{}", refused.err);
    let diff = kubectl.run("diff --server-side -f -", &changed).await;
    assert_eq!(diff.code, Some(1), "{}", diff.err);
    assert!(diff.out.contains("+  a: \"2\""), "{}", diff.out);
    kubectl
        .does(&format!("{other} --force-conflicts"), &changed)
        .await;
    let value = kubectl
        .does("get configmap m -o jsonpath={.data.a}", "")
        .await;
    assert_eq!(value, "2");
}

#[tokio::test]
async fn kubectl_applies_from_its_own_side_and_moves_over_to_the_server() {
    let Some(kubectl) = Kubectl::new().await else {
        return;
    };
    let first = manifest("1", "i:1");
    let told = kubectl.does("apply -f -", &first).await;
    assert_eq!(told, "configmap/m created\ndeployment.apps/d created\n");
    let told = kubectl.does("apply -f -", &first).await;
    assert_eq!(told, "configmap/m unchanged\ndeployment.apps/d unchanged\n");
    let second = manifest("1", "i:2");
    let diff = kubectl.run("diff -f -", &second).await;
    assert_eq!(diff.code, Some(1), "{}", diff.err);
    assert!(diff.out.contains("image: i:2"), "{}", diff.out);
    let told = kubectl.does("apply -f -", &second).await;
    assert_eq!(
        told,
        "configmap/m unchanged\ndeployment.apps/d configured\n"
    );
    assert_eq!(kubectl.run("diff -f -", &second).await.code, Some(0));
    let third = manifest("2", "i:3");
    kubectl.does("apply --server-side -f -", &third).await;
    let image = "get deployment d -o jsonpath={.spec.template.spec.containers[0].image}";
    assert_eq!(kubectl.does(image, "").await, "i:3");
    let managers =
        "get configmap m --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}";
    let managers = kubectl.does(managers, "").await;
    let mut managers: Vec<&str> = managers.split(' ').collect();
    managers.sort_unstable();
    assert_eq!(managers, ["kubectl", "kubectl-last-applied"]);
}

const AUTOSCALER: &str = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: d}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
";

#[tokio::test]
async fn kubectl_creates_scales_and_asks_for_tokens() {
    let Some(kubectl) = Kubectl::new().await else {
        return;
    };
    kubectl.does("create serviceaccount sa", "").await;
    let token = kubectl.does("create token sa --audience=x", "").await;
    assert_eq!(token.trim().split('.').count(), 3);
    kubectl.does("create -f -", &manifest("1", "i:1")).await;
    kubectl.does("scale deployment d --replicas=0", "").await;
    kubectl
        .does(
            "create poddisruptionbudget b --selector=app=d --min-available=1",
            "",
        )
        .await;
    kubectl.does("create -f -", AUTOSCALER).await;
    let budget = kubectl
        .does("get poddisruptionbudget b --no-headers", "")
        .await;
    assert!(budget.starts_with('b'), "{budget}");
    let autoscaler = kubectl.does("get hpa d --no-headers", "").await;
    assert!(
        autoscaler.contains("Deployment/d") && autoscaler.contains("cpu: <unknown>/50%"),
        "{autoscaler}"
    );
    kubectl.does("delete deployment d", "").await;
}
