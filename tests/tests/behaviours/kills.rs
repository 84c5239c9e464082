//! SIGKILL: what it changes is nothing.

use std::time::Duration;

use serde_json::json;
use sluice_tests::load::Load;
use sluice_tests::shop::{FLEET, Shop, Version};
use sluice_tests::site::{ProxyAt, Site};
use sluice_tests::wait::{LONG, eventually};

use crate::{number, program};

/// Requests that show how traffic is split.
const SAMPLE: u64 = 400;
const RATE: u32 = 200;
/// How often the controller is killed during one release.
const KILLS: usize = 10;
/// Between two kills: sometimes before it has done anything, sometimes after some steps. All of
/// them together are shorter than the pauses of the release.
const BETWEEN_KILLS_MS: std::ops::Range<u64> = 20..560;
const SEED: u64 = 4;

/// Kills the only proxy of the fleet, and gives the one that is started in its place once it is
/// ready.
async fn kill_proxy(site: &Site) -> ProxyAt {
    let before = site.proxies(FLEET)[0];
    assert!(
        site.cluster
            .fleets()
            .with_proxy(FLEET, 0, async |proxy| proxy.kill().await)
            .await
    );
    eventually("a new proxy that is ready", LONG, async || {
        let now = *site.proxies(FLEET).first()?;
        (now.status != before.status && now.is_ready().await).then_some(now)
    })
    .await
}

async fn sample(site: &Site) -> (u64, u64) {
    let load = Load::start(site.fleet(FLEET).await, RATE);
    let enough = async || (load.so_far().requests >= SAMPLE).then_some(());
    eventually("enough requests", LONG, enough).await;
    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");
    (ledger.of(2), ledger.of(1) + ledger.of(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_killed_while_the_controller_is_dead_serves_the_last_weights() {
    let ledgers = tempfile::tempdir().unwrap();
    let site = Site::start(program(), number::WEIGHTS_KEPT, 1).await;
    let shop = Shop::new(
        program(),
        ledgers.path(),
        json!([{"setWeight": 40}, {"pause": {}}]),
    );
    site.open(&shop, Version::good(1)).await;
    site.release(&shop, Version::good(2)).await;
    site.weight_verified(40).await;

    site.cluster.controller().halt().await;
    let proxy = kill_proxy(&site).await;
    assert_eq!(proxy.weight().await, Some(40.0));
    let config = proxy.config().await.unwrap();
    assert_eq!(config["inForce"]["kept"], true, "{config:#}");
    let (canary, all) = sample(&site).await;
    let share = canary as f64 / all as f64;
    // Five standard deviations of 400 draws.
    assert!((share - 0.4).abs() < 0.125, "{canary} of {all}");

    site.cluster.controller().resume().await;
    eventually("a configuration from the controller", LONG, async || {
        (proxy.config().await?["inForce"]["kept"] == false).then_some(())
    })
    .await;
    assert_eq!(proxy.weight().await, Some(40.0));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_controller_dead_the_fuse_takes_a_bad_canary_to_0_and_it_stays_there() {
    let ledgers = tempfile::tempdir().unwrap();
    let site = Site::start(program(), number::FUSE_ALONE, 1).await;
    let shop = Shop::new(
        program(),
        ledgers.path(),
        json!([{"setWeight": 40}, {"pause": {}}]),
    );
    site.open(&shop, Version::good(1)).await;
    site.release(&shop, Version::bad(2)).await;
    site.weight_verified(40).await;

    site.cluster.controller().halt().await;
    let load = Load::start(site.fleet(FLEET).await, RATE);
    site.proxies(FLEET)[0].weight_is(0).await;
    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");

    let proxy = kill_proxy(&site).await;
    assert_eq!(proxy.weight().await, Some(0.0));
    let (canary, _) = sample(&site).await;
    assert_eq!(canary, 0);
    assert_ne!(
        site.rollout().await["status"]["abort"],
        true,
        "nobody was there to abort it"
    );

    site.cluster.controller().resume().await;
    let aborted = site.phase("Degraded").await;
    assert_eq!(aborted["status"]["abort"], true, "{:#}", aborted["status"]);
    let message = aborted["status"]["message"].as_str().unwrap();
    assert!(message.contains("fuse"), "{message}");
    assert_eq!(proxy.weight().await, Some(0.0));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_ends_the_same_however_often_the_controller_is_killed() {
    // One directory, so that both clusters have the same templates and so the same hashes.
    let ledgers = tempfile::tempdir().unwrap();
    let steps = json!([
        {"setWeight": 10}, {"pause": {"duration": "1s"}},
        {"setCanaryScale": {"replicas": 2}}, {"setWeight": 40}, {"pause": {"duration": "1s"}},
        {"setCanaryScale": {"matchTrafficWeight": true}}, {"setWeight": 80},
        {"pause": {"duration": "1s"}},
    ]);
    let shop = Shop {
        analysis: true,
        ..Shop::new(program(), ledgers.path(), steps)
    };
    let shop = &shop;
    let (undisturbed, killed) = tokio::join!(
        release(shop, number::UNDISTURBED, async |_| {}),
        release(shop, number::KILLED, kill_controller),
    );
    assert_eq!(undisturbed["phase"], "Healthy", "{undisturbed:#}");
    assert_eq!(killed, undisturbed, "{killed:#}\nis not\n{undisturbed:#}");
}

/// A whole release; how it ended.
async fn release(shop: &Shop, number: u8, meanwhile: impl AsyncFnOnce(&Site)) -> serde_json::Value {
    let site = Site::start(program(), number, 1).await;
    site.open(shop, Version::good(1)).await;
    let load = Load::start(site.fleet(FLEET).await, RATE);
    site.release(shop, Version::good(2)).await;
    meanwhile(&site).await;
    site.phase("Healthy").await;
    // The old pods go after their delay, and only then is everything at rest.
    let old_are_gone = |it: &serde_json::Value| it["status"]["replicas"] == shop.replicas;
    site.rollout_is("the old pods gone", old_are_gone).await;
    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");
    let end = site.end_state().await;
    site.stop().await;
    end
}

/// At moments that are random, and the same in every run of this test.
async fn kill_controller(site: &Site) {
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..KILLS {
        // The moment itself is what is tested, not what is waited for.
        tokio::time::sleep(Duration::from_millis(random.u64(BETWEEN_KILLS_MS))).await;
        site.cluster.controller().kill().await;
    }
    let phase = site.rollout().await["status"]["phase"].clone();
    assert_ne!(
        phase, "Healthy",
        "the release was over before the last kill"
    );
}
