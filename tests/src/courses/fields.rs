//! What of each object counts.
//!
//! *Followed* fields are compared value by value, *final* ones only at the end: counts that follow
//! from how fast pods come, and what only grows.

use serde_json::{Map, Value};

use super::symbols::{HASH, Symbols};

/// What an absent value is shown as.
pub const ABSENT: &str = "-";
/// Conditions that count.
const CONDITIONS: &[&str] = &[
    "Progressing",
    "Available",
    "Completed",
    "Healthy",
    "Paused",
    "InvalidSpec",
    "ReplicaFailure",
];
/// What the Rollout is called in most scenarios.
const PLAIN: &str = "web";
/// Where a Rollout's progress through `kubectl apply` is kept.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    /// Compared value by value.
    pub followed: Vec<(String, String)>,
    /// Compared at the end.
    pub finals: Vec<(String, String)>,
    /// Not compared; scenarios may wait for them.
    pub hidden: Vec<(String, String)>,
}

/// Reads one object.
struct Reader<'a> {
    object: &'a Value,
    symbols: &'a Symbols,
    prefix: String,
    fields: Fields,
}

/// The fields of an object; `None` for an object that does not count.
pub fn read(kind: &str, object: &Value, symbols: &mut Symbols) -> Option<Fields> {
    note_hashes(kind, object, symbols);
    let name = symbols.text(text_at(object, "/metadata/name"));
    let prefix = match kind {
        "Rollout" if name == PLAIN => "rollout".to_owned(),
        "ReplicaSet" => replica_set(object, symbols, &name)?,
        kind => format!("{}[{name}]", kind.to_lowercase()),
    };
    let mut reader = Reader {
        object,
        symbols,
        prefix,
        fields: Fields::default(),
    };
    match kind {
        "Rollout" => reader.rollout(),
        "ReplicaSet" => reader.replica_set(),
        "AnalysisRun" => reader.run(),
        "Service" => reader.service(),
        "Deployment" => reader.follow("replicas", "/spec/replicas"),
        "Job" => reader.follow("conditions", "/status/conditions/0/type"),
        _ => return None,
    }
    Some(reader.fields)
}

/// Hashes get their numbers in the order in which they are seen.
fn note_hashes(kind: &str, object: &Value, symbols: &mut Symbols) {
    let paths: &[&str] = match kind {
        "Rollout" => &["/status/stableRS", "/status/currentPodHash"],
        "ReplicaSet" => &["/metadata/labels/rollouts-pod-template-hash"],
        _ => &[],
    };
    for path in paths {
        let hash = text_at(object, path);
        if !hash.is_empty() {
            symbols.hash(hash);
        }
    }
}

/// A Rollout's ReplicaSet is called by its revision, one that a Rollout refers to by its name, and
/// a Deployment's own is none of our business.
fn replica_set(object: &Value, symbols: &mut Symbols, name: &str) -> Option<String> {
    let hash = object.pointer(&format!("/metadata/labels/{HASH}"));
    if let Some(hash) = hash.and_then(Value::as_str) {
        return Some(symbols.hash(hash));
    }
    let owner = text_at(object, "/metadata/ownerReferences/0/kind");
    (owner != "Deployment").then(|| format!("replicaset[{name}]"))
}

fn text_at<'a>(object: &'a Value, path: &str) -> &'a str {
    object
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Go writes an empty object where a part that is not optional has nothing in it.
fn without_empties(value: &Value) -> Value {
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    match value {
        Value::Object(map) => {
            let kept = map
                .iter()
                .map(|(key, value)| (key.clone(), without_empties(value)))
                .filter(|(_, value)| !is_empty(value));
            Value::Object(kept.collect())
        }
        Value::Array(items) => items.iter().map(without_empties).collect(),
        other => other.clone(),
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn shown(&self, value: Option<&Value>) -> String {
        match value {
            None | Some(Value::Null) => ABSENT.to_owned(),
            Some(Value::String(text)) if text.is_empty() => ABSENT.to_owned(),
            Some(Value::String(text)) => self.symbols.text(text),
            Some(other) => self.symbols.value(&without_empties(other)),
        }
    }

    fn at(&self, path: &str) -> String {
        self.shown(self.object.pointer(path))
    }

    fn follow(&mut self, field: &str, path: &str) {
        let value = self.at(path);
        self.follow_value(field, value);
    }

    fn follow_value(&mut self, field: &str, value: String) {
        let name = format!("{}.{field}", self.prefix);
        self.fields.followed.push((name, value));
    }

    fn finally(&mut self, field: &str, path: &str) {
        let value = self.at(path);
        self.finally_value(field, value);
    }

    fn finally_value(&mut self, field: &str, value: String) {
        // Go leaves zeros away.
        let value = if value == "0" {
            ABSENT.to_owned()
        } else {
            value
        };
        let name = format!("{}.{field}", self.prefix);
        self.fields.finals.push((name, value));
    }

    fn rollout(&mut self) {
        for (field, path) in ROLLOUT_FOLLOWED {
            self.follow(field, path);
        }
        for (field, path) in ROLLOUT_FINAL {
            self.finally(field, path);
        }
        let pauses = self.list("/status/pauseConditions", |pause| {
            text_at(pause, "/reason").to_owned()
        });
        self.follow_value("pauseConditions", pauses);
        for side in ["canary", "stable"] {
            let weight = self.weight(side);
            self.follow_value(&format!("weights.{side}"), weight);
        }
        for (field, path) in RUN_STATUSES {
            let status = self.run_status(path);
            self.follow_value(field, status);
        }
        self.conditions();
        let generation = self.at("/metadata/generation");
        let observed = self.at("/status/observedGeneration") == generation;
        let name = format!("{}.~observed", self.prefix);
        self.fields.hidden.push((name, observed.to_string()));
        let restarted = match self.at("/status/restartedAt") {
            none if none == ABSENT => none,
            _ if self.at_raw("/status/restartedAt") == self.at_raw("/spec/restartAt") => {
                "as asked for".to_owned()
            }
            _ => "earlier".to_owned(),
        };
        self.follow_value("restartedAt", restarted);
    }

    fn at_raw(&self, path: &str) -> Option<&Value> {
        self.object.pointer(path)
    }

    fn list(&self, path: &str, shown: impl Fn(&Value) -> String) -> String {
        let items = self.at_raw(path).and_then(Value::as_array);
        let items: Vec<String> = items.into_iter().flatten().map(shown).collect();
        if items.is_empty() {
            ABSENT.to_owned()
        } else {
            self.symbols.text(&items.join(", "))
        }
    }

    fn weight(&self, side: &str) -> String {
        let path = format!("/status/canary/weights/{side}");
        if self.at_raw(&path).is_none() {
            return ABSENT.to_owned();
        }
        format!(
            "{} for {} by {}",
            self.at(&format!("{path}/weight")),
            self.at(&format!("{path}/podTemplateHash")),
            self.at(&format!("{path}/serviceName")),
        )
    }

    fn run_status(&self, path: &str) -> String {
        if self.at_raw(path).is_none_or(Value::is_null) {
            return ABSENT.to_owned();
        }
        format!(
            "{} {}: {}",
            self.at(&format!("{path}/name")),
            self.at(&format!("{path}/status")),
            self.at(&format!("{path}/message")),
        )
    }

    fn conditions(&mut self) {
        for kind in CONDITIONS {
            let conditions = self.at_raw("/status/conditions").and_then(Value::as_array);
            let found = conditions
                .into_iter()
                .flatten()
                .find(|condition| text_at(condition, "/type") == *kind);
            let value = found.map_or_else(
                || ABSENT.to_owned(),
                |condition| {
                    let text = format!(
                        "{} {}: {}",
                        text_at(condition, "/status"),
                        text_at(condition, "/reason"),
                        text_at(condition, "/message"),
                    );
                    self.symbols.text(&text)
                },
            );
            self.follow_value(&format!("conditions.{kind}"), value);
        }
    }

    fn replica_set(&mut self) {
        self.follow("replicas", "/spec/replicas");
        let annotation = |key: &str| {
            let key = key.replace('/', "~1");
            format!("/metadata/annotations/{key}")
        };
        self.follow("revision", &annotation("rollout.argoproj.io/revision"));
        let deadline = match self.at(&annotation("scale-down-deadline")) {
            none if none == ABSENT => none,
            _ => "set".to_owned(),
        };
        self.follow_value("deadline", deadline);
        self.finally("name", "/metadata/name");
        self.finally("available", "/status/availableReplicas");
        self.finally("created", "/status/replicas");
        self.finally("minReadySeconds", "/spec/minReadySeconds");
        self.finally("labels", "/metadata/labels");
        self.finally("selector", "/spec/selector");
        self.finally("template.labels", "/spec/template/metadata/labels");
        self.finally(
            "template.annotations",
            "/spec/template/metadata/annotations",
        );
        self.finally("template.affinity", "/spec/template/spec/affinity");
        self.finally("template.image", "/spec/template/spec/containers/0/image");
        self.finally("owner", "/metadata/ownerReferences/0/kind");
        self.annotations();
    }

    fn annotations(&mut self) {
        let annotations = self.at_raw("/metadata/annotations").cloned();
        let mut annotations = match annotations {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        annotations.remove(LAST_APPLIED);
        if let Some(deadline) = annotations.get_mut("scale-down-deadline") {
            *deadline = Value::from("set");
        }
        let shown = self.shown(Some(&Value::Object(annotations)));
        self.finally_value("annotations", shown);
    }

    fn run(&mut self) {
        self.follow("phase", "/status/phase");
        self.follow("message", "/status/message");
        self.follow("terminate", "/spec/terminate");
        let metrics = self.at_raw("/status/metricResults").cloned();
        for metric in metrics.iter().filter_map(Value::as_array).flatten() {
            self.metric(metric);
        }
        for (field, path) in RUN_FINAL {
            self.finally(field, path);
        }
        self.annotations();
    }

    fn metric(&mut self, metric: &Value) {
        let name = text_at(metric, "/name");
        for part in ["phase", "message", "dryRun"] {
            let value = self.shown(metric.get(part));
            self.follow_value(&format!("metric[{name}].{part}"), value);
        }
        for part in METRIC_FINAL {
            let value = self.shown(metric.get(*part));
            self.finally_value(&format!("metric[{name}].{part}"), value);
        }
        let measurements = metric.get("measurements").and_then(Value::as_array);
        let shown = |measurement: &Value| {
            let parts = ["phase", "value", "message"].map(|part| self.shown(measurement.get(part)));
            parts.join(" ")
        };
        let shown: Vec<String> = measurements.into_iter().flatten().map(shown).collect();
        self.finally_value(&format!("metric[{name}].measurements"), shown.join("; "));
    }

    fn service(&mut self) {
        self.follow("selector", "/spec/selector");
        self.follow(
            "managed-by",
            "/metadata/annotations/argo-rollouts.argoproj.io~1managed-by-rollouts",
        );
    }
}

const ROLLOUT_FOLLOWED: &[(&str, &str)] = &[
    ("phase", "/status/phase"),
    ("message", "/status/message"),
    ("step", "/status/currentStepIndex"),
    ("stepHash", "/status/currentStepHash"),
    ("stableRS", "/status/stableRS"),
    ("currentPodHash", "/status/currentPodHash"),
    ("abort", "/status/abort"),
    ("promoteFull", "/status/promoteFull"),
    ("controllerPause", "/status/controllerPause"),
    ("weights.additional", "/status/canary/weights/additional"),
    ("weights.verified", "/status/canary/weights/verified"),
    ("stablePingPong", "/status/canary/stablePingPong"),
    ("blueGreen.active", "/status/blueGreen/activeSelector"),
    ("blueGreen.preview", "/status/blueGreen/previewSelector"),
    (
        "blueGreen.checkpoint",
        "/status/blueGreen/scaleUpPreviewCheckPoint",
    ),
    ("replicas", "/spec/replicas"),
    ("paused", "/spec/paused"),
];

const ROLLOUT_FINAL: &[(&str, &str)] = &[
    ("status.replicas", "/status/replicas"),
    ("status.updatedReplicas", "/status/updatedReplicas"),
    ("status.readyReplicas", "/status/readyReplicas"),
    ("status.availableReplicas", "/status/availableReplicas"),
    ("status.HPAReplicas", "/status/HPAReplicas"),
    ("status.selector", "/status/selector"),
    ("status.collisionCount", "/status/collisionCount"),
    ("status.abortedAt", "/status/abortedAt"),
    (
        "status.workloadObservedGeneration",
        "/status/workloadObservedGeneration",
    ),
    (
        "revision",
        "/metadata/annotations/rollout.argoproj.io~1revision",
    ),
    (
        "workload-generation",
        "/metadata/annotations/rollout.argoproj.io~1workload-generation",
    ),
    ("spec.image", "/spec/template/spec/containers/0/image"),
    ("spec.labels", "/spec/template/metadata/labels"),
    ("spec.selector", "/spec/selector"),
    ("finalizers", "/metadata/finalizers"),
];

const RUN_STATUSES: &[(&str, &str)] = &[
    ("stepRun", "/status/canary/currentStepAnalysisRunStatus"),
    (
        "backgroundRun",
        "/status/canary/currentBackgroundAnalysisRunStatus",
    ),
    (
        "prePromotionRun",
        "/status/blueGreen/prePromotionAnalysisRunStatus",
    ),
    (
        "postPromotionRun",
        "/status/blueGreen/postPromotionAnalysisRunStatus",
    ),
];

const RUN_FINAL: &[(&str, &str)] = &[
    ("args", "/spec/args"),
    ("metrics", "/spec/metrics"),
    ("dryRun", "/spec/dryRun"),
    ("measurementRetention", "/spec/measurementRetention"),
    ("labels", "/metadata/labels"),
    ("owner", "/metadata/ownerReferences/0/kind"),
    ("runSummary", "/status/runSummary"),
    ("dryRunSummary", "/status/dryRunSummary"),
];

const METRIC_FINAL: &[&str] = &[
    "count",
    "successful",
    "failed",
    "inconclusive",
    "error",
    "consecutiveError",
    "consecutiveSuccess",
    "metadata",
];
