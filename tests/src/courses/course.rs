//! A course: what happened, per field, as the sequence of its distinct values.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::fields::{self, ABSENT};
use super::symbols::{HASH, Symbols};

/// What happened in one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Course {
    /// Per followed field, its values, each different from the one before.
    pub sequences: BTreeMap<String, Vec<String>>,
    /// Per field, followed or final, its value at the end. What is deleted is not among them.
    pub end: BTreeMap<String, String>,
    /// Why it was not played to its end.
    pub failure: Option<String>,
}

/// A course while it happens.
#[derive(Debug)]
pub struct Happening {
    course: Course,
    symbols: Symbols,
    hidden: BTreeMap<String, String>,
    /// Fields by the object's kind and name, so that they end with it.
    objects: BTreeMap<(String, String), BTreeSet<String>>,
    /// Pods that are there: name, revision and metadata.
    pods: BTreeMap<String, (String, String)>,
    /// Every pod that ever was, by revision.
    made: BTreeMap<String, BTreeSet<String>>,
    /// Events and how often each was counted.
    events: BTreeMap<String, i64>,
}

// === impl Happening ===

impl Happening {
    /// Nothing has happened yet.
    pub fn new(symbols: Symbols) -> Self {
        Self {
            course: Course::default(),
            symbols,
            hidden: BTreeMap::new(),
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            made: BTreeMap::new(),
            events: BTreeMap::new(),
        }
    }

    /// An object was written.
    pub fn written(&mut self, kind: &str, object: &Value) {
        match kind {
            "Event" => return self.event(object),
            "Pod" => return self.pod(object),
            _ => {}
        }
        let Some(fields) = fields::read(kind, object, &mut self.symbols) else {
            return;
        };
        let names = self.objects.entry(identity(kind, object)).or_default();
        let shown = fields.followed.iter().chain(&fields.finals);
        names.extend(shown.map(|(name, _)| name.clone()));
        for (name, value) in &fields.followed {
            follow(&mut self.course.sequences, name, value);
        }
        self.course.end.extend(fields.followed);
        self.course.end.extend(fields.finals);
        self.hidden.extend(fields.hidden);
    }

    /// An object was deleted: its followed fields end with it.
    pub fn deleted(&mut self, kind: &str, object: &Value) {
        if kind == "Pod" {
            self.pods.remove(&identity(kind, object).1);
            return;
        }
        let names = self.objects.remove(&identity(kind, object));
        for name in names.into_iter().flatten() {
            self.course.end.remove(&name);
            if let Some(sequence) = self.course.sequences.get_mut(&name) {
                sequence.push("gone".to_owned());
            }
        }
    }

    fn event(&mut self, event: &Value) {
        let at = |path: &str| {
            event
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let kind = at("/involvedObject/kind");
        if !matches!(kind, "Rollout" | "AnalysisRun" | "Experiment") {
            return;
        }
        let count = event.get("count").and_then(Value::as_i64).unwrap_or(1);
        let known = self.events.insert(at("/metadata/name").to_owned(), count);
        if known.is_some_and(|known| known >= count) {
            return;
        }
        let reason = at("/reason");
        let message = format!("{} {}", at("/type"), self.symbols.text(at("/message")));
        let sequences = &mut self.course.sequences;
        follow(sequences, &format!("events[{kind}]"), reason);
        follow(sequences, &format!("events[{kind}].{reason}"), &message);
    }

    fn pod(&mut self, pod: &Value) {
        let label = format!("/metadata/labels/{HASH}");
        let Some(hash) = pod.pointer(&label).and_then(Value::as_str) else {
            return;
        };
        let revision = self.symbols.hash(hash);
        let name = identity("Pod", pod).1;
        let made = self.made.entry(revision.clone()).or_default();
        made.insert(name.clone());
        let labels = pod.pointer("/metadata/labels").unwrap_or(&Value::Null);
        let labels = self.symbols.value(labels);
        let leaves = pod.pointer("/metadata/deletionTimestamp").is_some();
        if leaves {
            self.pods.remove(&name);
        } else {
            self.pods.insert(name, (revision, labels));
        }
    }

    /// These are the events, not those that were seen.
    pub fn replace_events(&mut self, events: &[Value]) {
        let is_event = |name: &str| name.starts_with("events[");
        self.course.sequences.retain(|name, _| !is_event(name));
        self.events.clear();
        for event in events {
            self.event(event);
        }
    }

    /// The value that a field has now.
    pub fn now(&self, field: &str) -> &str {
        let shown = self.course.end.get(field);
        let value = shown.or_else(|| self.hidden.get(field));
        value.map_or(ABSENT, String::as_str)
    }

    /// A name as it is in the cluster, from one with symbols.
    pub fn name(&self, text: &str) -> String {
        self.symbols.name(text)
    }

    /// What there is now, in lines, for messages.
    pub fn state(&self) -> String {
        let there = self.course.end.iter().filter(|(_, value)| *value != ABSENT);
        let lines: Vec<String> = there
            .map(|(name, value)| format!("      {name}: {value}"))
            .collect();
        lines.join("\n")
    }

    /// What happened.
    pub fn course(&self) -> Course {
        let mut course = self.course.clone();
        for (revision, names) in &self.made {
            let pods = self.pods.values().filter(|(of, _)| of == revision);
            let labels: BTreeSet<&String> = pods.clone().map(|(_, labels)| labels).collect();
            let end = &mut course.end;
            end.insert(format!("{revision}.pods"), pods.count().to_string());
            end.insert(format!("{revision}.pods.labels"), format!("{labels:?}"));
            end.insert(format!("{revision}.pods.made"), names.len().to_string());
        }
        course
    }
}

fn follow(sequences: &mut BTreeMap<String, Vec<String>>, name: &str, value: &str) {
    let sequence = sequences.entry(name.to_owned()).or_default();
    if sequence.last().is_none_or(|last| last != value) {
        sequence.push(value.to_owned());
    }
}

fn identity(kind: &str, object: &Value) -> (String, String) {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    (kind.to_owned(), name.unwrap_or_default().to_owned())
}
