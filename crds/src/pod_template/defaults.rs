//! The defaults that the API server writes into a pod template, field by field, as Kubernetes 1.34
//! does (`SetObjectDefaults_PodTemplate`). A live ReplicaSet has them; the manifest that it was
//! made from mostly has not.

use serde_json::{Map, Value, json};

use super::image;

/// Writes them into a pod template.
pub(super) fn apply(template: &mut Map<String, Value>) {
    let Some(spec) = object(template, "spec") else {
        return;
    };
    pod(spec);
    each(spec, "volumes", volume);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, list, container);
    }
}

fn pod(spec: &mut Map<String, Value>) {
    text(spec, "dnsPolicy", "ClusterFirst");
    text(spec, "restartPolicy", "Always");
    absent(spec, "securityContext", json!({}));
    absent(spec, "terminationGracePeriodSeconds", json!(30));
    text(spec, "schedulerName", "default-scheduler");
    if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
        // Kubernetes before 1.28 wrote these into templates, newer ones write them into pods.
        for list in ["initContainers", "containers"] {
            each(spec, list, |container| {
                each(container, "ports", |port| {
                    if let Some(number) = port.get("containerPort").cloned() {
                        zero(port, "hostPort", number);
                    }
                });
            });
        }
    }
}

fn container(container: &mut Map<String, Value>) {
    let name = container.get("image").and_then(Value::as_str);
    let policy = image::pull_policy(name.unwrap_or_default());
    text(container, "imagePullPolicy", policy);
    text(container, "terminationMessagePath", "/dev/termination-log");
    text(container, "terminationMessagePolicy", "File");
    each(container, "ports", |port| text(port, "protocol", "TCP"));
    each(container, "env", |variable| {
        let Some(from) = object(variable, "valueFrom") else {
            return;
        };
        field_reference(from);
        if let Some(file) = object(from, "fileKeyRef") {
            absent(file, "optional", json!(false));
        }
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = object(container, name) {
            probe(found);
        }
    }
    if let Some(lifecycle) = object(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(get) = object(lifecycle, name).and_then(|hook| object(hook, "httpGet")) {
                http_get(get);
            }
        }
    }
}

fn probe(probe: &mut Map<String, Value>) {
    zero(probe, "timeoutSeconds", json!(1));
    zero(probe, "periodSeconds", json!(10));
    zero(probe, "successThreshold", json!(1));
    zero(probe, "failureThreshold", json!(3));
    if let Some(get) = object(probe, "httpGet") {
        http_get(get);
    }
    if let Some(grpc) = object(probe, "grpc") {
        absent(grpc, "service", json!(""));
    }
}

fn http_get(get: &mut Map<String, Value>) {
    text(get, "path", "/");
    text(get, "scheme", "HTTP");
}

fn field_reference(parent: &mut Map<String, Value>) {
    if let Some(reference) = object(parent, "fieldRef") {
        text(reference, "apiVersion", "v1");
    }
}

/// The mode of files that are not told another, 0644.
const FILE_MODE: i32 = 0o644;

fn volume(volume: &mut Map<String, Value>) {
    let sources = volume
        .iter()
        .filter(|(key, value)| *key != "name" && !value.is_null());
    if sources.count() == 0 {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = object(volume, name) {
            absent(source, "defaultMode", json!(FILE_MODE));
        }
    }
    if let Some(path) = object(volume, "hostPath") {
        absent(path, "type", json!(""));
    }
    if let Some(fields) = object(volume, "downwardAPI") {
        each(fields, "items", field_reference);
    }
    if let Some(projected) = object(volume, "projected") {
        each(projected, "sources", projection);
    }
    if let Some(image) = object(volume, "image") {
        let reference = image.get("reference").and_then(Value::as_str);
        let policy = image::pull_policy(reference.unwrap_or_default());
        text(image, "pullPolicy", policy);
    }
    let claim = object(volume, "ephemeral").and_then(|from| object(from, "volumeClaimTemplate"));
    if let Some(spec) = claim.and_then(|claim| object(claim, "spec")) {
        absent(spec, "volumeMode", json!("Filesystem"));
    }
    storage(volume);
}

fn projection(source: &mut Map<String, Value>) {
    if let Some(fields) = object(source, "downwardAPI") {
        each(fields, "items", field_reference);
    }
    if let Some(token) = object(source, "serviceAccountToken") {
        absent(token, "expirationSeconds", json!(3600));
    }
}

/// The defaults of particular storage systems.
fn storage(volume: &mut Map<String, Value>) {
    if let Some(iscsi) = object(volume, "iscsi") {
        text(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = object(volume, "rbd") {
        text(rbd, "pool", "rbd");
        text(rbd, "user", "admin");
        text(rbd, "keyring", "/etc/ceph/keyring");
    }
    if let Some(scale) = object(volume, "scaleIO") {
        text(scale, "storageMode", "ThinProvisioned");
        text(scale, "fsType", "xfs");
    }
    if let Some(disk) = object(volume, "azureDisk") {
        absent(disk, "cachingMode", json!("ReadWrite"));
        absent(disk, "fsType", json!("ext4"));
        absent(disk, "readOnly", json!(false));
        absent(disk, "kind", json!("Shared"));
    }
}

fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    parent.get_mut(key)?.as_object_mut()
}

fn each(
    parent: &mut Map<String, Value>,
    key: &str,
    mut change: impl FnMut(&mut Map<String, Value>),
) {
    let items = parent.get_mut(key).and_then(Value::as_array_mut);
    let objects = items.into_iter().flatten().filter_map(Value::as_object_mut);
    objects.for_each(&mut change);
}

/// A value where there is none.
fn absent(parent: &mut Map<String, Value>, key: &str, default: Value) {
    if parent.get(key).is_none_or(Value::is_null) {
        parent.insert(key.to_owned(), default);
    }
}

/// A word where there is none, or an empty one.
fn text(parent: &mut Map<String, Value>, key: &str, default: &str) {
    let empty = |value: &Value| value.is_null() || value.as_str() == Some("");
    if parent.get(key).is_none_or(empty) {
        parent.insert(key.to_owned(), default.into());
    }
}

/// A number where there is none, or zero.
fn zero(parent: &mut Map<String, Value>, key: &str, default: Value) {
    let empty = |value: &Value| value.is_null() || value.as_i64() == Some(0);
    if parent.get(key).is_none_or(empty) {
        parent.insert(key.to_owned(), default);
    }
}
