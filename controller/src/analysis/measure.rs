//! Measure: one measurement by a provider outside, from the run's Secrets to what may be shown of it.
//!
//! Secrets are read at each measurement. What the provider says goes through a [`Redactor`] before it
//! leaves this module, so nothing after it can tell a Secret by mistake.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use crds::analysis::Metric;
use crds::analysis::run::Measurement;
use crds::words::AnalysisPhase;
use crds::{AnalysisRun, AnalysisRunSpec};
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::Semaphore;

use super::arguments::{self, SecretKey};
use super::judge::Conditions;
use super::plan::Taken;
use super::providers::job::{self, JobHome};
use super::providers::{Outside, Reading, prometheus, web};
use super::redact::Redactor;
use crate::clock::Clock;
use crate::fetch::tokens::Tokens;
use crate::fetch::{Client as HttpClient, Fetch};

/// Measurements that are taken at a time; the others wait for their turn.
const MOST_AT_ONCE: usize = 64;

/// How much of a value or a message is kept, in characters.
const LONGEST_TEXT: usize = 4 * 1024;

/// What metrics are measured with.
#[derive(Clone, Debug)]
pub struct Means {
    /// How servers are asked.
    pub fetch: Arc<dyn Fetch>,
    /// The address of Prometheus for metrics that have none.
    pub prometheus_address: Option<String>,
    /// Where Jobs run.
    pub jobs: JobHome,
}

/// Takes measurements.
#[derive(Debug)]
pub(super) struct Measurer {
    means: Means,
    tokens: Tokens,
    clock: Clock,
    turns: Semaphore,
}

/// What came of a measurement; the error says why the run cannot be carried out.
pub(super) type Outcome = Result<Taken, String>;

/// Secrets by where they stand.
type Secrets = BTreeMap<SecretKey, String>;

/// A metric as it is asked, and as it may be shown.
struct Asked {
    metric: Metric,
    shown: Metric,
    redactor: Redactor,
}

// === impl Means ===

impl Default for Means {
    fn default() -> Self {
        Self {
            fetch: Arc::new(HttpClient::new()),
            prometheus_address: None,
            jobs: JobHome::default(),
        }
    }
}

// === impl Measurer ===

impl Measurer {
    pub(super) fn new(means: Means, clock: Clock) -> Self {
        Self {
            means,
            tokens: Tokens::default(),
            clock,
            turns: Semaphore::new(MOST_AT_ONCE),
        }
    }

    /// Measures a metric of a run.
    pub(super) async fn measure(&self, client: &Client, run: &AnalysisRun, name: &str) -> Outcome {
        let _turn = self.turns.acquire().await;
        let secrets = read_secrets(client, run).await?;
        let mut asked = Asked::of(&run.spec, name, &secrets)?;
        let started = self.clock.now();
        // A fault of ours is an Error of this measurement, and of no other.
        let measured = AssertUnwindSafe(self.by_provider(client, run, &mut asked));
        let measured = measured.catch_unwind().await;
        let failed =
            |_| error("the measurement broke: this is a fault of the controller".to_owned());
        let mut measurement = measured.unwrap_or_else(failed);
        measurement.started_at = Some(Time(started));
        if measurement.phase.is_completed() {
            measurement.finished_at = Some(Time(self.clock.now()));
        }
        Ok(asked.told(measurement))
    }

    async fn by_provider(
        &self,
        client: &Client,
        run: &AnalysisRun,
        asked: &mut Asked,
    ) -> Measurement {
        if let Some(job) = asked.metric.provider.job.clone() {
            return self
                .start_job(client, run, (&asked.metric.name, &job))
                .await;
        }
        let mut outside = Outside::new(self.means.fetch.as_ref(), &self.tokens, self.clock);
        let (metric, shown) = (&asked.metric.provider, &asked.shown.provider);
        let reading = match (
            (&metric.prometheus, &shown.prometheus),
            (&metric.web, &shown.web),
        ) {
            ((Some(metric), Some(shown)), _) => {
                let default = self.means.prometheus_address.as_deref();
                prometheus::read(metric, shown, default, &mut outside).await
            }
            (_, (Some(metric), Some(shown))) => web::read(metric, shown, &mut outside).await,
            _ => Err(format!(
                "no valid provider in metric '{}'",
                asked.metric.name
            )),
        };
        for secret in outside.secrets() {
            asked.redactor.add(&secret);
        }
        let judged = reading.and_then(|reading| judged(&asked.metric, reading, self.clock.now()));
        judged.unwrap_or_else(error)
    }

    async fn start_job(
        &self,
        client: &Client,
        run: &AnalysisRun,
        (name, job): (&str, &crds::analysis::providers::JobMetric),
    ) -> Measurement {
        let results = run.status.as_ref().map(|status| &status.metric_results);
        let result = results.and_then(|results| results.iter().find(|result| result.name == name));
        let taken = result.map_or(0, |result| {
            i64::from(result.count.unwrap_or_default())
                + i64::from(result.error.unwrap_or_default())
        });
        let home = &self.means.jobs;
        let manifest = job::manifest(run, (name, job, taken + 1), home);
        let client = home.cluster.as_ref().unwrap_or(client);
        match job::start(client, &manifest, run).await {
            Ok(key) => Measurement {
                phase: AnalysisPhase::Running,
                metadata: job::metadata(&key),
                ..Measurement::default()
            },
            Err(message) => error(message),
        }
    }
}

fn error(message: String) -> Measurement {
    Measurement {
        phase: AnalysisPhase::Error,
        message: Some(message),
        ..Measurement::default()
    }
}

fn judged(metric: &Metric, reading: Reading, now: Timestamp) -> Result<Measurement, String> {
    let text = |field: &'_ Option<String>| field.clone().filter(|text| !text.is_empty());
    let (success, failure) = (
        text(&metric.success_condition),
        text(&metric.failure_condition),
    );
    let conditions = Conditions {
        success: success.as_deref(),
        failure: failure.as_deref(),
    };
    let phase = conditions.judge(&reading.result, now)?;
    Ok(Measurement {
        phase,
        value: Some(reading.text),
        metadata: reading.metadata,
        ..Measurement::default()
    })
}

// === impl Asked ===

impl Asked {
    fn of(spec: &AnalysisRunSpec, name: &str, secrets: &Secrets) -> Result<Self, String> {
        let redactor = Redactor::new(secrets.values().map(String::as_str));
        let unresolved = |error: arguments::ArgumentError| redactor.redact(&error.to_string());
        // Names are compared as they are in status: with their arguments, without Secrets.
        let nothing = Secrets::new();
        for metric in &spec.metrics {
            let shown = arguments::resolved_one(spec, metric, &nothing).map_err(unresolved)?;
            if shown.name != name {
                continue;
            }
            let metric = arguments::resolved_one(spec, metric, secrets).map_err(unresolved)?;
            let metric = Metric {
                name: shown.name.clone(),
                ..metric
            };
            return Ok(Self {
                metric,
                shown,
                redactor,
            });
        }
        Err(format!("the run has no metric '{name}'"))
    }

    /// What may be shown of a measurement.
    fn told(&self, measurement: Measurement) -> Taken {
        let told = |text: String| cut(&self.redactor.redact(&text));
        let shown = |map: BTreeMap<String, String>| -> BTreeMap<String, String> {
            map.into_iter()
                .map(|(key, text)| (key, told(text)))
                .collect()
        };
        let prometheus = self.shown.provider.prometheus.as_ref();
        let metadata = prometheus.map(prometheus::metadata).unwrap_or_default();
        // A Job is found again by its metadata.
        let of_job = self.metric.provider.job.is_some();
        let own = measurement.metadata.clone();
        Taken {
            measurement: Measurement {
                value: measurement.value.map(told),
                message: measurement.message.map(told),
                metadata: if of_job { own } else { shown(own) },
                ..measurement
            },
            metadata: shown(metadata),
        }
    }
}

/// The beginning of a text that is too long for a status.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The Secrets that the run's arguments refer to.
pub(super) async fn read_secrets(client: &Client, run: &AnalysisRun) -> Result<Secrets, String> {
    let namespace = run.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let mut secrets = Secrets::new();
    for wanted in arguments::secrets(&run.spec) {
        let value = read_secret(&api, &wanted).await?;
        secrets.insert(wanted, value);
    }
    Ok(secrets)
}

async fn read_secret(secrets: &Api<Secret>, wanted: &SecretKey) -> Result<String, String> {
    let found = secrets.get(&wanted.secret).await;
    let secret = found.map_err(|error| job::said(&error))?;
    let (key, name) = (&wanted.key, &wanted.secret);
    let data = secret.data.unwrap_or_default();
    let value = data
        .get(key)
        .ok_or_else(|| format!("key '{key}' does not exist in secret '{name}'"))?;
    let text = std::str::from_utf8(&value.0);
    text.map(str::to_owned)
        .map_err(|_| format!("key '{key}' of secret '{name}' is not UTF-8"))
}
