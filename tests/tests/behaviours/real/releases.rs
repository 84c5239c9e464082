//! The demo's two releases, with the rights of `deploy/` only.

use serde_json::json;
use sluice_tests::load::Load;
use sluice_tests::real::ground::{Ground, Space};
use sluice_tests::real::plane;
use sluice_tests::shop::{Shop, Version};

use crate::program;

const RATE: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_api_server_a_good_release_is_promoted_and_a_bad_one_aborted() {
    let Some(plane) = plane(program()).await else {
        return;
    };
    let _alone = plane.alone().await;
    let ledgers = tempfile::tempdir().unwrap();
    let space = Space::of_cluster(&plane, program(), "real-releases").await;
    let ground = Ground::start(space, 2).await;
    let steps = json!([
        {"setWeight": 20}, {"pause": {"duration": "1s"}},
        {"setWeight": 60}, {"pause": {"duration": "1s"}},
    ]);
    let shop = Shop {
        namespace: ground.namespace.clone(),
        analysis: true,
        ..Shop::new(program(), ledgers.path(), steps)
    };
    ground.open(&shop, Version::good(1)).await;
    let load = Load::start(ground.fleet("shop").await, RATE);

    ground.release(&shop, Version::good(2)).await;
    let promoted = ground.phase("Healthy").await;
    let stable = promoted["status"]["stableRS"].clone();
    assert_eq!(stable, promoted["status"]["currentPodHash"]);
    assert!(load.so_far().of(2) > 0, "{:?}", load.so_far());

    ground.release(&shop, Version::bad(3)).await;
    let aborted = ground.phase("Degraded").await;
    assert_eq!(aborted["status"]["abort"], true, "{:#}", aborted["status"]);
    assert_eq!(aborted["status"]["stableRS"], stable);
    for proxy in ground.proxies("shop") {
        proxy.weight_is(0).await;
    }
    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");
    assert!(
        ledger.fallbacks > 0,
        "the bad version was asked: {ledger:?}"
    );
    // Asserts that nothing was forbidden.
    ground.stop().await;
}
