//! Snapshots and endpoints that wait to be applied: only the newest of each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use uplink::proto;
use uplink::version::Version;

/// Between the stream, which must not wait, and the source, which applies.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    snapshot: Option<proto::Snapshot>,
    endpoints: Option<NewEndpoints>,
}

/// Something to apply.
#[derive(Debug)]
pub(crate) enum Work {
    /// A whole configuration.
    Snapshot(proto::Snapshot),
    /// New endpoints of some clusters of the configuration in force.
    Endpoints(NewEndpoints),
}

/// Endpoints by cluster.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NewEndpoints {
    /// The newest message's.
    pub(crate) version: Version,
    /// `address:port` by cluster.
    pub(crate) clusters: BTreeMap<String, Vec<String>>,
}

// === impl Inbox ===

impl Inbox {
    /// The newest snapshot; what waited before it is outdated by it, endpoints included.
    pub(crate) fn put_snapshot(&self, snapshot: proto::Snapshot) {
        let newest = Waiting {
            snapshot: Some(snapshot),
            endpoints: None,
        };
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = newest;
        self.arrived.notify_one();
    }

    /// Endpoints, added to those that wait.
    pub(crate) fn put_endpoints(&self, version: Version, clusters: Vec<proto::ClusterEndpoints>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoints = waiting.endpoints.get_or_insert_default();
        endpoints.version = version;
        let clusters = clusters.into_iter().map(|it| (it.cluster, it.addresses));
        endpoints.clusters.extend(clusters);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Waits for something to apply. Cancel-safe: what is taken is returned at once.
    pub(crate) async fn next(&self) -> Work {
        loop {
            if let Some(work) = self.take() {
                return work;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<Work> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = waiting.snapshot.take() {
            return Some(Work::Snapshot(snapshot));
        }
        waiting.endpoints.take().map(Work::Endpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(counter: u64) -> proto::Snapshot {
        let version = Some(proto::Version { term: 1, counter });
        proto::Snapshot {
            version,
            ..proto::Snapshot::default()
        }
    }

    fn endpoints(cluster: &str, address: &str) -> Vec<proto::ClusterEndpoints> {
        let addresses = vec![address.to_owned()];
        vec![proto::ClusterEndpoints {
            cluster: cluster.to_owned(),
            addresses,
        }]
    }

    #[tokio::test]
    async fn the_newest_snapshot_wins_and_endpoints_after_it_are_joined() {
        let inbox = Inbox::default();
        let at = |counter| Version { term: 1, counter };
        inbox.put_endpoints(at(1), endpoints("old", "127.0.0.1:1"));
        inbox.put_snapshot(snapshot(2));
        inbox.put_snapshot(snapshot(3));
        inbox.put_endpoints(at(4), endpoints("a", "127.0.0.1:1"));
        inbox.put_endpoints(at(5), endpoints("a", "127.0.0.1:2"));
        inbox.put_endpoints(at(6), endpoints("b", "127.0.0.1:3"));
        let Work::Snapshot(newest) = inbox.next().await else {
            panic!("the snapshot first")
        };
        assert_eq!(newest.version, snapshot(3).version);
        let Work::Endpoints(joined) = inbox.next().await else {
            panic!("then endpoints")
        };
        assert_eq!(joined.version, at(6));
        let clusters: Vec<_> = joined.clusters.into_iter().collect();
        let expected = [("a", "127.0.0.1:2"), ("b", "127.0.0.1:3")];
        assert_eq!(
            clusters,
            expected.map(|(name, at)| (name.to_owned(), vec![at.to_owned()]))
        );
        assert!(inbox.take().is_none());
    }
}
