//! From one type to another, and functions of one number.

use super::super::value::Value;
use super::{text, unfit};

/// Whole numbers of anything numeric; a float is cut, a string must be an integer.
pub(super) fn as_int(arguments: &[Value]) -> Result<Value, String> {
    match &arguments[0] {
        Value::Int(number) => Ok(Value::Int(*number)),
        Value::Float(number) => Ok(Value::Int(*number as i64)),
        Value::Text(text) => text
            .parse()
            .map(Value::Int)
            .map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
        other => Err(format!(
            "asInt() not supported on {} {other}",
            other.type_name()
        )),
    }
}

pub(super) fn as_float(arguments: &[Value]) -> Result<Value, String> {
    match &arguments[0] {
        Value::Text(text) => text
            .parse()
            .map(Value::Float)
            .map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
        other => match other.number() {
            Some(number) => Ok(Value::Float(number)),
            None => Err(format!(
                "asFloat() not supported on {} {other}",
                other.type_name()
            )),
        },
    }
}

pub(super) fn is_nan(arguments: &[Value]) -> Result<Value, String> {
    number_for("isNaN", &arguments[0]).map(|number| Value::Bool(number.is_nan()))
}

/// Of either sign.
pub(super) fn is_inf(arguments: &[Value]) -> Result<Value, String> {
    number_for("isInf", &arguments[0]).map(|number| Value::Bool(number.is_infinite()))
}

fn number_for(name: &str, value: &Value) -> Result<f64, String> {
    value.number().ok_or_else(|| {
        let found = value.type_name();
        format!("cannot use {found} as argument (type float64) to call {name}")
    })
}

pub(super) fn abs(arguments: &[Value]) -> Result<Value, String> {
    match &arguments[0] {
        Value::Int(number) => Ok(Value::Int(number.wrapping_abs())),
        Value::Float(number) => Ok(Value::Float(number.abs())),
        other => Err(unfit("abs", other)),
    }
}

pub(super) fn ceil(arguments: &[Value]) -> Result<Value, String> {
    rounded("ceil", &arguments[0], f64::ceil)
}

pub(super) fn floor(arguments: &[Value]) -> Result<Value, String> {
    rounded("floor", &arguments[0], f64::floor)
}

pub(super) fn round(arguments: &[Value]) -> Result<Value, String> {
    rounded("round", &arguments[0], f64::round)
}

fn rounded(name: &str, value: &Value, round: fn(f64) -> f64) -> Result<Value, String> {
    value
        .number()
        .map(round)
        .map(Value::Float)
        .ok_or_else(|| unfit(name, value))
}

pub(super) fn int(arguments: &[Value]) -> Result<Value, String> {
    match &arguments[0] {
        Value::Int(number) => Ok(Value::Int(*number)),
        Value::Float(number) => Ok(Value::Int(*number as i64)),
        Value::Text(text) => text
            .parse()
            .map(Value::Int)
            .map_err(|_| format!("invalid operation: int({text})")),
        other => Err(unfit("int", other)),
    }
}

pub(super) fn float(arguments: &[Value]) -> Result<Value, String> {
    match &arguments[0] {
        Value::Text(text) => text
            .parse()
            .map(Value::Float)
            .map_err(|_| format!("invalid operation: float({text})")),
        other => other
            .number()
            .map(Value::Float)
            .ok_or_else(|| unfit("float", other)),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape of all functions in the table"
)]
pub(super) fn string(arguments: &[Value]) -> Result<Value, String> {
    Ok(Value::text(arguments[0].to_string()))
}

/// The engine's own words for types, which are not Go's.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape of all functions in the table"
)]
pub(super) fn type_of(arguments: &[Value]) -> Result<Value, String> {
    Ok(Value::text(match &arguments[0] {
        Value::Nil => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Text(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "map",
        Value::Time(_) => "time.Time",
        Value::Duration(_) => "time.Duration",
    }))
}

/// Indented by two, as the engine writes it.
pub(super) fn to_json(arguments: &[Value]) -> Result<Value, String> {
    let json = serde_json::to_string_pretty(&arguments[0].to_json());
    json.map(Value::text).map_err(|error| error.to_string())
}

pub(super) fn from_json(arguments: &[Value]) -> Result<Value, String> {
    let json: Result<serde_json::Value, _> = serde_json::from_str(text("fromJSON", &arguments[0])?);
    json.map(|json| Value::from(&json))
        .map_err(|error| error.to_string())
}
