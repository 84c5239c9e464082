//! What a fleet is to have in force, and what it takes to get a proxy there.
//!
//! Weights travel by themselves, so two documents that differ in weights alone are the same here.
//! Documents that differ in endpoints alone need no Snapshot, which every proxy would have to check
//! and compile as a whole: pods come and go far more often than routes change.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use uplink::document::{RoutingConfig, Split};
use uplink::proto;

/// A routing configuration with the certificates that it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// The document.
    pub document: RoutingConfig,
    /// The bytes of the certificates that it names as `secret`.
    pub key_pairs: Arc<Vec<proto::KeyPair>>,
    /// Since when the fleet is to have it.
    pub at: Timestamp,
}

/// How a proxy gets from one configuration to another.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Difference {
    /// There is none, weights aside.
    Same,
    /// New endpoints of these clusters.
    Endpoints(Vec<proto::ClusterEndpoints>),
    /// Anything else.
    Whole,
}

/// What it takes to get from `from` to `to`.
pub(super) fn difference(from: &Published, to: &Published) -> Difference {
    if !same_but_endpoints(&from.document, &to.document) {
        return Difference::Whole;
    }
    let changed = endpoints_of_common_clusters(&from.document, &to.document);
    if changed.is_empty() {
        Difference::Same
    } else {
        Difference::Endpoints(changed)
    }
}

/// The endpoints in `to` of the clusters that both have and that differ.
pub(super) fn endpoints_of_common_clusters(
    from: &RoutingConfig,
    to: &RoutingConfig,
) -> Vec<proto::ClusterEndpoints> {
    let changed = to.clusters.iter().filter(|(name, cluster)| {
        from.clusters
            .get(*name)
            .is_some_and(|known| known.endpoints != cluster.endpoints)
    });
    let changed = changed.map(|(name, cluster)| proto::ClusterEndpoints {
        cluster: name.clone(),
        addresses: cluster.endpoints.clone(),
    });
    changed.collect()
}

/// `from` with these endpoints, as a proxy makes it of an Endpoints message.
pub(super) fn with_endpoints(from: &Published, changed: &[proto::ClusterEndpoints]) -> Published {
    let mut result = from.clone();
    for endpoints in changed {
        if let Some(cluster) = result.document.clusters.get_mut(&endpoints.cluster) {
            cluster.endpoints.clone_from(&endpoints.addresses);
        }
    }
    result
}

/// Whether both have the same routes, clusters and rules for one split; weight and endpoints aside.
pub(super) fn same_part(a: &RoutingConfig, b: &RoutingConfig, split: &str) -> bool {
    let routes = |document: &RoutingConfig| {
        let of_split = document
            .routes
            .iter()
            .filter(|route| route.backend.split.as_deref() == Some(split))
            .cloned();
        of_split.collect::<Vec<_>>()
    };
    let rules = |document: &RoutingConfig| document.splits.get(split).map(weightless);
    rules(a) == rules(b) && routes(a) == routes(b)
}

/// The endpoints that the clusters of one split have, by revision.
pub(super) fn endpoints_by_revision(
    document: &RoutingConfig,
    split: &str,
) -> BTreeMap<String, usize> {
    let Some(split) = document.splits.get(split) else {
        return BTreeMap::new();
    };
    let clusters = std::iter::once(&split.stable).chain(&split.canary);
    let counted = clusters.filter_map(|name| {
        let cluster = document.clusters.get(name)?;
        Some((
            cluster.revision.clone().unwrap_or_else(|| name.clone()),
            cluster.endpoints.len(),
        ))
    });
    counted.collect()
}

/// The revision of a split's canary.
pub(super) fn canary_revision<'a>(document: &'a RoutingConfig, split: &Split) -> Option<&'a str> {
    let name = split.canary.as_deref()?;
    let (name, cluster) = document.clusters.get_key_value(name)?;
    Some(cluster.revision.as_deref().unwrap_or(name))
}

fn same_but_endpoints(a: &RoutingConfig, b: &RoutingConfig) -> bool {
    let splits = |document: &RoutingConfig| {
        let plain = document
            .splits
            .iter()
            .map(|(name, split)| (name.clone(), weightless(split)));
        plain.collect::<BTreeMap<_, _>>()
    };
    let same_clusters = || {
        a.clusters.len() == b.clusters.len()
            && a.clusters
                .iter()
                .zip(&b.clusters)
                .all(|((name, one), (other_name, other))| {
                    name == other_name
                        && (
                            &one.revision,
                            one.protocol,
                            &one.connect_timeout,
                            &one.outlier_ejection,
                        ) == (
                            &other.revision,
                            other.protocol,
                            &other.connect_timeout,
                            &other.outlier_ejection,
                        )
                })
    };
    a.fleet == b.fleet
        && a.certificates == b.certificates
        && a.routes == b.routes
        && splits(a) == splits(b)
        && same_clusters()
}

fn weightless(split: &Split) -> Split {
    Split {
        weight: 0,
        epoch: 0,
        ..split.clone()
    }
}

#[cfg(test)]
mod tests {
    use uplink::document::{BackendRef, Cluster, Route};

    use super::*;

    fn published() -> Published {
        let cluster = |revision: &str, endpoints: &[&str]| Cluster {
            revision: Some(revision.to_owned()),
            endpoints: endpoints.iter().map(|text| (*text).to_owned()).collect(),
            ..Cluster::default()
        };
        let split = Split {
            stable: "a".into(),
            canary: Some("b".into()),
            weight: 10,
            max_weight: 100,
            epoch: 1,
            ..Split::default()
        };
        let backend = BackendRef {
            split: Some("s".into()),
            cluster: None,
        };
        let document = RoutingConfig {
            routes: vec![Route {
                name: "s".into(),
                backend,
                ..Route::default()
            }],
            splits: [("s".to_owned(), split)].into(),
            clusters: [
                ("a".to_owned(), cluster("r1", &["127.0.0.1:1"])),
                ("b".to_owned(), cluster("r2", &["127.0.0.1:2"])),
            ]
            .into(),
            ..RoutingConfig::default()
        };
        Published {
            document,
            ..Published::default()
        }
    }

    #[test]
    fn weights_are_no_difference_endpoints_a_small_one_and_the_rest_a_snapshot() {
        let from = published();
        let mut weight = from.clone();
        weight.document.splits.get_mut("s").expect("there").weight = 50;
        assert_eq!(difference(&from, &weight), Difference::Same);
        let mut pod = from.clone();
        pod.document
            .clusters
            .get_mut("b")
            .expect("there")
            .endpoints
            .clear();
        let Difference::Endpoints(changed) = difference(&from, &pod) else {
            panic!("endpoints")
        };
        assert_eq!((changed.len(), changed[0].cluster.as_str()), (1, "b"));
        assert_eq!(with_endpoints(&from, &changed), pod);
        let mut route = from.clone();
        route.document.routes[0]
            .hostnames
            .push("h.example.com".into());
        assert_eq!(difference(&from, &route), Difference::Whole);
        let mut gone = from.clone();
        gone.document.clusters.remove("b");
        assert_eq!(difference(&from, &gone), Difference::Whole);
    }

    #[test]
    fn the_part_of_a_split_is_its_rules_and_routes() {
        let one = published().document;
        let mut other = one.clone();
        other.splits.get_mut("s").expect("there").weight = 90;
        other.routes.push(Route {
            name: "else".into(),
            ..Route::default()
        });
        assert!(same_part(&one, &other, "s"));
        other.splits.get_mut("s").expect("there").canary = None;
        assert!(!same_part(&one, &other, "s"));
        assert_eq!(endpoints_by_revision(&one, "s").len(), 2);
        assert_eq!(canary_revision(&one, &one.splits["s"]), Some("r2"));
    }
}
