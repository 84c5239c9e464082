//! What the control side shows of configurations: the one in force and the last one refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uplink::check::ConfigError;

use super::{InForce, Origin};

/// Written by the applier, read by admin, status, metrics and uplink.
#[derive(Debug, Default)]
pub(crate) struct Board {
    shown: Mutex<Shown>,
    applied: AtomicU64,
    rejected: AtomicU64,
    last_apply_us: AtomicU64,
    /// Told when something changed that is kept over a restart.
    changed: Notify,
}

/// Guarded by [`Board::shown`]: read and written as a whole.
#[derive(Debug, Default)]
struct Shown {
    in_force: Option<Arc<InForce>>,
    refused: Option<Arc<Refused>>,
}

/// A configuration that was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// Where it came from.
    pub(crate) origin: Origin,
    /// Everything that is wrong with it.
    pub(crate) errors: Vec<ConfigError>,
}

// === impl Board ===

impl Board {
    /// What is in force.
    pub(crate) fn in_force(&self) -> Option<Arc<InForce>> {
        self.shown().in_force.clone()
    }

    /// The last one refused, until one came into force that mends it.
    pub(crate) fn refused(&self) -> Option<Arc<Refused>> {
        self.shown().refused.clone()
    }

    pub(super) fn put(&self, in_force: InForce) {
        let mut shown = self.shown();
        let stands = shown
            .refused
            .as_ref()
            .zip(shown.in_force.as_ref())
            .is_some_and(|(refused, before)| refused.stands(before, &in_force));
        if !stands {
            shown.refused = None;
        }
        shown.in_force = Some(Arc::new(in_force));
        drop(shown);
        self.changed.notify_one();
    }

    pub(super) fn refuse(&self, refused: Refused) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.shown().refused = Some(Arc::new(refused));
    }

    pub(super) fn applied(&self, took_us: u64) {
        self.applied.fetch_add(1, Ordering::Relaxed);
        self.last_apply_us.store(took_us, Ordering::Relaxed);
    }

    /// Something else changed that is kept over a restart: a weight.
    pub(crate) fn touch(&self) {
        self.changed.notify_one();
    }

    /// Waits for the next change (of which some may have come together).
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Configurations that came into force.
    pub(crate) fn applied_total(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// Configurations that were refused.
    pub(crate) fn rejected_total(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// How long the last one took from its arrival to the swap.
    pub(crate) fn last_apply_us(&self) -> u64 {
        self.last_apply_us.load(Ordering::Relaxed)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Refused ===

impl Refused {
    /// A controller answers the refusal of a certificate with its last good form again, in newer
    /// snapshots: those mend nothing, and people still have to see why the newest is not in force.
    fn stands(&self, before: &InForce, now: &InForce) -> bool {
        let is = |it: &ConfigError| it.path.starts_with("certificates[");
        let from_controller = matches!(now.candidate.origin, Origin::Controller(_));
        let unchanged =
            before.candidate.document.certificates == now.candidate.document.certificates;
        from_controller && unchanged && self.errors.iter().all(is)
    }
}
