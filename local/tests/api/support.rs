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

pub(crate) async fn place() -> Place {
    let client = if on_a_cluster() {
        let config = KubeConfig::infer().await.unwrap();
        Client::try_from(config).unwrap()
    } else {
        server().client()
    };
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
