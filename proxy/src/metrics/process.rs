//! What belongs to no route: connections, refusals, the drain, the build.

use crate::exposition::{Exposition, Kind};
use crate::observe::series::{ProcessTotals, Rejection};
use crate::worker::DrainPhase;

pub(super) fn expose(totals: &ProcessTotals, drain: DrainPhase, into: &mut Exposition) {
    let help = "Requests and connections that were refused before they were routed.";
    let mut family = into.family("sluice_rejected_requests_total", Kind::Counter, help);
    for (reason, count) in Rejection::ALL.iter().zip(totals.rejected) {
        family.sample(&[("reason", reason.as_str())], count);
    }
    let numbers = [
        (
            "sluice_connections_total",
            Kind::Counter,
            "Connections accepted.",
            totals.accepted,
        ),
        (
            "sluice_connections",
            Kind::Gauge,
            "Client connections open now.",
            totals.connections,
        ),
        (
            "sluice_in_flight",
            Kind::Gauge,
            "Requests open now, in any stage.",
            totals.in_flight,
        ),
        (
            "sluice_access_log_dropped_total",
            Kind::Counter,
            "Access log lines dropped because the log could not be written as fast.",
            totals.log_lines_dropped,
        ),
        (
            "sluice_drain_state",
            Kind::Gauge,
            "0 serving, 1 leaving (still accepting), 2 stopping (no longer accepting).",
            drain_number(drain),
        ),
    ];
    for (name, kind, help, value) in numbers {
        into.family(name, kind, help).sample(&[], value);
    }
    into.family("sluice_build_info", Kind::Gauge, "The program's version.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
}

fn drain_number(phase: DrainPhase) -> u64 {
    match phase {
        DrainPhase::Serving => 0,
        DrainPhase::Leaving => 1,
        DrainPhase::Stopping { .. } => 2,
    }
}
