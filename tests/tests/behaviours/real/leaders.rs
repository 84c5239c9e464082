//! A leader that stands still in the middle of a write, and wakes up when another one leads.

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::real::door::Answered;
use sluice_tests::real::ground::{Controller, Ground, Space};
use sluice_tests::real::plane;
use sluice_tests::shop::{Shop, Version};
use sluice_tests::wait::{LONG, eventually};
use tokio::time::timeout;

use crate::program;

const STATUS: &str = "/rollouts/shop/status";
const LEASE: &str = "/leases";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_that_was_paused_still_writes_and_sends_is_refused() {
    let Some(plane) = plane(program()).await else {
        return;
    };
    let _others = plane.beside_others().await;
    let ledgers = tempfile::tempdir().unwrap();
    let space = Space::new(&plane, program(), "real-leaders").await;
    let ground = Ground::start(space, 1).await;
    let steps = json!([{"setWeight": 40}, {"pause": {}}, {"setWeight": 80}, {"pause": {}}]);
    let shop = Shop {
        namespace: ground.namespace.clone(),
        ..Shop::new(program(), ledgers.path(), steps)
    };
    ground.open(&shop, Version::good(1)).await;
    ground.release(&shop, Version::good(2)).await;
    ground.weight_verified(40).await;
    ground.phase("Paused").await;

    let former = &ground.controller;
    let held = stopped_in_a_write(&ground).await;
    let second = ground.controller("second").await;
    second.serves().await;
    ground.service.lead_to(second.uplink);
    let at_gate = |it: &Value| it["status"]["currentStepIndex"] == 3 && paused(it);
    ground.rollout_is("the second gate", at_gate).await;
    late_write_is_refused(former, held).await;
    late_snapshot_is_refused(&ground).await;
    former.door.release(LEASE);
    eventually("the end of the former leader", LONG, async || {
        former.log().contains("no longer the leader").then_some(())
    })
    .await;
    let written = former.door.record().into_iter().skip(held);
    let written: Vec<_> = written.filter(Answered::is_write).collect();
    assert_eq!(written.len(), 1, "but for the late one: {written:#?}");
    ground.service.lead_to(second.uplink);
    ground.go_on().await;
    ground.phase("Healthy").await;
    second.stop().await;
    ground.stop().await;
}

/// The leader has decided what comes next, its write is on its way, and it stands still. How many
/// answers it had before.
async fn stopped_in_a_write(ground: &Ground) -> usize {
    let former = &ground.controller;
    former.door.hold(Method::PATCH, STATUS);
    ground.go_on().await;
    let held = timeout(LONG, former.door.holds_one()).await;
    held.expect("a write");
    let answered = former.door.record().len();
    former.signal(Signal::STOP);
    answered
}

/// The write arrives only now.
async fn late_write_is_refused(former: &Controller, held: usize) {
    former.door.release(STATUS);
    let late = eventually("an answer to the late write", LONG, async || {
        let record = former.door.record();
        let mut since = record.into_iter().skip(held);
        since.find(|it| it.method == Method::PATCH && it.path.contains(STATUS))
    })
    .await;
    assert_eq!(late.status, 409, "{late:?}");
}

/// It wakes up with a proxy that asks it, and does not learn at once that it leads no more.
async fn late_snapshot_is_refused(ground: &Ground) {
    let former = &ground.controller;
    former.door.hold(Method::PUT, LEASE);
    ground.service.lead_to(former.uplink);
    let asked = timeout(LONG, ground.service.passed(1)).await;
    asked.expect("a proxy that asks");
    former.signal(Signal::CONT);
    eventually("a refusal by the proxy", LONG, async || {
        let logs = ground.proxy_logs().await;
        logs.contains("is of a former leader").then_some(())
    })
    .await;
    for proxy in ground.proxies("shop") {
        assert_eq!(proxy.weight().await, Some(80.0));
    }
}

fn paused(rollout: &Value) -> bool {
    rollout["status"]["phase"] == "Paused"
}
