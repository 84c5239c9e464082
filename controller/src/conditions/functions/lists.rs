//! Functions of lists and maps.

use super::super::evaluate::{fetch, signed};
use super::super::operate::Operator;
use super::super::value::Value;
use super::unfit;

fn items<'a>(name: &str, value: &'a Value) -> Result<&'a [Value], String> {
    match value {
        Value::List(items) => Ok(items),
        other => Err(unfit(name, other)),
    }
}

pub(super) fn len(arguments: &[Value]) -> Result<Value, String> {
    let length = match &arguments[0] {
        Value::List(items) => items.len(),
        Value::Map(fields) => fields.len(),
        Value::Text(text) => text.chars().count(),
        other => return Err(unfit("len", other)),
    };
    Ok(Value::Int(signed(length)))
}

pub(super) fn first(arguments: &[Value]) -> Result<Value, String> {
    Ok(items("first", &arguments[0])?
        .first()
        .cloned()
        .unwrap_or(Value::Nil))
}

pub(super) fn last(arguments: &[Value]) -> Result<Value, String> {
    Ok(items("last", &arguments[0])?
        .last()
        .cloned()
        .unwrap_or(Value::Nil))
}

pub(super) fn take(arguments: &[Value]) -> Result<Value, String> {
    let items = items("take", &arguments[0])?;
    let Value::Int(count) = arguments[1] else {
        return Err(unfit("take", &arguments[1]));
    };
    let count = count.clamp(0, signed(items.len())) as usize;
    Ok(Value::list(items[..count].to_vec()))
}

/// A member or an item, or nil where there is none: unlike an index, never an error.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape of all functions in the table"
)]
pub(super) fn get(arguments: &[Value]) -> Result<Value, String> {
    Ok(fetch(&arguments[0], &arguments[1]).unwrap_or(Value::Nil))
}

pub(super) fn keys(arguments: &[Value]) -> Result<Value, String> {
    match &arguments[0] {
        Value::Map(fields) => Ok(Value::list(
            fields.keys().map(|key| Value::text(key.as_str())).collect(),
        )),
        other => Err(unfit("keys", other)),
    }
}

pub(super) fn values(arguments: &[Value]) -> Result<Value, String> {
    match &arguments[0] {
        Value::Map(fields) => Ok(Value::list(fields.values().cloned().collect())),
        other => Err(unfit("values", other)),
    }
}

/// All numbers among the arguments and the lists among them.
fn numbers(name: &str, arguments: &[Value]) -> Result<Vec<Value>, String> {
    let mut numbers = Vec::new();
    for argument in arguments {
        match argument {
            Value::List(items) => {
                let unfitting = items.iter().find(|item| item.number().is_none());
                if let Some(item) = unfitting {
                    return Err(unfit(name, item));
                }
                numbers.extend(items.iter().cloned());
            }
            number if number.number().is_some() => numbers.push(number.clone()),
            other => return Err(unfit(name, other)),
        }
    }
    Ok(numbers)
}

fn extreme(name: &str, better: Operator, arguments: &[Value]) -> Result<Value, String> {
    let mut best: Option<Value> = None;
    for number in numbers(name, arguments)? {
        let wins = match &best {
            None => true,
            Some(best) => matches!(better.apply(&number, best)?, Value::Bool(true)),
        };
        if wins {
            best = Some(number);
        }
    }
    best.ok_or_else(|| format!("not enough arguments to call {name}"))
}

pub(super) fn min(arguments: &[Value]) -> Result<Value, String> {
    extreme("min", Operator::Less, arguments)
}

pub(super) fn max(arguments: &[Value]) -> Result<Value, String> {
    extreme("max", Operator::Greater, arguments)
}

fn floats(name: &str, arguments: &[Value]) -> Result<Vec<f64>, String> {
    let numbers = numbers(name, arguments)?;
    Ok(numbers.iter().filter_map(Value::number).collect())
}

/// Of nothing it is 0, as in the engine.
pub(super) fn mean(arguments: &[Value]) -> Result<Value, String> {
    let floats = floats("mean", arguments)?;
    let count = floats.len().max(1) as f64;
    Ok(Value::Float(floats.iter().sum::<f64>() / count))
}

/// Of nothing it is 0, as in the engine.
pub(super) fn median(arguments: &[Value]) -> Result<Value, String> {
    let mut floats = floats("median", arguments)?;
    floats.sort_by(f64::total_cmp);
    let middle = floats.len() / 2;
    Ok(Value::Float(match (floats.is_empty(), floats.len() % 2) {
        (true, _) => 0.0,
        (false, 1) => floats[middle],
        _ => f64::midpoint(floats[middle - 1], floats[middle]),
    }))
}

pub(super) fn reverse(arguments: &[Value]) -> Result<Value, String> {
    Ok(Value::list(
        items("reverse", &arguments[0])?
            .iter()
            .rev()
            .cloned()
            .collect(),
    ))
}

pub(super) fn concat(arguments: &[Value]) -> Result<Value, String> {
    let lists: Result<Vec<_>, _> = arguments.iter().map(|list| items("concat", list)).collect();
    Ok(Value::list(lists?.concat()))
}

pub(super) fn flatten(arguments: &[Value]) -> Result<Value, String> {
    let mut flat = Vec::new();
    for item in items("flatten", &arguments[0])? {
        match item {
            Value::List(_) => match flatten(std::slice::from_ref(item))? {
                Value::List(inner) => flat.extend(inner.iter().cloned()),
                other => flat.push(other),
            },
            other => flat.push(other.clone()),
        }
    }
    Ok(Value::list(flat))
}

/// The longest list that `uniq` takes: it compares each item with each.
const LONGEST_UNIQ: usize = 1_000;

pub(super) fn uniq(arguments: &[Value]) -> Result<Value, String> {
    let items = items("uniq", &arguments[0])?;
    if items.len() > LONGEST_UNIQ {
        return Err(format!(
            "uniq of {} items: at most {LONGEST_UNIQ} are accepted",
            items.len()
        ));
    }
    let mut distinct: Vec<Value> = Vec::new();
    for item in items {
        if !distinct.iter().any(|seen| seen.equals(item)) {
            distinct.push(item.clone());
        }
    }
    Ok(Value::list(distinct))
}

/// Numbers or strings, rising; `"desc"` turns it around.
pub(super) fn sort(arguments: &[Value]) -> Result<Value, String> {
    let mut sorted = items("sort", &arguments[0])?.to_vec();
    let texts = sorted.iter().all(|item| matches!(item, Value::Text(_)));
    if !texts && let Some(other) = sorted.iter().find(|item| item.number().is_none()) {
        return Err(unfit("sort", other));
    }
    sorted.sort_by(|a, b| match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => a
            .number()
            .unwrap_or_default()
            .total_cmp(&b.number().unwrap_or_default()),
    });
    match arguments.get(1) {
        Some(Value::Text(order)) if order.as_ref() == "desc" => sorted.reverse(),
        Some(Value::Text(order)) if order.as_ref() != "asc" => {
            return Err(format!("invalid order {order}, expected asc or desc"));
        }
        _ => {}
    }
    Ok(Value::list(sorted))
}
