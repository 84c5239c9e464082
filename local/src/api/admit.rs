//! Admission: what happens to an object between a client's words and the store. Its shape is made
//! right (unknown fields go, defaults come), then it is checked, and every cause is told at once.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::crd::{self, Custom};
use super::events;
use super::kinds::{Kind, Kinds, Origin};
use super::object::name;
use super::refuse::{self, Cause, Refusal};
use super::request::Request;

mod built_in;
mod metadata;
mod rules;

/// What to do about fields that nobody knows (`fieldValidation` in the query).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

impl FieldValidation {
    pub(super) fn of(request: &Request) -> Result<Self, Refusal> {
        match request.query.get("fieldValidation").unwrap_or_default() {
            "Ignore" => Ok(Self::Ignore),
            "" | "Warn" => Ok(Self::Warn),
            "Strict" => Ok(Self::Strict),
            other => {
                let accepted = r#""", "Ignore", "Strict", "Warn""#;
                let given = Value::String(other.to_owned());
                let cause = Cause::unsupported("fieldValidation", &given, accepted);
                Err(refuse::invalid_options(&request.method, cause))
            }
        }
    }

    fn judge(self, kind: &Kind, unknown: &[String]) -> Result<Vec<String>, Refusal> {
        let told: Vec<String> = unknown
            .iter()
            .map(|field| format!("unknown field \"{field}\""))
            .collect();
        match self {
            Self::Ignore => Ok(Vec::new()),
            Self::Warn => Ok(told),
            Self::Strict if told.is_empty() => Ok(told),
            Self::Strict => {
                let message = format!(
                    "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                    kind.kind,
                    kind.version,
                    kind.kind,
                    told.join(", ")
                );
                Err(refuse::bad_request(&message))
            }
        }
    }
}

/// How an object comes in.
pub(super) struct Context<'a> {
    pub(super) kind: &'a Kind,
    pub(super) kinds: &'a Kinds,
    pub(super) old: Option<&'a Value>,
    pub(super) validation: FieldValidation,
    pub(super) now: Timestamp,
}

/// Reads an object into its type: unknown fields go, defaults come. Returns warnings.
pub(super) fn decode(object: &mut Value, context: &Context<'_>) -> Result<Vec<String>, Refusal> {
    let kind = context.kind;
    let unknown = match &kind.origin {
        Origin::BuiltIn(shape) => {
            let unknown = reshape(object, kind, *shape)?;
            if kind.is_new_event() {
                *object = events::to_stored(object);
            }
            built_in::fill(kind, object);
            unknown
        }
        Origin::Custom(custom) => reshape_custom(object, kind, custom)?,
    };
    context.validation.judge(kind, &unknown)
}

/// Adds what is the server's to say, and tells everything that is wrong with the object.
pub(super) fn settle(object: &mut Value, context: &Context<'_>) -> Result<(), Refusal> {
    let kind = context.kind;
    if kind.custom().is_none() {
        built_in::assign(kind, object, context.old);
    }
    check(object, context)?;
    if kind.is_crd() {
        crd::default_names(object);
        crd::kinds_of(kind, object)?;
        crd::establish(object, context.kinds, context.now);
    }
    Ok(())
}

fn check(object: &Value, context: &Context<'_>) -> Result<(), Refusal> {
    let mut causes = metadata::check(context.kind, &object["metadata"]);
    match &context.kind.origin {
        Origin::BuiltIn(_) => causes.extend(rules::check(context.kind, object, context.old)),
        Origin::Custom(custom) => causes.extend(custom.schema.check(object, context.old)),
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(refuse::invalid(context.kind, name(object), causes))
    }
}

type Shape = fn(Value) -> Result<Value, serde_json::Error>;

/// Reads an object into its type and back. Returns the paths that got lost on the way.
fn reshape(object: &mut Value, kind: &Kind, shape: Shape) -> Result<Vec<String>, Refusal> {
    let shaped = shape(object.clone()).map_err(|error| {
        refuse::bad_request(&format!(
            "{} in version {:?} cannot be handled as a {}: {error}",
            kind.kind, kind.version, kind.kind
        ))
    })?;
    let mut unknown = Vec::new();
    lost(object, &shaped, "", &mut unknown);
    *object = shaped;
    Ok(unknown)
}

fn lost(before: &Value, after: &Value, at: &str, unknown: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before.iter().filter(|(_, value)| !value.is_null()) {
                let below = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                match after.get(key) {
                    Some(kept) => lost(value, kept, &below, unknown),
                    None => unknown.push(below),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                lost(before, after, &format!("{at}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

fn reshape_custom(
    object: &mut Value,
    kind: &Kind,
    custom: &Custom,
) -> Result<Vec<String>, Refusal> {
    let written = object["metadata"].take();
    let metadata: ObjectMeta = serde_json::from_value(written.clone()).map_err(|error| {
        refuse::bad_request(&format!("{}: metadata cannot be read: {error}", kind.kind))
    })?;
    object["metadata"] =
        serde_json::to_value(metadata).map_err(|error| refuse::internal(&error.to_string()))?;
    let mut unknown = Vec::new();
    lost(&written, &object["metadata"], "metadata", &mut unknown);
    unknown.extend(custom.schema.prune(object));
    custom.schema.fill(object);
    Ok(unknown)
}
