//! Which fleets of other namespaces a Rollout may use: Gateway API's ReferenceGrants.
//!
//! A grant stands in the fleet's namespace, so its owner gives it, and takes it back by deleting it:
//!
//! ```yaml
//! from: [{group: argoproj.io, kind: Rollout, namespace: shop}]
//! to: [{group: sluice, kind: Fleet, name: edge}]    # without a name: every fleet here
//! ```
//!
//! The CRD may be absent, and come and go while the controller runs. Without it there are no grants;
//! it is looked for again from time to time.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, CustomResource, ResourceExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::patience::Patience;

/// The group and kind that a grant's `to` must name. A fleet is no object; the name is ours.
const FLEET: (&str, &str) = ("sluice", "Fleet");

/// The group and kind that a grant's `from` must name.
const ROLLOUT: (&str, &str) = ("argoproj.io", "Rollout");

/// Gateway API's ReferenceGrant, as far as it matters here.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1beta1",
    kind = "ReferenceGrant",
    namespaced,
    schema = "disabled"
)]
pub struct ReferenceGrantSpec {
    /// Whose references are allowed.
    #[serde(default)]
    pub from: Vec<GrantFrom>,
    /// To what.
    #[serde(default)]
    pub to: Vec<GrantTo>,
}

/// Who refers.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct GrantFrom {
    /// The API group.
    #[serde(default)]
    pub group: String,
    /// The kind.
    #[serde(default)]
    pub kind: String,
    /// The namespace.
    #[serde(default)]
    pub namespace: String,
}

/// What is referred to.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct GrantTo {
    /// The API group.
    #[serde(default)]
    pub group: String,
    /// The kind.
    #[serde(default)]
    pub kind: String,
    /// The name; every one of the namespace when unset.
    pub name: Option<String>,
}

/// All grants that are there, by the namespace that gives them and their name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<(String, String), ReferenceGrantSpec>);

// === impl Grants ===

impl Grants {
    /// These grants.
    pub fn of(grants: impl IntoIterator<Item = ReferenceGrant>) -> Self {
        let mut all = Self::default();
        grants.into_iter().for_each(|grant| all.put(grant));
        all
    }

    /// Why a Rollout of `namespace` may not use `fleet` (`namespace/name`); `None` where it may.
    pub fn refusal(&self, namespace: &str, fleet: &str) -> Option<String> {
        let (home, name) = fleet.split_once('/').unwrap_or_default();
        if home == namespace || self.allow(namespace, (home, name)) {
            return None;
        }
        Some(format!(
            "fleet {fleet} is of another namespace, and no ReferenceGrant in {home} allows it; there \
             must be one with from {{group: {}, kind: {}, namespace: {namespace}}} and to {{group: {}, \
             kind: {}, name: {name}}}",
            ROLLOUT.0, ROLLOUT.1, FLEET.0, FLEET.1
        ))
    }

    fn allow(&self, namespace: &str, (home, name): (&str, &str)) -> bool {
        let first = (home.to_owned(), String::new());
        let here = self.0.range(first..);
        let mut here = here.take_while(|((given_by, _), _)| given_by == home);
        here.any(|(_, grant)| grant.allows(namespace, name))
    }

    fn put(&mut self, grant: ReferenceGrant) {
        let key = (grant.namespace().unwrap_or_default(), grant.name_any());
        self.0.insert(key, grant.spec);
    }

    fn remove(&mut self, grant: &ReferenceGrant) {
        let key = (grant.namespace().unwrap_or_default(), grant.name_any());
        self.0.remove(&key);
    }
}

// === impl ReferenceGrantSpec ===

impl ReferenceGrantSpec {
    fn allows(&self, namespace: &str, fleet: &str) -> bool {
        let from = |from: &GrantFrom| {
            (&*from.group, &*from.kind) == ROLLOUT && from.namespace == namespace
        };
        let to = |to: &GrantTo| {
            (&*to.group, &*to.kind) == FLEET && to.name.as_deref().is_none_or(|it| it == fleet)
        };
        self.from.iter().any(from) && self.to.iter().any(to)
    }
}

/// Keeps `known` up to date until `stop`; `None` in it means that nobody has looked yet. Without a
/// client there are no grants: for a controller that may see one namespace only.
pub async fn follow(
    client: Option<Client>,
    known: watch::Sender<Option<Arc<Grants>>>,
    stop: CancellationToken,
) {
    let Some(client) = client else {
        known.send_replace(Some(Arc::default()));
        return;
    };
    let api: Api<ReferenceGrant> = Api::all(client);
    // Its waits double from 0.8 s to 30 s: so long it may take until a CRD that was installed is seen.
    let mut events = pin!(watcher(api, watcher::Config::default()).backoff(Patience::default()));
    let (mut grants, mut listing) = (Grants::default(), Grants::default());
    let mut absent = false;
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        match event {
            Ok(Event::Init) => {
                listing = Grants::default();
                continue;
            }
            Ok(Event::InitApply(grant)) => {
                listing.put(grant);
                continue;
            }
            Ok(Event::InitDone) => grants = std::mem::take(&mut listing),
            Ok(Event::Apply(grant)) => grants.put(grant),
            Ok(Event::Delete(grant)) => grants.remove(&grant),
            Err(error) if cannot_be(&error) => {
                if !std::mem::replace(&mut absent, true) {
                    tracing::info!(%error, "there are no ReferenceGrants: fleets are for Rollouts of their own namespace");
                }
                grants = Grants::default();
            }
            // What was seen last holds until the API server says something else.
            Err(error) => {
                tracing::debug!(%error, "the watch of ReferenceGrants broke; it is started again");
                continue;
            }
        }
        known.send_if_modified(|before| {
            let changed = before.as_deref() != Some(&grants);
            if changed {
                *before = Some(Arc::new(grants.clone()));
            }
            changed
        });
    }
}

/// Whether there is no such kind here, or it may not be read.
fn cannot_be(error: &watcher::Error) -> bool {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code,
        _ => return false,
    };
    code == 404 || code == 403
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grant(namespace: &str, from: serde_json::Value, to: serde_json::Value) -> ReferenceGrant {
        serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
            "metadata": {"name": "g", "namespace": namespace},
            "spec": {"from": from, "to": to},
        }))
        .expect("a grant")
    }

    #[test]
    fn a_fleet_of_another_namespace_needs_a_grant_that_its_owner_gave() {
        let shop = json!([{"group": "argoproj.io", "kind": "Rollout", "namespace": "shop"}]);
        let edge = json!([{"group": "sluice", "kind": "Fleet", "name": "edge"}]);
        let every = json!([{"group": "sluice", "kind": "Fleet"}]);
        let routes = json!([{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "shop"}]);
        let services = json!([{"group": "", "kind": "Service"}]);
        let allowed = |grant: ReferenceGrant, namespace: &str, fleet: &str| {
            Grants::of([grant]).refusal(namespace, fleet).is_none()
        };
        let given = || grant("gateways", shop.clone(), edge.clone());
        assert!(allowed(given(), "shop", "gateways/edge"));
        assert!(allowed(
            grant("gateways", shop.clone(), every),
            "shop",
            "gateways/edge"
        ));
        assert!(allowed(given(), "bank", "bank/edge"), "its own");
        assert!(!allowed(given(), "bank", "gateways/edge"));
        assert!(!allowed(given(), "shop", "gateways/other"));
        assert!(!allowed(
            grant("shop", shop.clone(), edge.clone()),
            "shop",
            "gateways/edge"
        ));
        assert!(!allowed(
            grant("gateways", routes, edge),
            "shop",
            "gateways/edge"
        ));
        assert!(!allowed(
            grant("gateways", shop, services),
            "shop",
            "gateways/edge"
        ));
        assert_eq!(
            Grants::default()
                .refusal("shop", "gateways/edge")
                .as_deref(),
            Some(
                "fleet gateways/edge is of another namespace, and no ReferenceGrant in gateways allows \
                 it; there must be one with from {group: argoproj.io, kind: Rollout, namespace: shop} \
                 and to {group: sluice, kind: Fleet, name: edge}"
            )
        );
    }
}
