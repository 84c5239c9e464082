//! The admin listener, on loopback only:
//!
//! - `GET /config`: what is in force, since when and from where, its certificates without keys, the
//!   last refused configuration with every error, the uplink.
//! - `GET /clusters`: endpoints with their states, splits with their weights and fuses.
//! - `POST /drain`: begins to drain.
//! - `POST /fuse/reset?split=NAME`: clears a tripped fuse, where no controller does.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode, Uri};
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::info;

use crate::apply::{InForce, Origin, Refused};
use crate::control::Control;
use crate::control::door::{Answer, Reply};
use crate::metrics::configured_endpoints;
use crate::state::{ClusterTotals, EndpointTotals, SplitEvidence};
use crate::tls::CertificateDescription;
use crate::uplink_client::Uplink;

/// What is here, for whoever asks for something else.
const KNOWN: &str = "GET /config, GET /clusters, POST /drain, POST /fuse/reset?split=NAME";

/// Answers the admin listener.
#[derive(Debug)]
pub(crate) struct Admin(pub(crate) Arc<Control>);

// === impl Admin ===

impl Answer for Admin {
    fn answer(&self, method: &Method, uri: &Uri) -> Reply {
        let read = method == Method::GET || method == Method::HEAD;
        match uri.path() {
            "/config" | "/clusters" if !read => Reply::use_method("GET, HEAD"),
            "/drain" | "/fuse/reset" if method != Method::POST => Reply::use_method("POST"),
            "/config" => Reply::json(StatusCode::OK, &config(&self.0)),
            "/clusters" => Reply::json(StatusCode::OK, &clusters(&self.0)),
            "/drain" => drain(&self.0),
            "/fuse/reset" => reset(&self.0, uri.query().unwrap_or_default()),
            _ => Reply::not_found(KNOWN),
        }
    }
}

fn drain(control: &Control) -> Reply {
    info!("a drain was asked for over the admin listener");
    control.drain.ask();
    Reply::text(StatusCode::ACCEPTED, "draining")
}

fn reset(control: &Control, query: &str) -> Reply {
    let Some(split) = parameter(query, "split") else {
        return Reply::text(StatusCode::BAD_REQUEST, "which one? add ?split=NAME");
    };
    let Some(rollout_uid) = control.fuses.tripped_uid(&split) else {
        let message = format!("the fuse of split {split:?} has not tripped");
        return Reply::text(StatusCode::NOT_FOUND, message);
    };
    control.fuses.reset(&rollout_uid, "");
    Reply::text(
        StatusCode::OK,
        format!("the fuse of split {split:?} is reset"),
    )
}

/// A query parameter; `%2F`, as clients write the `/` in a split's name, is understood.
fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.into_iter().find(|(key, _)| *key == name)?.1;
    Some(value.replace("%2F", "/").replace("%2f", "/"))
}

fn config(control: &Control) -> Value {
    let now_ms = control.clock.unix_ms();
    json!({
        "inForce": control.board.in_force().map(|it| in_force(&it, now_ms)),
        "refused": control.board.refused().map(|it| refused(&it, now_ms)),
        "uplink": control.uplink.as_ref().map(|uplink| uplink_of(uplink)),
        "draining": control.drain.has_begun(),
    })
}

fn in_force(it: &InForce, now_ms: u64) -> Value {
    let candidate = &it.candidate;
    let mut shown = json!({
        "source": source(&candidate.origin),
        "version": candidate.origin.version().map(|version| version.to_string()),
        "digest": it.digest,
        "since": time(it.since_ms),
        "ageSeconds": now_ms.saturating_sub(it.since_ms) / 1000,
        "kept": matches!(candidate.origin, Origin::Kept { .. }),
    });
    if let Origin::Kept { saved_at_ms, .. } = candidate.origin {
        let saved_at_ms = u64::try_from(saved_at_ms).unwrap_or(0);
        shown["keptAt"] = json!(time(saved_at_ms));
        shown["keptAgeSeconds"] = json!(now_ms.saturating_sub(saved_at_ms) / 1000);
    }
    shown["fleetSize"] = json!(candidate.fleet_size);
    shown["certificates"] = it.certificates.iter().map(certificate).collect();
    shown["document"] = json!(candidate.document);
    shown
}

fn certificate(it: &CertificateDescription) -> Value {
    json!({
        "source": it.source,
        "names": it.names,
        "subject": it.subject,
        "notAfter": Timestamp::from_second(it.not_after_unix).ok().map(|at| at.to_string()),
        "fingerprintSha256": it.fingerprint,
    })
}

fn refused(it: &Refused, now_ms: u64) -> Value {
    json!({
        "source": source(&it.origin),
        "version": it.origin.version().map(|version| version.to_string()),
        "at": time(it.at_ms),
        "ageSeconds": now_ms.saturating_sub(it.at_ms) / 1000,
        "errors": it.errors,
    })
}

fn source(origin: &Origin) -> String {
    match origin {
        Origin::File(path) => format!("file:{}", path.display()),
        Origin::Controller(_) | Origin::Kept { .. } => "controller".to_owned(),
    }
}

fn uplink_of(uplink: &Uplink) -> Value {
    json!({
        "controller": uplink.membership().controller.as_str(),
        "fleet": uplink.membership().fleet,
        "proxy": uplink.membership().proxy,
        "connected": uplink.is_connected(),
        "lastError": uplink.last_error(),
    })
}

fn time(unix_ms: u64) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
    Some(at.to_string())
}

fn clusters(control: &Control) -> Value {
    let state = control.shared.state();
    let totals = state.cluster_totals(control.clock.now());
    let configured = configured_endpoints(control);
    let splits = state.collect();
    json!({
        "clusters": totals.iter().map(|it| cluster(it, &configured)).collect::<Vec<_>>(),
        "splits": splits.iter().map(|it| split(control, it)).collect::<Vec<_>>(),
    })
}

fn cluster(it: &ClusterTotals, configured: &BTreeSet<(String, String, SocketAddr)>) -> Value {
    let endpoints = it.endpoints.iter().map(|at| {
        let key = (it.cluster.clone(), it.revision.clone(), at.address);
        endpoint(at, configured.contains(&key))
    });
    json!({
        "cluster": it.cluster,
        "revision": it.revision,
        "connections": {
            "open": it.pool.open,
            "opened": it.pool.opened,
            "reused": it.pool.reused,
            "connectFailures": it.pool.connect_failures,
        },
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

fn endpoint(it: &EndpointTotals, configured: bool) -> Value {
    let state = match (configured, it.ejected) {
        (false, _) => "removed",
        (true, true) => "ejected",
        (true, false) => "healthy",
    };
    json!({
        "address": it.address.to_string(),
        "state": state,
        "active": it.active,
        "consecutiveFailures": it.consecutive_failures,
        "ejections": it.ejections,
    })
}

fn split(control: &Control, it: &SplitEvidence) -> Value {
    let fuse = control.fuses.view(it);
    json!({
        "split": it.split,
        "rolloutUid": it.rollout_uid,
        "stableRevision": it.stable_revision,
        "canaryRevision": it.canary_revision,
        "weight": it.weight.weight,
        "maxWeight": it.max_weight,
        "epoch": it.weight.epoch,
        "fuse": fuse.map(|fuse| json!({
            "tripped": fuse.tripped,
            "revision": fuse.revision,
            "trippedAt": if fuse.tripped {
                time(u64::try_from(fuse.tripped_at_ms).unwrap_or(0))
            } else {
                None
            },
            "eValue": fuse.e_value,
            "alpha": fuse.alpha,
            "reason": fuse.reason,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_parameters_are_found_by_name() {
        assert_eq!(
            parameter("a=1&split=shop%2Fapp", "split").as_deref(),
            Some("shop/app")
        );
        assert_eq!(parameter("split=", "split").as_deref(), Some(""));
        assert_eq!(parameter("splits=x", "split"), None);
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(time(1_500).as_deref(), Some("1970-01-01T00:00:01.5Z"));
    }
}
