//! A controller that dies between any two of its writes, and the one after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use local::api::Verdict;
use serde_json::{Value, json};

use super::cluster::{Cluster, is_at};

/// Runs a release to its end; the controller dies before its write number `deadly`. What there is
/// in the end, and how many writes it took.
async fn release(deadly: usize) -> (Value, usize) {
    let mut cluster = Cluster::without_controller().await;
    let writes = Arc::new(AtomicUsize::new(0));
    let count = writes.clone();
    cluster.server.on_write(move |write| {
        let ours = write.client == "first" && write.resource != "events";
        if !ours || count.fetch_add(1, Ordering::Relaxed) < deadly {
            return Verdict::Proceed;
        }
        let status =
            kube::core::Status::failure("the controller is dead", "InternalError").with_code(500);
        Verdict::Refuse(Box::new(status))
    });
    cluster = cluster.with_controller("first");
    let steps = json!([{"setWeight": 20}, {"pause": {"duration": 10}}, {"setWeight": 60}]);
    cluster
        .create::<crds::Rollout>(super::cluster::rollout(steps))
        .await;
    cluster.pass(Duration::from_secs(10)).await;
    take_over(&mut cluster, &writes, deadly);
    cluster
        .until("the first version is healthy", |status| {
            is_at(status, "Healthy", 3)
        })
        .await;
    cluster.release("2").await;
    cluster.pass(Duration::from_secs(45)).await;
    take_over(&mut cluster, &writes, deadly);
    cluster
        .until("the second version is healthy", |status| {
            is_at(status, "Healthy", 3)
        })
        .await;
    // The old pods go after their delay; the controller may die there, too.
    cluster.pass(Duration::from_secs(50)).await;
    take_over(&mut cluster, &writes, deadly);
    cluster.pass(Duration::from_secs(40)).await;
    (summary(&cluster).await, writes.load(Ordering::Relaxed))
}

fn take_over(cluster: &mut Cluster, writes: &AtomicUsize, deadly: usize) {
    // One more than any count, so that the successor is started once.
    if writes.load(Ordering::Relaxed) > deadly
        && writes.swap(usize::MAX / 2, Ordering::Relaxed) < usize::MAX / 2
    {
        cluster.kill_controller();
        cluster.spawn_controller("second");
    }
}

async fn summary(cluster: &Cluster) -> Value {
    let status = cluster.status().await;
    let canary = status.canary.unwrap();
    json!({
        "sizes": cluster.sizes().await,
        "stable": status.stable_rs,
        "current": status.current_pod_hash,
        "index": status.current_step_index,
        "phase": status.phase,
        "message": status.message,
        "weights": canary.weights,
        "services": [cluster.selected("web-stable").await, cluster.selected("web-canary").await],
        "conditions": status.conditions.iter().map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone()))
            .collect::<std::collections::BTreeSet<_>>(),
    })
}

#[tokio::test(start_paused = true)]
async fn a_restart_before_any_write_ends_in_the_same_state() {
    let (expected, writes) = release(usize::MAX / 4).await;
    assert!(
        (10..100).contains(&writes),
        "{writes} writes for two releases"
    );
    for deadly in 0..writes {
        let (end, _) = release(deadly).await;
        assert_eq!(
            end, expected,
            "when the controller dies before write {deadly}"
        );
    }
}
