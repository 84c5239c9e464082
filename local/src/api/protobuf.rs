//! Reading protobuf bodies. Go clients (`kubectl create`, most controllers) send built-in kinds as
//! protobuf since Kubernetes 1.32; answers are JSON, which they accept. The messages are a table
//! ([`messages`]), so that this is one small reader instead of two hundred generated types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::messages::{self, Shape};
use super::object::text;
use wire::{Field, Reader};

mod wire;

/// The content type of Kubernetes' envelope.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every envelope begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Messages within messages: deeper than any of Kubernetes' own.
const DEEPEST: usize = 64;

/// Why a body could not be read.
pub(super) type Unreadable = String;

/// Reads an object out of its envelope.
pub(super) fn read(body: &[u8]) -> Result<Value, Unreadable> {
    let body = body
        .strip_prefix(MAGIC)
        .ok_or("the body has no Kubernetes envelope")?;
    let mut envelope = Map::new();
    let mut raw: &[u8] = &[];
    for field in Reader::new(body) {
        match field? {
            Field {
                number: 1,
                bytes: Some(bytes),
                ..
            } => {
                for field in Reader::new(bytes) {
                    let field = field?;
                    let name = if field.number == 1 {
                        "apiVersion"
                    } else {
                        "kind"
                    };
                    envelope.insert(name.to_owned(), scalar("string", &field)?);
                }
            }
            Field {
                number: 2,
                bytes: Some(bytes),
                ..
            } => raw = bytes,
            _ => {}
        }
    }
    let envelope = Value::Object(envelope);
    let name = message_name(text(&envelope, "/apiVersion"), text(&envelope, "/kind"));
    let mut object = Map::new();
    message(&name, raw, DEEPEST, &mut object)?;
    for key in ["apiVersion", "kind"] {
        object.insert(key.to_owned(), envelope[key].clone());
    }
    Ok(Value::Object(object))
}

fn message_name(api_version: &str, kind: &str) -> String {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if kind == "DeleteOptions" {
        "meta/DeleteOptions".to_owned()
    } else {
        messages::name_of(group, kind)
    }
}

/// Reads a message into an object.
fn message(
    name: &str,
    bytes: &[u8],
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), Unreadable> {
    let fields = messages::message(name)
        .ok_or_else(|| format!("{name} cannot be read as protobuf; send application/json"))?;
    let depth = depth
        .checked_sub(1)
        .ok_or("messages are nested too deeply")?;
    for field in Reader::new(bytes) {
        let field = field?;
        let Some(entry) = fields.numbered(field.number) else {
            continue;
        };
        if entry.name == "*" {
            message(entry.kind, field.bytes.unwrap_or_default(), depth, object)?;
        } else {
            put(entry, &field, depth, object)?;
        }
    }
    Ok(())
}

fn put(
    entry: &messages::Field,
    field: &Field<'_>,
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), Unreadable> {
    match entry.shape {
        Shape::List | Shape::Set | Shape::Entries(_) => {
            let value = value(entry.kind, field, depth)?;
            let list = object.entry(entry.name).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(value);
            }
        }
        Shape::Map { .. } => {
            let (key, value) = map_entry(entry.kind, field, depth)?;
            object.entry(entry.name).or_insert_with(|| json!({}))[key] = value;
        }
        Shape::One => {
            let value = value(entry.kind, field, depth)?;
            if !(value.is_null() || entry.zero_is_nothing && is_zero(&value)) {
                object.insert(entry.name.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn map_entry(kind: &str, field: &Field<'_>, depth: usize) -> Result<(String, Value), Unreadable> {
    let (mut key, mut found) = (String::new(), zero_of(kind));
    for field in Reader::new(field.bytes.unwrap_or_default()) {
        let field = field?;
        match field.number {
            1 => scalar("string", &field)?
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut key),
            _ => found = value(kind, &field, depth)?,
        }
    }
    Ok((key, found))
}

fn zero_of(kind: &str) -> Value {
    match kind {
        "string" | "bytes" | "quantity" => json!(""),
        _ => Value::Null,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn value(kind: &str, field: &Field<'_>, depth: usize) -> Result<Value, Unreadable> {
    let bytes = field.bytes.unwrap_or_default();
    match kind {
        "time" | "microtime" => time(bytes, kind == "microtime"),
        "intstr" => int_or_string(bytes),
        "quantity" => match Reader::new(bytes).next() {
            Some(field) => scalar("string", &field?),
            None => Ok(json!("0")),
        },
        name if name.contains('/') => {
            let mut object = Map::new();
            message(name, bytes, depth, &mut object)?;
            Ok(Value::Object(object))
        }
        _ => scalar(kind, field),
    }
}

fn scalar(kind: &str, field: &Field<'_>) -> Result<Value, Unreadable> {
    let bytes = field.bytes.unwrap_or_default();
    Ok(match kind {
        "string" => {
            let text = std::str::from_utf8(bytes)
                .map_err(|error| format!("field {} is not UTF-8: {error}", field.number))?;
            json!(text)
        }
        "bytes" => json!(STANDARD.encode(bytes)),
        "bool" => json!(field.varint != 0),
        // Negative numbers of any width travel as 64 bits in two's complement.
        _ => json!(field.varint.cast_signed()),
    })
}

/// Seconds and nanoseconds; all zero is Go's zero time, which is no time.
fn time(bytes: &[u8], fine: bool) -> Result<Value, Unreadable> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in Reader::new(bytes) {
        let field = field?;
        let slot = if field.number == 1 {
            &mut seconds
        } else {
            &mut nanos
        };
        *slot = field.varint.cast_signed();
    }
    if (seconds, nanos) == (0, 0) {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(nanos).map_err(|error| format!("nanoseconds {nanos}: {error}"))?;
    let time = Timestamp::new(seconds, nanos).map_err(|error| format!("a time: {error}"))?;
    let format = if fine {
        "%Y-%m-%dT%H:%M:%S%.6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    Ok(json!(time.strftime(format).to_string()))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Unreadable> {
    let (mut is_text, mut number, mut text) = (false, json!(0), json!(""));
    for field in Reader::new(bytes) {
        let field = field?;
        match field.number {
            1 => is_text = field.varint != 0,
            2 => number = scalar("int", &field)?,
            _ => text = scalar("string", &field)?,
        }
    }
    Ok(if is_text { text } else { number })
}

#[cfg(test)]
mod tests;
