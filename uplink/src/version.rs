//! The order of everything that a controller sends.

use crate::proto;

/// (lease transitions, counter): a new leader's messages are above all of the old leader's, and a
/// paused former leader's are refused.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Version {
    /// Lease transitions at the sender.
    pub term: u64,
    /// Counts up with every message of that sender.
    pub counter: u64,
}

// === impl Version ===

impl From<proto::Version> for Version {
    fn from(wire: proto::Version) -> Self {
        Self {
            term: wire.term,
            counter: wire.counter,
        }
    }
}

impl From<Version> for proto::Version {
    fn from(version: Version) -> Self {
        Self {
            term: version.term,
            counter: version.counter,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.term, self.counter)
    }
}
