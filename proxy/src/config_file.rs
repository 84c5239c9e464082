//! A configuration file, looked at by its content.
//!
//! Polled, because no notification works for all of: an editor that renames, a bind mount, and
//! Kubernetes, which swaps a symlink two directories up. Compared by content, because a swapped
//! symlink keeps its time stamps and a `touch` changes nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use uplink::check::ConfigError;
use uplink::limits::MAX_DOCUMENT_BYTES;

/// A file and what was last seen of it.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    seen: Option<Seen>,
}

/// What a look at the file saw.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Content([u8; 32]),
    Unreadable(String),
}

// === impl ConfigFile ===

impl ConfigFile {
    /// A file that nobody has looked at yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, seen: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text if that changed since the last look, or why it cannot be read if that is news.
    pub async fn news(&mut self) -> Option<Result<String, ConfigError>> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read_bounded(&path)).await;
        let read = read.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        let (seen, news) = match read {
            Ok(text) => (Seen::Content(Sha256::digest(&text).into()), Ok(text)),
            Err(error) => {
                let message = format!("cannot read {}: {error}", self.path.display());
                let error = ConfigError {
                    path: String::new(),
                    message: message.clone(),
                };
                (Seen::Unreadable(message), Err(error))
            }
        };
        if self.seen.as_ref() == Some(&seen) {
            return None;
        }
        self.seen = Some(seen);
        Some(news)
    }
}

/// Reads a text of at most [`MAX_DOCUMENT_BYTES`].
pub fn read_bounded(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_DOCUMENT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAX_DOCUMENT_BYTES {
        let message = format!("it is longer than {MAX_DOCUMENT_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_kubernetes_symlink_swap_is_news_and_a_touch_is_not() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let at = |name: &str| directory.path().join(name);
        for (version, text) in [("..v1", "one"), ("..v2", "two")] {
            fs::create_dir(at(version)).expect("made");
            fs::write(at(version).join("routing.yaml"), text).expect("written");
        }
        symlink("..v1", at("..data")).expect("linked");
        symlink("..data/routing.yaml", at("routing.yaml")).expect("linked");
        let mut file = ConfigFile::new(at("routing.yaml"));
        assert_eq!(file.news().await, Some(Ok("one".to_owned())));
        fs::write(at("..v1/routing.yaml"), "one").expect("touched");
        assert_eq!(file.news().await, None);
        symlink("..v2", at("..data_tmp")).expect("linked");
        fs::rename(at("..data_tmp"), at("..data")).expect("swapped");
        assert_eq!(file.news().await, Some(Ok("two".to_owned())));
    }

    #[tokio::test]
    async fn an_unreadable_file_is_told_once_and_its_return_is_news() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("routing.yaml");
        let mut file = ConfigFile::new(path.clone());
        let error = file.news().await.expect("news").expect_err("missing");
        assert!(error.message.contains("routing.yaml"), "{error}");
        assert_eq!(file.news().await, None);
        fs::write(&path, [0xff]).expect("written");
        let error = file.news().await.expect("news").expect_err("no text");
        assert!(error.message.contains("UTF-8"), "{error}");
        fs::write(&path, "text").expect("written");
        assert_eq!(file.news().await, Some(Ok("text".to_owned())));
    }
}
