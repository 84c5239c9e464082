//! Who splits the traffic of a canary.
//!
//! Sluice's own proxies are one of the `plugins`; the others are typed so that a Rollout which
//! names one is understood, and can be told precisely what is not supported.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::router::{
    AlbTrafficRouting, AmbassadorTrafficRouting, ApisixTrafficRouting, AppMeshTrafficRouting,
    IstioTrafficRouting, NginxTrafficRouting, SmiTrafficRouting, TraefikTrafficRouting,
};
use crate::plugin::PLUGIN_NAME;
use crate::{Unknown, null, schema};

/// `spec.strategy.canary.trafficRouting`; several routers may be named at once.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrafficRouting {
    /// Istio VirtualServices and DestinationRules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub istio: Option<IstioTrafficRouting>,
    /// Ingresses of ingress-nginx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nginx: Option<NginxTrafficRouting>,
    /// AWS Application Load Balancers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alb: Option<AlbTrafficRouting>,
    /// TrafficSplits of the Service Mesh Interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smi: Option<SmiTrafficRouting>,
    /// Mappings of Ambassador.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambassador: Option<AmbassadorTrafficRouting>,
    /// AWS App Mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_mesh: Option<AppMeshTrafficRouting>,
    /// TraefikServices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traefik: Option<TraefikTrafficRouting>,
    /// Routes of APISIX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apisix: Option<ApisixTrafficRouting>,
    /// Routers by the name of their plugin; ours is `sluice/proxy`.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(schema_with = "schema::any_by_name")]
    pub plugins: BTreeMap<String, Value>,
    /// The routes that header and mirror steps may set, in order of precedence.
    #[serde(
        default,
        deserialize_with = "null::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub managed_routes: Vec<ManagedRoute>,
    /// The weight that means all traffic; 100 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_traffic_weight: Option<i32>,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

/// A route that steps may set.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ManagedRoute {
    /// Its name.
    pub name: String,
    /// Fields that this version does not know, kept as they came.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}

// === impl TrafficRouting ===

impl TrafficRouting {
    /// The weight that means all traffic when nothing else is said.
    pub const DEFAULT_MAX_WEIGHT: i32 = 100;

    /// The block for our own proxies, as it was written.
    pub fn sluice_proxy(&self) -> Option<&Value> {
        self.plugins.get(PLUGIN_NAME)
    }

    /// The weight that means all traffic.
    pub fn max_weight(&self) -> i32 {
        self.max_traffic_weight.unwrap_or(Self::DEFAULT_MAX_WEIGHT)
    }
}
