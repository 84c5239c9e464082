//! The messages of the built-in kinds as a table: what their fields are called, how protobuf numbers
//! them, and how each merges when several people write it. The table is `messages.txt`.

use std::collections::HashMap;
use std::sync::OnceLock;

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    /// Whoever writes any of it writes all of it.
    pub(super) atomic: bool,
    fields: Vec<Field>,
}

/// One field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u64,
    /// `*` for a message whose fields stand in their parent.
    pub(super) name: &'static str,
    /// In protobuf a zero stands for nothing at all.
    pub(super) zero_is_nothing: bool,
    /// Kubernetes has it even where an object does not show it: a Go value and no pointer.
    pub(super) always: bool,
    pub(super) shape: Shape,
    /// `string`, `int`, …, or the name of a message.
    pub(super) kind: &'static str,
}

/// How many of a kind a field holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    /// A list that is written as a whole.
    List,
    /// A list of plain values, each there once.
    Set,
    /// A list of entries, each known by these fields of its own.
    Entries(Vec<Key>),
    Map {
        atomic: bool,
    },
}

/// A field by which entries of a list are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    /// What counts where an entry leaves it out.
    pub(super) default: Option<serde_json::Value>,
}

/// The message called `name`, such as `core/PodSpec`.
pub(super) fn message(name: &str) -> Option<&'static Message> {
    static MESSAGES: OnceLock<HashMap<&'static str, Message>> = OnceLock::new();
    let messages = MESSAGES.get_or_init(|| {
        let lines = include_str!("messages.txt").lines();
        lines
            .filter(|line| !line.starts_with('#'))
            .filter_map(parse_line)
            .collect()
    });
    messages.get(name)
}

/// The name of the message of a kind.
pub(super) fn name_of(group: &str, kind: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    format!("{group}/{kind}")
}

impl Message {
    pub(super) fn numbered(&self, number: u64) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// The field that JSON calls `name`, wherever it stands.
    pub(super) fn field(&'static self, name: &str) -> Option<&'static Field> {
        let own = self.fields.iter().find(|field| field.name == name);
        own.or_else(|| {
            let inner = self.fields.iter().filter(|field| field.name == "*");
            inner
                .filter_map(|field| message(field.kind))
                .find_map(|inner| inner.field(name))
        })
    }
}

fn parse_line(line: &'static str) -> Option<(&'static str, Message)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let fields = words.filter_map(parse_field).collect();
    let (name, atomic) = match name.strip_suffix('!') {
        Some(name) => (name, true),
        None => (name, false),
    };
    Some((name, Message { atomic, fields }))
}

fn parse_field(word: &'static str) -> Option<Field> {
    let mut parts = word.splitn(3, ':');
    let (number, name, kind) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    let zero_is_nothing = kind.starts_with('~');
    let marked = zero_is_nothing || kind.starts_with('+');
    let (shape, kind) = parse_shape(kind.trim_start_matches(['~', '+']));
    let always = match shape {
        Shape::One => marked && kind.contains('/'),
        _ => !zero_is_nothing,
    };
    Some(Field {
        number,
        name,
        zero_is_nothing,
        always,
        shape,
        kind,
    })
}

fn parse_shape(kind: &'static str) -> (Shape, &'static str) {
    if let Some(kind) = kind.strip_prefix("{}") {
        return (Shape::Map { atomic: false }, kind);
    }
    if let Some(kind) = kind.strip_prefix("{!}") {
        return (Shape::Map { atomic: true }, kind);
    }
    let Some((keys, kind)) = kind.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return (Shape::One, kind);
    };
    let shape = match keys {
        "" => Shape::List,
        "=" => Shape::Set,
        keys => Shape::Entries(keys.split(',').map(parse_key).collect()),
    };
    (shape, kind)
}

fn parse_key(key: &str) -> Key {
    let (name, default) = match key.split_once('=') {
        Some((name, default)) => (name, Some(serde_json::Value::String(default.to_owned()))),
        None => (key, None),
    };
    Key {
        name: name.to_owned(),
        default,
    }
}
