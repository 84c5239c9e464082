//! The example of the documentation, with the tools that people have: kubectl and `sluice`.

use sluice_tests::kubectl::Client;
use sluice_tests::load::Load;
use sluice_tests::up::Up;
use sluice_tests::wait::{LONG, eventually};

use crate::{example, number, program};

const RATE: u32 = 50;
const COLUMNS: [&str; 6] = [
    "NAME",
    "DESIRED",
    "CURRENT",
    "UP-TO-DATE",
    "AVAILABLE",
    "AGE",
];
const NEW_IMAGE: &str = r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "my-app:v3"}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_kubectl_works_and_sluice_promotes_without_any_traffic() {
    let up = Up::start(program(), number::ARTICLE, &[]).await;
    let Some(kubectl) = Client::kubectl(&up.ready.kubeconfig) else {
        return skipped("there is no kubectl on this machine");
    };
    let sluice = Client::of(program(), &up.ready.kubeconfig);
    let file = example().to_str().unwrap();
    let applied = kubectl.run(&["apply", "-f", file]).await;
    assert!(
        applied.contains("rollout.argoproj.io/my-app created"),
        "{applied}"
    );
    becomes(&kubectl, "Healthy").await;
    let again = kubectl.run(&["apply", "-f", file]).await;
    assert!(
        again.contains("rollout.argoproj.io/my-app unchanged"),
        "{again}"
    );

    let table = kubectl.run(&["get", "rollouts"]).await;
    let mut rows = table
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    assert_eq!(rows.next().unwrap(), COLUMNS, "{table}");
    assert_eq!(
        rows.next().unwrap()[..5],
        ["my-app", "10", "10", "10", "10"],
        "{table}"
    );
    let described = kubectl.run(&["describe", "rollout", "my-app"]).await;
    for part in ["Name:", "my-app", "standard-health-check", "Events:"] {
        assert!(described.contains(part), "{part} is not in {described}");
    }

    let path = "-o=jsonpath={.status.phase} {.status.currentStepIndex}{\"\\n\"}";
    let mut watched = kubectl.follow(&["get", "rollout", "my-app", "--watch", path]);
    watched
        .until("the present state", |line| line.starts_with("Healthy"))
        .await;
    let patched = kubectl
        .run(&["patch", "rollout", "my-app", "--type=json", "-p", NEW_IMAGE])
        .await;
    assert!(patched.contains("patched"), "{patched}");
    watched
        .until("the release", |line| line.starts_with("Progressing"))
        .await;
    // The fifth step is the gate.
    watched.until("the gate", |line| line == "Paused 4").await;
    let promoted = sluice.run(&["promote", "my-app"]).await;
    assert!(promoted.contains("my-app"), "{promoted}");
    watched
        .until("the step behind the gate", |line| {
            line.starts_with("Progressing 5")
        })
        .await;
    watched.until("the end", |line| line == "Healthy 8").await;
    until_the_run_has_ended_well(&kubectl).await;
    assert!(up.stop().await);
}

/// It is told to end with the promotion, and does so a moment later.
async fn until_the_run_has_ended_well(kubectl: &Client) {
    let phases = [
        "get",
        "analysisruns",
        "-o=jsonpath={.items[*].status.phase}",
    ];
    eventually("the run has ended well", LONG, async || {
        (kubectl.run(&phases).await == "Successful").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_release_under_traffic() {
    let up = Up::start(program(), number::ARTICLE_UNDER_TRAFFIC, &[example()]).await;
    let Some(kubectl) = Client::kubectl(&up.ready.kubeconfig) else {
        return skipped("there is no kubectl on this machine");
    };
    let sluice = Client::of(program(), &up.ready.kubeconfig);
    becomes(&kubectl, "Healthy").await;
    let load = Load::start(up.proxy(), RATE);
    kubectl
        .run(&["patch", "rollout", "my-app", "--type=json", "-p", NEW_IMAGE])
        .await;
    becomes(&kubectl, "Paused 4").await;
    sluice.run(&["promote", "my-app"]).await;
    becomes(&kubectl, "Healthy 8").await;
    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");
    assert!(ledger.requests > 0);
    assert!(up.stop().await);
}

/// Waits until phase and step begin like this.
async fn becomes(kubectl: &Client, state: &str) {
    let path = "-o=jsonpath={.status.phase} {.status.currentStepIndex}";
    eventually(state, LONG, async || {
        let now = kubectl.run(&["get", "rollout", "my-app", path]).await;
        now.starts_with(state).then_some(())
    })
    .await;
}

#[expect(
    clippy::print_stderr,
    reason = "a test that proves nothing must say so"
)]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
