//! From a document to what is in force: check, rehearse, compile, swap. All or nothing.
//!
//! A configuration that fails anywhere is refused with every error, and the last good one stays. The
//! slow steps (a large document, files of certificates, handshakes with itself) run on a blocking
//! thread, so fuses, reports and weights go on meanwhile. The swap itself is one pointer.
//!
//! Certificate files are looked at again and again: new bytes are a new configuration, applied in
//! the same way. That also mends a refused one whose key file came a moment after its certificate.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tracing::{info, warn};
use uplink::check::{CheckedConfig, ConfigError, check};
use uplink::document::{self, RoutingConfig};
use uplink::version::Version;

use crate::clock::micros;
use crate::fuse::{Fuses, Ratings};
use crate::snapshot::{self, Snapshot};
use crate::tls::{CertificateDescription, KeyPairBytes, rehearse};
use crate::worker::Shared;

mod board;
mod epochs;
mod weights;

pub(crate) use board::{Board, Refused};
pub(crate) use epochs::number_epochs;
pub(crate) use weights::{Taken, WeightBook};

/// Errors that are logged of one refused configuration; `/config` shows more.
const LOGGED_ERRORS: usize = 20;

/// What may come into force.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The routing configuration.
    pub(crate) document: RoutingConfig,
    /// Where it came from.
    pub(crate) origin: Origin,
    /// The certificates that it names as `secret`.
    pub(crate) secrets: Arc<HashMap<String, KeyPairBytes>>,
    /// Proxies of the fleet; 1 without a controller.
    pub(crate) fleet_size: u32,
}

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file on this machine.
    File(PathBuf),
    /// The controller.
    Controller(Version),
    /// The controller, before this proxy was restarted.
    Kept {
        /// The snapshot's version.
        version: Version,
        /// When it was kept, in milliseconds since the Unix epoch.
        saved_at_ms: i64,
    },
}

/// What is in force, apart from the snapshot that requests go by.
#[derive(Debug)]
pub(crate) struct InForce {
    /// What was applied.
    pub(crate) candidate: Candidate,
    /// The digest of the document.
    pub(crate) digest: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub(crate) since_ms: u64,
    /// What people may see of its certificates.
    pub(crate) certificates: Vec<CertificateDescription>,
    /// Its splits by name.
    pub(crate) splits: BTreeMap<String, SplitFacts>,
}

/// What the control side must know of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SplitFacts {
    /// The Rollout's UID.
    pub(crate) rollout_uid: String,
    /// The canary's revision, where there is one.
    pub(crate) canary_revision: Option<String>,
}

/// Puts configurations into force, one at a time: it belongs to the one source of them.
#[derive(Debug)]
pub(crate) struct Applier {
    shared: Arc<Shared>,
    fuses: Arc<Fuses>,
    board: Arc<Board>,
    weights: Arc<WeightBook>,
    /// The newest candidate, in force or refused, and the certificate files that it was tried with.
    newest: Option<Candidate>,
    files_seen: Option<[u8; 32]>,
}

/// A candidate that passed everything.
struct Ready {
    checked: CheckedConfig,
    snapshot: Snapshot,
    digest: String,
}

// === impl Applier ===

impl Applier {
    /// Nothing is applied yet.
    pub(crate) fn new(
        shared: Arc<Shared>,
        fuses: Arc<Fuses>,
        board: Arc<Board>,
        weights: Arc<WeightBook>,
    ) -> Self {
        Self {
            shared,
            fuses,
            board,
            weights,
            newest: None,
            files_seen: None,
        }
    }

    /// What is in force.
    pub(crate) fn in_force(&self) -> Option<Arc<InForce>> {
        self.board.in_force()
    }

    /// Puts a candidate into force, or says everything that is wrong with it.
    pub(crate) async fn apply(&mut self, candidate: Candidate) -> Result<(), Vec<ConfigError>> {
        self.newest = Some(candidate.clone());
        // Before the files are read: what changes after this look is seen by the next one.
        self.files_seen = Some(self.look_at_files().await);
        self.attempt(candidate).await
    }

    /// A candidate that could not even be read.
    pub(crate) fn refuse(&self, origin: &Origin, errors: Vec<ConfigError>) -> Vec<ConfigError> {
        let shown = errors.iter().take(LOGGED_ERRORS).map(ToString::to_string);
        let shown = shown.collect::<Vec<_>>().join("; ");
        warn!(%origin, count = errors.len(), errors = shown,
              "configuration refused, the last good one stays");
        let at_ms = self.shared.clock().unix_ms();
        self.board.refuse(Refused {
            at_ms,
            origin: origin.clone(),
            errors: errors.clone(),
        });
        errors
    }

    /// Takes up certificate files that changed since they were last tried.
    pub(crate) async fn reload_certificates(&mut self) {
        let seen = self.look_at_files().await;
        if self.files_seen == Some(seen) {
            return;
        }
        self.files_seen = Some(seen);
        let Some(newest) = self.newest.clone() else {
            return;
        };
        info!(origin = %newest.origin, "certificate files changed");
        let in_force = self.in_force();
        let refused = self.attempt(newest.clone()).await.is_err();
        // While the newest document stays refused, the one in force still needs its renewals.
        if let Some(in_force) =
            in_force.filter(|it| refused && it.candidate.document != newest.document)
        {
            let _ = self.attempt(in_force.candidate.clone()).await;
        }
    }

    async fn attempt(&self, candidate: Candidate) -> Result<(), Vec<ConfigError>> {
        let began = self.shared.clock().now();
        let origin = candidate.origin.clone();
        let ready = match self.prepare(candidate.clone()).await {
            Ok(ready) => ready,
            Err(errors) => return Err(self.refuse(&origin, errors)),
        };
        self.put_in_force(candidate, ready);
        let took = micros(self.shared.clock().now().saturating_duration_since(began));
        self.board.applied(took);
        info!(%origin, took_us = took, "configuration in force");
        Ok(())
    }

    async fn prepare(&self, candidate: Candidate) -> Result<Ready, Vec<ConfigError>> {
        let (state, clock) = (Arc::clone(self.shared.state()), self.shared.clock());
        let (wall, now) = (clock.wall(), clock.now());
        let work = move || {
            let checked = check(&candidate.document)?;
            let tls = rehearse(&checked, &candidate.secrets, wall)?;
            let snapshot = snapshot::compile(&checked, tls, &state, now);
            Ok(Ready {
                snapshot,
                digest: document::digest(&candidate.document),
                checked,
            })
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|stopped| {
            let message = format!("checking it failed: {stopped}");
            Err(vec![ConfigError {
                path: String::new(),
                message,
            }])
        })
    }

    /// Trips and weights first, so that the first request of the new snapshot meets them.
    fn put_in_force(&self, candidate: Candidate, ready: Ready) {
        let Ready {
            checked,
            snapshot,
            digest,
        } = ready;
        let splits = facts(&checked);
        let uids = splits
            .iter()
            .map(|(name, facts)| (name.clone(), facts.rollout_uid.clone()));
        self.fuses.rate(
            ratings(&checked, candidate.fleet_size),
            &uids.collect::<Vec<_>>(),
        );
        let certificates = snapshot.tls().describe().to_vec();
        self.weights.restate(&splits, self.shared.state());
        self.shared.install(snapshot);
        let since_ms = self.shared.clock().unix_ms();
        self.board.put(InForce {
            candidate,
            digest,
            since_ms,
            certificates,
            splits,
        });
    }

    /// The digest of all certificate files of the newest candidate and of the one in force.
    async fn look_at_files(&self) -> [u8; 32] {
        let in_force = self.in_force();
        let documents = self.newest.iter().map(|newest| &newest.document);
        let documents = documents.chain(in_force.iter().map(|it| &it.candidate.document));
        let files = documents.flat_map(|document| &document.certificates);
        let files = files.filter_map(|certificate| certificate.files.as_ref());
        let paths = files.flat_map(|pair| [pair.certificate.clone(), pair.key.clone()]);
        let paths: Vec<String> = paths.collect();
        let digest = tokio::task::spawn_blocking(move || digest_of(&paths)).await;
        digest.unwrap_or_default()
    }
}

/// A file that cannot be read counts as one of other content.
fn digest_of(paths: &[String]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for path in paths {
        let content = std::fs::read(path).map_or([0; 32], |bytes| Sha256::digest(bytes).into());
        digest.update(content);
    }
    digest.finalize().into()
}

fn facts(checked: &CheckedConfig) -> BTreeMap<String, SplitFacts> {
    let facts = checked.splits.iter().map(|(name, split)| {
        let canary = split
            .canary
            .as_ref()
            .and_then(|cluster| checked.clusters.get(cluster));
        let facts = SplitFacts {
            rollout_uid: split.rollout_uid.clone(),
            canary_revision: canary.map(|cluster| cluster.revision.clone()),
        };
        (name.clone(), facts)
    });
    facts.collect()
}

fn ratings(checked: &CheckedConfig, fleet_size: u32) -> Ratings {
    let rated = checked
        .splits
        .iter()
        .filter_map(|(name, split)| Some((name.clone(), split.fuse?)));
    Ratings {
        splits: rated.collect(),
        fleet_size,
    }
}

// === impl Origin ===

impl Origin {
    /// The controller's version, where it came from a controller.
    pub(crate) fn version(&self) -> Option<Version> {
        match self {
            Self::File(_) => None,
            Self::Controller(version) | Self::Kept { version, .. } => Some(*version),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Controller(version) => write!(f, "controller, version {version}"),
            Self::Kept { version, .. } => write!(f, "kept from the controller, version {version}"),
        }
    }
}
