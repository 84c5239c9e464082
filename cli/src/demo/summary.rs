//! How the demo ended, counted by the load's ledger and by the apps, not by the proxies.

use serde::Serialize;

use super::app::ledger::Ledger as AppLedger;
use super::ledger::Ledger;
use super::screen::{Paint, WIDTH, grouped, wrapped};

/// The object that `--json` prints last.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Release 2 is what every user gets.
    pub promoted: bool,
    /// Release 3 is what no user gets.
    pub aborted: bool,
    /// All requests of users.
    pub requests: u64,
    /// Those without a good answer.
    pub user_failures: u64,
    /// Failures that the canaries answered; users saw none that stable could answer.
    pub canary_failures: u64,
    /// From release 3's first failed answer to the last request it received.
    pub abort_seconds: Option<f64>,
    /// Requests that release 3 received in all.
    pub canary_requests_until_abort: u64,
    /// Users of release 2 that the old version answered after the new one had.
    pub side_changes: usize,
    /// Why release 3 was aborted, or what else happened.
    pub verdict: String,
}

/// What became of the two releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Release 2 was promoted.
    pub promoted: bool,
    /// Release 3 was aborted.
    pub aborted: bool,
    /// Why, in the Rollout's words or in ours.
    pub verdict: String,
}

// === impl Summary ===

impl Summary {
    /// Puts the counts together; `good` and `bad` are what releases 2 and 3 counted themselves.
    pub fn of(fate: Fate, users: &Ledger, good: &AppLedger, bad: &AppLedger) -> Self {
        Self {
            promoted: fate.promoted,
            aborted: fate.aborted,
            requests: users.requests(),
            user_failures: users.failures(),
            canary_failures: good.failures + bad.failures,
            abort_seconds: bad
                .burning_seconds()
                .filter(|_| fate.aborted)
                .map(milliseconds),
            canary_requests_until_abort: bad.requests,
            side_changes: users.side_changes(1, 2),
            verdict: fate.verdict,
        }
    }

    /// Whether the demo showed what it is there to show.
    pub fn is_success(&self) -> bool {
        self.promoted && self.aborted
    }

    /// For people.
    pub fn in_words(&self, failures: &str, paint: Paint) -> Vec<String> {
        let yes_or_no = |yes: bool, what: &str| {
            if yes {
                paint.green(what)
            } else {
                paint.red(&format!("NOT {what}"))
            }
        };
        let failures = if failures.is_empty() {
            String::new()
        } else {
            format!(" ({failures})")
        };
        let burned = match self.abort_seconds {
            Some(seconds) => format!("{seconds:.2} s after its first failure"),
            None => "-".to_owned(),
        };
        let mut lines = vec![
            String::new(),
            format!("Release 2 was {}.", yes_or_no(self.promoted, "promoted")),
            format!("Release 3 was {}.", yes_or_no(self.aborted, "aborted")),
            String::new(),
            format!(
                "  requests of users                  {:>10}",
                grouped(self.requests)
            ),
            format!(
                "  without a good answer              {:>10}{failures}",
                grouped(self.user_failures)
            ),
            format!(
                "  users moved back in release 2      {:>10}",
                self.side_changes
            ),
            format!(
                "  failures that canaries answered    {:>10}",
                grouped(self.canary_failures)
            ),
            format!(
                "  requests that release 3 received   {:>10}",
                grouped(self.canary_requests_until_abort)
            ),
            format!("  its last request came              {burned:>10}"),
            String::new(),
        ];
        lines.extend(wrapped(&format!("Verdict: {}", self.verdict), WIDTH));
        lines
    }
}

fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn bad() -> AppLedger {
        let at = |millis: i64| Timestamp::from_millisecond(1_800_000_000_000 + millis).ok();
        let (first_failure, last_request) = (at(0), at(1234));
        AppLedger {
            version: 3,
            requests: 57,
            failures: 18,
            first_failure,
            last_request,
        }
    }

    fn fate(aborted: bool) -> Fate {
        Fate {
            promoted: true,
            aborted,
            verdict: "errors: 18 of 57".to_owned(),
        }
    }

    #[test]
    fn the_object_has_the_documented_fields() {
        let good = AppLedger::default();
        let summary = Summary::of(fate(true), &Ledger::default(), &good, &bad());
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            "{\"promoted\":true,\"aborted\":true,\"requests\":0,\"user_failures\":0,\
             \"canary_failures\":18,\"abort_seconds\":1.234,\"canary_requests_until_abort\":57,\
             \"side_changes\":0,\"verdict\":\"errors: 18 of 57\"}"
        );
        assert!(summary.is_success());
    }

    #[test]
    fn what_was_not_aborted_has_no_time_of_its_abort() {
        let good = AppLedger {
            failures: 2,
            ..AppLedger::default()
        };
        let summary = Summary::of(fate(false), &Ledger::default(), &good, &bad());
        assert_eq!((summary.abort_seconds, summary.canary_failures), (None, 20));
        assert!(!summary.is_success());
        let words = summary.in_words("3 answered 503", Paint::Plain).join("\n");
        assert!(words.contains("Release 3 was NOT aborted."), "{words}");
        assert!(words.contains("(3 answered 503)"), "{words}");
    }
}
