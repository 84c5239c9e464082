//! What a pod may ask for that local processes cannot give. It is refused with the path of the
//! field, never ignored: a pod that runs without its volume would lie about its release.
//!
//! Ignored on purpose, because they change nothing about what is tried here: resources, security
//! contexts, scheduling preferences, service accounts, image pull settings.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, PodSpec, Probe, Volume};

/// The first thing that `pod` asks for and that cannot be done, as a sentence.
pub(super) fn refusal(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    of_spec(spec)
        .or_else(|| {
            spec.volumes
                .iter()
                .flatten()
                .find_map(|volume| of_volume(spec, volume))
        })
        .or_else(|| {
            of_containers(
                "initContainers",
                spec.init_containers.as_deref().unwrap_or(&[]),
            )
        })
        .or_else(|| of_containers("containers", &spec.containers))
}

fn of_spec(spec: &PodSpec) -> Option<String> {
    if spec.active_deadline_seconds.is_some() {
        return Some("spec.activeDeadlineSeconds is not supported by the local kubelet".to_owned());
    }
    let restartable = spec
        .init_containers
        .iter()
        .flatten()
        .position(|c| c.restart_policy.is_some());
    restartable.map(|at| {
        format!(
            "spec.initContainers[{at}].restartPolicy is not supported by the local kubelet: \
             make the sidecar one of spec.containers"
        )
    })
}

/// A volume that no container mounts does no harm; the token that an API server adds to every pod
/// is such a harmless one too, as nothing here asks for a token.
fn of_volume(spec: &PodSpec, volume: &Volume) -> Option<String> {
    const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let containers = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    let mounted = containers
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .any(|mount| mount.name == volume.name && mount.mount_path != SERVICE_ACCOUNT);
    mounted.then(|| {
        format!(
            "spec.volumes[{}] ({}) is mounted, and local processes have no mounts: pass \
             configuration as env, envFrom or arguments, and keep files under a path of this machine",
            volume.name,
            kind_of(volume),
        )
    })
}

fn kind_of(volume: &Volume) -> &'static str {
    let kinds = [
        (volume.empty_dir.is_some(), "emptyDir"),
        (volume.config_map.is_some(), "configMap"),
        (volume.secret.is_some(), "secret"),
        (volume.projected.is_some(), "projected"),
        (volume.downward_api.is_some(), "downwardAPI"),
        (volume.host_path.is_some(), "hostPath"),
        (
            volume.persistent_volume_claim.is_some(),
            "persistentVolumeClaim",
        ),
        (volume.ephemeral.is_some(), "ephemeral"),
        (volume.csi.is_some(), "csi"),
    ];
    kinds
        .into_iter()
        .find(|(is, _)| *is)
        .map_or("a kind of volume", |(_, kind)| kind)
}

fn of_containers(field: &str, containers: &[Container]) -> Option<String> {
    containers.iter().enumerate().find_map(|(at, container)| {
        of_container(container).map(|(inner, what)| {
            format!("spec.{field}[{at}].{inner} is not supported by the local kubelet: {what}")
        })
    })
}

fn of_container(container: &Container) -> Option<(String, &'static str)> {
    let probes = [
        ("startupProbe", &container.startup_probe),
        ("readinessProbe", &container.readiness_probe),
        ("livenessProbe", &container.liveness_probe),
    ];
    let of_probes = probes.into_iter().find_map(|(name, probe)| {
        let (inner, what) = of_probe(probe.as_ref()?)?;
        Some((format!("{name}.{inner}"), what))
    });
    let lifecycle = container.lifecycle.as_ref();
    of_probes
        .or_else(|| {
            lifecycle?.post_start.as_ref()?;
            Some(("lifecycle.postStart".to_owned(), "do it in the command"))
        })
        .or_else(|| {
            let (inner, what) = of_hook(lifecycle?.pre_stop.as_ref()?)?;
            Some((format!("lifecycle.preStop.{inner}"), what))
        })
}

fn of_probe(probe: &Probe) -> Option<(&'static str, &'static str)> {
    const KINDS: &str = "use httpGet, tcpSocket or exec";
    if probe.grpc.is_some() {
        return Some(("grpc", KINDS));
    }
    let https = probe
        .http_get
        .as_ref()
        .and_then(|get| get.scheme.as_deref())
        == Some("HTTPS");
    https.then_some(("httpGet.scheme: HTTPS", "use HTTP, tcpSocket or exec"))
}

fn of_hook(hook: &LifecycleHandler) -> Option<(&'static str, &'static str)> {
    let https = hook.http_get.as_ref().and_then(|get| get.scheme.as_deref()) == Some("HTTPS");
    https
        .then_some(("httpGet.scheme: HTTPS", "use HTTP, exec or sleep"))
        .or(hook
            .tcp_socket
            .as_ref()
            .map(|_| ("tcpSocket", "use httpGet, exec or sleep")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(spec: serde_json::Value) -> Option<String> {
        refusal(&serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap())
    }

    #[test]
    fn what_cannot_be_done_is_named_with_its_path() {
        let mounted = |kind: &str| {
            json!({"volumes": [{"name": "v", kind: {}}],
                "containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]})
        };
        let with = |extra: serde_json::Value| {
            let mut container = json!({"name": "c"});
            container
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            json!({"containers": [container]})
        };
        let https = json!({"httpGet": {"port": 1, "scheme": "HTTPS"}});
        let table = [
            (mounted("configMap"), "spec.volumes[v] (configMap)"),
            (mounted("emptyDir"), "spec.volumes[v] (emptyDir)"),
            (
                json!({"containers": [], "activeDeadlineSeconds": 5}),
                "spec.activeDeadlineSeconds",
            ),
            (
                with(json!({"readinessProbe": {"grpc": {"port": 1}}})),
                "spec.containers[0].readinessProbe.grpc",
            ),
            (
                with(json!({"livenessProbe": https})),
                "spec.containers[0].livenessProbe.httpGet.scheme: HTTPS",
            ),
            (
                with(json!({"lifecycle": {"postStart": {}}})),
                "spec.containers[0].lifecycle.postStart",
            ),
            (
                with(json!({"lifecycle": {"preStop": {"tcpSocket": {"port": 1}}}})),
                "spec.containers[0].lifecycle.preStop.tcpSocket",
            ),
            (
                json!({"containers": [], "initContainers": [{"name": "i", "restartPolicy": "Always"}]}),
                "spec.initContainers[0].restartPolicy",
            ),
        ];
        for (spec, path) in table {
            let message = refused(spec.clone()).unwrap_or_default();
            assert!(message.starts_with(path), "{path}: {message}");
        }
    }

    #[test]
    fn what_does_no_harm_is_let_through() {
        let token = "/var/run/secrets/kubernetes.io/serviceaccount";
        let table = [
            json!({"containers": [{"name": "c", "resources": {}, "securityContext": {}}]}),
            json!({"containers": [{"name": "c"}], "volumes": [{"name": "v", "configMap": {}}]}),
            json!({"volumes": [{"name": "t", "projected": {}}], "containers":
                [{"name": "c", "volumeMounts": [{"name": "t", "mountPath": token}]}]}),
        ];
        for spec in table {
            assert_eq!(refused(spec.clone()), None, "{spec}");
        }
    }
}
