//! Functions of strings.

use super::super::evaluate::signed;
use super::super::value::Value;
use super::{text, unfit};

/// The longest text that `repeat` and `replace` make, in bytes.
const LONGEST_TEXT: usize = 1_000_000;

/// The text and its optional second argument.
fn with_part<'a>(name: &str, arguments: &'a [Value]) -> Result<(&'a str, Option<&'a str>), String> {
    let part = arguments.get(1).map(|part| text(name, part)).transpose()?;
    Ok((text(name, &arguments[0])?, part))
}

fn two<'a>(name: &str, arguments: &'a [Value]) -> Result<(&'a str, &'a str), String> {
    Ok((text(name, &arguments[0])?, text(name, &arguments[1])?))
}

pub(super) fn trim(arguments: &[Value]) -> Result<Value, String> {
    let (text, characters) = with_part("trim", arguments)?;
    Ok(Value::text(match characters {
        None => text.trim(),
        Some(characters) => text.trim_matches(|c| characters.contains(c)),
    }))
}

pub(super) fn trim_prefix(arguments: &[Value]) -> Result<Value, String> {
    let (text, prefix) = with_part("trimPrefix", arguments)?;
    Ok(Value::text(
        text.strip_prefix(prefix.unwrap_or(" ")).unwrap_or(text),
    ))
}

pub(super) fn trim_suffix(arguments: &[Value]) -> Result<Value, String> {
    let (text, suffix) = with_part("trimSuffix", arguments)?;
    Ok(Value::text(
        text.strip_suffix(suffix.unwrap_or(" ")).unwrap_or(text),
    ))
}

pub(super) fn upper(arguments: &[Value]) -> Result<Value, String> {
    text("upper", &arguments[0]).map(|text| Value::text(text.to_uppercase()))
}

pub(super) fn lower(arguments: &[Value]) -> Result<Value, String> {
    text("lower", &arguments[0]).map(|text| Value::text(text.to_lowercase()))
}

/// With a third argument, into at most so many parts.
pub(super) fn split(arguments: &[Value]) -> Result<Value, String> {
    let (text, separator) = two("split", arguments)?;
    let parts: Vec<&str> = match arguments.get(2) {
        Some(Value::Int(most)) if *most > 0 => text.splitn(*most as usize, separator).collect(),
        Some(Value::Int(0)) => Vec::new(),
        None | Some(Value::Int(_)) => text.split(separator).collect(),
        Some(other) => return Err(unfit("split", other)),
    };
    // Go splits by nothing into characters; Rust adds an empty part at both ends.
    let parts = parts
        .into_iter()
        .filter(|part| !separator.is_empty() || !part.is_empty());
    Ok(Value::list(parts.map(Value::text).collect()))
}

pub(super) fn join(arguments: &[Value]) -> Result<Value, String> {
    let Value::List(items) = &arguments[0] else {
        return Err(unfit("join", &arguments[0]));
    };
    let glue = arguments.get(1).map_or(Ok(""), |glue| text("join", glue))?;
    let parts: Result<Vec<&str>, String> = items.iter().map(|item| text("join", item)).collect();
    Ok(Value::text(parts?.join(glue)))
}

/// With a fourth argument, only the first so many.
pub(super) fn replace(arguments: &[Value]) -> Result<Value, String> {
    let (whole, old) = two("replace", arguments)?;
    let new = text("replace", &arguments[2])?;
    if (whole.len() + 1).saturating_mul(new.len() + 1) > LONGEST_TEXT {
        return Err("memory budget exceeded".to_owned());
    }
    Ok(Value::text(match arguments.get(3) {
        Some(Value::Int(most)) if *most >= 0 => whole.replacen(old, new, *most as usize),
        None | Some(Value::Int(_)) => whole.replace(old, new),
        Some(other) => return Err(unfit("replace", other)),
    }))
}

pub(super) fn repeat(arguments: &[Value]) -> Result<Value, String> {
    let part = text("repeat", &arguments[0])?;
    let Value::Int(times) = arguments[1] else {
        return Err(unfit("repeat", &arguments[1]));
    };
    let times = usize::try_from(times).map_err(|_| "invalid argument for repeat: negative")?;
    if part.len().saturating_mul(times) > LONGEST_TEXT {
        return Err("memory budget exceeded".to_owned());
    }
    Ok(Value::text(part.repeat(times)))
}

/// In bytes, as Go counts; -1 where it is not.
pub(super) fn index_of(arguments: &[Value]) -> Result<Value, String> {
    let (text, part) = two("indexOf", arguments)?;
    Ok(Value::Int(text.find(part).map_or(-1, signed)))
}

pub(super) fn last_index_of(arguments: &[Value]) -> Result<Value, String> {
    let (text, part) = two("lastIndexOf", arguments)?;
    Ok(Value::Int(text.rfind(part).map_or(-1, signed)))
}

pub(super) fn has_prefix(arguments: &[Value]) -> Result<Value, String> {
    two("hasPrefix", arguments).map(|(text, part)| Value::Bool(text.starts_with(part)))
}

pub(super) fn has_suffix(arguments: &[Value]) -> Result<Value, String> {
    two("hasSuffix", arguments).map(|(text, part)| Value::Bool(text.ends_with(part)))
}
