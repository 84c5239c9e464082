//! One fleet: what it is to have in force, and its proxies. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use uplink::limits::{ACK_LAG, GONE_GRACE};

use super::proxy::{ConnectionId, Link, Proxy};
use super::published::{Published, endpoints_by_revision, same_part};

/// Proxies of one fleet that are remembered, connected or not; the longest gone make room.
const MAX_PROXIES: usize = 4_096;

/// A fleet.
#[derive(Clone, Debug, Default)]
pub(super) struct Fleet {
    /// What it is to have; none before anything was published for it.
    pub(super) wanted: Option<Arc<Published>>,
    /// By name.
    pub(super) proxies: BTreeMap<String, Proxy>,
    /// What is said to it is of this term at least: its proxies heard a lower one before.
    pub(super) term: u64,
}

/// What is asked of the proxies for one Rollout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The fleet, as its proxies know it.
    pub(super) fleet: &'a str,
    /// The split.
    pub(super) split: &'a str,
    /// The epoch of its weight.
    pub(super) epoch: u64,
    /// Since when that weight is ordered.
    pub(super) since: Timestamp,
}

/// What the proxies answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answered {
    pub(super) verified: Option<bool>,
    pub(super) message: Option<String>,
    pub(super) reachable: BTreeMap<String, usize>,
}

// === impl Fleet ===

impl Fleet {
    /// A new stream of a proxy; the old one of the same name, if there is any.
    pub(super) fn connect(
        &mut self,
        name: &str,
        process: String,
        id: ConnectionId,
        now: Timestamp,
    ) -> Option<ConnectionId> {
        let new = Proxy::connected(process, id, now);
        self.proxies.insert(name.to_owned(), new)?.connection()
    }

    /// Whether there is room for a proxy of that name.
    pub(super) fn has_room_for(&self, name: &str) -> bool {
        self.proxies.contains_key(name) || self.connected() < MAX_PROXIES
    }

    /// The names of proxies that are remembered no longer, to keep the bound.
    pub(super) fn evict(&mut self) -> Vec<String> {
        let mut evicted = Vec::new();
        while self.proxies.len() > MAX_PROXIES {
            let gone = self
                .proxies
                .iter()
                .filter(|(_, proxy)| proxy.connection().is_none());
            let oldest = gone.min_by_key(|(_, proxy)| match proxy.link {
                Link::Gone { since } | Link::Open { since, .. } => since,
                Link::Left => Timestamp::MIN,
            });
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            self.proxies.remove(&name);
            evicted.push(name);
        }
        evicted
    }

    /// Whether there is nothing that it should have.
    pub(super) fn is_unknown(&self) -> bool {
        let wanted = self.wanted.as_ref();
        wanted.is_none_or(|wanted| wanted.document.routes.is_empty())
    }

    /// Proxies with an open stream.
    pub(super) fn connected(&self) -> usize {
        self.proxies
            .values()
            .filter(|proxy| proxy.connection().is_some())
            .count()
    }

    /// The size that fuses divide their alpha by: rounded up to a power of two, so that not every
    /// proxy that comes costs every other one a Snapshot.
    pub(super) fn told_size(&self) -> u32 {
        u32::try_from(self.connected().max(1).next_power_of_two()).unwrap_or(u32::MAX)
    }

    /// Whether this proxy's word is needed: it is connected, or gone for less than [`GONE_GRACE`]
    /// without a goodbye (it may well go on serving).
    pub(super) fn must_acknowledge(&self, name: &str, now: Timestamp) -> bool {
        self.proxies
            .get(name)
            .is_some_and(|proxy| is_required(proxy, now))
    }

    /// What the proxies that must acknowledge have in force of what is asked.
    pub(super) fn answered(&self, asked: Asked<'_>, now: Timestamp) -> Answered {
        if self.connected() == 0 {
            let message = format!("no proxy of fleet {} is connected", asked.fleet);
            return Answered {
                message: Some(message),
                ..Answered::default()
            };
        }
        let required = || {
            self.proxies
                .iter()
                .filter(|(_, proxy)| is_required(proxy, now))
        };
        let lacking: Vec<_> = required()
            .filter(|(_, proxy)| !self.has(proxy, asked))
            .collect();
        Answered {
            verified: Some(lacking.is_empty()),
            message: complaint(&lacking, asked, now),
            reachable: reachable(required().map(|(_, proxy)| proxy), asked.split),
        }
    }

    /// The next moment at which time alone changes what [`Self::answered`] says.
    pub(super) fn next_deadline(&self, ordered: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
        let lag = signed(ACK_LAG);
        let of_proxies = self.proxies.values().flat_map(|proxy| {
            let waiting = proxy
                .outstanding
                .as_ref()
                .map(|outstanding| outstanding.since + lag);
            let link = match proxy.link {
                Link::Gone { since } => Some(since + signed(GONE_GRACE)),
                Link::Open { since, .. } => Some(since + lag),
                Link::Left => None,
            };
            [waiting, link]
        });
        let of_orders = ordered.iter().map(|since| Some(*since + lag));
        of_proxies
            .chain(of_orders)
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    /// Whether this proxy splits by the weight that is asked, with the routes for it.
    fn has(&self, proxy: &Proxy, asked: Asked<'_>) -> bool {
        let epoch = proxy.epochs.get(asked.split).copied().unwrap_or_default();
        let (Some(wanted), Some(in_force)) = (&self.wanted, &proxy.in_force) else {
            return false;
        };
        epoch >= asked.epoch
            && (Arc::ptr_eq(wanted, in_force)
                || same_part(&wanted.document, &in_force.document, asked.split))
    }
}

/// Names who refuses first, then who lags, then who is gone; nobody within the first seconds.
fn complaint(lacking: &[(&String, &Proxy)], asked: Asked<'_>, now: Timestamp) -> Option<String> {
    let refusals = lacking.iter().filter_map(|(name, proxy)| {
        let reason = &proxy.refused.as_ref()?.reason;
        Some(format!("proxy {name} refused the configuration: {reason}"))
    });
    let lags = lacking.iter().filter_map(|(name, proxy)| {
        let Link::Open { since, .. } = proxy.link else {
            return None;
        };
        let waiting = proxy
            .outstanding
            .as_ref()
            .map_or(asked.since, |it| it.since);
        let lag = now.duration_since(since.max(waiting.min(asked.since)));
        let late = lag >= signed(ACK_LAG);
        late.then(|| format!("proxy {name} has not acknowledged for {} s", lag.as_secs()))
    });
    let gone = lacking.iter().filter_map(|(name, proxy)| {
        let Link::Gone { since } = proxy.link else {
            return None;
        };
        let seconds = now.duration_since(since).as_secs();
        Some(format!(
            "proxy {name} is gone without a goodbye for {seconds} s"
        ))
    });
    refusals.chain(lags).chain(gone).next()
}

fn is_required(proxy: &Proxy, now: Timestamp) -> bool {
    match proxy.link {
        Link::Open { .. } => true,
        Link::Gone { since } => now.duration_since(since) < signed(GONE_GRACE),
        Link::Left => false,
    }
}

/// The revisions that every one of them reaches, with the fewest endpoints that any has.
fn reachable<'a>(proxies: impl Iterator<Item = &'a Proxy>, split: &str) -> BTreeMap<String, usize> {
    let counted = proxies.map(|proxy| {
        let in_force = proxy.in_force.as_ref();
        in_force
            .map(|it| endpoints_by_revision(&it.document, split))
            .unwrap_or_default()
    });
    let common = counted.reduce(|common, other| {
        let both = common.into_iter().filter_map(|(revision, number)| {
            let number = number.min(*other.get(&revision)?);
            Some((revision, number))
        });
        both.collect()
    });
    common.unwrap_or_default()
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
