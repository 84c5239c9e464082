//! Defaults of built-in kinds: the ones that clients and controllers count on. Kubernetes has more.

use serde_json::{Map, Value, json};

use crate::api::kinds::Kind;
use crate::api::object::{child_mut, default_at, list, map_mut, set_path, text};

/// Fills in what a client left out. These count as written by the client.
pub(super) fn fill(kind: &Kind, object: &mut Value) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => fill_pod_spec(child_mut(object, "spec")),
        ("", "PodTemplate") => fill_template(object, "template"),
        ("", "Service") => fill_service(object),
        ("", "Namespace") => fill_namespace(object),
        ("", "Secret") => fill_secret(object),
        ("apps", "ReplicaSet" | "Deployment") => fill_workload(kind, object),
        ("batch", "Job") => fill_job(object),
        ("discovery.k8s.io", "EndpointSlice") => fill_slice(object),
        ("autoscaling", "HorizontalPodAutoscaler") => fill_autoscaler(object),
        _ => {}
    }
}

/// Adds what only the server says, from the object as it was where that is where it comes from.
pub(super) fn assign(kind: &Kind, object: &mut Value, old: Option<&Value>) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => {
            let status = child_mut(object, "status");
            default_at(status, "phase", json!("Pending"));
            default_at(status, "qosClass", json!("BestEffort"));
        }
        ("", "Service") => assign_service(object, old),
        ("", "Namespace") => {
            let spec = child_mut(object, "spec");
            default_at(spec, "finalizers", json!(["kubernetes"]));
            default_at(child_mut(object, "status"), "phase", json!("Active"));
        }
        // The type of ReplicaSetStatus has this one required number.
        ("apps", "ReplicaSet") => default_at(child_mut(object, "status"), "replicas", json!(0)),
        ("batch", "Job") => assign_job(object),
        _ => {}
    }
}

fn fill_pod_spec(spec: &mut Map<String, Value>) {
    for (key, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("securityContext", json!({})),
    ] {
        default_at(spec, key, value);
    }
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        containers
            .into_iter()
            .flatten()
            .for_each(|one| fill_container(map_mut(one)));
    }
}

fn fill_container(container: &mut Map<String, Value>) {
    let image = container
        .get("image")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let is_latest = last.ends_with(":latest") || !last.contains([':', '@']);
    let policy = if is_latest { "Always" } else { "IfNotPresent" };
    for (key, value) in [
        ("imagePullPolicy", json!(policy)),
        ("resources", json!({})),
        ("terminationMessagePath", json!("/dev/termination-log")),
        ("terminationMessagePolicy", json!("File")),
    ] {
        default_at(container, key, value);
    }
    let ports = container.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        default_at(map_mut(port), "protocol", json!("TCP"));
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(probe) {
            fill_probe(probe);
        }
    }
    let variables = container.get_mut("env").and_then(Value::as_array_mut);
    for variable in variables.into_iter().flatten() {
        if variable.pointer("/valueFrom/fieldRef").is_some() {
            let reference = &mut variable["valueFrom"]["fieldRef"];
            default_at(map_mut(reference), "apiVersion", json!("v1"));
        }
    }
}

fn fill_probe(probe: &mut Map<String, Value>) {
    for (key, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        default_at(probe, key, json!(value));
    }
    if let Some(Value::Object(get)) = probe.get_mut("httpGet") {
        default_at(get, "path", json!("/"));
        default_at(get, "scheme", json!("HTTP"));
    }
}

fn fill_template(object: &mut Value, key: &str) {
    if let Some(template) = object.get_mut(key) {
        fill_pod_spec(child_mut(template, "spec"));
    }
}

fn fill_service(service: &mut Value) {
    let spec = child_mut(service, "spec");
    default_at(spec, "type", json!("ClusterIP"));
    default_at(spec, "sessionAffinity", json!("None"));
    if spec.get("type") != Some(&json!("ExternalName")) {
        default_at(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().map(map_mut) {
        default_at(port, "protocol", json!("TCP"));
        let number = port.get("port").cloned().unwrap_or(Value::Null);
        default_at(port, "targetPort", number);
    }
}

/// A replacement that leaves the address out keeps it.
fn assign_service(service: &mut Value, old: Option<&Value>) {
    let spec = child_mut(service, "spec");
    for key in ["clusterIP", "clusterIPs"] {
        if let Some(had) = old.and_then(|old| old["spec"].get(key)) {
            default_at(spec, key, had.clone());
        }
    }
    if spec.get("type") != Some(&json!("ExternalName")) {
        default_at(spec, "ipFamilies", json!(["IPv4"]));
        default_at(spec, "ipFamilyPolicy", json!("SingleStack"));
    }
    default_at(child_mut(service, "status"), "loadBalancer", json!({}));
}

fn fill_namespace(namespace: &mut Value) {
    let name = text(namespace, "/metadata/name").to_owned();
    set_path(
        namespace,
        &["metadata", "labels", "kubernetes.io/metadata.name"],
        json!(name),
    );
}

/// `stringData` is only for writing: it ends up in `data`.
fn fill_secret(secret: &mut Value) {
    use base64::Engine as _;
    let fields = map_mut(secret);
    if let Some(Value::Object(plain)) = fields.shift_remove("stringData") {
        let data = child_mut(secret, "data");
        for (key, value) in plain {
            let bytes = value.as_str().unwrap_or_default().as_bytes().to_owned();
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            data.insert(key, Value::String(encoded));
        }
    }
    default_at(map_mut(secret), "type", json!("Opaque"));
}

fn fill_workload(kind: &Kind, object: &mut Value) {
    let spec = child_mut(object, "spec");
    default_at(spec, "replicas", json!(1));
    if kind.kind == "Deployment" {
        default_at(spec, "revisionHistoryLimit", json!(10));
        default_at(spec, "progressDeadlineSeconds", json!(600));
        let rolling = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
        default_at(
            spec,
            "strategy",
            json!({"type": "RollingUpdate", "rollingUpdate": rolling}),
        );
    }
    fill_template(&mut object["spec"], "template");
}

fn fill_job(job: &mut Value) {
    let spec = child_mut(job, "spec");
    for (key, value) in [
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        default_at(spec, key, value);
    }
    if !spec.contains_key("parallelism") {
        default_at(spec, "parallelism", json!(1));
        default_at(spec, "completions", json!(1));
    }
    fill_template(&mut job["spec"], "template");
}

/// A Job without a selector gets one by its own uid, and its pods carry it.
fn assign_job(job: &mut Value) {
    let (uid, name) = (
        text(job, "/metadata/uid").to_owned(),
        text(job, "/metadata/name").to_owned(),
    );
    let spec = child_mut(job, "spec");
    if spec.get("manualSelector") == Some(&json!(true)) || spec.contains_key("selector") {
        return;
    }
    let own = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    spec.insert("selector".to_owned(), own);
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        set_path(
            job,
            &["spec", "template", "metadata", "labels", key],
            json!(value),
        );
    }
}

fn fill_autoscaler(autoscaler: &mut Value) {
    let spec = child_mut(autoscaler, "spec");
    default_at(spec, "minReplicas", json!(1));
    // Without any metric it goes by the CPU, as Kubernetes has it.
    let cpu = json!([{"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    if spec
        .get("metrics")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
    {
        spec.insert("metrics".to_owned(), cpu);
    }
}

fn fill_slice(slice: &mut Value) {
    if list(slice, "/ports").is_empty() {
        return;
    }
    let ports = slice["ports"].as_array_mut();
    for port in ports.into_iter().flatten().map(map_mut) {
        default_at(port, "protocol", json!("TCP"));
        default_at(port, "name", json!(""));
    }
}
