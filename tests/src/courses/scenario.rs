//! What is played: manifests, and actions in their order.
//!
//! The file is `tests/courses/scenarios/NAME.yaml`. `rollout` is laid over a plain Rollout `web` of
//! three pods, `services` and `templates` are short forms; whatever else there is stands under
//! `objects`. `${answers}` becomes the address at which analyses find their answers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::answers::Answer;

/// Where a scenario's text says where answers are.
const ANSWERS: &str = "${answers}";
/// Where a scenario's text says which namespace it is in.
const NAMESPACE: &str = "${namespace}";

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name.
    pub name: String,
    /// The digest of its text: a recording is of one text.
    pub digest: String,
    text: String,
}

/// A scenario for one namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What it is about, in a sentence.
    pub about: String,
    #[serde(default)]
    rollout: Option<Value>,
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    templates: BTreeMap<String, Value>,
    #[serde(default)]
    objects: Vec<Value>,
    /// What is done.
    pub actions: Vec<Action>,
}

/// One thing that is done. Those that do not say to what are done to the Rollout `web`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Waits until fields have these values. A value that begins with `!` is one that the field must
    /// not have, one that ends with `*` need only begin so. `within` is a limit in seconds. The
    /// Rollout's generation must have been observed, unless `~observed` says otherwise.
    Until(BTreeMap<String, Value>),
    /// Waits until nothing has changed for so many seconds.
    Settle(u64),
    /// Another image tag.
    SetImage(String),
    /// A merge patch of the Rollout.
    Change(Value),
    /// A pod template that no node runs.
    NeverReady(String),
    /// `promote`, as Argo's plugin does.
    Promote,
    /// `promote --full`.
    PromoteFull,
    /// `abort`.
    Abort,
    /// `retry`.
    Retry,
    /// `undo` to a revision; 0 is the one before.
    Undo(u64),
    /// Another number of replicas, by the scale subresource.
    Scale(i32),
    /// `pause`.
    Pause,
    /// The end of `pause`.
    Unpause,
    /// `restart`.
    RestartPods,
    /// What analyses measure from now on.
    Answer(BTreeMap<String, Answer>),
    /// `terminate analysisrun`; hashes in the name are symbols.
    Terminate(String),
    /// A merge patch of any object.
    Patch(Target),
    /// A new object, or a new whole of one.
    Apply(Value),
    /// The end of an object.
    Delete(Target),
    /// The controller is killed and started again.
    RestartController,
}

/// Which object, and what of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// A merge patch.
    #[serde(default)]
    pub patch: Value,
}

// === impl Scenario ===

impl Scenario {
    /// All scenarios, by name.
    ///
    /// # Panics
    ///
    /// When one cannot be read.
    pub fn all() -> Vec<Self> {
        let directory = super::directory().join("scenarios");
        let entries = std::fs::read_dir(&directory).expect("the scenarios");
        let mut all: Vec<Self> = entries
            .map(|entry| entry.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
            .map(|path| Self::read(&path))
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a text");
        let name = path.file_stem().expect("a name").to_string_lossy();
        Self {
            name: name.into_owned(),
            digest: hex::encode(&Sha256::digest(text.as_bytes())[..8]),
            text,
        }
    }

    /// The scenario for a namespace whose answers are at that address.
    ///
    /// # Panics
    ///
    /// When the file is wrong.
    pub fn script(&self, namespace: &str, answers: &str) -> Script {
        let text = self
            .text
            .replace(ANSWERS, answers)
            .replace(NAMESPACE, namespace);
        let read = crds::read::documents(&text).map_err(|error| error.to_string());
        let document = read.and_then(|documents| {
            let one = documents.into_iter().next().ok_or("nothing in it")?;
            serde_json::from_value(one).map_err(|error| error.to_string())
        });
        document.unwrap_or_else(|error| panic!("scenario {}: {error}", self.name))
    }

    /// Whether the controller is killed in it.
    pub fn restarts_controller(&self) -> bool {
        self.text.contains("restart-controller")
    }

    /// Whether the proxies have a part in it.
    pub fn is_routed(&self) -> bool {
        self.text.contains("sluice/proxy")
    }
}

// === impl Script ===

impl Script {
    /// The objects that there are in the beginning, in their order.
    pub fn objects(&self) -> Vec<Value> {
        let services = self.services.iter().map(|name| service(name));
        let templates = self.templates.iter().map(|(name, spec)| {
            json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
                "metadata": {"name": name}, "spec": spec,
            })
        });
        let rollout = self.rollout.as_ref().map(|spec| {
            let mut rollout = plain();
            lay_over(&mut rollout, spec);
            rollout
        });
        services
            .chain(templates)
            .chain(self.objects.iter().cloned())
            .chain(rollout)
            .collect()
    }
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

/// A Rollout without a strategy.
fn plain() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}]}]},
            },
        },
    })
}

/// A merge patch (RFC 7386).
fn lay_over(base: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *base = patch.clone();
        return;
    };
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    let Value::Object(base) = base else { return };
    for (key, value) in patch {
        if value.is_null() {
            base.remove(key);
        } else {
            lay_over(base.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
