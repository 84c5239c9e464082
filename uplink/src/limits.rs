//! The limits and intervals that both ends of the uplink keep, so that neither is surprised.

use std::time::Duration;

/// A routing configuration's text, as a file or on the wire.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// Certificates and keys that travel beside the document of one Snapshot, altogether.
pub const MAX_KEY_PAIRS_BYTES: usize = 4 * 1024 * 1024;

/// A message from the controller (the proxy's gRPC decoding limit): the largest document, its key
/// pairs, and room for what wraps them.
pub const MAX_CONTROLLER_MESSAGE_BYTES: usize =
    MAX_DOCUMENT_BYTES + MAX_KEY_PAIRS_BYTES + 64 * 1024;

/// A message from a proxy (the controller's gRPC decoding limit). The largest report of one split
/// is the first of a stream: [`MAX_REPORTED_EPOCHS`] epochs, each with every user bucket exposed
/// and bad (two to three bytes each), is 3 MiB. A proxy with more to say sends several reports,
/// each with some of its splits.
pub const MAX_PROXY_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Weight epochs that a proxy reports for a split: the newest ones.
pub const MAX_REPORTED_EPOCHS: usize = 32;

/// Users are counted in this many buckets, by the top [`USER_BUCKET_BITS`] bits of their hash.
pub const USER_BUCKETS: u32 = 1 << USER_BUCKET_BITS;

/// See [`USER_BUCKETS`].
pub const USER_BUCKET_BITS: u32 = 14;

/// How often a proxy reports.
pub const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// How often fuse and analysis look at what was counted.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A proxy that has not acknowledged for this long is named in message and event.
pub const ACK_LAG: Duration = Duration::from_secs(10);

/// A proxy gone without a goodbye still has to acknowledge for this long.
pub const GONE_GRACE: Duration = Duration::from_mins(1);

/// How long a starting proxy waits for the controller before it uses the configuration it kept.
pub const START_WAIT: Duration = Duration::from_secs(2);

/// Errors in one Nack; a further one says how many are left out.
pub const MAX_NACK_ERRORS: usize = 100;

/// Routes of a configuration.
pub const MAX_ROUTES: usize = 10_000;

/// Pairs of a hostname and a match, over all routes: what a routing table holds in the end.
pub const MAX_ROUTE_PAIRS: usize = 100_000;

/// Endpoints of a cluster.
pub const MAX_ENDPOINTS: usize = 10_000;

/// Bytes of a name (of a route, split, cluster, revision, header or cookie).
pub const MAX_NAME_BYTES: usize = 253;

/// The largest `maxWeight`: finer shares than a millionth cannot be measured.
pub const MAX_MAX_WEIGHT: u32 = 1_000_000;

/// A regular expression's compiled size.
pub const MAX_REGEX_BYTES: usize = 1024 * 1024;
