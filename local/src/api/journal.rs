//! Persistence: a snapshot of all objects and a journal of the changes since, one JSON document a
//! line. A change is in the journal before anybody sees it, so what a client was told survives the
//! end of the process, however that comes. Snapshots are written beside the old one and renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::store::Key;

const SNAPSHOT: &str = "state.jsonl";
const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";

/// Changes after which the journal is folded into a new snapshot.
const COMPACT_AFTER: usize = 20_000;

/// Why state cannot be kept or read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot use {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what was written to it.
    #[error("{path} is damaged at line {line}; move the data directory away to start from nothing")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Another server keeps its state there.
    #[error("{path} is held by another process; give each cluster a data directory of its own")]
    Held {
        /// The lock file.
        path: PathBuf,
    },
}

/// One line: an object at its place, or its absence. The first line of a snapshot is only a
/// revision.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Entry {
    pub(super) revision: u64,
    #[serde(default)]
    pub(super) place: String,
    #[serde(default)]
    pub(super) key: Key,
    #[serde(default)]
    pub(super) object: Option<Value>,
}

#[derive(Serialize)]
struct Line<'a> {
    revision: u64,
    place: &'a str,
    key: &'a Key,
    object: Option<&'a Value>,
}

/// The open journal.
pub(super) struct Journal {
    directory: PathBuf,
    file: File,
    /// What the file holds of whole lines.
    size: u64,
    lines: usize,
    /// Held for as long as the journal is.
    _lock: File,
}

impl Journal {
    /// Opens a data directory and reads what it keeps, oldest first, with the last revision.
    pub(super) fn open(directory: &Path) -> Result<(Self, Vec<Entry>, u64), JournalError> {
        fs::create_dir_all(directory).map_err(at(directory))?;
        let lock = take_lock(&directory.join(LOCK))?;
        let mut entries = read(&directory.join(SNAPSHOT))?;
        let snapshot = entries
            .iter()
            .map(|entry| entry.revision)
            .max()
            .unwrap_or(0);
        // A crash between a new snapshot and the emptying of the journal leaves old lines behind.
        let later = read(&directory.join(JOURNAL))?;
        let later: Vec<Entry> = later
            .into_iter()
            .filter(|entry| entry.revision > snapshot)
            .collect();
        let revision = later
            .iter()
            .map(|entry| entry.revision)
            .max()
            .unwrap_or(snapshot);
        let lines = later.len();
        entries.extend(later);
        entries.retain(|entry| !entry.place.is_empty());
        let path = directory.join(JOURNAL);
        let file = append_to(&path)?;
        let size = file.metadata().map_err(at(&path))?.len();
        let journal = Self {
            directory: directory.to_owned(),
            file,
            size,
            lines,
            _lock: lock,
        };
        Ok((journal, entries, revision))
    }

    pub(super) fn append(
        &mut self,
        revision: u64,
        place: &str,
        key: &Key,
        object: Option<&Value>,
    ) -> Result<(), JournalError> {
        let path = self.directory.join(JOURNAL);
        let mut line = serde_json::to_vec(&Line {
            revision,
            place,
            key,
            object,
        })
        .map_err(|error| JournalError::Io {
            path: path.clone(),
            source: error.into(),
        })?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line (the disk is full, say) must not stand before the next whole one.
            self.file.set_len(self.size).map_err(at(&path))?;
            return Err(at(&path)(error));
        }
        self.size += line.len() as u64;
        self.lines += 1;
        Ok(())
    }

    pub(super) fn wants_compaction(&self) -> bool {
        self.lines > COMPACT_AFTER
    }

    /// Writes a new snapshot and empties the journal.
    pub(super) fn compact<'a>(
        &mut self,
        revision: u64,
        objects: impl Iterator<Item = (&'a Arc<str>, &'a Key, &'a Arc<Value>)>,
    ) -> Result<(), JournalError> {
        let path = self.directory.join(SNAPSHOT);
        let fresh = self.directory.join(format!("{SNAPSHOT}.new"));
        let mut out = BufWriter::new(File::create(&fresh).map_err(at(&fresh))?);
        let mut write = |line: &Line<'_>| -> std::io::Result<()> {
            serde_json::to_writer(&mut out, line)?;
            out.write_all(b"\n")
        };
        let nothing = Key::default();
        write(&Line {
            revision,
            place: "",
            key: &nothing,
            object: None,
        })
        .map_err(at(&fresh))?;
        for (place, key, object) in objects {
            write(&Line {
                revision,
                place,
                key,
                object: Some(object),
            })
            .map_err(at(&fresh))?;
        }
        let file = out
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .map_err(at(&fresh))?;
        file.sync_all().map_err(at(&fresh))?;
        fs::rename(&fresh, &path).map_err(at(&path))?;
        self.file
            .set_len(0)
            .map_err(at(&self.directory.join(JOURNAL)))?;
        (self.size, self.lines) = (0, 0);
        Ok(())
    }
}

fn take_lock(path: &Path) -> Result<File, JournalError> {
    let file = append_to(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(JournalError::Held {
            path: path.to_owned(),
        }),
        Err(error) => Err(JournalError::Io {
            path: path.to_owned(),
            source: error.into(),
        }),
    }
}

fn append_to(path: &Path) -> Result<File, JournalError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> JournalError + '_ {
    move |source| JournalError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Reads a file of entries. A last line without its end was being written when the machine
/// stopped: nobody was told of that change, so it is cut off.
fn read(path: &Path) -> Result<Vec<Entry>, JournalError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(path)(error)),
    };
    let mut reader = BufReader::new(file);
    let (mut entries, mut whole, mut line) = (Vec::new(), 0_u64, Vec::new());
    loop {
        line.clear();
        let size = reader.read_until(b'\n', &mut line).map_err(at(path))?;
        if size == 0 {
            return Ok(entries);
        }
        if line.last() != Some(&b'\n') {
            tracing::warn!(path = %path.display(), "an unfinished last line was cut off");
            let file = OpenOptions::new()
                .write(true)
                .open(path)
                .map_err(at(path))?;
            file.set_len(whole).map_err(at(path))?;
            return Ok(entries);
        }
        let entry = serde_json::from_slice(&line).map_err(|source| JournalError::Damaged {
            path: path.to_owned(),
            line: entries.len() + 1,
            source,
        })?;
        entries.push(entry);
        whole += size as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{Entry, Journal};

    fn told(entries: &[Entry]) -> Vec<String> {
        let told = entries.iter().map(|entry| {
            let gone = if entry.object.is_some() { "" } else { " gone" };
            format!("{} {}{gone}", entry.revision, entry.key.1)
        });
        told.collect()
    }

    #[test]
    fn a_snapshot_takes_the_place_of_the_journal_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let key = |name: &str| (String::new(), name.to_owned());
        let (mut journal, entries, revision) = Journal::open(directory.path()).unwrap();
        assert_eq!((told(&entries), revision), (vec![], 0));
        let place: Arc<str> = Arc::from("pods");
        let object = Arc::new(json!({"a": 1}));
        journal.append(1, &place, &key("a"), Some(&object)).unwrap();
        journal.append(2, &place, &key("a"), None).unwrap();
        journal.append(3, &place, &key("b"), Some(&object)).unwrap();
        let old = std::fs::read(directory.path().join("journal.jsonl")).unwrap();
        journal
            .compact(3, [(&place, &key("b"), &object)].into_iter())
            .unwrap();
        journal.append(4, &place, &key("c"), Some(&object)).unwrap();
        drop(journal);
        let (journal, entries, revision) = Journal::open(directory.path()).unwrap();
        assert_eq!(
            (told(&entries), revision),
            (vec!["3 b".to_owned(), "4 c".to_owned()], 4)
        );
        drop(journal);
        // A crash after the new snapshot and before the emptying of the journal.
        std::fs::write(directory.path().join("journal.jsonl"), old).unwrap();
        let (_journal, entries, revision) = Journal::open(directory.path()).unwrap();
        assert_eq!((told(&entries), revision), (vec!["3 b".to_owned()], 3));
    }
}
