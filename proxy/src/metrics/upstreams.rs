//! Clusters: their endpoints and the connections to them.

use super::ClusterFacts;
use crate::exposition::{Exposition, Kind, Label};

pub(super) fn expose(clusters: &[ClusterFacts], into: &mut Exposition) {
    let help = "Endpoints of the configuration in force, by state.";
    let mut family = into.family("sluice_endpoints", Kind::Gauge, help);
    for cluster in clusters {
        let [name, revision] = labels(cluster);
        family.sample(&[name, revision, ("state", "healthy")], cluster.healthy);
        family.sample(&[name, revision, ("state", "ejected")], cluster.ejected);
    }
    type Number = fn(&ClusterFacts) -> u64;
    let numbers: [(&'static str, Kind, &str, Number); 5] = [
        (
            "sluice_endpoint_ejections_total",
            Kind::Counter,
            "Endpoints left out for a while.",
            |it| {
                it.totals
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.ejections)
                    .sum()
            },
        ),
        (
            "sluice_pool_connections",
            Kind::Gauge,
            "Upstream connections open now.",
            |it| it.totals.pool.open,
        ),
        (
            "sluice_pool_opened_total",
            Kind::Counter,
            "Upstream connections made.",
            |it| it.totals.pool.opened,
        ),
        (
            "sluice_pool_connect_failures_total",
            Kind::Counter,
            "Upstream connections that could not be made.",
            |it| it.totals.pool.connect_failures,
        ),
        (
            "sluice_pool_reuse_total",
            Kind::Counter,
            "Requests that found an upstream connection.",
            |it| it.totals.pool.reused,
        ),
    ];
    for (name, kind, help, number) in numbers {
        let mut family = into.family(name, kind, help);
        for cluster in clusters {
            family.sample(&labels(cluster), number(cluster));
        }
    }
}

fn labels(cluster: &ClusterFacts) -> [Label<'_>; 2] {
    [
        ("cluster", &cluster.totals.cluster),
        ("revision", &cluster.totals.revision),
    ]
}
