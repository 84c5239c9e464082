//! Custom kinds: pruning, defaults, validation, status and scale.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::support::{on_a_cluster, place, refusal};

fn schema() -> Value {
    json!({"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
        "surge": {"x-kubernetes-int-or-string": true},
        "replicas": {"type": "integer"},
        "maybe": {"type": "string", "nullable": true},
        "fixed": {"type": "string", "x-kubernetes-validations": [
            {"rule": "self == oldSelf", "message": "fixed is immutable"}]},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                  "items": {"type": "object", "required": ["id"], "properties": {
                      "id": {"type": "string"}, "weight": {"type": "integer", "default": 1}}}},
    }})
}

#[tokio::test]
async fn unknown_fields_are_pruned_and_defaults_filled_in() {
    let place = place().await;
    let widgets = place.define(schema()).await;
    let spec = json!({"size": 3, "bogus": 1, "open": {"any": {"thing": 1}}, "maybe": null,
                      "parts": [{"id": "a", "bogus": 2}], "surge": "25%"});
    let made = widgets
        .create(&PostParams::default(), &place.widget("w", spec))
        .await
        .unwrap();
    let wanted = json!({"size": 3, "open": {"any": {"thing": 1}}, "maybe": null, "color": "red",
                        "parts": [{"id": "a", "weight": 1}], "surge": "25%"});
    assert_eq!(made.data["spec"], wanted);
    assert_eq!(made.metadata.generation, Some(1));
}

/// A spec, the path of what is wrong with it, and what is said about that.
fn wrong_specs() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (json!({}), "spec.size", "Required value"),
        (json!({"size": "3"}), "spec.size", "must be of type integer"),
        (
            json!({"size": 0}),
            "spec.size",
            "should be greater than or equal to 1",
        ),
        (
            json!({"size": 10}),
            "spec.size",
            "should be less than or equal to 9",
        ),
        (
            json!({"size": 1, "color": "green"}),
            "spec.color",
            "Unsupported value: \"green\"",
        ),
        (
            json!({"size": 1, "name": "ABC"}),
            "spec.name",
            "should match '^[a-z]+$'",
        ),
        (
            json!({"size": 1, "surge": true}),
            "spec.surge",
            "Invalid value",
        ),
        (
            json!({"size": 1, "labels": {"a": 1}}),
            "spec.labels.a",
            "must be of type string",
        ),
        (
            json!({"size": 1, "parts": [{"weight": 1}]}),
            "spec.parts[0].id",
            "Required value",
        ),
        (
            json!({"size": 1, "parts": [{"id": "a"}, {"id": "a"}]}),
            "spec.parts[1]",
            "Duplicate value",
        ),
    ]
}

#[tokio::test]
async fn every_wrong_field_is_told_with_its_path() {
    let place = place().await;
    let widgets = place.define(schema()).await;
    for (spec, field, message) in wrong_specs() {
        let status = refusal(
            widgets
                .create(&PostParams::default(), &place.widget("w", spec.clone()))
                .await,
        );
        assert_eq!(
            (status.code, status.reason.as_str()),
            (422, "Invalid"),
            "{spec}"
        );
        let causes = status.details.unwrap().causes;
        let told = causes
            .iter()
            .any(|cause| cause.field == field && cause.message.contains(message));
        assert!(told, "{spec}: {causes:?}");
    }
}

#[tokio::test]
async fn an_immutable_field_stays_as_it_was_first_set() {
    let place = place().await;
    let widgets = place.define(schema()).await;
    let spec = json!({"size": 1, "fixed": "a"});
    widgets
        .create(&PostParams::default(), &place.widget("w", spec))
        .await
        .unwrap();
    let patch = json!({"spec": {"fixed": "b"}});
    let status = refusal(
        widgets
            .patch("w", &PatchParams::default(), &Patch::Merge(&patch))
            .await,
    );
    assert_eq!(status.code, 422);
    assert!(
        status.message.contains("spec.fixed") && status.message.contains("fixed is immutable"),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn spec_and_status_are_written_through_doors_of_their_own() {
    let place = place().await;
    let widgets = place.define(schema()).await;
    let mut widget = place.widget("w", json!({"size": 1}));
    widget.data["status"] = json!({"replicas": 9});
    let made = widgets
        .create(&PostParams::default(), &widget)
        .await
        .unwrap();
    assert!(made.data.get("status").is_none());
    let both = json!({"spec": {"size": 2}, "status": {"replicas": 2}});
    let params = PatchParams::default();
    let through_status = widgets
        .patch_status("w", &params, &Patch::Merge(&both))
        .await
        .unwrap();
    assert_eq!(through_status.data["spec"]["size"], json!(1));
    assert_eq!(through_status.data["status"], json!({"replicas": 2}));
    assert_eq!(through_status.metadata.generation, Some(1));
    let through_main = widgets
        .patch(
            "w",
            &params,
            &Patch::Merge(&json!({"spec": {"size": 2}, "status": null})),
        )
        .await
        .unwrap();
    assert_eq!(through_main.data["status"], json!({"replicas": 2}));
    assert_eq!(through_main.metadata.generation, Some(2));
}

#[tokio::test]
async fn labels_are_no_new_generation() {
    let place = place().await;
    let widgets = place.define(schema()).await;
    widgets
        .create(
            &PostParams::default(),
            &place.widget("w", json!({"size": 1})),
        )
        .await
        .unwrap();
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let patched = widgets
        .patch("w", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_eq!(patched.metadata.generation, Some(1));
    assert_eq!(patched.labels()["a"], "b");
}

#[tokio::test]
async fn scale_reads_and_writes_the_numbers_that_the_definition_names() {
    let place = place().await;
    let widgets = place.define(schema()).await;
    widgets
        .create(
            &PostParams::default(),
            &place.widget("w", json!({"size": 1, "replicas": 2})),
        )
        .await
        .unwrap();
    let status = json!({"status": {"replicas": 1, "selector": "app=w"}});
    widgets
        .patch_status("w", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    let scale = widgets.get_scale("w").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(2));
    let status = scale.status.unwrap();
    assert_eq!(
        (status.replicas, status.selector.as_deref()),
        (1, Some("app=w"))
    );
    let patch = json!({"spec": {"replicas": 5}});
    widgets
        .patch_scale("w", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_eq!(
        widgets.get("w").await.unwrap().data["spec"]["replicas"],
        json!(5)
    );
}

#[tokio::test]
async fn an_update_of_a_custom_object_must_say_what_it_relies_on() {
    let place = place().await;
    let widgets = place.define(schema()).await;
    widgets
        .create(
            &PostParams::default(),
            &place.widget("w", json!({"size": 1})),
        )
        .await
        .unwrap();
    let status = refusal(
        widgets
            .replace(
                "w",
                &PostParams::default(),
                &place.widget("w", json!({"size": 2})),
            )
            .await,
    );
    assert_eq!(status.code, 422);
    assert!(
        status.message.contains("metadata.resourceVersion"),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn a_definition_is_established_and_takes_its_objects_along_when_it_goes() {
    let place = place().await;
    let widgets = place.define(schema()).await;
    widgets
        .create(
            &PostParams::default(),
            &place.widget("w", json!({"size": 1})),
        )
        .await
        .unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(place.client.clone());
    let name = format!("widgets.{}.example.com", place.namespace);
    let status = definitions.get(&name).await.unwrap().status.unwrap();
    for wanted in ["Established", "NamesAccepted"] {
        let holds = status
            .conditions
            .iter()
            .flatten()
            .any(|one| one.type_ == wanted && one.status == "True");
        assert!(holds, "{wanted}");
    }
    definitions
        .delete(&name, &kube::api::DeleteParams::default())
        .await
        .unwrap();
    super::support::eventually(async || widgets.get("w").await.is_err()).await;
}

#[tokio::test]
async fn a_rule_that_would_have_to_be_skipped_refuses_the_definition() {
    if on_a_cluster() {
        return; // A real API server evaluates it.
    }
    let place = place().await;
    let schema = json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.a > 1"}]});
    let definition = super::support::definition("x.example.com", schema);
    let definitions: Api<CustomResourceDefinition> = Api::all(place.client.clone());
    let status = refusal(
        definitions
            .create(&PostParams::default(), &definition)
            .await,
    );
    assert_eq!(status.code, 501);
    assert!(status.message.contains("self.a > 1"), "{}", status.message);
}
