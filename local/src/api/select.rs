//! Label and field selectors: which objects of a list or a watch are meant.

use serde_json::Value;

use super::kinds::Kind;
use super::object::text;
use super::refuse::{self, Refusal};

/// Both selectors together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTest>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTest {
    pointer: String,
    value: String,
    equal: bool,
}

/// Fields that can be selected on every kind, and on some.
const EVERYWHERE: &[&str] = &["metadata.name", "metadata.namespace"];
const SOMEWHERE: &[(&str, &[&str])] = &[
    (
        "pods",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
    ),
    (
        "events",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    ("secrets", &["type"]),
    ("namespaces", &["status.phase"]),
    ("nodes", &["spec.unschedulable"]),
    ("services", &["spec.clusterIP", "spec.type"]),
    ("replicasets.apps", &["status.replicas"]),
    ("jobs.batch", &["status.successful"]),
];

impl Selector {
    /// The selector of labels alone.
    pub(super) fn of_labels(labels: &str) -> Result<Self, Refusal> {
        let labels = split_top(labels)
            .into_iter()
            .map(requirement)
            .collect::<Result<_, _>>()?;
        let fields = Vec::new();
        Ok(Self { labels, fields })
    }

    pub(super) fn parse(labels: &str, fields: &str, kind: &Kind) -> Result<Self, Refusal> {
        let Self { labels, .. } = Self::of_labels(labels)?;
        let fields = fields
            .split(',')
            .filter(|part| !part.trim().is_empty())
            .map(|part| field_test(part.trim(), kind))
            .collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|one| one.matches(object))
            && self.fields.iter().all(|one| one.matches(object))
    }
}

impl Requirement {
    fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| {
            object
                .get("metadata")?
                .get("labels")?
                .get(key)
                .and_then(Value::as_str)
        };
        match self {
            Self::In(key, values) => label(key).is_some_and(|has| values.iter().any(|v| v == has)),
            Self::NotIn(key, values) => {
                label(key).is_none_or(|has| values.iter().all(|v| v != has))
            }
            Self::Exists(key) => label(key).is_some(),
            Self::Missing(key) => label(key).is_none(),
        }
    }
}

impl FieldTest {
    fn matches(&self, object: &Value) -> bool {
        let equal = match object.pointer(&self.pointer) {
            Some(Value::Bool(flag)) => self.value == flag.to_string(),
            Some(Value::Number(number)) => self.value == number.to_string(),
            Some(Value::Object(source)) => {
                self.value
                    == source
                        .get("component")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
            }
            _ => self.value == text(object, &self.pointer),
        };
        equal == self.equal
    }
}

/// Splits at commas outside parentheses.
fn split_top(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, char) in text.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

fn requirement(text: &str) -> Result<Requirement, Refusal> {
    let wrong = || {
        refuse::bad_request(&format!(
            "unable to parse requirement: {text:?}: key, !key, key=value, key!=value, key in (a,b) and key notin (a,b) are accepted"
        ))
    };
    let key = |key: &str| -> Result<String, Refusal> {
        let key = key.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if !key.is_empty() && key.chars().all(plain) {
            Ok(key.to_owned())
        } else {
            Err(wrong())
        }
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((before, set)) = text.split_once('(') {
        let inner = set.strip_suffix(')').ok_or_else(wrong)?;
        let values = inner
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        return match before.trim().rsplit_once(char::is_whitespace) {
            Some((name, "in")) => Ok(Requirement::In(key(name)?, values)),
            Some((name, "notin")) => Ok(Requirement::NotIn(key(name)?, values)),
            _ => Err(wrong()),
        };
    }
    if let [_, "in" | "notin", found, ..] = text.split_whitespace().collect::<Vec<_>>()[..] {
        let why = format!("unable to parse requirement: found '{found}' expected: '('");
        return Err(refuse::bad_request(&why));
    }
    if let Some((name, value)) = text.split_once("!=") {
        return Ok(Requirement::NotIn(key(name)?, one(value)));
    }
    if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Requirement::In(key(name)?, one(value)));
    }
    match text.strip_prefix('!') {
        Some(name) => Ok(Requirement::Missing(key(name)?)),
        None => Ok(Requirement::Exists(key(text)?)),
    }
}

fn field_test(text: &str, kind: &Kind) -> Result<FieldTest, Refusal> {
    let (field, value, equal) = if let Some((field, value)) = text.split_once("!=") {
        (field, value, false)
    } else if let Some((field, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (field, value, true)
    } else {
        let why = format!("invalid selector: '{text}'; can't understand '{text}'");
        return Err(refuse::bad_request(&why));
    };
    // The newer kind of Event calls its object differently; both are stored as the older one.
    let older = field.replace("regarding.", "involvedObject.");
    let field = if older == "reportingController" {
        "reportingComponent"
    } else {
        &older
    };
    let mut here = SOMEWHERE
        .iter()
        .filter(|(name, _)| *name == &*kind.place)
        .flat_map(|(_, all)| *all)
        .peekable();
    let knows_more = here.peek().is_some() || kind.custom().is_some();
    if !EVERYWHERE.iter().chain(here).any(|known| *known == field) {
        let why = if knows_more {
            format!("field label not supported: {field}")
        } else {
            format!(
                "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            )
        };
        return Err(refuse::bad_request(&why));
    }
    let pointer = format!("/{}", field.replace('.', "/"));
    Ok(FieldTest {
        pointer,
        value: value.to_owned(),
        equal,
    })
}
