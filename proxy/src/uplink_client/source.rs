//! The controller as the source of configurations, and what was kept of it in its place.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uplink::check::ConfigError;
use uplink::document::{self, RoutingConfig};
use uplink::limits::START_WAIT;
use uplink::proto;
use uplink::version::Version;

use super::inbox::NewEndpoints;
use super::session::version_of;
use super::{Uplink, Work, lock};
use crate::apply::{Applier, Candidate, Origin};
use crate::control::Control;
use crate::kept::{Kept, KeptKeyPair};
use crate::tls::KeyPairBytes;

/// Applies what the controller sends until `stop`.
pub(crate) async fn run(
    uplink: &Uplink,
    mut applier: Applier,
    control: &Control,
    poll: Duration,
    stop: &CancellationToken,
) {
    let mut kept = load(uplink, control);
    let wait = tokio::time::sleep(START_WAIT);
    tokio::pin!(wait);
    let mut polls = tokio::time::interval(poll);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            work = uplink.inbox.next() => work_on(uplink, &mut applier, control, work).await,
            () = &mut wait, if kept.is_some() => use_kept(&mut applier, control, kept.take()).await,
            _ = polls.tick() => reload(uplink, &mut applier, control).await,
            () = stop.cancelled() => return,
        }
    }
}

async fn work_on(uplink: &Uplink, applier: &mut Applier, control: &Control, work: Work) {
    let (version, applied) = match work {
        Work::Snapshot(snapshot) => {
            let version = version_of(snapshot.version);
            (
                version,
                take_snapshot(applier, uplink, version, snapshot).await,
            )
        }
        Work::Endpoints(endpoints) => (endpoints.version, take_endpoints(applier, endpoints).await),
    };
    match applied {
        Ok(()) => uplink.ack(version),
        Err(errors) => uplink.nack(version, &errors),
    }
    acknowledge_weights(uplink, control);
}

/// A snapshot that was refused for its certificate files may come into force when these are mended.
async fn reload(uplink: &Uplink, applier: &mut Applier, control: &Control) {
    let before = version_in_force(applier);
    applier.reload_certificates().await;
    let now = version_in_force(applier);
    if let Some(version) = now.filter(|_| now != before) {
        uplink.ack(version);
        acknowledge_weights(uplink, control);
    }
}

fn version_in_force(applier: &Applier) -> Option<Version> {
    applier.in_force()?.candidate.origin.version()
}

/// Weights that waited for what has just come into force, or that are in force once more.
fn acknowledge_weights(uplink: &Uplink, control: &Control) {
    let Some(in_force) = control.board.in_force() else {
        return;
    };
    for (split, epoch) in control.weights.in_force(&in_force.splits) {
        uplink.weights_ack(split, epoch);
    }
}

async fn take_snapshot(
    applier: &mut Applier,
    uplink: &Uplink,
    version: Version,
    snapshot: proto::Snapshot,
) -> Result<(), Vec<ConfigError>> {
    let origin = Origin::Controller(version);
    let fleet = uplink.membership().fleet.clone();
    let fleet_size = snapshot.fleet_size.max(1);
    let secrets = secrets(snapshot.key_pairs);
    let read = tokio::task::spawn_blocking(move || read(&snapshot.document, &fleet)).await;
    let read = read.unwrap_or_else(|stopped| Err(whole(format!("reading it failed: {stopped}"))));
    match read {
        Ok(document) => {
            applier
                .apply(Candidate {
                    document,
                    origin,
                    secrets,
                    fleet_size,
                })
                .await
        }
        Err(errors) => Err(applier.refuse(&origin, errors)),
    }
}

fn read(bytes: &[u8], fleet: &str) -> Result<RoutingConfig, Vec<ConfigError>> {
    let text = std::str::from_utf8(bytes).map_err(|error| whole(format!("no UTF-8: {error}")))?;
    let document = document::read_yaml_or_json(text)?;
    match &document.fleet {
        Some(other) if other != fleet => {
            let message = format!("{other:?} is another fleet; this proxy belongs to {fleet:?}");
            Err(vec![ConfigError {
                path: "fleet".to_owned(),
                message,
            }])
        }
        _ => Ok(document),
    }
}

/// New endpoints are a new configuration that differs in nothing else. Clusters that the one in
/// force does not have are named in the refusal; the known ones must not wait for them, for their
/// old endpoints may be gone.
async fn take_endpoints(
    applier: &mut Applier,
    endpoints: NewEndpoints,
) -> Result<(), Vec<ConfigError>> {
    let Some(in_force) = applier.in_force() else {
        return Err(whole(
            "endpoints without a configuration in force".to_owned(),
        ));
    };
    let mut candidate = in_force.candidate.clone();
    let mut unknown = Vec::new();
    for (name, addresses) in endpoints.clusters {
        match candidate.document.clusters.get_mut(&name) {
            Some(cluster) => cluster.endpoints = addresses,
            None => unknown.push(ConfigError {
                path: format!("clusters[{name:?}]"),
                message: "the configuration in force has no such cluster".to_owned(),
            }),
        }
    }
    if candidate.document != in_force.candidate.document {
        applier.apply(candidate).await?;
    }
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(unknown)
    }
}

fn whole(message: String) -> Vec<ConfigError> {
    vec![ConfigError {
        path: String::new(),
        message,
    }]
}

fn secrets(pairs: Vec<proto::KeyPair>) -> Arc<HashMap<String, KeyPairBytes>> {
    let pairs = pairs.into_iter().map(|pair| {
        let bytes = KeyPairBytes {
            certificate_pem: pair.certificate_pem,
            key_pem: pair.key_pem,
        };
        (pair.reference, bytes)
    });
    Arc::new(pairs.collect())
}

/// What was kept for this fleet. Its weights count from now on: a snapshot may be older than they.
fn load(uplink: &Uplink, control: &Control) -> Option<Kept> {
    let fleet = &uplink.membership().fleet;
    let kept = control.store.configuration().unwrap_or_else(|problem| {
        error!(error = %problem, "the kept configuration is lost");
        None
    })?;
    if kept.fleet != *fleet {
        warn!(
            kept = kept.fleet,
            fleet, "the kept configuration is of another fleet and is ignored"
        );
        return None;
    }
    for (split, weight) in &kept.weights {
        control
            .weights
            .take(split, weight.clone(), None, control.shared.state());
    }
    let known = lock(&uplink.order).snapshot(kept.version);
    known.is_ok().then_some(kept)
}

/// The controller did not come in time.
async fn use_kept(applier: &mut Applier, control: &Control, kept: Option<Kept>) {
    let Some(kept) = kept.filter(|_| applier.in_force().is_none()) else {
        return;
    };
    let now_ms = i64::try_from(control.clock.unix_ms()).unwrap_or(i64::MAX);
    let age_s = now_ms.saturating_sub(kept.saved_at_ms) / 1000;
    info!(version = %kept.version, age_s, "no controller yet: using the configuration that was kept");
    let candidate = Candidate {
        document: kept.document,
        origin: Origin::Kept {
            version: kept.version,
            saved_at_ms: kept.saved_at_ms,
        },
        secrets: Arc::new(kept.key_pairs.iter().map(KeptKeyPair::bytes).collect()),
        fleet_size: kept.fleet_size,
    };
    // A refusal is logged and shown; then there is nothing to serve until the controller comes.
    let _ = applier.apply(candidate).await;
}
