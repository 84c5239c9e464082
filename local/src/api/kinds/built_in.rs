//! The table of built-in kinds.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, Pod, PodTemplate, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event as NewEvent;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Kind, Origin, Scale};

const CLUSTER: u8 = 1;
const STATUS: u8 = 2;
const SCALE: u8 = 4;
const GENERATION: u8 = 8;

pub(super) fn table() -> Vec<Kind> {
    vec![
        row::<Namespace>(&["ns"], &[], CLUSTER | STATUS),
        row::<Node>(&["no"], &[], CLUSTER | STATUS),
        row::<Pod>(&["po"], &["all"], STATUS | GENERATION),
        row::<PodTemplate>(&[], &[], GENERATION),
        row::<Service>(&["svc"], &["all"], STATUS),
        row::<ConfigMap>(&["cm"], &[], 0),
        row::<Secret>(&[], &[], 0),
        row::<ServiceAccount>(&["sa"], &[], 0),
        row::<Endpoints>(&["ep"], &[], 0),
        row::<Event>(&["ev"], &[], 0),
        row::<NewEvent>(&["ev"], &[], 0),
        row::<ReplicaSet>(&["rs"], &["all"], STATUS | SCALE | GENERATION),
        row::<Deployment>(&["deploy"], &["all"], STATUS | SCALE | GENERATION),
        row::<Job>(&[], &["all"], STATUS | GENERATION),
        row::<HorizontalPodAutoscaler>(&["hpa"], &["all"], STATUS),
        row::<PodDisruptionBudget>(&["pdb"], &[], STATUS | GENERATION),
        row::<EndpointSlice>(&[], &[], GENERATION),
        row::<Lease>(&[], &[], 0),
        row::<CustomResourceDefinition>(
            &["crd", "crds"],
            &["api-extensions"],
            CLUSTER | STATUS | GENERATION,
        ),
    ]
}

fn row<T>(short: &[&str], categories: &[&str], traits: u8) -> Kind
where
    T: k8s_openapi::Resource + Serialize + DeserializeOwned,
{
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let place = match (T::GROUP, T::KIND) {
        // Both Event kinds are two views of the same objects.
        ("events.k8s.io", "Event") => "events".to_owned(),
        ("", _) => T::URL_PATH_SEGMENT.to_owned(),
        (group, _) => format!("{}.{group}", T::URL_PATH_SEGMENT),
    };
    Kind {
        group: T::GROUP.to_owned(),
        version: T::VERSION.to_owned(),
        kind: T::KIND.to_owned(),
        list_kind: format!("{}List", T::KIND),
        plural: T::URL_PATH_SEGMENT.to_owned(),
        singular: T::KIND.to_lowercase(),
        short: owned(short),
        categories: owned(categories),
        namespaced: traits & CLUSTER == 0,
        status: traits & STATUS != 0,
        scale: (traits & SCALE != 0).then(workload_scale),
        generation: traits & GENERATION != 0,
        place: Arc::from(place),
        origin: Origin::BuiltIn(shape::<T>),
    }
}

fn workload_scale() -> Scale {
    let path = |keys: [&str; 2]| keys.iter().map(|key| (*key).to_owned()).collect();
    Scale {
        spec: path(["spec", "replicas"]),
        status: path(["status", "replicas"]),
        selector: Some(path(["spec", "selector"])),
    }
}

fn shape<T: Serialize + DeserializeOwned>(object: Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(object)?)
}
