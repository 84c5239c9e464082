//! What is to be renewed, and when. Pure.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::material::Material;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// How long an authority is valid.
pub const CA_VALIDITY: SignedDuration = SignedDuration::from_secs(365 * DAY);

/// An authority with less than this left gets a successor.
pub const CA_RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(90 * DAY);

/// How long a successor is only published before it signs: the kubelet brings a changed ConfigMap
/// into a pod within about two minutes, but a bundle that somebody copies by hand takes longer.
pub const CA_LEAD: SignedDuration = SignedDuration::from_secs(DAY);

/// How long a serving certificate is valid; it never outlives its authority.
pub const SERVING_VALIDITY: SignedDuration = SignedDuration::from_secs(30 * DAY);

/// A serving certificate with less than this left is renewed: an API server that is away for ten days
/// leaves the uplink without a valid one.
pub const SERVING_RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(10 * DAY);

/// Certificates are valid from this long before they were made, for proxies whose clock is slow.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(HOUR);

/// Names of a serving certificate. Replicas with different flags add theirs to each other's.
const MAX_NAMES: usize = 64;

/// What is to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Everything anew: there is nothing, or nothing that is still valid.
    pub(super) begin: bool,
    /// The successor takes over, the signer is only trusted from now on.
    pub(super) promote: bool,
    /// A successor is made.
    pub(super) successor: bool,
    /// Authorities that expired are trusted no longer.
    pub(super) forget: bool,
    /// A serving certificate with these names.
    pub(super) serve: Option<BTreeSet<String>>,
}

// === impl Due ===

impl Due {
    /// What is due now, where a serving certificate must have these names.
    pub(super) fn of(kept: Option<&Material>, names: &BTreeSet<String>, now: Timestamp) -> Self {
        let Some(kept) = kept.filter(|kept| has_signer(kept, now)) else {
            return Self {
                begin: true,
                serve: Some(names.clone()),
                ..Self::default()
            };
        };
        let expired = left(kept.signer.not_after, now) <= SignedDuration::ZERO;
        let promote = kept.next.as_ref().is_some_and(|next| {
            let published = now.duration_since(next.not_before) - CLOCK_SKEW;
            expired || published >= CA_LEAD
        });
        let ageing = left(kept.signer.not_after, now) < CA_RENEW_BEFORE;
        let ended = |authority: &super::material::Trusted| authority.not_after <= now;
        Self {
            begin: false,
            promote,
            successor: kept.next.is_none() && ageing,
            forget: kept.former.iter().any(ended),
            serve: serving(kept, names, promote, now),
        }
    }

    /// Whether nothing is.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether there is anything to go on from.
fn has_signer(kept: &Material, now: Timestamp) -> bool {
    let lives = |not_after| left(not_after, now) > SignedDuration::ZERO;
    let next = kept.next.as_ref();
    lives(kept.signer.not_after) || next.is_some_and(|next| lives(next.not_after))
}

fn serving(
    kept: &Material,
    names: &BTreeSet<String>,
    promote: bool,
    now: Timestamp,
) -> Option<BTreeSet<String>> {
    let ageing = left(kept.serving.not_after, now) < SERVING_RENEW_BEFORE;
    if ageing {
        // Names that nobody asks for any more leave here.
        return Some(names.clone());
    }
    let lacking = !names.is_subset(&kept.serving.names);
    if !lacking && !promote {
        return None;
    }
    let others = kept.serving.names.difference(names);
    let room = MAX_NAMES.saturating_sub(names.len());
    Some(names.iter().chain(others.take(room)).cloned().collect())
}

fn left(not_after: Timestamp, now: Timestamp) -> SignedDuration {
    not_after.duration_since(now)
}
