use serde_json::json;

use super::*;

fn template() -> PodTemplate {
    PodTemplate::from_value(json!({
        "metadata": { "labels": { "app": "a" }, "annotations": { "note": "n" } },
        "spec": {
            "initContainers": [{ "name": "init", "image": "i:1" }],
            "containers": [
                { "name": "app", "image": "a:1", "command": ["run"], "args": ["--fast"],
                  "ports": [{ "containerPort": 80, "name": "http" }, { "containerPort": 99_999 }] },
                { "name": "side", "newField": { "kept": true } },
            ],
        },
    }))
    .unwrap()
}

#[test]
fn containers_are_read_as_they_are() {
    let template = template();
    let containers: Vec<Container<'_>> = template.containers().collect();
    assert_eq!(containers.len(), 2);
    assert_eq!(containers[0].name(), "app");
    assert_eq!(containers[0].command(), ["run", "--fast"]);
    // A port that is no port is left out; the API server would have refused it.
    assert_eq!(
        containers[0].ports(),
        [ContainerPort {
            name: Some("http"),
            number: 80,
            protocol: "TCP"
        }]
    );
    assert_eq!(containers[1].image(), None);
    assert_eq!(template.labels()["app"], "a");
    assert_eq!(template.annotations()["note"], "n");
}

#[test]
fn an_image_is_set_by_name_or_everywhere() {
    let mut template = template();
    assert!(template.set_image("app", "a:2"));
    assert!(template.set_image("init", "i:2"));
    assert!(!template.set_image("nobody", "x"));
    assert_eq!(template.containers().next().unwrap().image(), Some("a:2"));
    assert_eq!(template.0["spec"]["initContainers"][0]["image"], "i:2");
    assert!(template.set_image("*", "all:1"));
    assert!(
        template
            .containers()
            .all(|container| container.image() == Some("all:1"))
    );
    assert_eq!(
        template.0["spec"]["containers"][1]["newField"]["kept"],
        true
    );
}

#[test]
fn the_hash_label_makes_no_difference_and_anything_else_does() {
    let mut labelled = template();
    labelled.set_label(POD_TEMPLATE_HASH_LABEL, "abc");
    labelled.0["metadata"]["creationTimestamp"] = Value::Null;
    assert!(labelled.same_as(&template()));
    labelled.set_annotation("note", "other");
    assert!(!labelled.same_as(&template()));

    let mut bare = PodTemplate::default();
    bare.set_label(POD_TEMPLATE_HASH_LABEL, "abc");
    assert!(bare.same_as(&PodTemplate::default()));
}
