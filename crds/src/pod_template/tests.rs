use serde_json::{Value, json};

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

fn made_from(change: &Value) -> PodTemplate {
    let mut template = template().to_value();
    json_patch::merge(&mut template, change);
    PodTemplate::from_value(template).unwrap()
}

/// A template as a live ReplicaSet has it, completed by kube-apiserver 1.34.
fn live() -> Value {
    json!({
        "metadata": {
            "creationTimestamp": null,
            "labels": { "app": "a", "rollouts-pod-template-hash": "12345" },
            "annotations": { "note": "n" },
        },
        "spec": {
            "initContainers": [{ "name": "init", "image": "i:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File" }],
            "containers": [
                { "name": "app", "image": "a:1", "command": ["run"], "args": ["--fast"],
                  "ports": [{ "containerPort": 80, "name": "http", "protocol": "TCP" },
                            { "containerPort": 99_999, "protocol": "TCP" }],
                  "imagePullPolicy": "IfNotPresent", "resources": {},
                  "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File" },
                { "name": "side", "newField": { "kept": true }, "imagePullPolicy": "IfNotPresent", "resources": {},
                  "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File" },
            ],
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "securityContext": {},
            "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
        },
    })
}

#[test]
fn a_live_template_is_the_one_that_it_was_made_from() {
    assert!(
        PodTemplate::from_value(live())
            .unwrap()
            .same_as(&template())
    );
}

/// One container with these settings.
fn container(settings: &Value) -> Value {
    let mut container = json!({ "name": "c", "image": "c:1" });
    json_patch::merge(&mut container, settings);
    json!({ "spec": { "initContainers": null, "containers": [container] } })
}

fn volume(source: &Value) -> Value {
    let mut volume = json!({ "name": "v" });
    json_patch::merge(&mut volume, source);
    json!({ "spec": { "volumes": [volume] } })
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table of uniform entries")]
fn what_the_api_server_writes_in_makes_no_difference() {
    let probe = json!({ "httpGet": { "port": 80 }, "initialDelaySeconds": 3 });
    let full_probe = json!({ "httpGet": { "port": 80, "path": "/", "scheme": "HTTP" }, "initialDelaySeconds": 3,
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3 });
    let grpc =
        |service: Value| json!({ "livenessProbe": { "grpc": { "port": 1, "service": service } } });
    let field = |version: Value| {
        json!({ "env": [{ "name": "E", "valueFrom":
        { "fieldRef": { "apiVersion": version, "fieldPath": "metadata.name" } } }] })
    };
    let amount = |divisor: Value| {
        json!({ "env": [{ "name": "E", "valueFrom":
        { "resourceFieldRef": { "resource": "limits.cpu", "divisor": divisor } } }] })
    };
    let resources = |cpu: Value, memory: Value| json!({ "resources": { "limits": { "cpu": cpu, "memory": memory } } });
    let hook = |path: Value| json!({ "lifecycle": { "preStop": { "httpGet": { "port": 80, "path": path } } } });
    let table = [
        (
            container(&json!({ "readinessProbe": probe })),
            container(&json!({ "readinessProbe": full_probe })),
        ),
        (container(&grpc(json!(null))), container(&grpc(json!("")))),
        (
            container(&field(json!(null))),
            container(&field(json!("v1"))),
        ),
        (
            container(&amount(json!(null))),
            container(&amount(json!("0"))),
        ),
        (container(&amount(json!("1"))), container(&amount(json!(1)))),
        (
            container(&resources(json!(1), json!("1Gi"))),
            container(&resources(json!("1000m"), json!("1024Mi"))),
        ),
        (container(&hook(json!(null))), container(&hook(json!("/")))),
        (
            container(&json!({ "image": "c:latest" })),
            container(&json!({ "image": "c:latest", "imagePullPolicy": "Always" })),
        ),
        (
            container(&json!({ "env": [{ "name": "E" }] })),
            container(&json!({ "env": [{ "name": "E", "value": "" }] })),
        ),
        (
            container(&json!({ "env": [], "stdin": false })),
            container(&json!({})),
        ),
        (
            container(
                &json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v", "readOnly": false }] }),
            ),
            container(&json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] })),
        ),
        (volume(&json!({})), volume(&json!({ "emptyDir": {} }))),
        (
            volume(&json!({ "emptyDir": { "sizeLimit": "1Gi" } })),
            volume(&json!({ "emptyDir": { "sizeLimit": "1024Mi" } })),
        ),
        (
            volume(&json!({ "configMap": { "name": "m" } })),
            volume(&json!({ "configMap": { "name": "m", "defaultMode": 420 } })),
        ),
        (
            volume(&json!({ "secret": { "secretName": "m" } })),
            volume(&json!({ "secret": { "secretName": "m", "defaultMode": 420 } })),
        ),
        (
            volume(&json!({ "hostPath": { "path": "/" } })),
            volume(&json!({ "hostPath": { "path": "/", "type": "" } })),
        ),
        (
            volume(
                &json!({ "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } }),
            ),
            volume(
                &json!({ "projected": { "defaultMode": 420, "sources": [{ "serviceAccountToken": { "path": "t", "expirationSeconds": 3600 } }] } }),
            ),
        ),
        (
            volume(
                &json!({ "downwardAPI": { "items": [{ "path": "p", "fieldRef": { "fieldPath": "metadata.name" } }] } }),
            ),
            volume(
                &json!({ "downwardAPI": { "defaultMode": 420, "items": [{ "path": "p", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } }] } }),
            ),
        ),
        (
            volume(
                &json!({ "ephemeral": { "volumeClaimTemplate": { "spec": { "resources": { "requests": { "storage": "1Gi" } } } } } }),
            ),
            volume(
                &json!({ "ephemeral": { "volumeClaimTemplate": { "metadata": { "creationTimestamp": null }, "spec": { "volumeMode": "Filesystem", "resources": { "requests": { "storage": "1Gi" } } } } } }),
            ),
        ),
        (
            json!({ "spec": { "serviceAccountName": "a" } }),
            json!({ "spec": { "serviceAccountName": "a", "serviceAccount": "a" } }),
        ),
        (
            json!({ "spec": { "serviceAccount": "a" } }),
            json!({ "spec": { "serviceAccountName": "a", "serviceAccount": "a" } }),
        ),
        (
            json!({ "spec": { "hostNetwork": false, "nodeSelector": {} } }),
            json!({}),
        ),
        (
            json!({ "spec": { "hostNetwork": true, "containers": [{ "name": "c", "image": "c", "ports": [{ "containerPort": 1 }] }] } }),
            json!({ "spec": { "hostNetwork": true, "containers": [{ "name": "c", "image": "c", "ports": [{ "containerPort": 1, "hostPort": 1 }] }] } }),
        ),
        (
            json!({ "spec": { "overhead": { "cpu": "0.1" } } }),
            json!({ "spec": { "overhead": { "cpu": "100m" } } }),
        ),
    ];
    for (written, completed) in table {
        let (a, b) = (made_from(&written), made_from(&completed));
        assert!(a.same_as(&b), "{written} {completed}");
        assert!(a.with_defaults().same_as(&b), "{written} {completed}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table of uniform entries")]
fn what_people_say_makes_a_difference() {
    let security = |settings: Value| container(&json!({ "securityContext": settings }));
    let table = [
        (container(&json!({})), container(&json!({ "image": "c:2" }))),
        (
            container(&json!({})),
            container(&json!({ "imagePullPolicy": "Always" })),
        ),
        (container(&json!({})), container(&json!({ "args": [""] }))),
        (container(&json!({})), container(&json!({ "tty": true }))),
        (
            container(&json!({})),
            container(&json!({ "resources": { "limits": { "cpu": "0" } } })),
        ),
        (security(json!({})), security(json!({ "runAsUser": 0 }))),
        (
            security(json!({})),
            security(json!({ "privileged": false })),
        ),
        (
            security(json!({})),
            container(&json!({ "securityContext": null })),
        ),
        (
            container(&json!({ "readinessProbe": { "exec": {}, "periodSeconds": 5 } })),
            container(&json!({ "readinessProbe": { "exec": {} } })),
        ),
        (
            volume(&json!({ "secret": { "secretName": "m" } })),
            volume(&json!({ "secret": { "secretName": "m", "optional": false } })),
        ),
        (
            volume(&json!({ "secret": { "secretName": "m" } })),
            volume(&json!({ "secret": { "secretName": "m", "defaultMode": 0 } })),
        ),
        (
            volume(&json!({ "emptyDir": {} })),
            volume(&json!({ "emptyDir": { "medium": "Memory" } })),
        ),
        (
            json!({}),
            json!({ "spec": { "automountServiceAccountToken": false } }),
        ),
        (
            json!({}),
            json!({ "spec": { "terminationGracePeriodSeconds": 0 } }),
        ),
        (
            json!({}),
            json!({ "spec": { "affinity": { "podAntiAffinity": {} } } }),
        ),
        (json!({}), json!({ "spec": { "serviceAccountName": "b" } })),
        (json!({}), json!({ "spec": { "unheardOf": { "a": 1 } } })),
        (
            json!({}),
            json!({ "metadata": { "labels": { "empty": "" } } }),
        ),
        (
            json!({ "spec": { "nodeSelector": { "disk": "" } } }),
            json!({ "spec": { "nodeSelector": { "disk": "ssd" } } }),
        ),
    ];
    for (a, b) in table {
        assert!(!made_from(&a).same_as(&made_from(&b)), "{a} {b}");
    }
}
