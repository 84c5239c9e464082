//! A good release and a bad one, under traffic, counted by the users' own ledger.

use serde_json::json;
use sluice_tests::load::Load;
use sluice_tests::shop::{FLEET, Shop, Version};
use sluice_tests::site::Site;

use crate::{number, program};

const RATE: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_good_release_is_promoted_and_a_bad_one_aborted_and_no_user_sees_a_failure() {
    let ledgers = tempfile::tempdir().unwrap();
    let site = Site::start(program(), number::RELEASES, 2).await;
    let steps = json!([
        {"setWeight": 20}, {"pause": {"duration": "1s"}},
        {"setWeight": 60}, {"pause": {"duration": "1s"}},
    ]);
    let shop = Shop {
        analysis: true,
        ..Shop::new(program(), ledgers.path(), steps)
    };
    site.open(&shop, Version::good(1)).await;
    site.proxies_ready(2).await;
    let load = Load::start(site.fleet(FLEET).await, RATE);

    site.release(&shop, Version::good(2)).await;
    let promoted = site.phase("Healthy").await;
    let stable = promoted["status"]["stableRS"].clone();
    assert_eq!(stable, promoted["status"]["currentPodHash"]);
    let answered = load.so_far();
    assert!(answered.of(2) > 0, "{answered:?}");

    site.release(&shop, Version::bad(3)).await;
    let aborted = site.phase("Degraded").await;
    assert_eq!(aborted["status"]["abort"], true, "{:#}", aborted["status"]);
    assert_eq!(aborted["status"]["stableRS"], stable);
    for proxy in site.proxies(FLEET) {
        proxy.weight_is(0).await;
    }
    let message = aborted["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("errors") || message.contains("fuse"),
        "{message}"
    );
    let phases: Vec<_> = site
        .runs()
        .await
        .iter()
        .map(|run| run["status"]["phase"].clone())
        .collect();
    assert!(
        phases.contains(&json!("Successful")) && phases.contains(&json!("Failed")),
        "{phases:?}"
    );

    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");
    assert!(
        ledger.fallbacks > 0,
        "the bad version was asked: {ledger:?}"
    );
    site.stop().await;
}
