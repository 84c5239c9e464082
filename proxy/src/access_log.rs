//! The access log: one JSON line per request, written by a thread of its own.
//!
//! A worker formats the line and offers it to a bounded channel; a full channel drops the line and
//! counts it, because no request waits for a disk. Switched off, it costs one comparison.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Lines that may wait for the writer, over all workers.
pub const QUEUED_LINES: usize = 16_384;

/// Where access log lines go. Cloned into each worker.
#[derive(Clone, Debug, Default)]
pub struct AccessLog(Option<SyncSender<String>>);

/// The thread that writes; it ends when the last [`AccessLog`] is dropped.
#[derive(Debug)]
pub struct AccessLogWriter(JoinHandle<()>);

// === impl AccessLog ===

impl AccessLog {
    /// No access log.
    pub fn off() -> Self {
        Self(None)
    }

    /// Starts the writing thread.
    pub fn start(sink: Box<dyn Write + Send>) -> std::io::Result<(Self, AccessLogWriter)> {
        let (sender, receiver) = sync_channel(QUEUED_LINES);
        let writer = std::thread::Builder::new().name("access-log".to_owned());
        let writer = writer.spawn(move || write_lines(&receiver, sink))?;
        Ok((Self(Some(sender)), AccessLogWriter(writer)))
    }

    /// Whether lines are wanted at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Offers a line; false where it was dropped.
    pub(crate) fn offer(&self, line: String) -> bool {
        let Some(sender) = &self.0 else { return true };
        !matches!(sender.try_send(line), Err(TrySendError::Full(_)))
    }
}

/// Writes what is there in one go, and flushes when nothing is.
fn write_lines(receiver: &Receiver<String>, mut sink: Box<dyn Write + Send>) {
    let mut batch = String::new();
    while let Ok(line) = receiver.recv() {
        batch.clear();
        batch.push_str(&line);
        batch.extend(receiver.try_iter().take(QUEUED_LINES));
        // A log that cannot be written must not stop the proxy.
        let _ = sink.write_all(batch.as_bytes()).and_then(|()| sink.flush());
    }
}

// === impl AccessLogWriter ===

impl AccessLogWriter {
    /// Waits until every line is written.
    pub fn finish(self) {
        let _ = self.0.join();
    }
}
