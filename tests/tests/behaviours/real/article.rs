//! The documentation's example as it stands, with kubectl.

use sluice_tests::load::Load;
use sluice_tests::real::ground::{Ground, Space};
use sluice_tests::real::{Plane, plane};
use sluice_tests::wait::{LONG, eventually};

use crate::{example, program};

const RATE: u32 = 50;
const NEW_IMAGE: &str = r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "my-app:v3"}]"#;
/// Its ClusterAnalysisTemplate is the cluster's; everything else goes into this namespace.
const NAMESPACE: &str = "real-article";

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_api_server_the_example_is_released_with_kubectl() {
    let Some(plane) = plane(program()).await else {
        return;
    };
    let _alone = plane.alone().await;
    let space = Space::of_cluster(&plane, program(), NAMESPACE).await;
    let ground = Ground::start(space, 1).await;
    let file = example().to_str().unwrap();
    let apply = ["apply", "-n", NAMESPACE, "-f", file];
    let applied = plane.kubectl.run(&apply).await;
    assert!(
        applied.contains("rollout.argoproj.io/my-app created"),
        "{applied}"
    );
    ground.start_fleet("my-app").await;
    becomes(&plane, "Healthy").await;
    ground.proxies_ready("my-app").await;
    let load = Load::start(ground.fleet("my-app").await, RATE);
    let patch = [
        "patch",
        "rollout",
        "my-app",
        "-n",
        NAMESPACE,
        "--type=json",
        "-p",
        NEW_IMAGE,
    ];
    plane.kubectl.run(&patch).await;
    // The fifth step is the gate; whoever has kubectl and no plugin goes on like this.
    becomes(&plane, "Paused 4").await;
    let go_on = [
        "patch",
        "rollout",
        "my-app",
        "-n",
        NAMESPACE,
        "--subresource=status",
        "--type=merge",
    ];
    let resumed = r#"{"status": {"pauseConditions": null}}"#;
    plane
        .kubectl
        .run(&[&go_on[..], &["-p", resumed]].concat())
        .await;
    becomes(&plane, "Healthy 8").await;
    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");
    assert!(ledger.requests > 0);
    let runs = [
        "get",
        "analysisruns",
        "-n",
        NAMESPACE,
        "-o=jsonpath={..status.phase}",
    ];
    assert_eq!(plane.kubectl.run(&runs).await, "Successful");
    plane
        .kubectl
        .run(&["delete", "clusteranalysistemplate", "standard-health-check"])
        .await;
    ground.stop().await;
}

/// Waits until phase and step begin like this.
async fn becomes(plane: &Plane, state: &str) {
    let path = "-o=jsonpath={.status.phase} {.status.currentStepIndex}";
    eventually(state, LONG, async || {
        let get = ["get", "rollout", "my-app", "-n", NAMESPACE, path];
        let now = plane.kubectl.run(&get).await;
        now.starts_with(state).then_some(())
    })
    .await;
}
