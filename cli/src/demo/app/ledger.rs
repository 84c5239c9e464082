//! What one process of the app received and answered: a file that is rewritten as a whole, so that
//! it can be read at any time, also when the pod is long gone.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// More files than any demo has pods.
const MAX_FILES: usize = 1000;

/// The counts of one process, or of several together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The version that counts.
    pub version: u8,
    /// Requests received, probes not among them.
    pub requests: u64,
    /// Requests answered with a failure.
    pub failures: u64,
    /// When the first failure was answered.
    pub first_failure: Option<Timestamp>,
    /// When the last request was received.
    pub last_request: Option<Timestamp>,
}

/// Names the file of a process.
pub fn file_name(version: u8, address: IpAddr, pid: u32) -> String {
    format!("v{version}-{address}-{pid}.json")
}

/// All that the processes of `version` counted, from the files in `dir`.
pub fn of_version(dir: &Path, version: u8) -> io::Result<Ledger> {
    let mut sum = Ledger {
        version,
        ..Ledger::default()
    };
    for entry in std::fs::read_dir(dir)?.take(MAX_FILES) {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let ledger: Ledger = serde_json::from_slice(&std::fs::read(&path)?)?;
            if ledger.version == version {
                sum.add(&ledger);
            }
        }
    }
    Ok(sum)
}

// === impl Ledger ===

impl Ledger {
    /// A request came in.
    pub fn received(&mut self, now: Timestamp) {
        self.requests += 1;
        self.last_request = Some(now);
    }

    /// A request is answered with a failure.
    pub fn failed(&mut self, now: Timestamp) {
        self.failures += 1;
        self.first_failure.get_or_insert(now);
    }

    /// Counts what another process counted, too.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        let both = self
            .first_failure
            .zip(other.first_failure)
            .map(|(a, b)| a.min(b));
        self.first_failure = both.or(self.first_failure).or(other.first_failure);
        self.last_request = self.last_request.max(other.last_request);
    }

    /// From the first failure that was answered to the last request that came in, in seconds.
    pub fn burning_seconds(&self) -> Option<f64> {
        let (first, last) = self.first_failure.zip(self.last_request)?;
        Some(last.duration_since(first).as_secs_f64().max(0.0))
    }

    /// Replaces the file in one step: a reader sees the old one or the new one.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("new");
        std::fs::write(&beside, serde_json::to_vec(self)?)?;
        std::fs::rename(beside, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    #[test]
    fn pods_of_a_version_are_counted_together_and_others_apart() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = Ledger {
            version: 3,
            ..Ledger::default()
        };
        one.received(at(100));
        one.received(at(200));
        one.failed(at(280));
        let mut two = Ledger {
            version: 3,
            ..Ledger::default()
        };
        two.received(at(50));
        two.failed(at(130));
        two.received(at(1630));
        let mut old = Ledger {
            version: 2,
            ..Ledger::default()
        };
        old.received(at(9000));
        for (pid, ledger) in [&one, &two, &old].into_iter().enumerate() {
            let name = file_name(ledger.version, [127, 0, 0, 1].into(), pid as u32);
            ledger.write(&dir.path().join(name)).unwrap();
        }
        let three = of_version(dir.path(), 3).unwrap();
        assert_eq!((three.requests, three.failures), (4, 2));
        assert_eq!(three.first_failure, Some(at(130)));
        assert_eq!(three.burning_seconds(), Some(1.5));
        assert_eq!(of_version(dir.path(), 2).unwrap().requests, 1);
        assert_eq!(
            of_version(dir.path(), 1).unwrap(),
            Ledger {
                version: 1,
                ..Ledger::default()
            }
        );
    }

    #[test]
    fn nothing_burns_without_a_failure() {
        let mut ledger = Ledger::default();
        ledger.received(at(1));
        assert_eq!(ledger.burning_seconds(), None);
        ledger.failed(at(81));
        // Its first failure was its last request, too.
        assert_eq!(ledger.burning_seconds(), Some(0.0));
    }

    #[test]
    fn a_failure_only_on_one_side_is_kept() {
        let mut with = Ledger::default();
        with.failed(at(5));
        let mut without = Ledger::default();
        without.add(&with);
        assert_eq!(without.first_failure, Some(at(5)));
        with.add(&Ledger::default());
        assert_eq!(with.first_failure, Some(at(5)));
    }
}
