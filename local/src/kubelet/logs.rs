//! Logs of containers, in files: `DIR/NAMESPACE_POD_UID/CONTAINER/ATTEMPT.log`, in the format that
//! container runtimes write (`TIME STREAM F text`), so that other tools can read them too.
//!
//! They are bounded: a file that is full is renamed to `.log.1` in place of an earlier one, the run
//! before the present one is kept and older ones are removed, and all of a pod's logs go with it.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    sync::watch,
};

use crate::clock::Clock;

mod read;
mod source;

pub use read::Reader;

/// When a log file is full.
const FULL: u64 = 10 * 1024 * 1024;
/// A longer line is kept as several records.
const LONGEST_LINE: u64 = 16 * 1024;

/// All logs of a kubelet's pods.
#[derive(Debug)]
pub struct Logs {
    dir: PathBuf,
    clock: Clock,
    /// By namespace and name of the pod.
    pods: Mutex<HashMap<(String, String), PodLogs>>,
}

#[derive(Debug)]
struct PodLogs {
    uid: String,
    containers: BTreeMap<String, Runs>,
}

/// The present run of a container and the one before.
#[derive(Debug)]
struct Runs {
    present: Arc<Log>,
    previous: Option<Arc<Log>>,
}

/// The log of one run of a container.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    clock: Clock,
    full: u64,
    file: Mutex<Open>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

/// How far a log has come, for those who follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    written: u64,
    rotations: u64,
    ended: bool,
}

// === impl Logs ===

impl Logs {
    /// Logs under `dir`, which is made when it is needed.
    pub fn new(dir: impl Into<PathBuf>, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.into(),
            clock,
            pods: Mutex::default(),
        })
    }

    /// Starts the log of a container's run; the run before it becomes the previous one.
    pub fn start(&self, pod: &Pod, container: &str, attempt: u32) -> io::Result<Arc<Log>> {
        let dir = self.dir_of(pod).join(container);
        fs::create_dir_all(&dir)?;
        let log = Arc::new(Log::create(
            dir.join(format!("{attempt}.log")),
            self.clock,
            FULL,
        )?);
        let uid = pod.uid().unwrap_or_default();
        let mut pods = self.pods();
        let logs = pods.entry(key(pod)).or_insert_with(|| PodLogs {
            uid: uid.clone(),
            containers: BTreeMap::new(),
        });
        if logs.uid != uid {
            *logs = PodLogs {
                uid,
                containers: BTreeMap::new(),
            };
        }
        let ended = logs.containers.remove(container);
        if let Some(old) = ended.as_ref().and_then(|runs| runs.previous.as_ref()) {
            old.remove();
        }
        let previous = ended.map(|runs| runs.present);
        logs.containers.insert(
            container.to_owned(),
            Runs {
                present: Arc::clone(&log),
                previous,
            },
        );
        Ok(log)
    }

    /// Removes everything that `pod` has logged.
    pub fn forget(&self, pod: &Pod) {
        let mut pods = self.pods();
        let key = key(pod);
        if pods
            .get(&key)
            .is_some_and(|logs| Some(&logs.uid) == pod.metadata.uid.as_ref())
        {
            pods.remove(&key);
        }
        drop(pods);
        // It may never have logged anything.
        let _ = fs::remove_dir_all(self.dir_of(pod));
    }

    /// The names of the containers of a pod that have logged something.
    pub fn containers(&self, namespace: &str, pod: &str) -> Vec<String> {
        let key = (namespace.to_owned(), pod.to_owned());
        self.pods()
            .get(&key)
            .map(|logs| logs.containers.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// The log of a container's present run, or of the one before.
    pub fn find(
        &self,
        (namespace, pod): (&str, &str),
        container: &str,
        previous: bool,
    ) -> Option<Arc<Log>> {
        let key = (namespace.to_owned(), pod.to_owned());
        let pods = self.pods();
        let runs = pods.get(&key)?.containers.get(container)?;
        if previous {
            runs.previous.clone()
        } else {
            Some(Arc::clone(&runs.present))
        }
    }

    fn dir_of(&self, pod: &Pod) -> PathBuf {
        let (namespace, name) = key(pod);
        self.dir.join(format!(
            "{namespace}_{name}_{}",
            pod.uid().unwrap_or_default()
        ))
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<(String, String), PodLogs>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(pod: &Pod) -> (String, String) {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

// === impl Log ===

impl Log {
    fn create(path: PathBuf, clock: Clock, full: u64) -> io::Result<Self> {
        let file = Mutex::new(Open {
            file: File::create(&path)?,
            size: 0,
        });
        Ok(Self {
            path,
            clock,
            full,
            file,
            progress: watch::Sender::default(),
        })
    }

    /// Copies `from` into the log until it ends. `stream` is `stdout` or `stderr`.
    pub async fn pump(&self, from: impl AsyncRead + Unpin, stream: &str) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut from)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .await
            {
                Ok(0) | Err(_) => return,
                Ok(_) => self.write(stream, &line),
            }
        }
    }

    /// Nothing more will be written.
    pub fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }

    fn write(&self, stream: &str, line: &[u8]) {
        let (text, tag) = line
            .strip_suffix(b"\n")
            .map_or((line, 'P'), |text| (text, 'F'));
        let mut record = format!("{:.9} {stream} {tag} ", self.clock.now()).into_bytes();
        record.extend_from_slice(text);
        record.push(b'\n');
        let mut open = self.open();
        let size = record.len() as u64;
        let rotated = open.size + size > self.full && self.rotate(&mut open).is_ok();
        // A full disk must not stop the process that logs; what was lost is lost.
        if open.file.write_all(&record).is_ok() {
            open.size += size;
        }
        drop(open);
        self.progress.send_modify(|progress| {
            progress.written += size;
            progress.rotations += u64::from(rotated);
        });
    }

    fn rotate(&self, open: &mut Open) -> io::Result<()> {
        fs::rename(&self.path, rotated(&self.path))?;
        *open = Open {
            file: File::create(&self.path)?,
            size: 0,
        };
        Ok(())
    }

    fn remove(&self) {
        // The second exists only if the log was ever full.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(rotated(&self.path));
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time `seconds` ago.
    fn ago(&self, seconds: u64) -> Timestamp {
        let back = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        self.clock
            .now()
            .saturating_sub(back)
            .unwrap_or(Timestamp::MIN)
    }
}

fn rotated(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

#[cfg(test)]
mod tests;
