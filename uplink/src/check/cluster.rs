//! Clusters: endpoints that run one revision.

use std::net::SocketAddr;
use std::time::Duration;

use super::{CheckedCluster, Faults, OutlierPolicy, Path, address, value};
use crate::document::{Cluster, OutlierEjection};
use crate::limits::MAX_ENDPOINTS;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const MIN_CONNECT_TIMEOUT: Duration = Duration::from_millis(1);
const MAX_CONNECT_TIMEOUT: Duration = Duration::from_mins(1);
const MIN_EJECTION: Duration = Duration::from_millis(100);
const MAX_EJECTION: Duration = Duration::from_hours(1);

pub(super) fn check(
    faults: &mut Faults,
    path: &Path<'_>,
    name: &str,
    raw: &Cluster,
) -> Option<CheckedCluster> {
    let revision = match &raw.revision {
        Some(revision) => faults.take(&path.field("revision"), value::name(revision)),
        None => Some(name.to_owned()),
    };
    let endpoints = endpoints(faults, path, &raw.endpoints);
    let connect_timeout = match &raw.connect_timeout {
        Some(text) => faults.take(
            &path.field("connectTimeout"),
            value::duration_in(text, MIN_CONNECT_TIMEOUT..=MAX_CONNECT_TIMEOUT),
        ),
        None => Some(DEFAULT_CONNECT_TIMEOUT),
    };
    let outlier = outlier(
        faults,
        &path.field("outlierEjection"),
        &raw.outlier_ejection,
    );
    Some(CheckedCluster {
        revision: revision?,
        protocol: raw.protocol,
        endpoints,
        connect_timeout: connect_timeout?,
        outlier,
    })
}

/// Sorted and without duplicates, so that the same set is the same value.
pub(super) fn endpoints(
    faults: &mut Faults,
    cluster: &Path<'_>,
    addresses: &[String],
) -> Vec<SocketAddr> {
    let path = cluster.field("endpoints");
    if addresses.len() > MAX_ENDPOINTS {
        let given = addresses.len();
        faults.add(
            &path,
            format!("{given} endpoints are too many: expected at most {MAX_ENDPOINTS}"),
        );
        return Vec::new();
    }
    let mut endpoints: Vec<_> = addresses
        .iter()
        .enumerate()
        .filter_map(|(index, text)| faults.take(&path.index(index), address::endpoint(text)))
        .collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    endpoints
}

fn outlier(faults: &mut Faults, path: &Path<'_>, raw: &OutlierEjection) -> Option<OutlierPolicy> {
    let base_time = faults.take(
        &path.field("baseTime"),
        value::duration_in(&raw.base_time, MIN_EJECTION..=MAX_EJECTION),
    );
    let max_percent = faults.take(
        &path.field("maxPercent"),
        value::number_in(raw.max_percent, 0..=100),
    );
    let policy = OutlierPolicy {
        consecutive_failures: raw.consecutive_failures,
        base_time: base_time?,
        max_percent: max_percent?,
    };
    (policy.consecutive_failures > 0).then_some(policy)
}
