//! A log file that is bounded: when it is full it becomes `NAME.1` in place of an earlier one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// When a file is full.
const FULL: u64 = 16 * 1024 * 1024;

/// The file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    full: u64,
    /// The file and its size.
    open: Mutex<(File, u64)>,
}

impl LogFile {
    /// Opens the file at its end, and its directory if need be.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::bounded(path, FULL)
    }

    fn bounded(path: &Path, full: u64) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            full,
            open: Mutex::new((file, size)),
        })
    }

    /// Writes a piece. A disk that is full costs log lines and nothing else.
    pub fn write(&self, piece: &[u8]) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.1 >= self.full
            && fs::rename(&self.path, self.path.with_added_extension("1")).is_ok()
            && let Ok(file) = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.path)
        {
            *open = (file, 0);
        }
        if open.0.write_all(piece).is_ok() {
            open.1 += piece.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_makes_place_and_only_one_old_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/proxy.log");
        let log = LogFile::bounded(&path, 4).unwrap();
        for piece in ["one\n", "two\n", "three\n"] {
            log.write(piece.as_bytes());
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        let old = path.with_added_extension("1");
        assert_eq!(fs::read_to_string(old).unwrap(), "two\n");
        // Opened again, it goes on at its end.
        drop(log);
        let log = LogFile::bounded(&path, 100).unwrap();
        log.write(b"four\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\nfour\n");
    }
}
