//! One proxy, as the controller knows it: how it is connected, what it has in force, what it was
//! sent, what it refused. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use uplink::proto;
use uplink::proto::controller_message::Kind;
use uplink::version::Version;

use super::published::{
    Difference, Published, difference, endpoints_of_common_clusters, with_endpoints,
};

/// A stream, numbered in the order of their opening.
pub type ConnectionId = u64;

/// A proxy of a fleet.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    /// Which process it is.
    pub(super) process: String,
    pub(super) link: Link,
    /// What it acknowledged last; none where that is not known to this controller.
    pub(super) in_force: Option<Arc<Published>>,
    pub(super) outstanding: Option<Outstanding>,
    pub(super) refused: Option<Refused>,
    /// The weight epoch that it has in force, by split.
    pub(super) epochs: BTreeMap<String, u64>,
    /// The fleet's size as it was last told.
    told_size: u32,
}

/// How a proxy is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// By this stream.
    Open { id: ConnectionId, since: Timestamp },
    /// The stream ended without a goodbye.
    Gone { since: Timestamp },
    /// It said goodbye.
    Left,
}

/// A Snapshot or Endpoints message on its way.
#[derive(Clone, Debug)]
pub(super) struct Outstanding {
    pub(super) version: Version,
    /// What the proxy will have in force.
    pub(super) result: Arc<Published>,
    pub(super) since: Timestamp,
    /// A Snapshot, not Endpoints.
    whole: bool,
}

/// What a proxy refused, and why.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) published: Arc<Published>,
    pub(super) reason: String,
}

/// What a proxy is sent next.
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// This, with the next version.
    Send {
        kind: Unversioned,
        result: Arc<Published>,
    },
}

/// A message without its version.
pub(super) enum Unversioned {
    /// The whole configuration, for a fleet of this size.
    Snapshot(u32),
    /// Endpoints of some clusters.
    Endpoints(Vec<proto::ClusterEndpoints>),
}

// === impl Proxy ===

impl Proxy {
    pub(super) fn connected(process: String, id: ConnectionId, now: Timestamp) -> Self {
        Self {
            process,
            link: Link::Open { id, since: now },
            in_force: None,
            outstanding: None,
            refused: None,
            epochs: BTreeMap::new(),
            told_size: 0,
        }
    }

    /// The stream, while it is open.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Open { id, .. } => Some(id),
            Link::Gone { .. } | Link::Left => None,
        }
    }

    /// The stream ended.
    pub(super) fn disconnect(&mut self, now: Timestamp) {
        if matches!(self.link, Link::Open { .. }) {
            self.link = Link::Gone { since: now };
        }
        self.outstanding = None;
    }

    /// What to send so that this proxy gets what its fleet is to have. One message at a time: the
    /// newest configuration wins when the proxy has answered the one before.
    pub(super) fn next(&self, wanted: &Arc<Published>, fleet_size: u32) -> Next {
        if self.connection().is_none() || self.outstanding.is_some() {
            return Next::Nothing;
        }
        let whole = || Next::Send {
            kind: Unversioned::Snapshot(fleet_size),
            result: Arc::clone(wanted),
        };
        let refuses_this = self
            .refused
            .as_ref()
            .is_some_and(|refused| difference(&refused.published, wanted) != Difference::Whole);
        let Some(in_force) = &self.in_force else {
            return if refuses_this { Next::Nothing } else { whole() };
        };
        if refuses_this {
            // What it has goes on, and its pods come and go meanwhile.
            let changed = endpoints_of_common_clusters(&in_force.document, &wanted.document);
            return endpoints(in_force, changed);
        }
        // A fuse tests at alpha divided by the size that it knows: more proxies must be told.
        if self.told_size < fleet_size {
            return whole();
        }
        match difference(in_force, wanted) {
            Difference::Same => Next::Nothing,
            Difference::Endpoints(changed) => endpoints(in_force, changed),
            Difference::Whole => whole(),
        }
    }

    /// Notes what is on its way, and makes the message.
    pub(super) fn sent(
        &mut self,
        version: Version,
        kind: Unversioned,
        result: Arc<Published>,
        now: Timestamp,
    ) -> proto::ControllerMessage {
        let wire = Some(version.into());
        let kind = match kind {
            Unversioned::Snapshot(fleet_size) => {
                self.told_size = fleet_size;
                Kind::Snapshot(proto::Snapshot {
                    version: wire,
                    document: uplink::document::to_json(&result.document).into_bytes(),
                    key_pairs: result.key_pairs.to_vec(),
                    fleet_size,
                })
            }
            Unversioned::Endpoints(clusters) => Kind::Endpoints(proto::Endpoints {
                version: wire,
                clusters,
            }),
        };
        let whole = matches!(kind, Kind::Snapshot(_));
        self.outstanding = Some(Outstanding {
            version,
            result,
            since: now,
            whole,
        });
        proto::ControllerMessage { kind: Some(kind) }
    }

    /// The message of this version is in force. False where nobody waited for it.
    pub(super) fn ack(&mut self, version: Version) -> bool {
        let Some(outstanding) = self.outstanding.take_if(|it| it.version == version) else {
            return false;
        };
        self.in_force = Some(outstanding.result);
        if outstanding.whole {
            self.refused = None;
        }
        true
    }

    /// The message of this version was refused; which configuration that was, if it was a whole one.
    pub(super) fn nack(&mut self, version: Version, reason: String) -> Option<Arc<Published>> {
        let outstanding = self.outstanding.take_if(|it| it.version == version)?;
        if !outstanding.whole {
            // It has not what we thought it has: it gets everything.
            self.in_force = None;
            return None;
        }
        let published = outstanding.result;
        self.refused = Some(Refused {
            published: Arc::clone(&published),
            reason,
        });
        Some(published)
    }
}

fn endpoints(in_force: &Published, changed: Vec<proto::ClusterEndpoints>) -> Next {
    if changed.is_empty() {
        return Next::Nothing;
    }
    let result = Arc::new(with_endpoints(in_force, &changed));
    Next::Send {
        kind: Unversioned::Endpoints(changed),
        result,
    }
}
