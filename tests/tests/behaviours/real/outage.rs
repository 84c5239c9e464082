//! The API server gone for a minute, in the middle of a release.

use std::time::Duration;

use serde_json::json;
use sluice_tests::load::Load;
use sluice_tests::real::ground::{Ground, Space};
use sluice_tests::real::plane;
use sluice_tests::shop::{Shop, Version};

use crate::program;

const RATE: u32 = 100;
const GONE_FOR: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn with_the_api_server_gone_traffic_and_fuse_go_on_and_the_release_resumes() {
    let Some(plane) = plane(program()).await else {
        return;
    };
    let _others = plane.beside_others().await;
    let ledgers = tempfile::tempdir().unwrap();
    let space = Space::new(&plane, program(), "real-outage").await;
    let ground = Ground::start(space, 2).await;
    let steps = json!([{"setWeight": 40}, {"pause": {"duration": "5s"}}, {"setWeight": 80}]);
    let shop = Shop {
        namespace: ground.namespace.clone(),
        ..Shop::new(program(), ledgers.path(), steps)
    };
    ground.open(&shop, Version::good(1)).await;
    let load = Load::start(ground.fleet("shop").await, RATE);
    ground.release(&shop, Version::good(2)).await;
    ground.weight_verified(40).await;
    ground.controller.door.shut();
    // The time itself is what is tested: twenty times what a Lease of this test lasts.
    tokio::time::sleep(GONE_FOR).await;
    let meanwhile = load.so_far();
    assert_eq!(meanwhile.failures, 0, "{meanwhile:?}");
    for proxy in ground.proxies("shop") {
        assert_eq!(proxy.weight().await, Some(40.0), "nobody moved it");
    }
    ground.controller.door.reopen();
    ground.phase("Healthy").await;

    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");

    // And the fuse, with nobody there to ask. Nobody asks the bad canary before that.
    ground.release(&shop, Version::bad(3)).await;
    ground.weight_verified(40).await;
    ground.controller.door.shut();
    let load = Load::start(ground.fleet("shop").await, RATE);
    for proxy in ground.proxies("shop") {
        proxy.weight_is(0).await;
    }
    ground.controller.door.reopen();
    let aborted = ground.phase("Degraded").await;
    let message = aborted["status"]["message"].as_str().unwrap();
    assert!(message.contains("fuse"), "{message}");
    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");
    ground.stop().await;
}
