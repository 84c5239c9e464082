//! Scripted proxies on real loopback streams, a controller without planners, and a cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crds::Rollout;
use k8s_openapi::api::core::v1::{Pod, Service as KubeService};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use local::api::{ApiServer, Config};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use uplink::limits::MAX_CONTROLLER_MESSAGE_BYTES;
use uplink::proto::controller_message::Kind as Told;
use uplink::proto::proxy_message::Kind;
use uplink::proto::uplink_client::UplinkClient;
use uplink::proto::{
    Ack, ArmReport, ControllerMessage, Counts, Fuse, Hello, ProxyMessage, Report, Role,
    SplitReport, WeightsAck,
};

use crate::caches::{Caches, Reach};
use crate::clock::Clock;
use crate::fleets::Fleets;
use crate::publish::Watches;
use crate::traffic::{RolloutKey, Traffic as _, TrafficOrder};
use crate::uplink_server::{Protection, Serving, bind, serve};

/// Nothing here takes longer than this unless it is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A controller without planners: caches, publisher, fleets, uplink.
pub(super) struct Controller {
    pub(super) fleets: Arc<Fleets>,
    pub(super) address: SocketAddr,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// A proxy that says what the test has it say.
pub(super) struct Scripted {
    pub(super) say: mpsc::Sender<ProxyMessage>,
    pub(super) hear: Streaming<ControllerMessage>,
}

impl Controller {
    pub(super) async fn start(client: &Client, term: u64) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let fleets = Arc::new(Fleets::new(Clock::system()));
        fleets.begin_term(term);
        let caches = Caches::start(client, &Reach::default(), &tasks, &stop);
        let watches = Watches::new(caches, client, &tasks, &stop);
        let (told, serving) = watch::channel(Serving::Syncing);
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), false)
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = serve(
            (listener, Protection::Loopback),
            fleets.clone(),
            serving.clone(),
            stop.clone(),
        );
        tasks.spawn(async move { served.await.expect("served") });
        let publisher = fleets.clone();
        tasks.spawn(async move {
            watches.synced().await;
            watches
                .publish(&publisher, || drop(told.send_replace(Serving::Serves)))
                .await;
        });
        let mut ready = serving;
        ready
            .wait_for(|serving| *serving == Serving::Serves)
            .await
            .expect("it serves");
        Self {
            fleets,
            address,
            tasks,
            stop,
        }
    }

    /// Gone without a word.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits until what the planners see is as wanted.
    pub(super) async fn until(&self, wanted: impl Fn(&Fleets) -> bool) {
        let mut changed = self.fleets.changed();
        let waited = tokio::time::timeout(PATIENCE, async {
            while !wanted(&self.fleets) {
                changed.recv().await.expect("fleets live");
            }
        });
        assert!(
            waited.await.is_ok(),
            "still {:?}",
            self.fleets.view(&web(), "bbb")
        );
    }
}

impl Scripted {
    pub(super) async fn connect(address: SocketAddr, hello: Hello) -> Result<Self, Status> {
        Self::open(address, Kind::Hello(hello)).await
    }

    pub(super) async fn open(address: SocketAddr, first: Kind) -> Result<Self, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect().await.expect("connects");
        Self::over(channel, first, None).await
    }

    /// Over a connection that is there, with a token.
    pub(super) async fn over(
        channel: Channel,
        first: Kind,
        token: Option<&str>,
    ) -> Result<Self, Status> {
        let client = UplinkClient::new(channel);
        let (say, waiting) = mpsc::channel(16);
        say.send(ProxyMessage { kind: Some(first) })
            .await
            .expect("room");
        let mut client = client.max_decoding_message_size(MAX_CONTROLLER_MESSAGE_BYTES);
        let mut request = Request::new(ReceiverStream::new(waiting));
        if let Some(token) = token {
            let bearer = format!("Bearer {token}").parse().expect("ASCII");
            request.metadata_mut().insert("authorization", bearer);
        }
        let hear = client.exchange(request).await?.into_inner();
        Ok(Self { say, hear })
    }

    pub(super) async fn say(&self, kind: Kind) {
        self.say
            .send(ProxyMessage { kind: Some(kind) })
            .await
            .expect("the stream is open");
    }

    pub(super) async fn hear(&mut self) -> Result<Option<Told>, Status> {
        let heard = tokio::time::timeout(PATIENCE, self.hear.message())
            .await
            .expect("in time")?;
        Ok(heard.and_then(|message| message.kind))
    }

    pub(super) async fn snapshot(&mut self) -> uplink::proto::Snapshot {
        loop {
            match self
                .hear()
                .await
                .expect("no error")
                .expect("the stream is open")
            {
                Told::Snapshot(snapshot) => return snapshot,
                Told::Weights(weights) => self.ack_weights(&weights).await,
                other => panic!("{other:?} before a snapshot"),
            }
        }
    }

    pub(super) async fn weights(&mut self) -> uplink::proto::Weights {
        match self.hear().await.expect("no error") {
            Some(Told::Weights(weights)) => weights,
            other => panic!("{other:?} instead of weights"),
        }
    }

    pub(super) async fn ack_weights(&self, weights: &uplink::proto::Weights) {
        let ack = WeightsAck {
            split: weights.split.clone(),
            epoch: weights.epoch,
        };
        self.say(Kind::WeightsAck(ack)).await;
    }

    /// Takes a snapshot and the weights after it, as a proxy does that has just connected.
    pub(super) async fn settle(&mut self) -> uplink::document::RoutingConfig {
        let snapshot = self.snapshot().await;
        self.say(Kind::Ack(Ack {
            version: snapshot.version,
        }))
        .await;
        let weights = self.weights().await;
        self.ack_weights(&weights).await;
        document(&snapshot)
    }
}

pub(super) fn document(snapshot: &uplink::proto::Snapshot) -> uplink::document::RoutingConfig {
    let text = std::str::from_utf8(&snapshot.document).expect("text");
    uplink::document::read_yaml_or_json(text).expect("a document")
}

pub(super) fn hello(proxy: &str, process: &str) -> Hello {
    Hello {
        fleet: "default/web".into(),
        proxy: proxy.into(),
        process_id: process.into(),
        ..Hello::default()
    }
}

pub(super) fn web() -> RolloutKey {
    RolloutKey {
        namespace: "default".into(),
        name: "web".into(),
    }
}

pub(super) async fn create<K>(client: &Client, value: Value) -> K
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), "default");
    let object = serde_json::from_value(value).expect("an object");
    api.create(&PostParams::default(), &object)
        .await
        .expect("created")
}

/// A cluster with a Rollout in mid-release at weight 10: aaa is stable, bbb the canary.
pub(super) async fn cluster() -> (Arc<ApiServer>, Client, String) {
    let config = Config {
        clock: local::clock::Clock::system(),
        data_dir: None,
        seed: 1,
        history: 1_000,
    };
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
    let written = rollouts
        .patch_status("web", &PatchParams::default(), &Patch::Merge(&status))
        .await;
    written.expect("written");
    (server, client, rollout.metadata.uid.expect("a uid"))
}

pub(super) async fn pod(client: &Client, name: &str, hash: &str, ip: &str) {
    create::<Pod>(client, json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web", "rollouts-pod-template-hash": hash}},
        "spec": {"containers": [{"name": "app", "image": "app"}]}
    }))
    .await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let status = json!({"status": {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .expect("ready");
}

pub(super) fn order(uid: &str, weight: u32) -> TrafficOrder {
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

pub(super) fn report(uid: &str, epoch: u64, requests: u64, buckets: &[u32]) -> Kind {
    let arm = ArmReport {
        role: Role::Canary.into(),
        revision: "bbb".into(),
        epoch,
        requests,
        failures: 1,
        unkeyed: Some(Counts {
            exposed: requests,
            bad: 1,
        }),
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
    Kind::Report(Report {
        splits: vec![split],
    })
}
