//! What people wrote about a Rollout's traffic, read and resolved: the plugin block, the Service's
//! port and protocol, the certificate. Nothing in it changes while a release goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::plugin::{self, FieldError, OverrideBy, OverrideValue, PortRef, ProxyRouting, Trust};
use crds::{PLUGIN_NAME, Rollout};
use k8s_openapi::api::core::v1::{Secret, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use sha2::{Digest, Sha256};
use uplink::document::{
    Certificate, Fallback, FallbackTo, Fuse, Override, Protocol, Sticky, StickyCookie,
};
use uplink::proto::KeyPair;

use super::{Objects, Problem};
use crate::grants::Grants;

/// The cookie that keeps a user on one side, where no name is given.
const DEFAULT_COOKIE: &str = "sluice";

/// `appProtocol` of HTTP/2 in clear (KEP-3726).
const H2C: &str = "kubernetes.io/h2c";

/// A Rollout's traffic as people want it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The fleet, as `namespace/name`.
    pub(super) fleet: String,
    pub(super) hostnames: Vec<String>,
    /// Where pods listen.
    pub(super) port: IntOrString,
    pub(super) protocol: Protocol,
    pub(super) sticky: Option<Sticky>,
    pub(super) override_: Option<Override>,
    pub(super) fallback: Option<Fallback>,
    pub(super) warm_up: Option<String>,
    pub(super) fuse: Fuse,
    pub(super) certificate: Option<(Certificate, KeyPair)>,
}

/// Services and certificates by `namespace/name`.
pub(super) struct Index<'a> {
    services: BTreeMap<String, &'a Service>,
    secrets: BTreeMap<String, &'a Secret>,
    refused: &'a BTreeMap<String, String>,
    grants: &'a Grants,
}

// === impl Index ===

impl<'a> Index<'a> {
    pub(super) fn of(objects: &'a Objects) -> Self {
        Self {
            services: by_name(&objects.services),
            secrets: by_name(&objects.secrets),
            refused: &objects.refused_secrets,
            grants: &objects.grants,
        }
    }
}

fn by_name<K: kube::ResourceExt>(objects: &[Arc<K>]) -> BTreeMap<String, &K> {
    let name = |object: &K| {
        format!(
            "{}/{}",
            object.namespace().unwrap_or_default(),
            object.name_any()
        )
    };
    objects
        .iter()
        .map(|object| (name(object), object.as_ref()))
        .collect()
}

// === impl Shape ===

impl Shape {
    /// Reads a Rollout; `None` where our proxies have nothing to do with it.
    pub(super) fn of(rollout: &Rollout, index: &Index<'_>) -> Option<Result<Self, Problem>> {
        let routing = ProxyRouting::of(rollout)?;
        let service = service(rollout);
        Some(read(rollout, routing, service.as_deref(), index))
    }
}

/// The Service that says where pods listen: any of those that the Rollout manages.
fn service(rollout: &Rollout) -> Option<String> {
    let strategy = rollout.spec.strategy.as_ref()?;
    if let Some(blue_green) = &strategy.blue_green {
        return Some(blue_green.active_service.clone());
    }
    let canary = strategy.canary.as_ref()?;
    let ping = canary
        .ping_pong
        .as_ref()
        .map(|services| &services.ping_service);
    let services = [
        canary.stable_service.as_ref(),
        canary.canary_service.as_ref(),
        ping,
    ];
    services
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty())
        .cloned()
}

/// Where the block stands.
fn block(rollout: &Rollout) -> &'static str {
    match plugin::annotation(rollout) {
        Some(_) => plugin::ANNOTATION_PATH,
        None => plugin::CANARY_PATH,
    }
}

fn read(
    rollout: &Rollout,
    routing: Result<ProxyRouting, Vec<FieldError>>,
    service: Option<&str>,
    index: &Index<'_>,
) -> Result<Shape, Problem> {
    let routing = routing.map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        problem("InvalidSpec", errors.join("; "))
    })?;
    let namespace = rollout.namespace().unwrap_or_default();
    let name = service.ok_or_else(|| {
        problem(
            "InvalidSpec",
            format!("stableService is required by {PLUGIN_NAME}"),
        )
    })?;
    let service = index
        .services
        .get(&format!("{namespace}/{name}"))
        .ok_or_else(|| {
            problem(
                "ServiceNotFound",
                format!("service {namespace}/{name} does not exist"),
            )
        })?;
    let port = service_port(service, routing.port.as_ref(), block(rollout))?;
    let fleet = routing.fleet_of(&namespace, &rollout.name_any());
    if let Some(refusal) = index.grants.refusal(&namespace, &fleet) {
        return Err(problem(
            "InvalidSpec",
            format!("{}.fleet: {refusal}", block(rollout)),
        ));
    }
    let certificate = routing.tls_secret.as_deref();
    let certificate = certificate.map(|secret| certificate_of(&namespace, secret, &routing, index));
    Ok(Shape {
        fleet,
        port: port
            .target_port
            .clone()
            .unwrap_or(IntOrString::Int(port.port)),
        protocol: protocol(&routing, port),
        sticky: routing.sticky.as_ref().map(sticky),
        override_: routing.override_.as_ref().map(override_),
        warm_up: routing.warm_up.map(|length| length.to_string()),
        fallback: routing.fallback_to_stable.then_some(Fallback {
            to: FallbackTo::Stable,
        }),
        fuse: fuse(&routing.fuse),
        certificate: certificate.transpose()?,
        hostnames: routing.hostnames,
    })
}

fn problem(reason: &'static str, message: String) -> Problem {
    Problem { reason, message }
}

fn service_port<'a>(
    service: &'a Service,
    wanted: Option<&PortRef>,
    block: &str,
) -> Result<&'a ServicePort, Problem> {
    let ports = service
        .spec
        .as_ref()
        .and_then(|spec| spec.ports.as_deref())
        .unwrap_or_default();
    let found = match (wanted, ports) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(PortRef::Name(name)), _) => {
            ports.iter().find(|port| port.name.as_ref() == Some(name))
        }
        (Some(PortRef::Number(number)), _) => {
            ports.iter().find(|port| port.port == i32::from(*number))
        }
    };
    found.ok_or_else(|| problem("InvalidSpec", no_port(service, wanted, ports, block)))
}

fn no_port(
    service: &Service,
    wanted: Option<&PortRef>,
    ports: &[ServicePort],
    block: &str,
) -> String {
    let known: Vec<_> = ports
        .iter()
        .map(|port| match &port.name {
            Some(name) => format!("{name} ({})", port.port),
            None => port.port.to_string(),
        })
        .collect();
    let (known, name) = (known.join(", "), service.name_any());
    match wanted {
        None if ports.is_empty() => format!("service {name} has no ports"),
        None => format!("{block}.port is required: service {name} has several ports, {known}"),
        Some(PortRef::Name(port)) => {
            format!("{block}.port: service {name} has no port {port:?}, only {known}")
        }
        Some(PortRef::Number(port)) => {
            format!("{block}.port: service {name} has no port {port}, only {known}")
        }
    }
}

fn protocol(routing: &ProxyRouting, port: &ServicePort) -> Protocol {
    match routing.protocol {
        Some(plugin::Protocol::H2c) => Protocol::H2c,
        None if port.app_protocol.as_deref() == Some(H2C) => Protocol::H2c,
        Some(plugin::Protocol::Http1) | None => Protocol::Http1,
    }
}

/// The document has the reference, the bytes travel beside it. The digest is of both parts, so that
/// a renewal is another reference.
fn certificate_of(
    namespace: &str,
    secret: &str,
    routing: &ProxyRouting,
    index: &Index<'_>,
) -> Result<(Certificate, KeyPair), Problem> {
    let name = format!("{namespace}/{secret}");
    let found = index.secrets.get(&name);
    let found = found.ok_or_else(|| {
        problem(
            "SecretNotFound",
            format!("secret {name} with the certificate does not exist"),
        )
    })?;
    let bytes = |key: &str| {
        let bytes = found
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .map(|bytes| bytes.0.clone());
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        bytes.ok_or_else(|| problem("InvalidSecret", format!("secret {name} has no {key}")))
    };
    let (certificate_pem, key_pem) = (bytes("tls.crt")?, bytes("tls.key")?);
    let digest = Sha256::new()
        .chain_update(&certificate_pem)
        .chain_update([0])
        .chain_update(&key_pem);
    let reference = format!("{name}@sha256:{}", hex::encode(digest.finalize()));
    if let Some(why) = index.refused.get(&reference) {
        return Err(problem(
            "CertificateRefused",
            format!("secret {name}: {why}"),
        ));
    }
    let certificate = Certificate {
        names: routing.hostnames.clone(),
        files: None,
        secret: Some(reference.clone()),
    };
    Ok((
        certificate,
        KeyPair {
            reference,
            certificate_pem,
            key_pem,
        },
    ))
}

fn sticky(sticky: &plugin::Sticky) -> Sticky {
    match sticky {
        plugin::Sticky::Header(header) => Sticky {
            header: Some(header.clone()),
            cookie: None,
        },
        plugin::Sticky::Cookie { name, max_age } => {
            let name = name.clone().unwrap_or_else(|| DEFAULT_COOKIE.to_owned());
            let max_age = max_age.map(|age| age.to_string());
            Sticky {
                header: None,
                cookie: Some(StickyCookie { name, max_age }),
            }
        }
    }
}

fn override_(chosen: &plugin::Override) -> Override {
    let (header, cookie) = match &chosen.by {
        OverrideBy::Header(header) => (Some(header.clone()), None),
        OverrideBy::Cookie(cookie) => (None, Some(cookie.clone())),
        OverrideBy::HeaderOrCookie { header, cookie } => {
            (Some(header.clone()), Some(cookie.clone()))
        }
    };
    let (value, pattern) = match &chosen.value {
        OverrideValue::AlwaysNever => (None, None),
        OverrideValue::Exact(value) => (Some(value.clone()), None),
        OverrideValue::Pattern(pattern) => (None, Some(pattern.clone())),
    };
    let trust = match &chosen.trust {
        Trust::Any => None,
        Trust::From(networks) => Some(networks.iter().map(ToString::to_string).collect()),
    };
    Override {
        header,
        value,
        pattern,
        cookie,
        trust,
    }
}

fn fuse(fuse: &plugin::Fuse) -> Fuse {
    let default = Fuse::default();
    Fuse {
        enabled: fuse.enabled,
        alpha: fuse.alpha.unwrap_or(default.alpha),
        ratio: fuse.ratio.unwrap_or(default.ratio),
        min_errors: fuse
            .min_errors
            .map_or(default.min_errors, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        age_threshold: fuse.age_threshold.to_string(),
    }
}
