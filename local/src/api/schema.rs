//! Structural schemas of CustomResourceDefinitions: compiled once when a definition is stored, then
//! used for every write in this order, as Kubernetes does it: [`prune`](Schema::prune) what the
//! schema does not name, [`default`](Schema::fill) what is missing, [`check`](Schema::check) the rest.

use regex::Regex;
use serde_json::Value;

use super::messages::Key;
use super::refuse::Cause;

mod check;
mod shape;

/// A compiled schema of one node.
#[derive(Debug, Default)]
pub(super) struct Schema {
    kind: Option<Kind>,
    /// In the order in which they are written.
    properties: Vec<(String, Schema)>,
    additional: Additional,
    items: Option<Box<Schema>>,
    required: Vec<String>,
    default: Option<Value>,
    nullable: bool,
    int_or_string: bool,
    keep_unknown: bool,
    embedded: bool,
    list: ListType,
    /// `x-kubernetes-map-type: atomic`.
    atomic: bool,
    /// The message of the rule `self == oldSelf`.
    immutable: Option<String>,
    limits: Limits,
    all_of: Vec<Schema>,
    any_of: Vec<Schema>,
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// What `additionalProperties` says.
#[derive(Debug, Default)]
enum Additional {
    #[default]
    None,
    Any,
    Each(Box<Schema>),
}

/// Lists that are sets or maps may not hold an entry twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<Key>),
}

/// How a value takes what several people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merges {
    Whole,
    Fields,
    Items,
    /// The schema does not say what it is: objects by their fields, anything else as a whole.
    ByValue,
}

/// The bounds on a value.
#[derive(Debug, Default)]
struct Limits {
    allowed: Option<Vec<Value>>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    exclusive_minimum: bool,
    exclusive_maximum: bool,
    multiple_of: Option<f64>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    unique_items: bool,
    min_properties: Option<usize>,
    max_properties: Option<usize>,
    pattern: Option<Regex>,
    format: Option<String>,
}

/// Why a schema was not taken.
#[derive(Debug)]
pub(super) enum SchemaError {
    /// It is wrong.
    Wrong(Cause),
    /// It is right, but this server cannot do it.
    NotDone(String),
}

impl Schema {
    /// Compiles what stands under `openAPIV3Schema`.
    pub(super) fn compile(written: &Value, at: &str) -> Result<Self, SchemaError> {
        let children = |key: &str| -> Result<Vec<Self>, SchemaError> {
            let listed = written[key].as_array().into_iter().flatten().enumerate();
            listed
                .map(|(i, one)| Self::compile(one, &format!("{at}.{key}[{i}]")))
                .collect()
        };
        let child = |key: &str| -> Result<Option<Box<Self>>, SchemaError> {
            let Some(one) = written.get(key).filter(|one| one.is_object()) else {
                return Ok(None);
            };
            Ok(Some(Box::new(Self::compile(one, &format!("{at}.{key}"))?)))
        };
        let flag = |key: &str| written[key] == Value::Bool(true);
        Ok(Self {
            kind: kind_of(written, at)?,
            properties: properties_of(written, at)?,
            additional: additional_of(written, at)?,
            items: child("items")?,
            required: texts(&written["required"]),
            default: written
                .get("default")
                .filter(|value| !value.is_null())
                .cloned(),
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            keep_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            list: list_of(written),
            atomic: written["x-kubernetes-map-type"] == "atomic",
            immutable: rule_of(written, at)?,
            limits: Limits::compile(written, at)?,
            all_of: children("allOf")?,
            any_of: children("anyOf")?,
            one_of: children("oneOf")?,
            not: child("not")?,
        })
    }

    pub(super) fn property(&self, key: &str) -> Option<&Self> {
        self.properties
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, schema)| schema)
    }

    /// The schema of keys that are no properties.
    pub(super) fn values(&self) -> Option<&Self> {
        match &self.additional {
            Additional::Each(schema) => Some(schema),
            Additional::None | Additional::Any => None,
        }
    }

    pub(super) fn items(&self) -> Option<&Self> {
        self.items.as_deref()
    }

    pub(super) fn list(&self) -> &ListType {
        &self.list
    }

    /// Are all fields that there can be among the properties?
    pub(super) fn is_closed(&self) -> bool {
        !self.keep_unknown && matches!(self.additional, Additional::None)
    }

    /// The name of the type of a plain value.
    pub(super) fn plain(&self) -> Option<&'static str> {
        match self.kind {
            _ if self.int_or_string => None,
            Some(Kind::String) => Some("string"),
            Some(Kind::Boolean) => Some("boolean"),
            Some(Kind::Integer | Kind::Number) => Some("number"),
            Some(Kind::Object | Kind::Array) | None => None,
        }
    }

    pub(super) fn merges(&self) -> Merges {
        match self.kind {
            _ if self.int_or_string => Merges::Whole,
            None => Merges::ByValue,
            Some(Kind::Object) if !self.atomic => Merges::Fields,
            Some(Kind::Array) if self.list != ListType::Atomic => Merges::Items,
            Some(_) => Merges::Whole,
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn kind_of(written: &Value, at: &str) -> Result<Option<Kind>, SchemaError> {
    Ok(Some(match written["type"].as_str() {
        None | Some("") => return Ok(None),
        Some("object") => Kind::Object,
        Some("array") => Kind::Array,
        Some("string") => Kind::String,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        Some(_) => {
            let accepted =
                "\"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"";
            let field = format!("{at}.type");
            return Err(SchemaError::Wrong(Cause::unsupported(
                &field,
                &written["type"],
                accepted,
            )));
        }
    }))
}

fn properties_of(written: &Value, at: &str) -> Result<Vec<(String, Schema)>, SchemaError> {
    let properties = written["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, one)| {
            Ok((
                name.clone(),
                Schema::compile(one, &format!("{at}.properties[{name}]"))?,
            ))
        })
        .collect()
}

fn additional_of(written: &Value, at: &str) -> Result<Additional, SchemaError> {
    Ok(match &written["additionalProperties"] {
        Value::Bool(true) => Additional::Any,
        one @ Value::Object(_) => Additional::Each(Box::new(Schema::compile(
            one,
            &format!("{at}.additionalProperties"),
        )?)),
        _ => Additional::None,
    })
}

fn list_of(written: &Value) -> ListType {
    match written["x-kubernetes-list-type"].as_str() {
        Some("set") => ListType::Set,
        Some("map") => {
            let names = texts(&written["x-kubernetes-list-map-keys"]);
            let keys = names.into_iter().map(|name| Key {
                default: written["items"]["properties"][&name]
                    .get("default")
                    .cloned(),
                name,
            });
            ListType::Map(keys.collect())
        }
        _ => ListType::Atomic,
    }
}

/// Kubernetes evaluates CEL here. This server knows the one rule that our own kinds use; a rule
/// that it would have to skip makes it refuse the definition, as skipping it would be a lie.
fn rule_of(written: &Value, at: &str) -> Result<Option<String>, SchemaError> {
    let rules = written["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten();
    let mut message = None;
    for rule in rules {
        let text = rule["rule"].as_str().unwrap_or_default();
        if text.trim() != "self == oldSelf" {
            return Err(SchemaError::NotDone(format!(
                "{at}.x-kubernetes-validations: the rule {text:?} is not built; \"self == oldSelf\" is"
            )));
        }
        let said = rule["message"]
            .as_str()
            .unwrap_or("failed rule: self == oldSelf");
        message = Some(said.to_owned());
    }
    Ok(message)
}

impl Limits {
    fn compile(written: &Value, at: &str) -> Result<Self, SchemaError> {
        let size = |key: &str| {
            written[key]
                .as_u64()
                .and_then(|size| usize::try_from(size).ok())
        };
        let flag = |key: &str| written[key] == Value::Bool(true);
        let pattern = match written["pattern"].as_str() {
            None | Some("") => None,
            Some(text) => Some(Regex::new(text).map_err(|error| {
                let field = format!("{at}.pattern");
                SchemaError::Wrong(Cause::invalid(
                    &field,
                    &written["pattern"],
                    &error.to_string(),
                ))
            })?),
        };
        Ok(Self {
            allowed: written["enum"].as_array().cloned(),
            minimum: written["minimum"].as_f64(),
            maximum: written["maximum"].as_f64(),
            exclusive_minimum: flag("exclusiveMinimum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: written["multipleOf"].as_f64(),
            min_length: size("minLength"),
            max_length: size("maxLength"),
            min_items: size("minItems"),
            max_items: size("maxItems"),
            unique_items: flag("uniqueItems"),
            min_properties: size("minProperties"),
            max_properties: size("maxProperties"),
            pattern,
            format: written["format"].as_str().map(str::to_owned),
        })
    }
}
