//! The workload that a Rollout takes its pods from, by `workloadRef`.
//!
//! A look works on a copy of the Rollout in which template and selector are filled in. What is written
//! to the cluster are patches of other fields, so the copy never gets there. The workloads of a kind
//! are only watched once a Rollout refers to one: few do, and a cluster may have many Deployments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crds::{PodTemplate, Rollout};
use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::spec::SpecError;
use crate::caches::Scope;
use crate::patience::Patience;
use crate::traffic::RolloutKey;

/// A kind that a Rollout may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadKind {
    /// `apps/v1`.
    Deployment,
    /// `apps/v1`.
    ReplicaSet,
    /// `v1`.
    PodTemplate,
}

/// What matters of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadView {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// The version that writes rely on.
    pub resource_version: String,
    /// Its generation.
    pub generation: i64,
    /// Pods that it should have, where it has any itself.
    pub replicas: Option<i32>,
}

/// A Rollout with the pods of the workload that it refers to.
pub(super) struct Resolved {
    pub(super) rollout: Arc<Rollout>,
    pub(super) workload: Option<WorkloadView>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Unresolved {
    /// Workloads of that kind are not known yet; a look follows when they are.
    Later,
    /// It cannot be, and this is what people are told.
    Never(Box<SpecError>),
}

/// The workloads of one kind, as far as the watch has seen them.
struct Shelf {
    kind: WorkloadKind,
    store: Store<DynamicObject>,
    /// A Rollout refers to that kind.
    wanted: Notify,
    filled: AtomicBool,
}

/// What the watches have seen of workloads.
pub(super) struct Workloads([Shelf; 3]);

/// Writes what a watch of one kind sees.
pub(super) struct Writers([Writer<DynamicObject>; 3]);

const KINDS: [WorkloadKind; 3] = [
    WorkloadKind::Deployment,
    WorkloadKind::ReplicaSet,
    WorkloadKind::PodTemplate,
];

/// Caches and what fills them.
pub(super) fn shelves() -> (Workloads, Writers) {
    let writers = KINDS.map(|kind| Writer::new(kind.resource()));
    let mut index = 0;
    let shelves = KINDS.map(|kind| {
        let store = writers[index].as_reader();
        index += 1;
        Shelf {
            kind,
            store,
            wanted: Notify::new(),
            filled: AtomicBool::new(false),
        }
    });
    (Workloads(shelves), Writers(writers))
}

/// The Rollout with the pods of its workload, or as it is where it refers to none.
pub(super) fn resolve(
    rollout: &Arc<Rollout>,
    workloads: &Workloads,
) -> Result<Resolved, Unresolved> {
    let Some(reference) = &rollout.spec.workload_ref else {
        return Ok(Resolved {
            rollout: rollout.clone(),
            workload: None,
        });
    };
    let never = |text: String| Unresolved::Never(Box::new(SpecError::bare(text)));
    if rollout.spec.template.as_ref().is_some_and(says_something) {
        return Err(never(
            "template must be empty for workload reference rollout".to_owned(),
        ));
    }
    let api_version = reference.api_version.as_deref().unwrap_or_default();
    let kind_name = reference.kind.as_deref().unwrap_or_default();
    let Some(kind) = WorkloadKind::of(api_version, kind_name) else {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        return Err(never(format!(
            "workload of type {group}/{kind_name} is not supported"
        )));
    };
    let name = reference.name.as_deref().unwrap_or_default();
    let namespace = rollout.namespace().unwrap_or_default();
    let object = workloads
        .get(kind, &namespace, name)?
        .ok_or_else(|| never(format!("{} \"{namespace}/{name}\" not found", kind.place())))?;
    let mut rollout = Rollout::clone(rollout);
    rollout.spec.template = Some(object.template);
    rollout.spec.selector = rollout.spec.selector.or(object.selector);
    Ok(Resolved {
        rollout: Arc::new(rollout),
        workload: Some(object.view),
    })
}

/// A template beside `workloadRef` would be two answers to one question.
pub(super) fn says_something(template: &PodTemplate) -> bool {
    !template.labels().is_empty()
        || !template.annotations().is_empty()
        || template.containers().next().is_some()
}

/// Watches the workloads of all kinds that Rollouts refer to. `changed` is told of each, and with an
/// empty name when all of a kind are known.
pub(super) async fn follow(
    workloads: &Workloads,
    writers: Writers,
    way: (&Client, &Scope),
    changed: impl Fn(WorkloadKind, RolloutKey),
) {
    let [deployments, sets, templates] = writers.0;
    let [deployment_shelf, set_shelf, template_shelf] = &workloads.0;
    tokio::join!(
        deployment_shelf.follow(deployments, way, &changed),
        set_shelf.follow(sets, way, &changed),
        template_shelf.follow(templates, way, &changed),
    );
}

/// What a workload gives.
struct Given {
    template: PodTemplate,
    selector: Option<LabelSelector>,
    view: WorkloadView,
}

// === impl Workloads ===

impl Workloads {
    fn get(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Given>, Unresolved> {
        let Some(shelf) = self.0.iter().find(|shelf| shelf.kind == kind) else {
            return Ok(None);
        };
        shelf.wanted.notify_one();
        if !shelf.filled.load(Ordering::Acquire) {
            return Err(Unresolved::Later);
        }
        let reference = ObjectRef::new_with(name, kind.resource()).within(namespace);
        Ok(shelf
            .store
            .get(&reference)
            .and_then(|object| given(kind, &object)))
    }
}

// === impl Shelf ===

impl Shelf {
    async fn follow(
        &self,
        writer: Writer<DynamicObject>,
        (client, scope): (&Client, &Scope),
        changed: &impl Fn(WorkloadKind, RolloutKey),
    ) {
        self.wanted.notified().await;
        let resource = self.kind.resource();
        let all: Api<DynamicObject> = match scope {
            Scope::Cluster => Api::all_with(client.clone(), &resource),
            Scope::Namespace(here) => Api::namespaced_with(client.clone(), here, &resource),
        };
        let events = watcher(all, watcher::Config::default())
            .backoff(Patience::default())
            .modify(|object| {
                object.managed_fields_mut().clear();
                if let Some(data) = object.data.as_object_mut() {
                    data.remove("status");
                }
            })
            .reflect(writer);
        let told = events.for_each(async |event| match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => {
                changed(self.kind, key_of(&object));
            }
            Ok(watcher::Event::InitDone) => {
                self.filled.store(true, Ordering::Release);
                changed(
                    self.kind,
                    RolloutKey {
                        namespace: String::new(),
                        name: String::new(),
                    },
                );
            }
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Err(error) => {
                let kind = self.kind.place();
                tracing::warn!(kind, %error, "a watch broke; it is started again");
            }
        });
        told.await;
    }
}

fn key_of(object: &DynamicObject) -> RolloutKey {
    RolloutKey {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

fn given(kind: WorkloadKind, object: &DynamicObject) -> Option<Given> {
    let template = match kind {
        WorkloadKind::PodTemplate => object.data.get("template"),
        _ => object.data.pointer("/spec/template"),
    };
    let selector = object.data.pointer("/spec/selector");
    let replicas = object
        .data
        .pointer("/spec/replicas")
        .and_then(Value::as_i64);
    Some(Given {
        template: PodTemplate::from_value(template.cloned().unwrap_or_else(|| json!({})))?,
        selector: selector.and_then(|selector| serde_json::from_value(selector.clone()).ok()),
        view: WorkloadView {
            kind,
            name: object.name_any(),
            resource_version: object.resource_version().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            replicas: replicas.and_then(|replicas| i32::try_from(replicas).ok()),
        },
    })
}

// === impl WorkloadKind ===

impl WorkloadKind {
    /// The kind with that name in that version of its API.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        match (api_version, kind) {
            ("apps/v1", "Deployment") => Some(Self::Deployment),
            ("apps/v1", "ReplicaSet") => Some(Self::ReplicaSet),
            ("v1", "PodTemplate") => Some(Self::PodTemplate),
            _ => None,
        }
    }

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::PodTemplate => "PodTemplate",
        }
    }

    /// As errors of the API name it.
    fn place(self) -> &'static str {
        match self {
            Self::Deployment => "deployments.apps",
            Self::ReplicaSet => "replicasets.apps",
            Self::PodTemplate => "podtemplates",
        }
    }

    fn resource(self) -> ApiResource {
        match self {
            Self::Deployment => ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&()),
            Self::ReplicaSet => ApiResource::erase::<k8s_openapi::api::apps::v1::ReplicaSet>(&()),
            Self::PodTemplate => ApiResource::erase::<k8s_openapi::api::core::v1::PodTemplate>(&()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(reference: Value, template: Value) -> Arc<Rollout> {
        let rollout = json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"workloadRef": reference, "template": template},
        });
        Arc::new(serde_json::from_value(rollout).unwrap())
    }

    fn world(objects: &[Value]) -> Workloads {
        let (workloads, Writers(mut writers)) = shelves();
        for object in objects {
            let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
            let kind = object.types.as_ref().unwrap().kind.clone();
            let index = KINDS
                .iter()
                .position(|it| it.resource().kind == kind)
                .unwrap();
            writers[index].apply_watcher_event(&watcher::Event::Apply(object));
        }
        for shelf in &workloads.0 {
            shelf.filled.store(true, Ordering::Release);
        }
        workloads
    }

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default", "generation": 7, "resourceVersion": "9"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web"}]}},
            },
        })
    }

    #[test]
    fn template_and_selector_come_from_the_workload() {
        let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let resolved = resolve(
            &rollout(reference.clone(), json!(null)),
            &world(&[deployment()]),
        )
        .unwrap();
        let spec = resolved.rollout.spec.clone();
        assert_eq!(spec.template.unwrap().labels()["app"], "web");
        assert_eq!(spec.selector.unwrap().match_labels.unwrap()["app"], "web");
        let workload = resolved.workload.unwrap();
        assert_eq!((workload.generation, workload.replicas), (7, Some(3)));
        let mut own = Rollout::clone(&rollout(reference, json!(null)));
        own.spec.selector =
            serde_json::from_value(json!({"matchLabels": {"tier": "front"}})).unwrap();
        let own = Arc::new(own);
        let resolved = resolve(&own, &world(&[deployment()])).unwrap();
        assert_eq!(resolved.rollout.spec.selector, own.spec.selector);
    }

    #[test]
    fn a_pod_template_has_no_selector() {
        let object = json!({
            "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "web", "namespace": "default"},
            "template": {"metadata": {"labels": {"app": "web"}}},
        });
        let reference = json!({"apiVersion": "v1", "kind": "PodTemplate", "name": "web"});
        let resolved = resolve(&rollout(reference, json!(null)), &world(&[object])).unwrap();
        let spec = resolved.rollout.spec.clone();
        assert_eq!(spec.template.unwrap().labels()["app"], "web");
        assert_eq!(spec.selector, None);
    }

    #[test]
    fn what_cannot_be_resolved_is_told_in_argos_words() {
        let table = [
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}),
                json!(null),
                "deployments.apps \"default/none\" not found",
            ),
            (
                json!({"apiVersion": "v1", "kind": "PodTemplate", "name": "none"}),
                json!({}),
                "podtemplates \"default/none\" not found",
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"}),
                json!(null),
                "workload of type apps/StatefulSet is not supported",
            ),
            (
                json!({"apiVersion": "v1", "kind": "Pod", "name": "web"}),
                json!(null),
                "workload of type /Pod is not supported",
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}),
                json!({"metadata": {"labels": {"app": "web"}}}),
                "template must be empty for workload reference rollout",
            ),
        ];
        for (reference, template, expected) in table {
            let error = match resolve(&rollout(reference, template), &world(&[deployment()])) {
                Err(Unresolved::Never(error)) => error.to_string(),
                Err(Unresolved::Later) => "later".to_owned(),
                Ok(_) => "resolved".to_owned(),
            };
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn until_a_kind_is_known_nothing_is_decided() {
        let (workloads, _writers) = shelves();
        let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let resolved = resolve(&rollout(reference, json!(null)), &workloads);
        assert!(matches!(resolved, Err(Unresolved::Later)));
    }
}
