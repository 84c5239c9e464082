//! From what was typed to what it means: a [`CheckedConfig`], or every error at once with its path.
//!
//! Nothing after this touches the raw document. Both sides run it: the controller before it sends,
//! the proxy before it swaps. The parts are checked in the order of the document (certificates,
//! routes, splits, clusters), each by a function that notes its errors and goes on; the checked
//! form exists only where no error was noted.

mod address;
mod certificate;
mod checked;
mod cluster;
mod error;
mod route;
mod split;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::document::RoutingConfig;

pub use checked::{
    Backend, CertificateSource, CheckedCertificate, CheckedCluster, CheckedConfig, CheckedFuse,
    CheckedHeaderRoute, CheckedOverride, CheckedRoute, CheckedSplit, CheckedSticky,
    HeaderCondition, Hostname, OutlierPolicy, OverrideRule, PathCondition, RouteCondition, Salt,
    ValueCondition,
};
pub use error::{ConfigError, errors_for_wire};
pub(crate) use error::{Faults, Path, nearest};
pub(crate) use value::shown;

/// Checks a whole configuration and resolves its references.
pub fn check(document: &RoutingConfig) -> Result<CheckedConfig, Vec<ConfigError>> {
    let mut faults = Faults::default();
    let root = Path::ROOT;
    let fleet = document
        .fleet
        .as_deref()
        .and_then(|fleet| faults.take(&root.field("fleet"), address::fleet(fleet)));
    let certificates = certificate::check_all(&mut faults, &document.certificates);
    let routes = route::check_all(&mut faults, document);
    let splits = named(
        &mut faults,
        "splits",
        &document.splits,
        |faults, path, name| split::check(faults, path, name, document),
    );
    let clusters = named(
        &mut faults,
        "clusters",
        &document.clusters,
        |faults, path, name| cluster::check(faults, path, name, &document.clusters[name]),
    );
    faults.finish()?;
    Ok(CheckedConfig {
        fleet,
        certificates,
        routes,
        splits,
        clusters,
    })
}

/// Checks the endpoints of one cluster, as an `Endpoints` message brings them: sorted, without
/// duplicates, bounded. Paths are those of the cluster in the document.
pub fn check_endpoints(
    cluster: &str,
    addresses: &[String],
) -> Result<Vec<SocketAddr>, Vec<ConfigError>> {
    let mut faults = Faults::default();
    let clusters = Path::ROOT.field("clusters");
    let endpoints = cluster::endpoints(&mut faults, &clusters.key(cluster), addresses);
    faults.finish()?;
    Ok(endpoints)
}

/// Checks a map by name, its names first.
fn named<T, C>(
    faults: &mut Faults,
    field: &str,
    raw: &BTreeMap<String, T>,
    mut check: impl FnMut(&mut Faults, &Path<'_>, &str) -> Option<C>,
) -> BTreeMap<String, C> {
    let parent = Path::ROOT.field(field);
    let mut checked = BTreeMap::new();
    for name in raw.keys() {
        let path = parent.key(name);
        faults.take(&path, value::name(name));
        if let Some(value) = check(faults, &path, name) {
            checked.insert(name.clone(), value);
        }
    }
    checked
}

/// Notes an error unless exactly one of these fields is given.
fn exactly_one(faults: &mut Faults, path: &Path<'_>, fields: &[(&str, bool)]) -> bool {
    let given = fields.iter().filter(|(_, given)| *given).count();
    if given == 1 {
        return true;
    }
    let names: Vec<_> = fields.iter().map(|(name, _)| format!("`{name}`")).collect();
    let wanted = names.join(", ");
    let found = if given == 0 { "none" } else { "more than one" };
    faults.add(
        path,
        format!("exactly one of {wanted} is required, {found} is given"),
    );
    false
}

#[cfg(test)]
mod tests;
