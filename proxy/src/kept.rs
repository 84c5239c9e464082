//! What survives a restart, in `--state-dir`.
//!
//! Two files, because they have different lives: `configuration` is the last good snapshot of the
//! controller with its key pairs and weights, and changes with each of them; `fuses` are the trips,
//! which must outlive everything but a reset. Both are mode 0600 (the first contains keys), written
//! to a new file that is then renamed over the old one, and carry a checksum: a torn or edited file
//! is moved aside and ignored, loudly. Serving yesterday's weights is worse than waiting.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use uplink::document::RoutingConfig;
use uplink::limits::{MAX_DOCUMENT_BYTES, MAX_KEY_PAIRS_BYTES};
use uplink::version::Version;
use uplink::weight::EpochWeight;

use crate::tls::KeyPairBytes;

const CONFIGURATION: &str = "configuration";
const FUSES: &str = "fuses";

/// Begins the first line of a file; the checksum of the rest follows.
const MAGIC: &str = "sluice-kept 1 sha256:";

/// A file is at most this long: the largest document and its keys, and room for JSON's escapes.
const MAX_FILE_BYTES: u64 = 2 * (MAX_DOCUMENT_BYTES as u64 + MAX_KEY_PAIRS_BYTES as u64);

/// The directory, or the decision to keep nothing.
#[derive(Clone, Debug)]
pub struct Store {
    directory: Option<PathBuf>,
}

/// The last good configuration of a controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// When it was written, in milliseconds since the Unix epoch.
    pub saved_at_ms: i64,
    /// The fleet that it is for: another fleet's is not used.
    pub fleet: String,
    /// The snapshot's version.
    pub version: Version,
    /// Proxies of the fleet.
    pub fleet_size: u32,
    /// The document, with the newest endpoints.
    pub document: RoutingConfig,
    /// What it names as `secret`.
    pub key_pairs: Vec<KeptKeyPair>,
    /// The newest weight of each split.
    pub weights: BTreeMap<String, KeptWeight>,
}

/// Certificate and key. Its `Debug` shows the reference only.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeptKeyPair {
    reference: String,
    certificate_pem: String,
    key_pem: String,
}

/// A weight, and the canary that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptWeight {
    /// The Rollout's UID, as far as it is known: a Rollout of the same name counts its epochs anew.
    pub rollout_uid: Option<String>,
    /// The weight and its epoch.
    pub weight: EpochWeight,
    /// The canary's revision; empty for none.
    pub revision: String,
}

/// A tripped fuse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    /// The split's name when it tripped.
    pub split: String,
    /// The canary revision that the trip is about.
    pub revision: String,
    /// Milliseconds since the Unix epoch.
    pub tripped_at_ms: i64,
    /// The e-value that reached the threshold.
    pub e_value: f64,
    /// The promised chance of a false trip, for the whole fleet.
    pub alpha: f64,
    /// Bad and exposed of the canary.
    pub canary: (u64, u64),
    /// Bad and exposed of stable.
    pub stable: (u64, u64),
    /// One sentence with these numbers.
    pub reason: String,
}

/// Trips by Rollout UID: one per Rollout, about the newest canary.
pub type Trips = BTreeMap<String, Trip>;

/// Why something could not be kept or read again.
#[derive(Debug, Error)]
pub enum KeptError {
    /// The file system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The content is not what was written.
    #[error("{path} is damaged ({problem}); it was moved aside and is ignored")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

// === impl Store ===

impl Store {
    /// Keeps things in `directory` (made if missing, mode 0700), or nothing without one.
    pub fn open(directory: Option<PathBuf>) -> Result<Self, KeptError> {
        if let Some(path) = &directory {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|source| failed("make the directory", path, source))?;
        }
        Ok(Self { directory })
    }

    /// The last good configuration.
    pub fn configuration(&self) -> Result<Option<Kept>, KeptError> {
        self.read(CONFIGURATION)
    }

    /// Keeps a configuration. Blocks on the disk.
    pub fn keep_configuration(&self, kept: &Kept) -> Result<(), KeptError> {
        self.write(CONFIGURATION, kept)
    }

    /// The trips.
    pub fn trips(&self) -> Result<Trips, KeptError> {
        self.read(FUSES).map(Option::unwrap_or_default)
    }

    /// Keeps the trips. Blocks on the disk.
    pub fn keep_trips(&self, trips: &Trips) -> Result<(), KeptError> {
        self.write(FUSES, trips)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, KeptError> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        let path = directory.join(name);
        let Some(text) = read_bounded(&path)? else {
            return Ok(None);
        };
        match decode(&text) {
            Ok(value) => Ok(Some(value)),
            Err(problem) => {
                let aside = directory.join(format!("{name}.damaged"));
                fs::rename(&path, &aside).map_err(|source| failed("move aside", &path, source))?;
                Err(KeptError::Damaged { path, problem })
            }
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), KeptError> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        let new = directory.join(format!("{name}.new"));
        let path = directory.join(name);
        write_private(&new, &encode(value)).map_err(|source| failed("write", &new, source))?;
        fs::rename(&new, &path).map_err(|source| failed("replace", &path, source))?;
        // The rename itself is on disk only once the directory is.
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|source| failed("sync", directory, source))
    }
}

// === impl KeptKeyPair ===

impl KeptKeyPair {
    /// `None` where the bytes are no text: then they are no PEM either.
    pub fn of(reference: &str, pair: &KeyPairBytes) -> Option<Self> {
        Some(Self {
            reference: reference.to_owned(),
            certificate_pem: String::from_utf8(pair.certificate_pem.clone()).ok()?,
            key_pem: String::from_utf8(pair.key_pem.clone()).ok()?,
        })
    }

    /// The reference by which a document names it, and the bytes.
    pub fn bytes(&self) -> (String, KeyPairBytes) {
        let bytes = KeyPairBytes {
            certificate_pem: self.certificate_pem.clone().into_bytes(),
            key_pem: self.key_pem.clone().into_bytes(),
        };
        (self.reference.clone(), bytes)
    }
}

impl std::fmt::Debug for KeptKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptKeyPair")
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> KeptError {
    KeptError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn read_bounded(path: &Path) -> Result<Option<String>, KeptError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path, error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|source| failed("read", path, source))?;
    // What is no text fails its checksum.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Mode 0600 from the first byte on, and on disk before anybody renames it.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn encode<T: Serialize>(value: &T) -> String {
    let body =
        serde_json::to_string(value).expect("kept types have string keys and finite numbers");
    format!("{MAGIC}{}\n{body}\n", digest(&body))
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let (head, body) = text.split_once('\n').ok_or("it has one line only")?;
    let wanted = head
        .strip_prefix(MAGIC)
        .ok_or("its first line is not that of a kept file")?;
    let body = body.strip_suffix('\n').unwrap_or(body);
    if digest(body) != wanted {
        return Err("its checksum does not match".to_owned());
    }
    serde_json::from_str(body)
        .map_err(|error| format!("its content is not of this version: {error}"))
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests;
