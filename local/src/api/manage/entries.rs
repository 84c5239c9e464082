//! `metadata.managedFields` as it is worked on: who manages which fields, and since when.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::set::Set;
use crate::api::crd::stamp;
use crate::api::object::text;

/// The most entries of updates; more are thrown together under [`ANCIENT`], as Kubernetes does.
const MOST_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

pub(super) const APPLY: &str = "Apply";
pub(super) const UPDATE: &str = "Update";

/// Who wrote, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) manager: String,
    pub(super) operation: &'static str,
    pub(super) version: String,
    pub(super) subresource: String,
}

/// What one of them manages.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) who: Who,
    pub(super) time: Option<String>,
    pub(super) fields: Set,
}

/// Every entry of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(pub(super) Vec<Entry>);

impl Who {
    /// Somebody who applies is the same in every version.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == APPLY || self.version == other.version)
    }

    /// As it stands in a conflict.
    pub(super) fn told(&self) -> String {
        let mut told = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            told = format!("{told} with subresource {:?}", self.subresource);
        }
        if self.operation == UPDATE {
            told = format!("{told} using {}", self.version);
        }
        told
    }
}

impl Entries {
    /// Reads them. Nothing where they cannot be read.
    pub(super) fn read(managed: &Value) -> Option<Self> {
        let Some(listed) = managed.as_array() else {
            return Some(Self::default());
        };
        listed.iter().map(read_one).collect::<Option<_>>().map(Self)
    }

    /// The entries as they are kept: applied ones first, then by age.
    pub(super) fn written(mut self) -> Value {
        self.0.retain(|entry| !entry.fields.is_empty());
        self.0.sort_by(|one, other| {
            let key = |entry: &Entry| {
                let who = &entry.who;
                (
                    who.operation,
                    entry.time.clone(),
                    who.manager.clone(),
                    who.version.clone(),
                    who.subresource.clone(),
                )
            };
            key(one).cmp(&key(other))
        });
        Value::Array(self.0.iter().map(write_one).collect())
    }

    pub(super) fn of(&mut self, who: &Who) -> Option<&mut Entry> {
        self.0.iter_mut().find(|entry| entry.who.is(who))
    }

    /// Gives fields to somebody, beside what they have.
    pub(super) fn give(&mut self, who: &Who, fields: Set, now: Timestamp) {
        let time = Some(stamp(now));
        match self.of(who) {
            Some(entry) => {
                entry.fields.add(fields);
                entry.time = time;
            }
            None => self.0.push(Entry {
                who: who.clone(),
                time,
                fields,
            }),
        }
    }

    /// Throws the oldest updaters together where there are too many.
    pub(super) fn cap(&mut self) {
        let updaters = |entries: &[Entry]| {
            entries
                .iter()
                .filter(|entry| entry.who.operation == UPDATE && !entry.fields.is_empty())
                .count()
        };
        while updaters(&self.0) > MOST_UPDATERS {
            let mut oldest: Vec<usize> = (0..self.0.len())
                .filter(|at| self.0[*at].who.operation == UPDATE)
                .collect();
            oldest.sort_by_key(|at| (self.0[*at].time.clone(), self.0[*at].who.manager.clone()));
            let [first, second] = oldest[..2] else { return };
            let (mut first, second) = (self.0[first].clone(), self.0[second].clone());
            self.0
                .retain(|entry| entry.who != first.who && entry.who != second.who);
            first.fields.add(second.fields);
            first.time = second.time;
            first.who.manager = ANCIENT.to_owned();
            first.who.subresource = String::new();
            self.0.push(first);
        }
    }
}

fn read_one(entry: &Value) -> Option<Entry> {
    let operation = match text(entry, "/operation") {
        APPLY => APPLY,
        UPDATE => UPDATE,
        _ => return None,
    };
    Some(Entry {
        who: Who {
            manager: text(entry, "/manager").to_owned(),
            operation,
            version: text(entry, "/apiVersion").to_owned(),
            subresource: text(entry, "/subresource").to_owned(),
        },
        time: entry["time"].as_str().map(str::to_owned),
        fields: Set::parse(&entry["fieldsV1"])?,
    })
}

fn write_one(entry: &Entry) -> Value {
    let who = &entry.who;
    let mut written = json!({
        "manager": who.manager, "operation": who.operation, "apiVersion": who.version,
    });
    if let Some(time) = &entry.time {
        written["time"] = json!(time);
    }
    written["fieldsType"] = json!("FieldsV1");
    written["fieldsV1"] = entry.fields.print();
    if !who.subresource.is_empty() {
        written["subresource"] = json!(who.subresource);
    }
    written
}
