//! How a place in an object merges: as a whole, field by field, entry by entry. Built-in kinds say so
//! in the table of [`messages`], custom ones in their schema, and what no schema describes merges by
//! what is there: objects field by field, lists as a whole.

use serde_json::Value;

use super::set::entry;
use crate::api::kinds::Kind;
use crate::api::messages::{self, Field, Key, Message, Shape};
use crate::api::schema::{ListType, Merges, Schema};

/// A place in an object, seen through its type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'a> {
    /// Written as a whole, whatever it is.
    Leaf,
    /// One plain value.
    Plain(Type),
    /// Of no known type.
    Open,
    Message(&'static Message),
    /// A whole object of a built-in kind.
    BuiltIn(&'static Message),
    /// Free keys, with values of one kind.
    Map(&'static str),
    /// A list of entries with keys, or a set where there are none.
    List(&'static [Key], &'static str),
    /// A custom object, whose metadata is as everywhere.
    Custom(&'a Schema),
    Schema(&'a Schema),
}

/// What a plain value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Flag,
}

/// How a value at a place is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Leaf,
    Fields,
    Items,
}

static WHOLE: Value = Value::Null;

impl<'a> Node<'a> {
    /// The place of a whole object.
    pub(super) fn of(kind: &'a Kind) -> Self {
        match kind.custom() {
            Some(custom) => Self::Custom(&custom.schema),
            // Events of the newer kind are kept as the older one.
            None if kind.is_new_event() => {
                messages::message("core/Event").map_or(Self::Open, Self::BuiltIn)
            }
            None => messages::message(&messages::name_of(&kind.group, &kind.kind))
                .map_or(Self::Open, Self::BuiltIn),
        }
    }

    /// How values at this place are taken apart; null and missing ones take the form of the place.
    pub(super) fn form(self, value: Option<&Value>) -> Form {
        let of_place = self.own_form();
        match (of_place, value) {
            (form, None | Some(Value::Null)) => form.unwrap_or(Form::Leaf),
            (Some(Form::Fields) | None, Some(Value::Object(_))) => Form::Fields,
            (Some(Form::Items), Some(Value::Array(_))) => Form::Items,
            _ => Form::Leaf,
        }
    }

    /// Nothing where it depends on what is there.
    fn own_form(self) -> Option<Form> {
        Some(match self {
            Self::Leaf | Self::Plain(_) => Form::Leaf,
            Self::Open => return None,
            Self::Message(_) | Self::BuiltIn(_) | Self::Map(_) | Self::Custom(_) => Form::Fields,
            Self::List(..) => Form::Items,
            Self::Schema(schema) => match schema.merges() {
                Merges::Whole => Form::Leaf,
                Merges::Fields => Form::Fields,
                Merges::Items => Form::Items,
                Merges::ByValue => return None,
            },
        })
    }

    /// The place of a field, and whether the type declares it.
    pub(super) fn field(self, name: &str) -> (Self, bool) {
        match self {
            Self::Message(message) => message
                .field(name)
                .map_or((Self::Open, false), |field| (of_field(field), true)),
            Self::BuiltIn(message) => match name {
                "apiVersion" | "kind" => (Self::Leaf, true),
                _ => Self::Message(message).field(name),
            },
            Self::Map(kind) => (of_kind(kind), false),
            Self::Custom(schema) => match name {
                "apiVersion" | "kind" => (Self::Leaf, true),
                "metadata" => (of_kind("meta/ObjectMeta"), true),
                _ => in_schema(schema, name),
            },
            Self::Schema(schema) => in_schema(schema, name),
            Self::Leaf | Self::Plain(_) | Self::Open | Self::List(..) => (Self::Open, false),
        }
    }

    /// What Kubernetes has where an object shows nothing: the Go value that is always there.
    pub(super) fn absent(self, name: &str) -> Option<&'static Value> {
        let (Self::Message(message) | Self::BuiltIn(message)) = self else {
            return None;
        };
        let field = message.field(name)?;
        field.always.then_some(&WHOLE)
    }

    /// Does the type say all of the fields that there can be?
    pub(super) fn is_closed(self) -> bool {
        match self {
            Self::Message(_) | Self::BuiltIn(_) => true,
            Self::Custom(schema) | Self::Schema(schema) => schema.is_closed(),
            _ => false,
        }
    }

    /// What Kubernetes would have expected instead of a value, if it does not fit.
    pub(super) fn wants(self, value: &Value) -> Option<&'static str> {
        let plain = match self {
            Self::Plain(plain) => plain,
            Self::Schema(schema) => match schema.plain()? {
                "string" => Type::Text,
                "boolean" => Type::Flag,
                _ => Type::Number,
            },
            Self::Message(_) | Self::Map(_) => {
                let fits = value.is_object() || value.is_null();
                return (!fits).then_some("map");
            }
            Self::List(..) => {
                let fits = value.is_array() || value.is_null();
                return (!fits).then_some("list");
            }
            _ => return None,
        };
        let (fits, wanted) = match plain {
            Type::Text => (value.is_string(), "string"),
            Type::Number => (value.is_number(), "numeric (int or float)"),
            Type::Flag => (value.is_boolean(), "boolean"),
        };
        (!fits && !value.is_null()).then_some(wanted)
    }

    /// The place of the entries of a list.
    pub(super) fn item(self) -> Self {
        match self {
            Self::List(_, kind) => of_kind(kind),
            Self::Schema(schema) => schema.items().map_or(Self::Open, Self::Schema),
            _ => Self::Open,
        }
    }

    /// The place behind an edge of a set, and whether the edge is a declared field.
    pub(super) fn below(self, edge: &str) -> (Self, bool) {
        match edge.strip_prefix("f:") {
            Some(name) => self.field(name),
            None => (self.item(), false),
        }
    }

    /// The edge by which an entry of a list is known. Nothing for one without its keys.
    pub(super) fn edge(self, item: &Value) -> Option<String> {
        let of_keys = |keys: &[Key]| {
            let found = keys.iter().filter_map(|key| {
                let value = item.get(&key.name).or(key.default.as_ref())?;
                Some((key.name.clone(), value.clone()))
            });
            let found: Vec<(String, Value)> = found.collect();
            (item.is_object() && !found.is_empty()).then(|| entry(found))
        };
        let of_value = || {
            (!item.is_object() && !item.is_array() && !item.is_null()).then(|| format!("v:{item}"))
        };
        match self {
            Self::List([], _) => of_value(),
            Self::List(keys, _) => of_keys(keys),
            Self::Schema(schema) => match schema.list() {
                ListType::Map(keys) => of_keys(keys),
                ListType::Set => of_value(),
                ListType::Atomic => None,
            },
            _ => None,
        }
    }
}

fn of_field(field: &'static Field) -> Node<'static> {
    match &field.shape {
        Shape::One => of_kind(field.kind),
        Shape::List | Shape::Map { atomic: true } => Node::Leaf,
        Shape::Set => Node::List(&[], field.kind),
        Shape::Entries(keys) => Node::List(keys, field.kind),
        Shape::Map { atomic: false } => Node::Map(field.kind),
    }
}

fn of_kind(kind: &'static str) -> Node<'static> {
    match (kind, messages::message(kind)) {
        (_, Some(message)) if !message.atomic => Node::Message(message),
        ("string" | "bytes" | "time" | "microtime", _) => Node::Plain(Type::Text),
        ("int", _) => Node::Plain(Type::Number),
        ("bool", _) => Node::Plain(Type::Flag),
        _ => Node::Leaf,
    }
}

fn in_schema<'a>(schema: &'a Schema, name: &str) -> (Node<'a>, bool) {
    match (schema.property(name), schema.values()) {
        (Some(property), _) => (Node::Schema(property), true),
        (None, Some(each)) => (Node::Schema(each), false),
        (None, None) => (Node::Open, false),
    }
}
