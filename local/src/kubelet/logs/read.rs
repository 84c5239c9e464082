//! Reading a log: what is there, filtered, and then whatever is written until the container ends.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _},
    sync::Arc,
};

use bytes::Bytes;
use futures::{Stream, stream::try_unfold};
use jiff::Timestamp;
use tokio::sync::watch;

use super::{Log, Progress, rotated};
use crate::api::LogOptions;

/// How much is read at a time while following.
const CHUNK: usize = 64 * 1024;

/// Somebody who reads a log.
#[derive(Debug)]
pub struct Reader {
    log: Arc<Log>,
    progress: watch::Receiver<Progress>,
    /// The file that is written to, or was when it was opened.
    file: File,
    /// How often the log had been rotated when `file` was opened.
    rotations: u64,
    /// The beginning of a record whose end is not yet there.
    carry: Vec<u8>,
    options: LogOptions,
    /// How many bytes may still be sent.
    left: u64,
    begun: bool,
}

impl Reader {
    /// Opens `log`.
    pub fn open(log: Arc<Log>, options: LogOptions) -> io::Result<Self> {
        let progress = log.progress.subscribe();
        let file = File::open(&log.path)?;
        let left = options.limit_bytes.unwrap_or(u64::MAX);
        Ok(Self {
            log,
            progress,
            file,
            rotations: 0,
            carry: Vec::new(),
            options,
            left,
            begun: false,
        })
    }

    /// The log's text as it comes.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        try_unfold(self, async |mut reader| {
            let chunk = reader.next().await?;
            Ok(chunk.map(|chunk| (chunk, reader)))
        })
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        if !self.begun {
            self.begun = true;
            let text = self.so_far()?;
            if !text.is_empty() {
                return Ok(Some(self.limited(text)));
            }
        }
        if !self.options.follow {
            return Ok(None);
        }
        let text = self.later().await?;
        Ok(text.map(|text| self.limited(text)))
    }

    /// What is in the files now, with the filters of the options.
    fn so_far(&mut self) -> io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        {
            // Nothing is written or renamed while both files are read.
            let _open = self.log.open();
            self.rotations = self.progress.borrow_and_update().rotations;
            if let Ok(mut full) = File::open(rotated(&self.log.path)) {
                full.read_to_end(&mut raw)?;
            }
            self.file = File::open(&self.log.path)?;
            self.file.read_to_end(&mut raw)?;
        }
        let since = self
            .options
            .since_seconds
            .map(|seconds| self.log.ago(seconds));
        let wanted = self
            .options
            .tail_lines
            .and_then(|n| usize::try_from(n).ok());
        let mut lines = VecDeque::new();
        for record in raw.split(|byte| *byte == b'\n').filter_map(Record::read) {
            if since.is_some_and(|since| record.time < since) {
                continue;
            }
            lines.push_back(record.shown(self.options.timestamps));
            if wanted.is_some_and(|wanted| lines.len() > wanted) {
                lines.pop_front();
            }
        }
        Ok(lines.into_iter().flatten().collect())
    }

    /// What is written next; none when the container has ended.
    async fn later(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let seen = *self.progress.borrow_and_update();
            let mut raw = vec![0; CHUNK];
            let read = self.file.read(&mut raw)?;
            if read > 0 {
                let text = self.complete(&raw[..read]);
                if !text.is_empty() {
                    return Ok(Some(text));
                }
            } else if seen.rotations > self.rotations {
                // A reader so slow that it missed a whole file goes on with the present one.
                self.rotations = seen.rotations;
                self.file = File::open(&self.log.path)?;
            } else if seen.ended || self.progress.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The records that end within `raw`.
    fn complete(&mut self, raw: &[u8]) -> Vec<u8> {
        self.carry.extend_from_slice(raw);
        let Some(end) = self.carry.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.carry.split_off(end + 1);
        let whole = std::mem::replace(&mut self.carry, rest);
        let records = whole.split(|byte| *byte == b'\n').filter_map(Record::read);
        records
            .flat_map(|record| record.shown(self.options.timestamps))
            .collect()
    }

    fn limited(&mut self, mut text: Vec<u8>) -> Bytes {
        text.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= text.len() as u64;
        Bytes::from(text)
    }
}

/// One line of a log file.
struct Record<'a> {
    time: Timestamp,
    stamp: &'a [u8],
    text: &'a [u8],
    whole: bool,
}

impl<'a> Record<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let stamp = fields.next()?;
        let time = std::str::from_utf8(stamp).ok()?.parse().ok()?;
        let (_stream, tag, text) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self {
            time,
            stamp,
            text,
            whole: tag == b"F",
        })
    }

    fn shown(&self, timestamps: bool) -> Vec<u8> {
        let mut shown = Vec::with_capacity(self.stamp.len() + self.text.len() + 2);
        if timestamps {
            shown.extend_from_slice(self.stamp);
            shown.push(b' ');
        }
        shown.extend_from_slice(self.text);
        if self.whole {
            shown.push(b'\n');
        }
        shown
    }
}
