//! Configurations in force and refused, the certificates in them, and the uplink.

use super::UplinkFacts;
use crate::apply::Origin;
use crate::control::Control;
use crate::exposition::{Exposition, Kind};

#[derive(Debug, Default)]
pub(super) struct ConfigurationFacts {
    pub(super) in_force: Option<InForceFacts>,
    pub(super) applied: u64,
    pub(super) rejected: u64,
    pub(super) refused_now: bool,
    pub(super) last_apply_us: u64,
    /// Source and expiry in seconds since the Unix epoch.
    pub(super) certificates: Vec<(String, i64)>,
}

#[derive(Debug)]
pub(super) struct InForceFacts {
    pub(super) source: &'static str,
    pub(super) version: String,
    pub(super) digest: String,
    pub(super) since_ms: u64,
    /// Milliseconds since it was kept, where it came from --state-dir.
    pub(super) kept_age_ms: Option<u64>,
}

pub(super) fn gather(control: &Control) -> ConfigurationFacts {
    let board = &control.board;
    let in_force = board.in_force();
    let now_ms = control.clock.unix_ms();
    let certificates = in_force.iter().flat_map(|it| &it.certificates);
    ConfigurationFacts {
        certificates: certificates
            .map(|it| (it.source.clone(), it.not_after_unix))
            .collect(),
        in_force: in_force.as_ref().map(|it| InForceFacts {
            source: word(&it.candidate.origin),
            version: it
                .candidate
                .origin
                .version()
                .map(|it| it.to_string())
                .unwrap_or_default(),
            digest: it.digest.clone(),
            since_ms: it.since_ms,
            kept_age_ms: kept_age(&it.candidate.origin, now_ms),
        }),
        applied: board.applied_total(),
        rejected: board.rejected_total(),
        refused_now: board.refused().is_some(),
        last_apply_us: board.last_apply_us(),
    }
}

pub(super) fn expose(facts: &ConfigurationFacts, uplink: &UplinkFacts, into: &mut Exposition) {
    let help = "The configuration in force; version and digest change with it.";
    let mut family = into.family("sluice_config_in_force", Kind::Gauge, help);
    if let Some(it) = &facts.in_force {
        let labels = [
            ("source", it.source),
            ("version", &*it.version),
            ("digest", &*it.digest),
        ];
        family.sample(&labels, 1);
    }
    gauges(facts, uplink, into);
    let counters = [
        (
            "sluice_config_applied_total",
            "Configurations that came into force.",
            facts.applied,
        ),
        (
            "sluice_config_rejected_total",
            "Configurations that were refused.",
            facts.rejected,
        ),
        (
            "sluice_uplink_connects_total",
            "Streams to the controller opened.",
            uplink.connects,
        ),
    ];
    for (name, help, value) in counters {
        into.family(name, Kind::Counter, help).sample(&[], value);
    }
    certificates(facts, into);
}

fn gauges(facts: &ConfigurationFacts, uplink: &UplinkFacts, into: &mut Exposition) {
    let in_force = facts.in_force.as_ref();
    let flag = |is: bool| f64::from(u8::from(is));
    let gauges = [
        (
            "sluice_config_in_force_since_seconds",
            "Since the Unix epoch; 0 for none.",
            in_force.map_or(0, |it| it.since_ms) as f64 / 1e3,
        ),
        (
            "sluice_config_kept_age_seconds",
            "Age of the configuration that was kept over a restart; 0 where it is not kept.",
            in_force.and_then(|it| it.kept_age_ms).unwrap_or(0) as f64 / 1e3,
        ),
        (
            "sluice_config_refused",
            "1 while a newer configuration than the one in force is refused.",
            flag(facts.refused_now),
        ),
        (
            "sluice_config_last_apply_seconds",
            "From the arrival of the last configuration to its swap.",
            facts.last_apply_us as f64 / 1e6,
        ),
        (
            "sluice_uplink_connected",
            "1 while a stream to the controller is open.",
            flag(uplink.connected),
        ),
    ];
    for (name, help, value) in gauges {
        into.family(name, Kind::Gauge, help).sample(&[], value);
    }
}

fn certificates(facts: &ConfigurationFacts, into: &mut Exposition) {
    let help = "Expiry of each certificate in force, since the Unix epoch.";
    let mut family = into.family("sluice_tls_cert_not_after_seconds", Kind::Gauge, help);
    let mut shown: Vec<_> = facts.certificates.iter().collect();
    // Two entries may name the same file; a series stands once.
    shown.sort();
    shown.dedup_by(|a, b| a.0 == b.0);
    for (source, not_after) in shown {
        family.sample(&[("source", source)], not_after);
    }
}

fn word(origin: &Origin) -> &'static str {
    match origin {
        Origin::File(_) => "file",
        Origin::Controller(_) => "controller",
        Origin::Kept { .. } => "kept",
    }
}

fn kept_age(origin: &Origin, now_ms: u64) -> Option<u64> {
    match origin {
        Origin::Kept { saved_at_ms, .. } => {
            Some(now_ms.saturating_sub(u64::try_from(*saved_at_ms).unwrap_or(0)))
        }
        Origin::File(_) | Origin::Controller(_) => None,
    }
}
