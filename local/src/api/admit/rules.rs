//! Rules of built-in kinds: the ones that catch what people and controllers get wrong. Types were
//! checked before, when the object was read into its type.

use serde_json::Value;

use crate::api::kinds::Kind;
use crate::api::names::{LABEL, is_label};
use crate::api::object::{list, text};
use crate::api::refuse::Cause;

/// Everything that is wrong with an object of a built-in kind.
pub(super) fn check(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => pod(object, old),
        ("", "Service") => service(object, old),
        ("", "ConfigMap" | "Secret") => {
            let mut causes = data_keys(object);
            causes.extend(kept_as_it_was(object, old));
            causes
        }
        ("apps", "ReplicaSet" | "Deployment") => workload(object, old),
        ("batch", "Job") => job(object, old),
        ("discovery.k8s.io", "EndpointSlice") => slice(object),
        _ => Vec::new(),
    }
}

fn pod(pod: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = pod_spec(&pod["spec"], "spec", &["Always", "OnFailure", "Never"]);
    if let Some(old) = old
        && mutable_pod_fields_removed(&pod["spec"]) != mutable_pod_fields_removed(&old["spec"])
    {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        causes.push(Cause::forbidden("spec", why));
    }
    causes
}

fn mutable_pod_fields_removed(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for key in [
        "activeDeadlineSeconds",
        "tolerations",
        "terminationGracePeriodSeconds",
    ] {
        spec.as_object_mut().map(|fields| fields.shift_remove(key));
    }
    for key in ["containers", "initContainers"] {
        let containers = spec.get_mut(key).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            container
                .as_object_mut()
                .map(|fields| fields.shift_remove("image"));
        }
    }
    spec
}

fn pod_spec(spec: &Value, at: &str, restart_policies: &[&str]) -> Vec<Cause> {
    let mut causes = Vec::new();
    let containers = list(spec, "/containers");
    if containers.is_empty() {
        causes.push(Cause::required(&format!("{at}.containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for key in ["initContainers", "containers"] {
        for (index, container) in list(spec, &format!("/{key}")).iter().enumerate() {
            let at = format!("{at}.{key}[{index}]");
            let name = text(container, "/name");
            if name.is_empty() {
                causes.push(Cause::required(&format!("{at}.name"), ""));
            } else if !is_label(name) {
                causes.push(Cause::invalid(
                    &format!("{at}.name"),
                    &container["name"],
                    LABEL,
                ));
            } else if seen.contains(&name) {
                causes.push(Cause::duplicate(&format!("{at}.name"), &container["name"]));
            }
            seen.push(name);
            if text(container, "/image").is_empty() {
                causes.push(Cause::required(&format!("{at}.image"), ""));
            }
        }
    }
    let policy = text(spec, "/restartPolicy");
    if !restart_policies.contains(&policy) {
        let accepted: Vec<String> = restart_policies
            .iter()
            .map(|one| format!("\"{one}\""))
            .collect();
        let field = format!("{at}.restartPolicy");
        causes.push(Cause::unsupported(
            &field,
            &spec["restartPolicy"],
            &accepted.join(", "),
        ));
    }
    causes
}

fn service(service: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let ports = list(service, "/spec/ports");
    let kind = text(service, "/spec/type");
    let headless = text(service, "/spec/clusterIP") == "None";
    if ports.is_empty() && !headless && kind != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        causes.extend(service_port(ports, index, port));
    }
    let accepted = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
    if !accepted.contains(&kind) {
        let listed = "\"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"";
        causes.push(Cause::unsupported(
            "spec.type",
            &service["spec"]["type"],
            listed,
        ));
    }
    causes.extend(immutable(service, old, "/spec/clusterIP"));
    causes
}

fn service_port(ports: &[Value], index: usize, port: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let at = format!("spec.ports[{index}]");
    let name = text(port, "/name");
    if ports.len() > 1 && name.is_empty() {
        causes.push(Cause::required(&format!("{at}.name"), ""));
    }
    let earlier = &ports[..index];
    if earlier.iter().any(|other| text(other, "/name") == name) && !name.is_empty() {
        causes.push(Cause::duplicate(&format!("{at}.name"), &port["name"]));
    }
    for key in ["port", "targetPort"] {
        let number = match &port[key] {
            Value::Number(number) => number.as_i64().unwrap_or(0),
            _ if key == "targetPort" => continue,
            _ => 0,
        };
        if !(1..=65535).contains(&number) {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(&format!("{at}.{key}"), &port[key], why));
        }
    }
    causes
}

/// The keys of a ConfigMap or a Secret are names of files.
fn data_keys(object: &Value) -> Vec<Cause> {
    const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    let fine = |key: &str| {
        !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let mut causes = Vec::new();
    for field in ["data", "binaryData"] {
        let keys = object[field].as_object().into_iter().flatten();
        for (key, _) in keys.filter(|(key, _)| !fine(key)) {
            let value = Value::String(key.clone());
            causes.push(Cause::invalid(&format!("{field}[{key}]"), &value, KEY));
        }
    }
    causes
}

fn kept_as_it_was(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let Some(old) = old.filter(|old| old["immutable"] == Value::Bool(true)) else {
        return Vec::new();
    };
    let changed = |key: &str| object.get(key) != old.get(key);
    let why = "field is immutable when `immutable` is set";
    let fields = ["data", "binaryData", "immutable"]
        .into_iter()
        .filter(|key| changed(key));
    fields.map(|key| Cause::forbidden(key, why)).collect()
}

fn workload(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let replicas = &object["spec"]["replicas"];
    if replicas.as_i64().is_some_and(|replicas| replicas < 0) {
        let why = "must be greater than or equal to 0";
        causes.push(Cause::invalid("spec.replicas", replicas, why));
    }
    let selector = object
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object);
    let expressions = list(object, "/spec/selector/matchExpressions");
    let empty = selector.is_none_or(serde_json::Map::is_empty) && expressions.is_empty();
    if empty {
        causes.push(Cause::required("spec.selector", ""));
    }
    let labels = &object["spec"]["template"]["metadata"]["labels"];
    let matching = selector
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    if !matching || empty {
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", labels, why));
    }
    causes.extend(pod_spec(
        &object["spec"]["template"]["spec"],
        "spec.template.spec",
        &["Always"],
    ));
    causes.extend(immutable(object, old, "/spec/selector"));
    causes
}

fn job(job: &Value, old: Option<&Value>) -> Vec<Cause> {
    let spec = &job["spec"]["template"]["spec"];
    let mut causes = pod_spec(spec, "spec.template.spec", &["OnFailure", "Never"]);
    for pointer in ["/spec/selector", "/spec/completions", "/spec/template"] {
        causes.extend(immutable(job, old, pointer));
    }
    causes
}

fn slice(slice: &Value) -> Vec<Cause> {
    let kind = text(slice, "/addressType");
    if matches!(kind, "IPv4" | "IPv6" | "FQDN") {
        return Vec::new();
    }
    let accepted = "\"FQDN\", \"IPv4\", \"IPv6\"";
    vec![Cause::unsupported(
        "addressType",
        &slice["addressType"],
        accepted,
    )]
}

fn immutable(object: &Value, old: Option<&Value>, pointer: &str) -> Option<Cause> {
    let (new, old) = (object.pointer(pointer), old?.pointer(pointer));
    let given = new.unwrap_or(&Value::Null);
    let field = pointer.trim_start_matches('/').replace('/', ".");
    (old.is_some() && new != old).then(|| Cause::invalid(&field, given, "field is immutable"))
}
