//! Argo's controller and ours at the same time.

use serde_json::{Value, json};
use sluice_tests::real::argo::Argo;
use sluice_tests::real::door::Answered;
use sluice_tests::real::ground::{Ground, Space};
use sluice_tests::real::plane;
use sluice_tests::shop::{Shop, Version};
use sluice_tests::wait::{LONG, eventually};

use crate::program;

const ROLLOUTS: &str = "argoproj.io/v1alpha1/rollouts";

#[tokio::test(flavor = "multi_thread")]
async fn of_argos_controller_and_ours_one_waits_whichever_comes_first() {
    let (Some(plane), Some(argo)) = (plane(program()).await, Argo::found()) else {
        return;
    };
    let _others = plane.beside_others().await;
    let space = Space::new(&plane, program(), "real-lease").await;
    let argos = argo.start(&space);
    let first = holder(&space, &Value::Null).await;
    let ours = space.controller("ours").await;
    eventually("ours to wait", LONG, async || {
        let leases = |it: &Answered| it.path.contains("/leases/");
        let looked = ours.door.record().into_iter().filter(leases).count();
        (looked >= 3).then_some(())
    })
    .await;
    assert_eq!(holder(&space, &Value::Null).await, first);
    let written = ours.door.record().into_iter().filter(Answered::is_write);
    assert_eq!(written.count(), 0, "ours has written while Argo's leads");

    argos.stop().await;
    ours.serves().await;
    let second = holder(&space, &first).await;
    let argos = argo.start(&space);
    // What is asked for now is done by ours alone.
    space.apply([rollout("web", &json!({"canary": {}}))]).await;
    eventually("a Rollout to be Healthy", LONG, async || {
        let web = space.read(&space.path(&format!("{ROLLOUTS}/web"))).await;
        (web["status"]["phase"] == "Healthy").then_some(())
    })
    .await;
    assert_eq!(holder(&space, &Value::Null).await, second);
    let managers = managers(&space.read(&space.path(&format!("{ROLLOUTS}/web"))).await);
    assert!(!managers.contains("rollouts-controller"), "{managers}");
    argos.stop().await;
    ours.stop().await;
    space.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_with_a_router_of_somebody_elses_is_left_untouched() {
    let Some(plane) = plane(program()).await else {
        return;
    };
    let _others = plane.beside_others().await;
    let ledgers = tempfile::tempdir().unwrap();
    let space = Space::new(&plane, program(), "real-refused").await;
    let ground = Ground::start(space, 1).await;
    let services = json!({"stableService": "shop-stable", "canaryService": "shop-canary"});
    let routers = [
        (
            "istio",
            json!({"istio": {"virtualService": {"name": "web"}}}),
        ),
        ("nginx", json!({"nginx": {"stableIngress": "web"}})),
        (
            "plugin",
            json!({"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "web"}}}),
        ),
        (
            "two",
            json!({"plugins": {"sluice/proxy": {}, "other/router": {}}}),
        ),
    ];
    for (name, routing) in &routers {
        let mut canary = services.clone();
        canary["trafficRouting"] = routing.clone();
        canary["steps"] = json!([{"setWeight": 10}]);
        ground
            .apply([rollout(name, &json!({"canary": canary}))])
            .await;
    }
    let before = versions(&ground).await;
    assert_eq!(before.len(), routers.len());
    // One that comes later and is done: the others have been looked at.
    let shop = Shop {
        namespace: ground.namespace.clone(),
        ..Shop::new(program(), ledgers.path(), json!([{"setWeight": 50}]))
    };
    ground.open(&shop, Version::good(1)).await;
    let mut after = versions(&ground).await;
    after.retain(|version| version[0] != "shop");
    assert_eq!(after, before);
    let sets = ground.list("apps/v1/replicasets").await;
    assert_eq!(sets.len(), 1, "{sets:#?}");
    for (name, _) in &routers {
        eventually("an event that says so", LONG, async || {
            let events = ground.list("v1/events").await;
            let of = |it: &&Value| it["involvedObject"]["name"] == *name;
            events.iter().find(of).map(|_| ())
        })
        .await;
    }
    ground.stop().await;
}

async fn versions(space: &Space) -> Vec<Value> {
    let rollouts = space.list(ROLLOUTS).await;
    let version = |it: &Value| json!([it["metadata"]["name"], it["metadata"]["resourceVersion"]]);
    rollouts.iter().map(version).collect()
}

/// Who holds the Lease, when it is held by another than `before`.
async fn holder(space: &Space, before: &Value) -> Value {
    eventually("a holder of the Lease", LONG, async || {
        let leases = space.list("coordination.k8s.io/v1/leases").await;
        assert!(leases.len() <= 1, "{leases:#?}");
        let holder = leases.first()?["spec"]["holderIdentity"].clone();
        let held = holder.as_str().is_some_and(|holder| !holder.is_empty());
        (held && holder != *before).then_some(holder)
    })
    .await
}

fn managers(object: &Value) -> String {
    let fields = object["metadata"]["managedFields"].as_array();
    let names = fields
        .into_iter()
        .flatten()
        .map(|it| it["manager"].to_string());
    names.collect()
}

fn rollout(name: &str, strategy: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "app",
                    "image": "x:1",
                    "command": ["sleep", "infinity"],
                }]},
            },
            "strategy": strategy,
        },
    })
}
