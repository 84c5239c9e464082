//! Scripted proxies on real loopback streams, and Kubernetes objects in the local API server.

use crds::Rollout;
use k8s_openapi::api::core::v1::{Pod, Service as KubeService};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use local::api::{ApiServer, Config};
use serde_json::{Value, json};
use tonic::Code;
use uplink::proto::controller_message::Kind as Told;
use uplink::proto::uplink_client::UplinkClient;
use uplink::proto::{Ack, ArmReport, Counts, Fuse, Goodbye, Nack, Report, Role, SplitReport, WeightsAck};

use super::*;
use crate::clock::Clock;
use crate::publish::{Scope, Watches};
use crate::traffic::{RolloutKey, Traffic as _, TrafficOrder};

/// Nothing here takes longer than this unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A controller without planners: caches, publisher, fleets, uplink.
struct Controller {
    fleets: Arc<Fleets>,
    address: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A proxy that says what the test has it say.
struct Scripted {
    say: mpsc::Sender<ProxyMessage>,
    hear: Streaming<ControllerMessage>,
}

impl Controller {
    async fn start(client: &Client, term: u64) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let fleets = Arc::new(Fleets::new(Clock::system()));
        fleets.begin_term(term);
        let watches = Watches::start(client, &Scope::Cluster, &tasks, &stop);
        let (told, serving) = watch::channel(Serving::Syncing);
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = serve(listener, fleets.clone(), serving.clone(), stop.clone());
        tasks.spawn(async move { served.await.expect("served") });
        let publisher = fleets.clone();
        tasks.spawn(async move {
            watches.synced().await;
            watches.publish(&publisher, || drop(told.send_replace(Serving::Serves))).await;
        });
        let mut ready = serving;
        ready.wait_for(|serving| *serving == Serving::Serves).await.expect("it serves");
        Self { fleets, address, tasks, stop }
    }

    /// Gone without a word.
    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits until what the planners see is as wanted.
    async fn until(&self, wanted: impl Fn(&Fleets) -> bool) {
        let mut changed = self.fleets.changed();
        let waited = tokio::time::timeout(PATIENCE, async {
            while !wanted(&self.fleets) {
                changed.recv().await.expect("fleets live");
            }
        });
        if waited.await.is_err() {
            panic!("still {:?}", self.fleets.view(&web(), "bbb"));
        }
    }
}

impl Scripted {
    async fn connect(address: SocketAddr, hello: Hello) -> Result<Self, Status> {
        Self::open(address, Kind::Hello(hello)).await
    }

    async fn open(address: SocketAddr, first: Kind) -> Result<Self, Status> {
        let client = UplinkClient::connect(format!("http://{address}")).await.expect("connects");
        let (say, waiting) = mpsc::channel(16);
        say.send(ProxyMessage { kind: Some(first) }).await.expect("room");
        let mut client = client.max_decoding_message_size(MAX_CONTROLLER_MESSAGE_BYTES);
        let hear = client.exchange(ReceiverStream::new(waiting)).await?.into_inner();
        Ok(Self { say, hear })
    }

    async fn say(&self, kind: Kind) {
        self.say.send(ProxyMessage { kind: Some(kind) }).await.expect("the stream is open");
    }

    async fn hear(&mut self) -> Result<Option<Told>, Status> {
        let heard = tokio::time::timeout(PATIENCE, self.hear.message()).await.expect("in time")?;
        Ok(heard.and_then(|message| message.kind))
    }

    async fn snapshot(&mut self) -> uplink::proto::Snapshot {
        loop {
            match self.hear().await.expect("no error").expect("the stream is open") {
                Told::Snapshot(snapshot) => return snapshot,
                Told::Weights(weights) => self.ack_weights(&weights).await,
                other => panic!("{other:?} before a snapshot"),
            }
        }
    }

    async fn weights(&mut self) -> uplink::proto::Weights {
        match self.hear().await.expect("no error") {
            Some(Told::Weights(weights)) => weights,
            other => panic!("{other:?} instead of weights"),
        }
    }

    async fn ack_weights(&self, weights: &uplink::proto::Weights) {
        let ack = WeightsAck { split: weights.split.clone(), epoch: weights.epoch };
        self.say(Kind::WeightsAck(ack)).await;
    }

    /// Takes a snapshot and the weights after it, as a proxy does that has just connected.
    async fn settle(&mut self) -> uplink::document::RoutingConfig {
        let snapshot = self.snapshot().await;
        self.say(Kind::Ack(Ack { version: snapshot.version })).await;
        let weights = self.weights().await;
        self.ack_weights(&weights).await;
        document(&snapshot)
    }
}

fn document(snapshot: &uplink::proto::Snapshot) -> uplink::document::RoutingConfig {
    let text = std::str::from_utf8(&snapshot.document).expect("text");
    uplink::document::read_yaml_or_json(text).expect("a document")
}

fn hello(proxy: &str, process: &str) -> Hello {
    Hello {
        fleet: "default/web".into(),
        proxy: proxy.into(),
        process_id: process.into(),
        ..Hello::default()
    }
}

fn web() -> RolloutKey {
    RolloutKey { namespace: "default".into(), name: "web".into() }
}

async fn create<K>(client: &Client, value: Value) -> K
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), "default");
    let object = serde_json::from_value(value).expect("an object");
    api.create(&PostParams::default(), &object).await.expect("created")
}

/// A cluster with a Rollout in mid-release at weight 10: aaa is stable, bbb the canary.
async fn cluster() -> (Arc<ApiServer>, Client, String) {
    let config =
        Config { clock: local::clock::Clock::system(), data_dir: None, seed: 1, history: 1_000 };
    let server = ApiServer::new(config).expect("starts");
    server.install_crds(&crds::all()).expect("installed");
    let client = server.client();
    let ports = json!([{"port": 80, "targetPort": 8080}]);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web-stable"}, "spec": {"ports": ports}});
    create::<KubeService>(&client, service).await;
    pod(&client, "web-1", "aaa", "10.0.0.1").await;
    let rollout = create::<Rollout>(&client, json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "app"}]}},
            "strategy": {"canary": {
                "stableService": "web-stable", "canaryService": "web-stable",
                "trafficRouting": {"plugins": {"sluice/proxy": {}}}}}}
    }))
    .await;
    let status = json!({"status": {
        "stableRS": "aaa", "currentPodHash": "bbb",
        "canary": {"weights": {
            "canary": {"weight": 10, "podTemplateHash": "bbb"},
            "stable": {"weight": 90, "podTemplateHash": "aaa"}}}}});
    let rollouts: Api<Rollout> = Api::namespaced(client.clone(), "default");
    let written = rollouts.patch_status("web", &PatchParams::default(), &Patch::Merge(&status)).await;
    written.expect("written");
    (server, client, rollout.metadata.uid.expect("a uid"))
}

async fn pod(client: &Client, name: &str, hash: &str, ip: &str) {
    create::<Pod>(client, json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web", "rollouts-pod-template-hash": hash}},
        "spec": {"containers": [{"name": "app", "image": "app"}]}
    }))
    .await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let status = json!({"status": {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.expect("ready");
}

fn order(uid: &str, weight: u32) -> TrafficOrder {
    TrafficOrder {
        rollout: web(),
        uid: uid.into(),
        stable: "aaa".into(),
        canary: Some("bbb".into()),
        weight,
        max_weight: 100,
        header_routes: Vec::new(),
    }
}

fn report(uid: &str, epoch: u64, requests: u64, buckets: &[u32]) -> Kind {
    let arm = ArmReport {
        role: Role::Canary.into(),
        revision: "bbb".into(),
        epoch,
        requests,
        failures: 1,
        unkeyed: Some(Counts { exposed: requests, bad: 1 }),
        exposed_buckets: buckets.to_vec(),
        latency: vec![requests],
        ..ArmReport::default()
    };
    let split = SplitReport {
        split: "default/web".into(),
        rollout_uid: uid.into(),
        weight: 10,
        epoch,
        arms: vec![arm],
        fuse: Some(Fuse::default()),
    };
    Kind::Report(Report { splits: vec![split] })
}

#[tokio::test]
async fn a_proxy_gets_its_routes_acknowledges_them_and_follows_pods_and_weights() {
    let (_server, client, uid) = cluster().await;
    let controller = Controller::start(&client, 1).await;
    let mut proxy = Scripted::connect(controller.address, hello("p-1", "x")).await.expect("joins");
    let routes = proxy.settle().await;
    assert_eq!(routes.clusters["default/web/aaa"].endpoints, ["10.0.0.1:8080"]);
    assert_eq!(routes.splits["default/web"].weight, 10, "as the status says");
    assert_eq!(routes.splits["default/web"].rollout_uid.as_deref(), Some(uid.as_str()));
    let verified = |fleets: &Fleets| fleets.view(&web(), "bbb").verified == Some(true);
    controller.until(verified).await;

    controller.fleets.order(order(&uid, 10));
    controller.fleets.order(order(&uid, 30));
    let weights = proxy.weights().await;
    assert_eq!((weights.weight, weights.canary_revision.as_str()), (30, "bbb"));
    assert!(!verified(&controller.fleets));
    proxy.ack_weights(&weights).await;
    controller.until(verified).await;

    pod(&client, "web-2", "bbb", "10.0.0.2").await;
    let Some(Told::Endpoints(endpoints)) = proxy.hear().await.expect("no error") else {
        panic!("a new pod is no snapshot")
    };
    assert_eq!(endpoints.clusters[0].addresses, ["10.0.0.2:8080"]);
    proxy.say(Kind::Ack(Ack { version: endpoints.version })).await;
    controller.until(|fleets| fleets.view(&web(), "bbb").reachable.get("bbb") == Some(&1)).await;

    proxy.say(Kind::Goodbye(Goodbye {})).await;
    drop(proxy);
    controller.until(|fleets| fleets.view(&web(), "bbb").connected == 0).await;
    let message = controller.fleets.view(&web(), "bbb").message;
    assert_eq!(message.as_deref(), Some("no proxy of fleet web is connected"));
    controller.stop().await;
}

#[tokio::test]
async fn a_refused_snapshot_is_named_and_an_abort_goes_on() {
    let (_server, client, uid) = cluster().await;
    let controller = Controller::start(&client, 1).await;
    let mut proxy = Scripted::connect(controller.address, hello("p-1", "x")).await.expect("joins");
    let snapshot = proxy.snapshot().await;
    let error = uplink::proto::ConfigError { path: "routes[0]".into(), message: "not today".into() };
    proxy.say(Kind::Nack(Nack { version: snapshot.version, errors: vec![error] })).await;
    let refused = "proxy p-1 refused the configuration: routes[0]: not today";
    controller.until(|fleets| fleets.view(&web(), "bbb").message.as_deref() == Some(refused)).await;
    let before = proxy.weights().await;
    controller.fleets.order(order(&uid, 0));
    let abort = proxy.weights().await;
    assert_eq!(abort.weight, 0);
    assert!(abort.epoch > before.epoch);
    controller.stop().await;
}

#[tokio::test]
async fn a_restarted_controller_rebuilds_the_evidence_and_outranks_its_former_self() {
    let (_server, client, uid) = cluster().await;
    let controller = Controller::start(&client, 1).await;
    let mut one = Scripted::connect(controller.address, hello("p-1", "x")).await.expect("joins");
    let first = one.snapshot().await;
    one.say(Kind::Ack(Ack { version: first.version })).await;
    let epoch = one.weights().await.epoch;
    let two = Scripted::connect(controller.address, hello("p-2", "y")).await.expect("joins");
    one.say(report(&uid, epoch, 40, &[1, 2])).await;
    two.say(report(&uid, epoch, 2, &[2, 3])).await;
    let counted = |fleets: &Fleets| {
        let evidence = fleets.evidence(&web(), "bbb");
        let keyed = evidence.errors.first().map(|epoch| epoch.keyed.canary.exposed);
        (evidence.canary_requests, evidence.canary_failures, keyed)
    };
    // Reports alone need not wake anybody: ask until the stream has been read.
    let deadline = tokio::time::timeout(PATIENCE, async {
        while counted(&controller.fleets) != (42, 2, Some(3)) {
            tokio::task::yield_now().await;
        }
    });
    deadline.await.expect("reports arrive");
    controller.stop().await;
    let ended = loop {
        match one.hear().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end has a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable);

    let controller = Controller::start(&client, 2).await;
    let again = Hello { in_force: first.version, ..hello("p-1", "x") };
    let mut one = Scripted::connect(controller.address, again).await.expect("joins");
    let two = Scripted::connect(controller.address, hello("p-2", "y")).await.expect("joins");
    let snapshot = one.snapshot().await;
    let version = |it: &uplink::proto::Snapshot| it.version.map(uplink::version::Version::from);
    assert!(version(&snapshot) > version(&first));
    let weights = one.weights().await;
    assert_eq!(weights.weight, 10, "as the status says");
    assert!(weights.epoch > epoch);
    one.say(report(&uid, epoch, 40, &[1, 2])).await;
    two.say(report(&uid, epoch, 2, &[2, 3])).await;
    let deadline = tokio::time::timeout(PATIENCE, async {
        while counted(&controller.fleets) != (42, 2, Some(3)) {
            tokio::task::yield_now().await;
        }
    });
    deadline.await.expect("the same evidence");
    controller.stop().await;
}

#[tokio::test]
async fn a_new_stream_replaces_the_old_one_and_who_does_not_read_is_disconnected() {
    let (_server, client, uid) = cluster().await;
    let controller = Controller::start(&client, 1).await;
    let mut old = Scripted::connect(controller.address, hello("p-1", "x")).await.expect("joins");
    old.settle().await;
    let mut new = Scripted::connect(controller.address, hello("p-1", "x")).await.expect("joins");
    let replaced = loop {
        match old.hear().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end has a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(replaced.code(), Code::Unavailable);
    new.settle().await;
    let disconnected = tokio::time::timeout(PATIENCE, async {
        let mut weight = 0;
        while controller.fleets.view(&web(), "bbb").connected == 1 {
            weight = (weight + 1) % 100;
            controller.fleets.order(order(&uid, weight));
            if weight == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    disconnected.await.expect("its outbox is bounded");
    controller.stop().await;
}

#[tokio::test]
async fn who_does_not_lead_says_who_does_and_strangers_are_refused() {
    let (told, serving) = watch::channel(Serving::Follows(Some("pod-7".into())));
    let stop = CancellationToken::new();
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let fleets = Arc::new(Fleets::new(Clock::system()));
    let served = tokio::spawn(serve(listener, fleets, serving, stop.clone()));
    let refusal = |result: Result<Scripted, Status>| result.err().expect("refused");
    let follows = refusal(Scripted::connect(address, hello("p-1", "x")).await);
    assert_eq!((follows.code(), follows.message()), (Code::Unavailable, "the leader is pod-7"));
    told.send_replace(Serving::Syncing);
    let syncing = refusal(Scripted::connect(address, hello("p-1", "x")).await);
    assert_eq!(syncing.code(), Code::Unavailable);
    told.send_replace(Serving::Serves);
    let rows = [
        Kind::Goodbye(Goodbye {}),
        Kind::Hello(hello("", "x")),
        Kind::Hello(hello("p", "")),
        Kind::Hello(Hello { fleet: "web".into(), ..hello("p", "x") }),
        Kind::Hello(Hello { fleet: "a/b/c".into(), ..hello("p", "x") }),
    ];
    for first in rows {
        let stranger = refusal(Scripted::open(address, first.clone()).await);
        assert_eq!(stranger.code(), Code::InvalidArgument, "{first:?}");
    }
    stop.cancel();
    served.await.expect("no panic").expect("served");
}

#[tokio::test]
async fn plaintext_is_for_loopback_alone() {
    let beyond = bind(SocketAddr::from(([0, 0, 0, 0], 0))).await.expect_err("refused");
    assert!(beyond.to_string().contains("0.0.0.0:0 would carry plaintext"), "{beyond}");
    // A machine without IPv6 says so when the port is opened, and not before.
    let six = bind("[::1]:0".parse().expect("an address")).await;
    assert!(!matches!(six, Err(BindError::BeyondLoopback(_))));
}
