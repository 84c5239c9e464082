//! Puts together what protects the uplink: the certificate that is kept and served, who may call,
//! and the authorities that proxies trust.

use std::sync::Arc;

use tokio::sync::watch;

use super::Shared;
use crate::authority::{self, Place, Served};
use crate::publish::Scope;
use crate::uplink_server::identity::Reviewer;
use crate::uplink_server::{Protection, Serving};

/// TLS of the uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkTls {
    /// Where certificates are kept, and for which names.
    pub place: Place,
    /// The audience that proxies' tokens must be for.
    pub audience: String,
}

/// Starts what the uplink's protection needs; its tasks end with the controller.
pub(super) fn protect(
    shared: &Shared,
    tls: Option<&UplinkTls>,
    scope: &Scope,
    serving: watch::Receiver<Serving>,
) -> Result<Protection, rustls::Error> {
    let Some(tls) = tls else {
        return Ok(Protection::Loopback);
    };
    let served = Arc::new(Served::default());
    let config = served.server_config()?;
    // The certificate is every replica's, whoever leads: its Secret has a version to rely on.
    let (client, clock, stop) = (&shared.direct, shared.kit.clock, &shared.stop);
    shared.tasks.spawn(authority::keep(
        client.clone(),
        tls.place.clone(),
        clock,
        served.clone(),
        stop.clone(),
    ));
    shared.tasks.spawn(publish(
        shared.clone(),
        tls.place.config_map.clone(),
        scope.clone(),
        (served, serving),
    ));
    let reviewer = Arc::new(Reviewer::new(client.clone(), &tls.audience, clock));
    Ok(Protection::Tls { config, reviewer })
}

/// The leader publishes the authorities, and nobody else.
async fn publish(
    shared: Shared,
    config_map: String,
    scope: Scope,
    (served, mut serving): (Arc<Served>, watch::Receiver<Serving>),
) {
    let leads = serving.wait_for(|serving| *serving == Serving::Serves);
    tokio::select! {
        leads = leads => if leads.is_err() { return },
        () = shared.stop.cancelled() => return,
    }
    let namespace = match scope {
        Scope::Cluster => None,
        Scope::Namespace(namespace) => Some(namespace),
    };
    let (bundle, wanted) = (served.bundle(), shared.fleets.namespaces());
    authority::publish(
        (shared.kit.client, config_map, namespace),
        bundle,
        wanted,
        shared.stop,
    )
    .await;
}
