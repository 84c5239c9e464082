//! `sluice/proxy`: what the proxies of the Rollout's fleet measured, judged by a sequential test.
//!
//! A test lives in memory for as long as its run, by (run, metric), because it remembers the counts
//! of its last look. It needs no state of its own elsewhere: the proxies' counts are cumulative, so
//! after a restart of the controller the first look is one big tick over the same evidence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crds::plugin::{Comparison, ProxyMetric, ProxyTest};
use judgement::{
    ErrorSettings, ErrorTest, LatencySettings, LatencyTest, QuantileSettings, QuantileTest,
    SuccessRateSettings, SuccessRateTest, Verdict,
};

use crate::conditions::Value;
use crate::traffic::{Evidence, RolloutKey, Traffic};

/// What a metric sees right now.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What the test says.
    pub verdict: Verdict,
    /// Why there is nothing to see, where that is so: `no proxy of fleet x is connected`.
    pub silence: Option<String>,
}

/// Which canary a run is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its Rollout.
    pub rollout: RolloutKey,
    /// The pod-template hash of the canary.
    pub canary: String,
}

/// The tests of all unfinished runs.
#[derive(Debug, Default)]
pub struct Tests {
    /// By run UID, then metric. Guards all of it; held for one look, which does no I/O.
    live: Mutex<BTreeMap<String, BTreeMap<String, Test>>>,
}

#[derive(Debug)]
enum Test {
    Errors(ErrorTest),
    Latency(LatencyTest),
    SuccessRate(SuccessRateTest),
    Quantile(QuantileTest),
}

// === impl Look ===

impl Look {
    /// The `result` of conditions.
    pub fn result(&self) -> Value {
        let reasons = &self.verdict.reasons;
        let fields = [
            ("errors", reasons.errors as f64),
            ("requests", reasons.requests as f64),
            ("rate", reasons.rate),
            ("share", reasons.share),
            ("e", reasons.e),
        ];
        let fields: BTreeMap<String, Value> = fields
            .map(|(name, number)| (name.to_owned(), Value::Float(number)))
            .into();
        Value::Map(Arc::new(fields))
    }
}

// === impl Tests ===

impl Tests {
    /// What a metric of a run sees right now.
    pub fn look(
        &self,
        run: &str,
        (name, metric): (&str, &ProxyMetric),
        subject: &Subject,
        traffic: &dyn Traffic,
    ) -> Look {
        let evidence = traffic.evidence(&subject.rollout, &subject.canary);
        let verdict = {
            // A test is changed by complete looks only.
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            let tests = live.entry(run.to_owned()).or_default();
            let test = tests.entry(name.to_owned());
            test.or_insert_with(|| Test::new(metric)).look(&evidence)
        };
        let silence = (!matches!(verdict.decision, judgement::Decision::Worse))
            .then(|| silence(subject, traffic))
            .flatten();
        Look { verdict, silence }
    }

    /// Forgets the tests of a run that ended.
    pub fn forget(&self, run: &str) {
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(run);
    }
}

/// Why nothing is heard: no proxy is connected.
fn silence(subject: &Subject, traffic: &dyn Traffic) -> Option<String> {
    let view = traffic.view(&subject.rollout, &subject.canary);
    if view.connected > 0 {
        return None;
    }
    Some(view.message.unwrap_or_else(|| {
        format!(
            "no proxy of {}/{} is connected",
            subject.rollout.namespace, subject.rollout.name
        )
    }))
}

// === impl Test ===

impl Test {
    fn new(metric: &ProxyMetric) -> Self {
        match metric.test {
            ProxyTest::Compare(Comparison::Errors) => {
                let defaults = ErrorSettings::analysis();
                Self::Errors(ErrorTest::new(ErrorSettings {
                    alpha: metric.alpha.unwrap_or(defaults.alpha),
                    ratio: metric.ratio.unwrap_or(defaults.ratio),
                    min_evidence: metric.min_evidence.unwrap_or(defaults.min_evidence),
                    ..defaults
                }))
            }
            ProxyTest::Compare(Comparison::Latency) => {
                let defaults = LatencySettings::default();
                Self::Latency(LatencyTest::new(LatencySettings {
                    alpha: metric.alpha.unwrap_or(defaults.alpha),
                    ratio: metric.ratio.unwrap_or(defaults.ratio),
                    min_evidence: metric.min_evidence.unwrap_or(defaults.min_evidence),
                    ..defaults
                }))
            }
            ProxyTest::SuccessRate { min } => {
                let defaults = SuccessRateSettings::new(min);
                Self::SuccessRate(SuccessRateTest::new(SuccessRateSettings {
                    alpha: metric.alpha.unwrap_or(defaults.alpha),
                    min_evidence: metric.min_evidence.unwrap_or(defaults.min_evidence),
                    ..defaults
                }))
            }
            ProxyTest::Latency { quantile, max } => {
                let microseconds = u64::try_from(max.nanoseconds() / 1_000).unwrap_or_default();
                let defaults = QuantileSettings::new(quantile, microseconds);
                Self::Quantile(QuantileTest::new(QuantileSettings {
                    alpha: metric.alpha.unwrap_or(defaults.alpha),
                    min_evidence: metric.min_evidence.unwrap_or(defaults.min_evidence),
                    ..defaults
                }))
            }
        }
    }

    fn look(&mut self, evidence: &Evidence) -> Verdict {
        match self {
            Self::Errors(test) => test.look(&evidence.errors),
            Self::Latency(test) => test.look(&evidence.latency),
            Self::SuccessRate(test) => test.look(&evidence.errors),
            Self::Quantile(test) => test.look(&evidence.latency),
        }
    }
}
