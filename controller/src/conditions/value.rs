//! Values, with the types that Argo's engine would see.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use jiff::Timestamp;

/// A value of the language. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Value {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A Go `int`: literals, lengths, `asInt`.
    Int(i64),
    /// A Go `float64`: everything that was measured.
    Float(f64),
    /// A string.
    Text(Arc<str>),
    /// A list.
    List(List),
    /// A map of anything.
    Map(Arc<BTreeMap<String, Value>>),
    /// A point in time.
    Time(Timestamp),
    /// A Go `time.Duration`, in nanoseconds.
    Duration(i64),
}

/// A list of anything, or of floats only, as a vector of Prometheus is.
#[derive(Clone, Debug)]
pub struct List {
    items: Arc<Vec<Value>>,
    floats: bool,
}

// === impl List ===

impl List {
    /// Whether the engine knows that every item is a float.
    pub(super) fn is_of_floats(&self) -> bool {
        self.floats
    }

    /// A part of it, of the same type.
    pub(super) fn part(&self, range: Range<usize>) -> Self {
        let items = self.items.get(range).unwrap_or_default();
        Self {
            items: Arc::new(items.to_vec()),
            floats: self.floats,
        }
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

// === impl Value ===

impl Value {
    /// A string.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A list.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List {
            items: Arc::new(items),
            floats: false,
        })
    }

    /// A list of floats, a Go `[]float64`.
    pub fn floats(items: impl IntoIterator<Item = f64>) -> Self {
        Self::List(List {
            items: Arc::new(items.into_iter().map(Self::Float).collect()),
            floats: true,
        })
    }

    /// The Go type, as `%T` prints it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(list) if list.floats => "[]float64",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
        }
    }

    /// Whether there is no data: nil or an empty list.
    pub fn is_nil_or_empty(&self) -> bool {
        match self {
            Self::Nil => true,
            Self::List(items) => items.is_empty(),
            _ => false,
        }
    }

    /// The number, where it is one.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// Equality as the engine has it: numbers by value, everything else by type and content.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) | (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Int(_) | Self::Float(_), Self::Int(_) | Self::Float(_)) => {
                self.number() == other.number()
            }
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b))
            }
            (Self::Map(a), Self::Map(b)) => {
                let same = |((key, a), (other, b)): ((&String, &Self), (&String, &Self))| {
                    key == other && a.equals(b)
                };
                a.len() == b.len() && a.iter().zip(b.iter()).all(same)
            }
            (Self::Time(a), Self::Time(b)) => a == b,
            _ => false,
        }
    }

    /// As JSON; what JSON cannot say is null.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Nil => serde_json::Value::Null,
            Self::Bool(answer) => (*answer).into(),
            Self::Int(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Text(text) => text.as_ref().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, value)| (key.clone(), value.to_json()));
                serde_json::Value::Object(fields.collect())
            }
            Self::Time(time) => time.to_string().into(),
            Self::Duration(nanoseconds) => (*nanoseconds).into(),
        }
    }
}

/// Measured JSON. Its numbers are floats, as Go decodes them.
impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Nil,
            serde_json::Value::Bool(answer) => Self::Bool(*answer),
            serde_json::Value::Number(number) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => Self::text(text.as_str()),
            serde_json::Value::Array(items) => Self::list(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::from(value)));
                Self::Map(Arc::new(fields.collect()))
            }
        }
    }
}

/// As Go's `%v` prints it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("<nil>"),
            Self::Bool(answer) => write!(f, "{answer}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) if number.is_infinite() => {
                f.write_str(if *number > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Float(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::List(_) | Self::Map(_) => write!(f, "{}", self.to_json()),
            Self::Time(time) => write!(f, "{time}"),
            Self::Duration(nanoseconds) => {
                write!(
                    f,
                    "{}",
                    crds::duration::GoDuration::from_nanoseconds(*nanoseconds)
                )
            }
        }
    }
}
