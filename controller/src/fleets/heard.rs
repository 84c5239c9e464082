//! What proxies say on their streams, and what it changes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uplink::check::ConfigError;
use uplink::document::RoutingConfig;
use uplink::proto;
use uplink::proto::proxy_message::Kind as Said;
use uplink::version::Version;

use super::evidence;
use super::fuses::Meaning;
use super::proxy::{ConnectionId, Link, Proxy};
use super::state::{Effects, State, effective_weight};

/// Certificates that a proxy refused are remembered up to this number.
const MAX_REFUSED_SECRETS: usize = 1_024;

/// Errors of one refusal that messages name.
const NAMED_ERRORS: usize = 3;

/// Which proxy, of which fleet, and when it spoke.
#[derive(Clone, Copy)]
struct Speaker<'a> {
    fleet: &'a str,
    proxy: &'a str,
    now: Timestamp,
}

impl State {
    /// A proxy says something.
    pub(super) fn heard(&mut self, id: ConnectionId, said: Said, now: Timestamp) -> Effects {
        let mut effects = Effects::default();
        let Some((fleet, proxy)) = self.connections.get(&id).cloned() else {
            return effects;
        };
        if !self.fenced && self.deaf.remove(&id) {
            // The lease is ours after all. When it says Hello again it is outranked.
            effects.close.push(id);
            return effects;
        }
        let speaker = Speaker {
            fleet: &fleet,
            proxy: &proxy,
            now,
        };
        match said {
            // Only the first message of a stream is a Hello; a second one says nothing new.
            Said::Hello(_) => {}
            Said::Ack(ack) => self.acked(speaker, version_of(ack.version), &mut effects),
            Said::Nack(nack) => self.nacked(speaker, nack, &mut effects),
            Said::WeightsAck(ack) => {
                self.weight_in_force(speaker, &ack.split, ack.epoch, &mut effects);
            }
            Said::Report(report) => {
                for split in &report.splits {
                    self.reported(speaker, split, &mut effects);
                }
            }
            Said::Goodbye(_) => {
                if let Some(proxy) = self.proxy(speaker) {
                    proxy.link = Link::Left;
                }
                self.touch_fleet(&fleet, &mut effects);
            }
        }
        effects
    }

    fn proxy(&mut self, speaker: Speaker<'_>) -> Option<&mut Proxy> {
        self.fleets
            .get_mut(speaker.fleet)?
            .proxies
            .get_mut(speaker.proxy)
    }

    fn acked(&mut self, speaker: Speaker<'_>, version: Version, effects: &mut Effects) {
        if self.proxy(speaker).is_some_and(|proxy| proxy.ack(version)) {
            self.pump(speaker.fleet, speaker.now, effects);
            self.touch_fleet(speaker.fleet, effects);
        }
    }

    fn nacked(&mut self, speaker: Speaker<'_>, nack: proto::Nack, effects: &mut Effects) {
        let Speaker { fleet, proxy, now } = speaker;
        let version = version_of(nack.version);
        let errors: Vec<_> = nack.errors.into_iter().map(ConfigError::from).collect();
        let named: Vec<_> = errors
            .iter()
            .take(NAMED_ERRORS)
            .map(ToString::to_string)
            .collect();
        let reason = named.join("; ");
        tracing::warn!(fleet, proxy, %version, reason, "a proxy refused what it was sent");
        let refused = self.proxy(speaker).and_then(|it| it.nack(version, reason));
        for (reference, why) in refused.iter().flat_map(|it| blamed(&it.document, &errors)) {
            if self.refused_secrets.len() < MAX_REFUSED_SECRETS {
                let message = format!("proxy {proxy} refused the certificate: {why}");
                effects.replan |= self.refused_secrets.insert(reference, message).is_none();
            }
        }
        self.pump(fleet, now, effects);
        self.touch_fleet(fleet, effects);
    }

    fn weight_in_force(
        &mut self,
        speaker: Speaker<'_>,
        split: &str,
        epoch: u64,
        effects: &mut Effects,
    ) {
        let Some(key) = self.key_of(split) else {
            return;
        };
        let Some(proxy) = self.proxy(speaker) else {
            return;
        };
        if proxy.epochs.get(split) != Some(&epoch) {
            proxy.epochs.insert(split.to_owned(), epoch);
            effects.changed.insert(key);
        }
    }

    fn reported(
        &mut self,
        speaker: Speaker<'_>,
        report: &proto::SplitReport,
        effects: &mut Effects,
    ) {
        let Some(key) = self.key_of(&report.split) else {
            return;
        };
        let Some(process) = self.proxy(speaker).map(|it| it.process.clone()) else {
            return;
        };
        let Some(release) = self.releases.get_mut(&key) else {
            return;
        };
        // A Rollout of the same name that is no more, or one that another fleet serves.
        let ours = release
            .placed
            .as_ref()
            .is_some_and(|it| it.fleet == speaker.fleet)
            && release
                .order
                .as_ref()
                .is_some_and(|order| order.uid == report.rollout_uid);
        if !ours {
            return;
        }
        let before = busy(&release.evidence);
        release.evidence.record(speaker.proxy, &process, report);
        let fuse = report.fuse.as_ref();
        let meaning = fuse.map_or(Meaning::Nothing, |fuse| {
            release.fuses.report(speaker.proxy, fuse)
        });
        let changed = before != busy(&release.evidence) || meaning == Meaning::Tripped;
        let ahead = report.epoch > release.epoch;
        if changed {
            effects.changed.insert(key.clone());
        }
        if let (Meaning::Echo, Some(fuse)) = (meaning, fuse) {
            let only = self.proxy(speaker).and_then(|it| it.connection());
            self.send_reset(&key, &fuse.revision, only, effects);
        }
        if ahead {
            // Whoever gave that epoch, this Rollout's must be above it. Other Rollouts' are their proxies'
            // business.
            if let Some(release) = self.releases.get_mut(&key) {
                release.epoch = report.epoch;
            }
            self.reissue(&key, speaker.now, effects);
        } else {
            self.weight_reported(speaker, report, effects);
        }
    }

    /// A report says by which weight requests are split: as good as an acknowledgement.
    fn weight_reported(
        &mut self,
        speaker: Speaker<'_>,
        report: &proto::SplitReport,
        effects: &mut Effects,
    ) {
        let release = self
            .key_of(&report.split)
            .and_then(|key| self.releases.get(&key));
        let Some(release) = release else { return };
        let weight = release.order.as_ref().map(effective_weight);
        if report.epoch == release.epoch && weight == Some(report.weight) {
            self.weight_in_force(speaker, &report.split, report.epoch, effects);
        }
    }
}

/// The revisions with requests in flight.
fn busy(book: &evidence::Book) -> BTreeSet<String> {
    let busy = book
        .in_flight(|_| true)
        .into_iter()
        .filter(|(_, number)| *number > 0);
    busy.map(|(revision, _)| revision).collect()
}

fn version_of(version: Option<proto::Version>) -> Version {
    version.map(Version::from).unwrap_or_default()
}

/// The certificates that errors are about.
fn blamed(document: &RoutingConfig, errors: &[ConfigError]) -> Vec<(String, String)> {
    let of_certificate = errors.iter().filter_map(|error| {
        let rest = error.path.strip_prefix("certificates[")?;
        let index: usize = rest.split(']').next()?.parse().ok()?;
        let reference = document.certificates.get(index)?.secret.clone()?;
        Some((reference, error.message.clone()))
    });
    of_certificate.collect()
}
