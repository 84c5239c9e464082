//! Argo's controller and ours, one after the other on the same release, and beside each other.

use cli::up::keep::Keeper;
use serde_json::{Value, json};
use sluice_tests::real::argo::Argo;
use sluice_tests::real::ground::{Controller, Space};
use sluice_tests::real::{REPOSITORY, install_crds, plane};
use sluice_tests::wait::{LONG, eventually};

use super::release::{PODS, ROLLOUTS, Release, at_rest, path, web};
use crate::program;

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Argo,
    Ours,
}

/// A controller that runs.
enum Leads {
    Argo(Keeper),
    Ours(Box<Controller>),
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unrouted_canary_of_argos_is_finished_by_ours() {
    hand_over(&Release::canary(), "real-canary-argo-ours", Who::Argo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unrouted_canary_of_ours_is_finished_by_argos() {
    hand_over(&Release::canary(), "real-canary-ours-argo", Who::Ours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blue_green_release_of_argos_is_finished_by_ours() {
    hand_over(&Release::blue_green(), "real-bg-argo-ours", Who::Argo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blue_green_release_of_ours_is_finished_by_argos() {
    hand_over(&Release::blue_green(), "real-bg-ours-argo", Who::Ours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_argos_crds_a_canary_of_argos_is_finished_by_ours() {
    let (Some(plane), Some(argo)) = (plane(program()).await, Argo::found()) else {
        return;
    };
    let alone = plane.alone().await;
    install_crds(&plane.kubectl, &argo.crds()).await;
    let space = Space::new(&plane, program(), "real-argo-crds").await;
    hand_over_in(&space, &argo, &Release::canary(), Who::Argo).await;
    space.remove().await;
    let ours = format!("{REPOSITORY}/deploy/crds");
    install_crds(&plane.kubectl, ours.as_ref()).await;
    drop(alone);
}

async fn hand_over(release: &Release, namespace: &str, from: Who) {
    let (Some(plane), Some(argo)) = (plane(program()).await, Argo::found()) else {
        return;
    };
    let _others = plane.beside_others().await;
    let space = Space::new(&plane, program(), namespace).await;
    hand_over_in(&space, &argo, release, from).await;
    space.remove().await;
}

async fn hand_over_in(space: &Space, argo: &Argo, release: &Release, from: Who) {
    let leads = start(space, argo, from).await;
    space.apply(release.services()).await;
    space.apply([web(release, "x:1")]).await;
    status_is(space, "the first version", |it| it["phase"] == "Healthy").await;
    space.apply([web(release, "x:2")]).await;
    status_is(space, "the gate", release.at_gate).await;
    let before = settled(space, release.pods_at_gate).await;
    leads.stop().await;

    let to = if from == Who::Argo {
        Who::Ours
    } else {
        Who::Argo
    };
    let leads = start(space, argo, to).await;
    fence(space).await;
    let now = settled(space, release.pods_at_gate).await;
    assert_eq!(now, before, "{to:?} has moved something");
    for gate in 0..=release.gates_left {
        let index = space.read(&path(space)).await["status"]["currentStepIndex"].clone();
        let resumed = json!({"status": {"pauseConditions": null}});
        let status = format!("{}/status", path(space));
        space.patch(&status, &resumed).await;
        let goes_on = |it: &Value| {
            let last = gate == release.gates_left;
            let phase = if last { "Healthy" } else { "Paused" };
            it["phase"] == phase && (last || it["currentStepIndex"] != index)
        };
        status_is(space, &format!("gate {gate} passed"), goes_on).await;
    }
    let after = settled(space, PODS).await;
    let names = |of: &Value| -> Vec<Value> {
        let sets = of["replicaSets"].as_array().expect("a list").iter();
        sets.map(|set| json!([set[0], set[1]])).collect()
    };
    assert_eq!(names(&after), names(&before), "a ReplicaSet came or went");
    let status = &space.read(&path(space)).await["status"];
    assert_eq!(status["stableRS"], status["currentPodHash"], "{status:#}");
    leads.stop().await;
}

async fn start(space: &Space, argo: &Argo, who: Who) -> Leads {
    match who {
        Who::Argo => Leads::Argo(argo.start(space)),
        Who::Ours => {
            let ours = space.controller("ours").await;
            ours.serves().await;
            Leads::Ours(Box::new(ours))
        }
    }
}

impl Leads {
    async fn stop(self) {
        match self {
            Self::Argo(keeper) => keeper.stop().await,
            Self::Ours(controller) => controller.stop().await,
        }
    }
}

/// A Rollout that is made now is Healthy: whoever leads has looked at the older ones too.
async fn fence(space: &Space) {
    let mut fence = web(&Release::canary(), "x:1");
    for field in [
        "/metadata/name",
        "/spec/selector/matchLabels/app",
        "/spec/template/metadata/labels/app",
    ] {
        *fence.pointer_mut(field).expect("a field of ours") = json!("fence");
    }
    fence["spec"]["replicas"] = json!(1);
    space.apply([fence]).await;
    eventually("another Rollout to be Healthy", LONG, async || {
        let fence = space.read(&space.path(&format!("{ROLLOUTS}/fence"))).await;
        (fence["status"]["phase"] == "Healthy").then_some(())
    })
    .await;
    let kubectl = &space.plane.kubectl;
    kubectl
        .run(&[
            "delete",
            "rollout",
            "fence",
            "-n",
            &space.namespace,
            "--cascade=foreground",
        ])
        .await;
}

async fn status_is(space: &Space, what: &str, is_so: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    let look = async {
        loop {
            last = space.read(&path(space)).await;
            if sluice_tests::objects::observed(&last) && is_so(&last["status"]) {
                return;
            }
            tokio::time::sleep(sluice_tests::wait::LOOK_EVERY).await;
        }
    };
    let in_time = tokio::time::timeout(LONG, look).await.is_ok();
    assert!(in_time, "{what}: {:#}", last["status"]);
}

/// What a handover must not change: pods, ReplicaSets and Services, once all is at rest.
async fn settled(space: &Space, pods: i64) -> Value {
    let rest = async || at_rest(space, pods).await.then_some(());
    eventually("everything at rest", LONG, rest).await;
    let mut sets: Vec<Value> = space
        .list("apps/v1/replicasets")
        .await
        .iter()
        .map(set)
        .collect();
    sets.sort_by_key(ToString::to_string);
    let services = space.list("v1/services").await;
    let selectors: Vec<_> = services
        .iter()
        .map(|it| it["spec"]["selector"].clone())
        .collect();
    json!({"pods": space.pods().await, "replicaSets": sets, "services": selectors})
}

fn set(set: &Value) -> Value {
    json!([
        set["metadata"]["name"],
        set["metadata"]["uid"],
        set["spec"]["replicas"]
    ])
}
