//! SIGKILL of the controller at seeded moments of its writes: what it changes is nothing.

use serde_json::{Value, json};
use sluice_tests::load::Load;
use sluice_tests::real::door::Moment;
use sluice_tests::real::ground::{Ground, Space};
use sluice_tests::real::{Plane, plane};
use sluice_tests::shop::{Shop, Version};
use tokio::time::timeout;

use crate::program;

const RATE: u32 = 50;
/// How often the controller is killed during one release.
const KILLS: usize = 20;
/// It is killed at one of its next writes, so far as this ahead.
const WRITES_AHEAD: std::ops::RangeInclusive<usize> = 1..=3;
const SEED: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_api_server_a_release_ends_the_same_with_20_kills_at_seeded_writes() {
    let Some(plane) = plane(program()).await else {
        return;
    };
    let _others = plane.beside_others().await;
    // One directory and one name, so that both have the same templates and so the same hashes.
    let ledgers = tempfile::tempdir().unwrap();
    let undisturbed = release(&plane, ledgers.path(), "real-undisturbed", async |_| {}).await;
    let killed = release(&plane, ledgers.path(), "real-killed", kill).await;
    assert_eq!(undisturbed["phase"], "Healthy", "{undisturbed:#}");
    assert_eq!(killed, undisturbed, "{killed:#}\nis not\n{undisturbed:#}");
}

/// A whole release; how it ended.
async fn release(
    plane: &Plane,
    ledgers: &std::path::Path,
    namespace: &str,
    meanwhile: impl AsyncFnOnce(&Ground),
) -> Value {
    let mut steps = Vec::new();
    for weight in [10, 20, 30, 40, 50, 60, 70, 80] {
        steps.extend([
            json!({"setWeight": weight}),
            json!({"pause": {"duration": "1s"}}),
        ]);
    }
    let space = Space::new(plane, program(), namespace).await;
    let ground = Ground::start(space, 1).await;
    let shop = Shop {
        namespace: ground.namespace.clone(),
        analysis: true,
        ..Shop::new(program(), ledgers, json!(steps))
    };
    ground.open(&shop, Version::good(1)).await;
    let load = Load::start(ground.fleet("shop").await, RATE);
    ground.release(&shop, Version::good(2)).await;
    meanwhile(&ground).await;
    ground.phase("Healthy").await;
    // The old pods go after their delay, and only then is everything at rest.
    let old_are_gone = |it: &Value| it["status"]["replicas"] == shop.replicas;
    ground.rollout_is("the old pods gone", old_are_gone).await;
    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");
    let end = ground.end_state().await;
    ground.stop().await;
    end
}

/// At moments that are random, and the same in every run of this test.
async fn kill(ground: &Ground) {
    let mut random = fastrand::Rng::with_seed(SEED);
    for number in 0..KILLS {
        let moment = if random.bool() {
            Moment::Before
        } else {
            Moment::After
        };
        let writes = random.usize(WRITES_AHEAD);
        let ambushed = async {
            // One that nobody tells of was sprung by what the killed one had still sent.
            while ground.controller.door.ambush(writes, moment).await.is_err() {}
        };
        let killed_at = timeout(sluice_tests::wait::LONG, ambushed).await;
        killed_at.unwrap_or_else(|_| panic!("kill {number}: no write to kill at"));
        ground.controller.keeper.kill().await;
    }
}
