//! What the controller says of itself and of what it looks after: Argo's metrics by their names, and
//! our own beside them.
//!
//! What an object is right now is read from the caches when somebody asks ([`rollouts`], [`runs`]):
//! an object that is gone has no series. What happened is counted here, per Rollout or AnalysisRun,
//! and forgotten a while after it is gone.

mod histogram;
mod rollouts;
mod runs;
mod text;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::caches::{Caches, Key};

use histogram::Histogram;

pub(crate) use text::Text;

/// Bounds of the histograms of looks, in seconds: Argo's.
const LOOK_BOUNDS: [f64; 5] = [0.01, 0.15, 0.25, 0.5, 1.0];

/// Bounds of the histogram of responses, in seconds.
const RESPONSE_BOUNDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// How long what was counted of an object that is gone is still shown: Argo's.
const SHOWN_AFTER_END: SignedDuration = SignedDuration::from_secs(65);

/// Kinds of requests that are told apart. A cluster has fewer; what comes beyond is one series.
const MOST_REQUESTS: usize = 4_096;

/// Whose looks are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Rollouts.
    Rollout,
    /// AnalysisRuns.
    AnalysisRun,
}

/// What happened so far.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Held for map operations only.
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    looks: BTreeMap<(Kind, Key), Looks>,
    /// By object, type and reason.
    events: BTreeMap<(Key, &'static str, String), u64>,
    /// By kind, namespace, verb and status code.
    requests: BTreeMap<([String; 3], u16), u64>,
    responses: Histogram<{ RESPONSE_BOUNDS.len() }>,
}

/// The looks at one object.
#[derive(Clone, Debug, Default)]
struct Looks {
    took: Histogram<{ LOOK_BOUNDS.len() }>,
    errors: u64,
    /// Since when it is gone.
    gone: Option<Timestamp>,
}

// === impl Metrics ===

impl Metrics {
    /// A look took so long.
    pub fn looked(&self, kind: Kind, key: &Key, took: Duration) {
        let mut counted = self.counted();
        let looks = counted.looks.entry((kind, key.clone())).or_default();
        looks.took.add(&LOOK_BOUNDS, took.as_secs_f64());
    }

    /// A look failed.
    pub fn failed(&self, kind: Kind, key: &Key) {
        let mut counted = self.counted();
        counted.looks.entry((kind, key.clone())).or_default().errors += 1;
    }

    /// An event was told.
    pub fn told(&self, key: &Key, warning: bool, reason: &str) {
        let kind = if warning { "Warning" } else { "Normal" };
        let mut counted = self.counted();
        let count = counted.events.entry((key.clone(), kind, reason.to_owned()));
        *count.or_default() += 1;
    }

    /// A request was answered with that code; 0 where there was no answer.
    pub fn requested(&self, [kind, namespace, verb]: &[&str; 3], code: u16) {
        let mut counted = self.counted();
        let mut labels = [kind, namespace, verb].map(|label| (*label).to_owned());
        if counted.requests.len() >= MOST_REQUESTS
            && !counted.requests.contains_key(&(labels.clone(), code))
        {
            labels = ["other", "", "other"].map(str::to_owned);
        }
        *counted.requests.entry((labels, code)).or_default() += 1;
    }

    /// A status was sent, so long after that became due: after the change that it answers was seen.
    pub fn responded(&self, after: Duration) {
        let mut counted = self.counted();
        let seconds = after.as_secs_f64();
        counted.responses.add(&RESPONSE_BOUNDS, seconds);
    }

    /// All of it, after what is in `text` already: with many Rollouts it is too large to be copied.
    pub(crate) fn render(&self, mut text: Text, caches: Option<&Caches>, now: Timestamp) -> String {
        if let Some(caches) = caches {
            self.forget(caches, now);
            rollouts::render(&mut text, caches);
            runs::render(&mut text, caches);
        }
        let counted = self.counted();
        let names = ["rollout_reconcile", "analysis_run_reconcile"];
        for (kind, name) in [Kind::Rollout, Kind::AnalysisRun].into_iter().zip(names) {
            counted.render_looks(&mut text, kind, name);
        }
        counted.render_events(&mut text);
        counted.render_requests(&mut text);
        counted.render_responses(&mut text);
        drop(counted);
        text.into_string()
    }

    fn forget(&self, caches: &Caches, now: Timestamp) {
        let is_there = |kind: Kind, key: &Key| match kind {
            Kind::Rollout => caches.rollouts.get(&key.namespace, &key.name).is_some(),
            Kind::AnalysisRun => caches.runs.get(&key.namespace, &key.name).is_some(),
        };
        let mut counted = self.counted();
        counted.looks.retain(|(kind, key), looks| {
            if is_there(*kind, key) {
                looks.gone = None;
                return true;
            }
            let gone = *looks.gone.get_or_insert(now);
            now.duration_since(gone) < SHOWN_AFTER_END
        });
        let Counted { looks, events, .. } = &mut *counted;
        events.retain(|(key, _, _), _| {
            let counts = |kind| looks.contains_key(&(kind, key.clone()));
            counts(Kind::Rollout) || counts(Kind::AnalysisRun)
        });
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Counted ===

impl Counted {
    fn render_looks(&self, text: &mut Text, kind: Kind, name: &str) {
        let looks = || self.looks.iter().filter(|((of, _), _)| *of == kind);
        text.metric(
            name,
            "histogram",
            "Looks at an object, and what they did, in seconds.",
        );
        for ((_, key), looks) in looks() {
            let labels = [("namespace", key.namespace.as_str()), ("name", &key.name)];
            looks.took.render(text, name, &LOOK_BOUNDS, &labels);
        }
        let errors = format!("{name}_error");
        text.metric(&errors, "counter", "Looks that ended badly.");
        for ((_, key), looks) in looks() {
            let labels = [("namespace", key.namespace.as_str()), ("name", &key.name)];
            text.sample(&errors, &labels, looks.errors as f64);
        }
    }

    fn render_events(&self, text: &mut Text) {
        text.metric("rollout_events_total", "counter", "Events that were told.");
        for ((key, kind, reason), count) in &self.events {
            let labels = [
                ("namespace", key.namespace.as_str()),
                ("name", &key.name),
                ("type", kind),
                ("reason", reason),
            ];
            text.sample("rollout_events_total", &labels, *count as f64);
        }
    }

    fn render_responses(&self, text: &mut Text) {
        let name = "sluice_controller_response_seconds";
        let help = "From a change that was seen until the status that answers it was sent.";
        text.metric(name, "histogram", help);
        self.responses.render(text, name, &RESPONSE_BOUNDS, &[]);
    }

    fn render_requests(&self, text: &mut Text) {
        let name = "controller_clientset_k8s_request_total";
        text.metric(name, "counter", "Requests to the API server.");
        for (([kind, namespace, verb], code), count) in &self.requests {
            let code = code.to_string();
            let labels = [
                ("kind", kind.as_str()),
                ("namespace", namespace),
                ("verb", verb),
                ("status_code", &code),
            ];
            text.sample(name, &labels, *count as f64);
        }
    }
}

#[cfg(test)]
mod tests;
