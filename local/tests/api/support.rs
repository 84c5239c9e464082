//! A place to run a test in: a namespace of its own, on a fresh server or on a real cluster.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::core::Status;
use kube::{Client, Config as KubeConfig, Error};
use serde_json::{Value, json};
use sluice_local::api::{ApiServer, Config};
use sluice_local::clock::Clock;
use sluice_local::kubelet::runtime::pretend::Pretend;
use sluice_local::kubelet::{self, Kubelet};
use tokio_util::sync::CancellationToken;

/// A client and a namespace that nobody else uses.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// The history of a test's server: short enough to fall out of.
pub(crate) const HISTORY: usize = 50;

pub(crate) fn on_a_cluster() -> bool {
    std::env::var("SLUICE_CONTRACT").is_ok_and(|value| value == "cluster")
}

pub(crate) fn config() -> Config {
    let origin: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    Config {
        clock: Clock::starting_at(origin),
        data_dir: None,
        seed: 7,
        history: HISTORY,
    }
}

pub(crate) fn server() -> Arc<ApiServer> {
    ApiServer::new(config()).unwrap()
}

/// Does the cluster only have its API server? Nothing is collected then, scheduled or scaled.
pub(crate) fn has_no_controllers() -> bool {
    on_a_cluster() && std::env::var("SLUICE_REAL").is_ok_and(|value| value == "apiserver")
}

/// A place whose pods run: pretended ones, here and there.
pub(crate) async fn busy_place() -> Option<Place> {
    if on_a_cluster() {
        // The cluster's time is not ours to jump over.
        tokio::time::resume();
        let pretends = std::env::var("SLUICE_REAL").is_ok_and(|value| value == "full");
        return if pretends { Some(place().await) } else { None };
    }
    let server = server();
    let (client, clock) = (server.client(), config().clock);
    let stop = CancellationToken::new();
    tokio::spawn(sluice_local::controllers::run_all(
        client.clone(),
        clock,
        stop.clone(),
    ));
    let kubelet = Kubelet {
        client: client.clone(),
        clock,
        config: kubelet::Config::default(),
        runtime: Arc::new(Pretend::new(Duration::ZERO)),
    };
    tokio::spawn(kubelet.run(stop));
    Some(place_on(client).await)
}

pub(crate) async fn place() -> Place {
    let client = if on_a_cluster() {
        let mut config = KubeConfig::infer().await.unwrap();
        // What is refused with 429 or 504 is to be seen, not tried again.
        config.default_retry = false;
        Client::try_from(config).unwrap()
    } else {
        server().client()
    };
    place_on(client).await
}

/// A place on a server that is there already.
pub(crate) async fn place_on(client: Client) -> Place {
    let namespace = json!({"metadata": {"generateName": "contract-"}});
    let namespace: Namespace = serde_json::from_value(namespace).unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let made = namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    Place {
        client,
        namespace: made.metadata.name.unwrap(),
    }
}

impl Place {
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Stores a definition of a kind of this test's own; returns the API of its objects.
    pub(crate) async fn define(&self, schema: Value) -> Api<DynamicObject> {
        // Definitions are cluster-wide: the namespace's random name keeps tests apart.
        let group = format!("{}.example.com", self.namespace);
        let definition = definition(&group, schema);
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        definitions
            .create(&PostParams::default(), &definition)
            .await
            .unwrap();
        let widgets = self.widgets();
        eventually(async || {
            widgets
                .list(&kube::api::ListParams::default())
                .await
                .is_ok()
        })
        .await;
        widgets
    }

    pub(crate) fn widgets(&self) -> Api<DynamicObject> {
        let group = format!("{}.example.com", self.namespace);
        let kind = GroupVersionKind::gvk(&group, "v1", "Widget");
        let resource = ApiResource::from_gvk_with_plural(&kind, "widgets");
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    pub(crate) fn widget(&self, name: &str, spec: Value) -> DynamicObject {
        let group = format!("{}.example.com", self.namespace);
        let object = json!({"apiVersion": format!("{group}/v1"), "kind": "Widget",
                            "metadata": {"name": name}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }
}

pub(crate) fn definition(group: &str, schema: Value) -> CustomResourceDefinition {
    let object = json!({
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.selector"}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": schema,
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
            }],
        },
    });
    serde_json::from_value(object).unwrap()
}

pub(crate) fn config_map(name: &str, data: Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap()
}

/// Waits until something holds. Virtual time passes at once; a real cluster takes its own.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Duration::from_secs(20);
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(deadline, wait)
        .await
        .expect("it did not come to hold in time");
}

/// The refusal in an error, which must be one.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}
