//! Two controllers and one cluster, in virtual time: whatever happens to either of them, they never
//! write both.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use local::api::{ApiServer, Config, Verdict};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::leader::Election;

/// What can happen to a controller.
#[derive(Default)]
struct Trouble {
    /// Its process stands still.
    stopped: AtomicBool,
    /// It cannot reach the API server.
    cut_off: AtomicBool,
}

/// Runs only while the process does not stand still.
async fn stoppable(trouble: Arc<Trouble>, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    std::future::poll_fn(|context| {
        // Polled again whatever else it waits for.
        while tick.poll_tick(context).is_ready() {}
        if trouble.stopped.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        work.as_mut().poll(context)
    })
    .await;
}

/// A client whose requests get no answer while its controller is cut off.
fn line(client: Client, trouble: Arc<Trouble>) -> Client {
    let service = service_fn(move |request| {
        let (client, trouble) = (client.clone(), trouble.clone());
        async move {
            if trouble.cut_off.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            client.send(request).await
        }
    });
    Client::new(service, "default")
}

fn server() -> Arc<ApiServer> {
    let config = Config {
        clock: local::clock::Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()),
        data_dir: None,
        seed: 1,
        history: 1_000,
    };
    ApiServer::new(config).unwrap()
}

/// What the cluster saw of writers.
#[derive(Default)]
struct Seen {
    /// The term that each controller leads in.
    terms: BTreeMap<String, u64>,
    /// The term of each write.
    writes: Vec<u64>,
}

/// Leads when it can, and writes ten times a second while it may.
async fn controller(name: &'static str, client: Client, clock: Clock, seen: Arc<Mutex<Seen>>) {
    loop {
        let gate = Gate::default();
        let guarded = guarded(
            client.clone(),
            Limits::NONE,
            gate.clone(),
            clock,
            Arc::default(),
        );
        let election = Election::new("default", name);
        let mut leadership = election.acquire(client.clone(), clock, gate, |_| {}).await;
        let term = leadership.term;
        seen.lock().unwrap().terms.insert(name.to_owned(), term);
        let maps: Api<ConfigMap> = Api::namespaced(guarded, "default");
        let work = async {
            loop {
                let patch = Patch::Merge(json!({"data": {"writer": name}}));
                let params = PatchParams::default();
                let writing = maps.patch("it", &params, &patch);
                let _ = tokio::time::timeout(Duration::from_secs(1), writing).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let stop = CancellationToken::new();
        tokio::select! {
            lost = leadership.keep(&stop) => assert!(lost.is_err()),
            () = work => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_controllers_never_write_at_once_through_stops_outages_and_skewed_clocks() {
    let server = server();
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let map = serde_json::from_value(json!({"metadata": {"name": "it"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let noted = seen.clone();
    server.on_write(move |write| {
        let mut seen = noted.lock().unwrap();
        if write.resource == "configmaps" {
            let term = seen.terms[&write.client];
            seen.writes.push(term);
        }
        Verdict::Proceed
    });
    let troubles = [Arc::new(Trouble::default()), Arc::new(Trouble::default())];
    let starts = ["2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z"];
    for ((name, trouble), start) in ["a", "b"].into_iter().zip(&troubles).zip(starts) {
        let clock = Clock::starting_at(start.parse().unwrap());
        let client = line(server.client_named(name), trouble.clone());
        let runs = controller(name, client, clock, seen.clone());
        tokio::spawn(stoppable(trouble.clone(), runs));
    }
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..240 {
        // Something begins or ends, for about as long as a lease lasts.
        tokio::time::sleep(Duration::from_millis(random.u64(1_000..20_000))).await;
        let trouble = &troubles[random.usize(..2)];
        let what = if random.bool() {
            &trouble.stopped
        } else {
            &trouble.cut_off
        };
        what.fetch_xor(true, Ordering::Relaxed);
    }
    let writes = &seen.lock().unwrap().writes;
    assert!(
        writes.is_sorted(),
        "a former leader wrote after a later one"
    );
    let terms = writes.chunk_by(|a, b| a == b).count();
    assert!(
        terms > 5 && writes.len() > 1_000,
        "{terms} terms in {} writes",
        writes.len()
    );
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_their_turn_and_writes_for_the_lease() {
    let (server, gate) = (server(), Gate::default());
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let (limits, metrics) = (
        Limits {
            qps: 10.0,
            burst: 1,
        },
        Arc::<Metrics>::default(),
    );
    let client = guarded(
        server.client(),
        limits,
        gate.clone(),
        clock,
        metrics.clone(),
    );
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let began = clock.now();
    for _ in 0..11 {
        maps.get_opt("it").await.expect("reads need no lease");
    }
    let took = clock.now().duration_since(began).as_millis();
    assert!((1_000..1_100).contains(&took), "{took} ms");
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "it"}})).unwrap();
    let refused = maps.create(&PostParams::default(), &map).await;
    let kube::Error::Service(refused) = refused.expect_err("no lease") else {
        panic!("not refused by the gate")
    };
    assert!(
        refused.to_string().contains("does not hold the lease"),
        "{refused}"
    );
    gate.open_until(jiff::Timestamp::MAX);
    maps.create(&PostParams::default(), &map)
        .await
        .expect("written");
    let counted = metrics.render(crate::metrics::Text::default(), None, clock.now());
    let line = "{kind=\"configmaps\",namespace=\"default\",verb=\"Create\",status_code=\"201\"} 1";
    assert!(counted.contains(line), "{counted}");
}
