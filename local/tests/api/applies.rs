//! Server-side apply.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::Resource as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::support::{Place, config_map, place, refusal};

pub(crate) fn by(manager: &str) -> PostParams {
    PostParams {
        field_manager: Some(manager.to_owned()),
        ..PostParams::default()
    }
}

pub(crate) fn patch_by(manager: &str) -> PatchParams {
    PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    }
}

pub(crate) fn typed<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// Who manages what, without the times: manager, operation, subresource, fields.
pub(crate) fn managed<T: Serialize>(object: &T) -> Value {
    let object = serde_json::to_value(object).unwrap();
    let entries = object["metadata"]["managedFields"].as_array().cloned();
    let told = entries.unwrap_or_default().into_iter().map(|entry| {
        assert_eq!(entry["fieldsType"], "FieldsV1");
        let mut told = format!(
            "{} {}",
            entry["manager"].as_str().unwrap(),
            entry["operation"].as_str().unwrap()
        );
        if let Some(subresource) = entry["subresource"].as_str() {
            told = format!("{told} {subresource}");
        }
        (told, entry["fieldsV1"].clone())
    });
    Value::Object(told.collect())
}

pub(crate) async fn apply<K>(api: &Api<K>, manager: &str, config: Value) -> Result<K, kube::Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let name = config["metadata"]["name"].as_str().unwrap().to_owned();
    api.patch(&name, &PatchParams::apply(manager), &Patch::Apply(&config))
        .await
}

async fn force<K>(api: &Api<K>, manager: &str, config: Value) -> K
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let name = config["metadata"]["name"].as_str().unwrap().to_owned();
    api.patch(
        &name,
        &PatchParams::apply(manager).force(),
        &Patch::Apply(&config),
    )
    .await
    .unwrap()
}

pub(crate) fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

pub(crate) fn workload(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
}

fn conflicts(status: &Status) -> Vec<(String, String)> {
    let causes = status.details.as_ref().unwrap().causes.iter();
    let causes = causes
        .inspect(|cause| assert_eq!(cause.reason, "FieldManagerConflict"))
        .map(|cause| (cause.message.clone(), cause.field.clone()));
    let mut causes: Vec<(String, String)> = causes.collect();
    causes.sort(); // Kubernetes lists them in any order.
    causes
}

#[tokio::test]
async fn an_apply_makes_what_is_not_there_and_changes_nothing_twice() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let made = apply(&maps, "one", map(json!({"a": "1"}))).await.unwrap();
    assert_eq!(
        managed(&made),
        json!({"one Apply": {"f:data": {"f:a": {}}}})
    );
    let again = apply(&maps, "one", map(json!({"a": "1"}))).await.unwrap();
    assert_eq!(again.meta().resource_version, made.meta().resource_version);
}

#[tokio::test]
async fn what_is_applied_no_more_goes_unless_somebody_else_has_it() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    apply(&maps, "one", map(json!({"a": "1", "b": "2", "c": "3"})))
        .await
        .unwrap();
    let both = apply(&maps, "two", map(json!({"b": "2"}))).await.unwrap();
    let wanted = json!({
        "one Apply": {"f:data": {"f:a": {}, "f:b": {}, "f:c": {}}},
        "two Apply": {"f:data": {"f:b": {}}}});
    assert_eq!(managed(&both), wanted);
    let less = apply(&maps, "one", map(json!({"a": "1"}))).await.unwrap();
    assert_eq!(less.data, config_map("m", json!({"a": "1", "b": "2"})).data);
    let wanted = json!({
        "one Apply": {"f:data": {"f:a": {}}}, "two Apply": {"f:data": {"f:b": {}}}});
    assert_eq!(managed(&less), wanted);
    let none = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let none = apply(&maps, "one", none).await.unwrap();
    assert_eq!(none.data, config_map("m", json!({"b": "2"})).data);
    assert_eq!(
        managed(&none),
        json!({"two Apply": {"f:data": {"f:b": {}}}})
    );
}

#[tokio::test]
async fn what_others_manage_is_a_conflict_that_force_decides() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    apply(&maps, "one", map(json!({"a": "1", "b": "2"})))
        .await
        .unwrap();
    let refused = refusal(apply(&maps, "two", map(json!({"a": "9"}))).await);
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"one\": .data.a"
    );
    let patch = json!({"data": {"b": "3"}});
    maps.patch("m", &patch_by("three"), &Patch::Merge(&patch))
        .await
        .unwrap();
    let refused = refusal(apply(&maps, "two", map(json!({"a": "9", "b": "9"}))).await);
    assert_eq!(
        refused.message,
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\nconflicts with \"three\" using v1:\n- .data.b"
    );
    let told = |manager: &str, field: &str| (format!("conflict with {manager}"), field.to_owned());
    assert_eq!(
        conflicts(&refused),
        [
            told("\"one\"", ".data.a"),
            told("\"three\" using v1", ".data.b")
        ]
    );
    let forced = force(&maps, "two", map(json!({"a": "9", "b": "9"}))).await;
    assert_eq!(
        forced.data,
        config_map("m", json!({"a": "9", "b": "9"})).data
    );
    assert_eq!(
        managed(&forced),
        json!({"two Apply": {"f:data": {"f:a": {}, "f:b": {}}}})
    );
}

/// What one applies after the other, the pointer, and what stands there.
type Row = (Value, Value, &'static str, Value);

fn rows() -> Vec<Row> {
    let pod = |spec: Value| {
        let mut template =
            json!({"metadata": {"labels": {"app": "d"}}, "spec": {"containers": []}});
        for (key, value) in spec.as_object().unwrap() {
            template["spec"][key] = value.clone();
        }
        workload(
            json!({"selector": {"matchLabels": {"app": "d"}}, "replicas": 0, "template": template}),
        )
    };
    let containers = |list: Value| pod(json!({"containers": list}));
    let at = "/spec/template/spec/containers";
    vec![
        (
            containers(json!([{"name": "a", "image": "a:1"}])),
            containers(json!([{"name": "b", "image": "b:1"}])),
            "/spec/template/spec/containers/1/name",
            json!("b"),
        ),
        (
            containers(json!([{"name": "a", "image": "a:1", "args": ["1"]}])),
            containers(json!([{"name": "a", "args": ["1"]}])),
            "/spec/template/spec/containers/0/image",
            json!("a:1"),
        ),
        (
            containers(
                json!([{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}]),
            ),
            containers(json!([{"name": "a", "env": [{"name": "Y", "value": "2"}]}])),
            "/spec/template/spec/containers/0/env",
            json!([{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]),
        ),
        (
            containers(json!([{"name": "a", "image": "a:1", "ports": [{"containerPort": 80}]}])),
            containers(json!([{"name": "a", "ports": [{"containerPort": 80, "protocol": "UDP"}]}])),
            "/spec/template/spec/containers/0/ports",
            json!([{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]),
        ),
        (
            pod(
                json!({"containers": [{"name": "a", "image": "a:1"}], "tolerations": [{"key": "k", "operator": "Exists"}]}),
            ),
            pod(json!({"containers": [{"name": "a", "image": "a:1"}], "nodeSelector": {"n": "1"}})),
            "/spec/template/spec/tolerations",
            json!([{"key": "k", "operator": "Exists"}]),
        ),
        (
            containers(json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}])),
            containers(json!([{"name": "c", "image": "c:1"}, {"name": "b"}])),
            at,
            json!(["a", "c", "b"]),
        ),
    ]
}

#[tokio::test]
async fn lists_of_a_built_in_kind_merge_as_their_type_says() {
    for (first, second, pointer, wanted) in rows() {
        let place = place().await;
        let deployments: Api<Deployment> = place.api();
        apply(&deployments, "one", first).await.unwrap();
        let merged = apply(&deployments, "two", second.clone()).await;
        let merged = serde_json::to_value(merged.unwrap()).unwrap();
        let mut found = merged.pointer(pointer).cloned().unwrap_or_default();
        if pointer.ends_with("containers") {
            let names = found
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["name"].clone());
            found = Value::Array(names.collect());
        }
        assert_eq!(found, wanted, "{second}");
    }
}

#[tokio::test]
async fn what_is_atomic_is_one_field() {
    let place = place().await;
    let services: Api<Service> = place.api();
    let service = |selector: Value| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
               "spec": {"selector": selector, "ports": [{"port": 80, "name": "a"}]}})
    };
    let made = apply(&services, "one", service(json!({"a": "1"})))
        .await
        .unwrap();
    let wanted = json!({"one Apply": {"f:spec": {
        "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}},
        "f:selector": {}}}});
    assert_eq!(managed(&made), wanted);
    let refused = refusal(apply(&services, "two", service(json!({"b": "1"}))).await);
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.selector"
    );
}

pub(crate) fn schema() -> Value {
    json!({"type": "object", "properties": {
        "size": {"type": "integer"},
        "color": {"type": "string", "default": "red"},
        "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id", "kind"],
                  "items": {"type": "object", "required": ["id"], "properties": {
                      "id": {"type": "string"}, "kind": {"type": "string", "default": "x"},
                      "weight": {"type": "integer"}}}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {
            "a": {"type": "string"}, "b": {"type": "string"}}},
        "list": {"type": "array", "items": {"type": "string"}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "surge": {"x-kubernetes-int-or-string": true},
    }})
}

pub(crate) fn widget(place: &Place, spec: Value) -> Value {
    json!({"apiVersion": format!("{}.example.com/v1", place.namespace), "kind": "Widget",
           "metadata": {"name": "w"}, "spec": spec})
}

#[tokio::test]
async fn a_custom_kind_merges_as_its_schema_says() {
    let place = place().await;
    let widgets: Api<DynamicObject> = place.define(schema()).await;
    let first = json!({"size": 1, "parts": [{"id": "p", "weight": 1}], "tags": ["t"], "whole": {"a": "1"},
        "list": ["l"], "open": {"deep": {"er": 1}}, "labels": {"k": "v"}, "surge": "25%"});
    let made = apply(&widgets, "one", widget(&place, first)).await.unwrap();
    let wanted = json!({"one Apply": {"f:spec": {
        "f:size": {}, "f:list": {}, "f:whole": {}, "f:surge": {}, "f:labels": {"f:k": {}},
        "f:tags": {"v:\"t\"": {}}, "f:open": {"f:deep": {".": {}, "f:er": {}}},
        "f:parts": {"k:{\"id\":\"p\",\"kind\":\"x\"}": {".": {}, "f:id": {}, "f:weight": {}}}}}});
    assert_eq!(managed(&made)["one Apply"], wanted["one Apply"]);
    let second = json!({"parts": [{"id": "p", "kind": "y"}, {"id": "p", "kind": "x"}], "tags": ["u"],
        "open": {"deep": {"est": 2}}, "labels": {"m": "n"}});
    let merged = apply(&widgets, "two", widget(&place, second))
        .await
        .unwrap();
    let wanted = json!({"size": 1, "color": "red", "whole": {"a": "1"}, "list": ["l"], "surge": "25%",
        "parts": [{"id": "p", "kind": "y"}, {"id": "p", "kind": "x", "weight": 1}], "tags": ["t", "u"],
        "open": {"deep": {"er": 1, "est": 2}}, "labels": {"k": "v", "m": "n"}});
    assert_eq!(merged.data["spec"], wanted);
    let whole = refusal(
        apply(
            &widgets,
            "two",
            widget(&place, json!({"whole": {"b": "1"}})),
        )
        .await,
    );
    assert_eq!(
        whole.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.whole"
    );
    let part = json!({"parts": [{"id": "p", "kind": "x", "weight": 2}]});
    let part = refusal(apply(&widgets, "two", widget(&place, part)).await);
    assert_eq!(
        conflicts(&part),
        [(
            "conflict with \"one\"".to_owned(),
            ".spec.parts[id=\"p\",kind=\"x\"].weight".to_owned()
        )]
    );
}

#[tokio::test]
async fn a_status_is_applied_through_its_own_door() {
    let place = place().await;
    let widgets: Api<DynamicObject> = place.define(schema()).await;
    apply(&widgets, "one", widget(&place, json!({"size": 1})))
        .await
        .unwrap();
    let mut config = widget(&place, json!({"size": 2}));
    config["status"] = json!({"replicas": 3});
    let applied = widgets
        .patch_status("w", &PatchParams::apply("two"), &Patch::Apply(&config))
        .await
        .unwrap();
    assert_eq!(applied.data["spec"]["size"], json!(1));
    assert_eq!(applied.data["status"], json!({"replicas": 3}));
    let wanted = json!({"one Apply": {"f:spec": {"f:size": {}}}, "two Apply status": {"f:status": {"f:replicas": {}}}});
    assert_eq!(managed(&applied), wanted);
}
