//! The traffic routers that Argo knows beside plugins.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Unknown, null};

/// Istio: weights in VirtualServices, or subsets of a DestinationRule.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IstioTrafficRouting {
    /// One VirtualService; exclusive with `virtualServices`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_service: Option<IstioVirtualService>,
    /// Subsets instead of Services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_rule: Option<IstioDestinationRule>,
    /// Several VirtualServices.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub virtual_services: Vec<IstioVirtualService>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// A VirtualService and the routes in it that carry weights.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IstioVirtualService {
    /// Its name, or `name.namespace`.
    pub name: String,
    /// Names of HTTP routes; may be left out when there is only one.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub routes: Vec<String>,
    /// TLS routes.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tls_routes: Vec<TlsRoute>,
    /// TCP routes.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tcp_routes: Vec<TcpRoute>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// A TLS route, by what it matches.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TlsRoute {
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// The names.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub sni_hosts: Vec<String>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// A TCP route, by what it matches.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TcpRoute {
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// A DestinationRule and the subsets in it that stand for the two versions.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IstioDestinationRule {
    /// Its name.
    pub name: String,
    /// The subset of the canary.
    pub canary_subset_name: String,
    /// The subset of stable.
    pub stable_subset_name: String,
    /// Further subsets to keep in step.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub additional_subset_names: Vec<String>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// ingress-nginx: a second Ingress with canary annotations.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NginxTrafficRouting {
    /// The prefix of the annotations; `nginx.ingress.kubernetes.io` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_prefix: Option<String>,
    /// The Ingress of the stable Service; exclusive with `stableIngresses`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_ingress: Option<String>,
    /// Annotations for the canary Ingress, prefixed.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub additional_ingress_annotations: BTreeMap<String, String>,
    /// Annotations for the canary Ingress, verbatim.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub canary_ingress_annotations: BTreeMap<String, String>,
    /// Several Ingresses.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub stable_ingresses: Vec<String>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// AWS Application Load Balancer: weighted target groups in an annotation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AlbTrafficRouting {
    /// The Ingress; exclusive with `ingresses`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    /// The port of the Services.
    pub service_port: i32,
    /// The Service that the Ingress names; the stable Service when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_service: Option<String>,
    /// The prefix of the annotations; `alb.ingress.kubernetes.io` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_prefix: Option<String>,
    /// Stickiness of the target groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stickiness_config: Option<StickinessConfig>,
    /// Several Ingresses.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub ingresses: Vec<String>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// Stickiness of target groups.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StickinessConfig {
    /// Whether it is on.
    pub enabled: bool,
    /// 1 to 604800.
    pub duration_seconds: i64,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// Service Mesh Interface: a TrafficSplit.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SmiTrafficRouting {
    /// The Service that clients address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_service: Option<String>,
    /// The TrafficSplit; the Rollout's name when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_split_name: Option<String>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// Ambassador: a canary Mapping with a weight.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AmbassadorTrafficRouting {
    /// The Mappings of the stable Service.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub mappings: Vec<String>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// AWS App Mesh: weighted targets.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshTrafficRouting {
    /// The VirtualService.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_service: Option<AppMeshVirtualService>,
    /// The two VirtualNodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_node_group: Option<AppMeshVirtualNodeGroup>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// A VirtualService and the routes in it that carry weights.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshVirtualService {
    /// Its name.
    pub name: String,
    /// Names of routes.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub routes: Vec<String>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// The two VirtualNodes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshVirtualNodeGroup {
    /// That of the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_virtual_node_ref: Option<AppMeshVirtualNodeReference>,
    /// That of stable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_virtual_node_ref: Option<AppMeshVirtualNodeReference>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// A VirtualNode by name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshVirtualNodeReference {
    /// Its name.
    pub name: String,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// Traefik: weights in a TraefikService.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TraefikTrafficRouting {
    /// The TraefikService.
    pub weighted_traefik_service_name: String,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// APISIX: weights in a route.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApisixTrafficRouting {
    /// The route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<ApisixRoute>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// An ApisixRoute and the rules in it that carry weights.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApisixRoute {
    /// Its name.
    pub name: String,
    /// Names of rules.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub rules: Vec<String>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
