//! The environment of a container: what its manifest says, resolved against the pod, ConfigMaps
//! and Secrets, in Kubernetes' order. `envFrom` comes first, then `env` in the order of the list;
//! the later wins, and a value may refer to what stands before it. Under all of it lie PATH, HOME
//! and LANG of whoever started us (a process needs them to find its program) and POD_IP.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, Secret,
};
use kube::{Api, Client, ResourceExt as _};

use super::expand::expand_from;

#[cfg(test)]
mod tests;

/// What a container inherits from whoever started the kubelet.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Where a pod runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pod's address.
    pub pod_ip: String,
    /// The node's address.
    pub host_ip: String,
}

/// The ConfigMaps and Secrets that a container refers to, by name; those that do not exist are
/// not in it.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The data of ConfigMaps.
    pub config_maps: BTreeMap<String, BTreeMap<String, String>>,
    /// The data of Secrets.
    pub secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

/// Why an environment cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// A ConfigMap or Secret that is not optional does not exist.
    #[error("{kind} {name:?} not found")]
    NotFound {
        /// ConfigMap or Secret.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// It exists but lacks the key.
    #[error("couldn't find key {key:?} in {kind} {name:?}")]
    NoKey {
        /// ConfigMap or Secret.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The missing key.
        key: String,
    },
    /// The value cannot be an environment variable.
    #[error("the value of {0:?} is not text without NUL: an environment variable cannot hold it")]
    NotText(String),
    /// A source that is not built.
    #[error("env {name:?}: valueFrom.{source_kind} is not supported: expected {KNOWN_SOURCES}")]
    NotSupported {
        /// The variable.
        name: String,
        /// The source.
        source_kind: String,
    },
    /// The API server could not be asked.
    #[error("cannot read {kind} {name:?}")]
    Read {
        /// ConfigMap or Secret.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the server said.
        #[source]
        source: Box<kube::Error>,
    },
}

const KNOWN_SOURCES: &str = "fieldRef (metadata.name, metadata.namespace, metadata.uid, \
    metadata.labels['KEY'], metadata.annotations['KEY'], spec.nodeName, \
    spec.serviceAccountName, status.podIP, status.podIPs, status.hostIP), configMapKeyRef or secretKeyRef";

/// Reads every ConfigMap and Secret that `container` refers to.
pub async fn load(
    client: &Client,
    namespace: &str,
    container: &Container,
) -> Result<Sources, EnvError> {
    let (config_maps, secrets) = referred(container);
    let mut sources = Sources::default();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for name in config_maps {
        let found = api
            .get_opt(&name)
            .await
            .map_err(unreadable("ConfigMap", &name))?;
        sources
            .config_maps
            .extend(found.map(|map| (name, map.data.unwrap_or_default())));
    }
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for name in secrets {
        let found = api
            .get_opt(&name)
            .await
            .map_err(unreadable("Secret", &name))?;
        let data = |secret: Secret| {
            secret
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, value.0))
                .collect()
        };
        sources
            .secrets
            .extend(found.map(|secret| (name, data(secret))));
    }
    Ok(sources)
}

fn unreadable(kind: &'static str, name: &str) -> impl FnOnce(kube::Error) -> EnvError {
    let name = name.to_owned();
    move |source| EnvError::Read {
        kind,
        name,
        source: Box::new(source),
    }
}

fn referred(container: &Container) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut config_maps = BTreeSet::new();
    let mut secrets = BTreeSet::new();
    for from in container.env_from.iter().flatten() {
        config_maps.extend(from.config_map_ref.as_ref().map(|r| r.name.clone()));
        secrets.extend(from.secret_ref.as_ref().map(|r| r.name.clone()));
    }
    let values = container
        .env
        .iter()
        .flatten()
        .filter_map(|var| var.value_from.as_ref());
    for from in values {
        config_maps.extend(from.config_map_key_ref.as_ref().map(|r| r.name.clone()));
        secrets.extend(from.secret_key_ref.as_ref().map(|r| r.name.clone()));
    }
    (config_maps, secrets)
}

/// The environment of `container` in `pod`, upon `caller`'s.
pub fn resolve(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    place: &Place,
) -> Result<BTreeMap<String, String>, EnvError> {
    let mut env = BTreeMap::from([("POD_IP".to_owned(), place.pod_ip.clone())]);
    for from in container.env_from.iter().flatten() {
        env.extend(of_source(from, sources)?);
    }
    for var in container.env.iter().flatten() {
        if let Some(value) = value(pod, var, sources, (place, &env))? {
            env.insert(var.name.clone(), value);
        }
    }
    Ok(env)
}

/// `env` upon the caller's variables.
pub fn with_inherited(
    env: BTreeMap<String, String>,
    caller: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let inherited = INHERITED
        .iter()
        .filter_map(|name| caller.get_key_value(*name));
    let mut all: BTreeMap<String, String> = inherited
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    all.extend(env);
    all
}

fn of_source(from: &EnvFromSource, sources: &Sources) -> Result<Vec<(String, String)>, EnvError> {
    let prefix = from.prefix.clone().unwrap_or_default();
    let named = |(key, value): (&String, String)| (format!("{prefix}{key}"), value);
    if let Some(from) = &from.config_map_ref {
        return match sources.config_maps.get(&from.name) {
            Some(data) => Ok(data.iter().map(|(k, v)| named((k, v.clone()))).collect()),
            None if from.optional == Some(true) => Ok(Vec::new()),
            None => Err(not_found("ConfigMap", &from.name)),
        };
    }
    let Some(from) = &from.secret_ref else {
        return Ok(Vec::new());
    };
    match sources.secrets.get(&from.name) {
        Some(data) => data
            .iter()
            .map(|(k, v)| Ok(named((k, text(k, v)?))))
            .collect(),
        None if from.optional == Some(true) => Ok(Vec::new()),
        None => Err(not_found("Secret", &from.name)),
    }
}

/// None if the variable is optional and its source is not there.
fn value(
    pod: &Pod,
    var: &EnvVar,
    sources: &Sources,
    (place, before): (&Place, &BTreeMap<String, String>),
) -> Result<Option<String>, EnvError> {
    let Some(from) = &var.value_from else {
        return Ok(Some(expand_from(
            var.value.as_deref().unwrap_or_default(),
            before,
        )));
    };
    if let Some(field) = &from.field_ref {
        return of_field(pod, &var.name, field, place).map(Some);
    }
    if let Some(from) = &from.config_map_key_ref {
        let data = sources.config_maps.get(&from.name);
        let key = Key {
            kind: "ConfigMap",
            name: &from.name,
            key: &from.key,
        };
        return key.of(data, from.optional == Some(true));
    }
    if let Some(from) = &from.secret_key_ref {
        let data = sources.secrets.get(&from.name);
        let key = Key {
            kind: "Secret",
            name: &from.name,
            key: &from.key,
        };
        let found = key.of(data, from.optional == Some(true))?;
        return found.map(|bytes| text(&from.key, &bytes)).transpose();
    }
    Err(EnvError::NotSupported {
        name: var.name.clone(),
        source_kind: other_kind(from).to_owned(),
    })
}

fn other_kind(from: &EnvVarSource) -> &'static str {
    if from.resource_field_ref.is_some() {
        "resourceFieldRef"
    } else if from.file_key_ref.is_some() {
        "fileKeyRef"
    } else {
        "{}"
    }
}

fn of_field(
    pod: &Pod,
    name: &str,
    field: &ObjectFieldSelector,
    place: &Place,
) -> Result<String, EnvError> {
    let path = field.field_path.as_str();
    let spec = pod.spec.as_ref();
    let in_map = |map: &BTreeMap<String, String>, key: &str| map.get(key).cloned();
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "spec.nodeName" => spec
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        "spec.serviceAccountName" => spec
            .and_then(|spec| spec.service_account_name.clone())
            .unwrap_or_default(),
        "status.podIP" | "status.podIPs" => place.pod_ip.clone(),
        "status.hostIP" | "status.hostIPs" => place.host_ip.clone(),
        _ => {
            // A label or annotation that is not there is an empty value, as in Kubernetes.
            let label = key_in(path, "metadata.labels").map(|key| in_map(pod.labels(), key));
            let found = label.or_else(|| {
                key_in(path, "metadata.annotations").map(|key| in_map(pod.annotations(), key))
            });
            let unknown = || EnvError::NotSupported {
                name: name.to_owned(),
                source_kind: format!("fieldRef.fieldPath {path:?}"),
            };
            found.ok_or_else(unknown)?.unwrap_or_default()
        }
    })
}

/// The key in `map['key']`.
fn key_in<'a>(path: &'a str, map: &str) -> Option<&'a str> {
    path.strip_prefix(map)?
        .strip_prefix("['")?
        .strip_suffix("']")
}

/// A key of a ConfigMap or Secret.
struct Key<'a> {
    kind: &'static str,
    name: &'a str,
    key: &'a str,
}

impl Key<'_> {
    fn of<V: Clone>(
        &self,
        data: Option<&BTreeMap<String, V>>,
        optional: bool,
    ) -> Result<Option<V>, EnvError> {
        match data.map(|data| data.get(self.key)) {
            Some(Some(value)) => Ok(Some(value.clone())),
            _ if optional => Ok(None),
            None => Err(not_found(self.kind, self.name)),
            Some(None) => Err(EnvError::NoKey {
                kind: self.kind,
                name: self.name.to_owned(),
                key: self.key.to_owned(),
            }),
        }
    }
}

fn not_found(kind: &'static str, name: &str) -> EnvError {
    EnvError::NotFound {
        kind,
        name: name.to_owned(),
    }
}

fn text(key: &str, value: &[u8]) -> Result<String, EnvError> {
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.contains('\0'));
    text.map(str::to_owned)
        .ok_or_else(|| EnvError::NotText(key.to_owned()))
}
