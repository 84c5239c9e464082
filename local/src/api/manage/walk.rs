//! Walks over objects along their types: which fields one has, how two differ, what becomes of one
//! under another, what is left when fields are taken away.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::form::{Form, Node};
use super::set::Set;

/// How an object differs from the one before it.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// What is new, or not as it was.
    pub(super) changed: Set,
    pub(super) removed: Set,
}

/// Every field that an object has.
pub(super) fn fields_of(node: Node<'_>, object: &Value) -> Set {
    let mut set = Set::default();
    match (node.form(Some(object)), object) {
        (Form::Fields, Value::Object(fields)) => {
            for (name, value) in fields {
                let (child, declared) = node.field(name);
                let edge = format!("f:{name}");
                let leaf = child.form(Some(value)) == Form::Leaf;
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if leaf || empty || !declared {
                    set.members.insert(edge.clone());
                }
                if !leaf {
                    set.insert_below(edge, fields_of(child, value));
                }
            }
        }
        (Form::Items, Value::Array(items)) => {
            for item in items {
                let Some(edge) = node.edge(item) else {
                    continue;
                };
                set.members.insert(edge.clone());
                if node.item().form(Some(item)) != Form::Leaf {
                    set.insert_below(edge, fields_of(node.item(), item));
                }
            }
        }
        _ => {}
    }
    set
}

/// How `new` differs from `old`.
pub(super) fn difference(node: Node<'_>, old: &Value, new: &Value) -> Difference {
    let mut out = Difference::default();
    descend(node, Some(old), Some(new), &mut out);
    out
}

fn descend(node: Node<'_>, old: Option<&Value>, new: Option<&Value>, out: &mut Difference) {
    let form = match new {
        None | Some(Value::Null) => node.form(old),
        new => node.form(new),
    };
    if form == Form::Fields {
        let (left, right) = (fields_in(old), fields_in(new));
        let only_old = left
            .into_iter()
            .flatten()
            .filter(|(name, _)| right.is_none_or(|right| !right.contains_key(name.as_str())));
        for (name, _) in right.into_iter().flatten().chain(only_old) {
            let (before, after) = (value_at(node, old, name), value_at(node, new, name));
            compare(node.field(name).0, before, after, &format!("f:{name}"), out);
        }
    } else if form == Form::Items {
        let (old, new) = (by_edge(node, old), by_edge(node, new));
        let edges = new
            .keys()
            .chain(old.keys().filter(|edge| !new.contains_key(*edge)));
        for edge in edges {
            let (before, after) = (old.get(edge).copied(), new.get(edge).copied());
            compare(node.item(), before, after, edge, out);
        }
    }
}

fn fields_in(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// What stands under a name; where nothing does, what Go has there all the same, if the object is
/// there at all.
fn value_at<'a>(node: Node<'_>, object: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    object?.get(name).or_else(|| node.absent(name))
}

fn by_edge<'a>(node: Node<'_>, list: Option<&'a Value>) -> BTreeMap<String, &'a Value> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items
        .filter_map(|item| Some((node.edge(item)?, item)))
        .collect()
}

fn compare(
    node: Node<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    edge: &str,
    out: &mut Difference,
) {
    if old == new {
        return;
    }
    let both_empty = old.is_none_or(is_empty) && new.is_none_or(is_empty);
    let is_there = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    // What is not there takes the form of what is.
    let (before, after) = match (is_there(old), is_there(new)) {
        (false, true) => (node.form(new), node.form(new)),
        (true, false) => (node.form(old), node.form(old)),
        _ => (node.form(old), node.form(new)),
    };
    let leaf = both_empty || before != after || after == Form::Leaf;
    // A Go value that is always there is no change when it shows.
    if both_empty && old.is_some() && new.is_some() && matches!(node, Node::Message(_)) {
        return;
    }
    match (old, new) {
        (_, None) => drop(out.removed.members.insert(edge.to_owned())),
        (None, _) => drop(out.changed.members.insert(edge.to_owned())),
        _ if leaf => drop(out.changed.members.insert(edge.to_owned())),
        _ => {}
    }
    if leaf {
        return;
    }
    let mut below = Difference::default();
    descend(node, old, new, &mut below);
    out.changed.insert_below(edge.to_owned(), below.changed);
    out.removed.insert_below(edge.to_owned(), below.removed);
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// What becomes of an object when a configuration is laid over it.
pub(super) fn merged(node: Node<'_>, live: &Value, config: &Value) -> Value {
    let both_empty = is_empty(live) && is_empty(config);
    match (node.form(Some(config)), live, config) {
        _ if both_empty => config.clone(),
        (Form::Fields, Value::Object(live), Value::Object(config)) => {
            let mut out = live.clone();
            for (name, value) in config {
                let below = match live.get(name) {
                    Some(live) => merged(node.field(name).0, live, value),
                    None => value.clone(),
                };
                out.insert(name.clone(), below);
            }
            Value::Object(out)
        }
        (Form::Items, Value::Array(live), Value::Array(config)) => {
            Value::Array(merged_items(node, live, config))
        }
        (Form::Fields | Form::Items, live, Value::Null) => live.clone(),
        _ => config.clone(),
    }
}

/// The configuration's entries in its own order; the others keep their places between those that
/// both have.
fn merged_items(node: Node<'_>, live: &[Value], config: &[Value]) -> Vec<Value> {
    let edges = |items: &[Value]| -> Vec<Option<String>> {
        items.iter().map(|item| node.edge(item)).collect()
    };
    let (left, right) = (edges(live), edges(config));
    let find = |edges: &[Option<String>], edge: &Option<String>| {
        edges.iter().position(|one| one.is_some() && one == edge)
    };
    let mut out = Vec::with_capacity(left.len().max(right.len()));
    let mut next = 0;
    for (at, item) in live.iter().enumerate() {
        let Some(theirs) = find(&right, &left[at]) else {
            out.push(item.clone());
            continue;
        };
        // Everything that the configuration has up to the entry that both have.
        while next <= theirs {
            out.push(overlaid(
                node,
                live,
                find(&left, &right[next]),
                &config[next],
            ));
            next += 1;
        }
    }
    for (at, item) in config.iter().enumerate().skip(next) {
        out.push(overlaid(node, live, find(&left, &right[at]), item));
    }
    out
}

fn overlaid(node: Node<'_>, live: &[Value], at: Option<usize>, item: &Value) -> Value {
    match at.and_then(|at| live.get(at)) {
        Some(live) => merged(node.item(), live, item),
        None => item.clone(),
    }
}

/// The object without the fields of a set. Nothing is left of what loses everything.
pub(super) fn without(node: Node<'_>, object: &Value, gone: &Set) -> Value {
    match (node.form(Some(object)), object) {
        (Form::Fields, Value::Object(fields)) => {
            let kept = fields.iter().filter_map(|(name, value)| {
                let edge = format!("f:{name}");
                let kept = kept(node.field(name).0, value, gone, &edge)?;
                Some((name.clone(), kept))
            });
            let kept: Map<String, Value> = kept.collect();
            or_null(kept.is_empty() && !fields.is_empty(), Value::Object(kept))
        }
        (Form::Items, Value::Array(items)) => {
            let kept = items.iter().filter_map(|item| match node.edge(item) {
                Some(edge) => kept(node.item(), item, gone, &edge),
                None => Some(item.clone()),
            });
            let kept: Vec<Value> = kept.collect();
            or_null(kept.is_empty() && !items.is_empty(), Value::Array(kept))
        }
        _ => object.clone(),
    }
}

fn kept(node: Node<'_>, value: &Value, gone: &Set, edge: &str) -> Option<Value> {
    if gone.members.contains(edge) {
        return None;
    }
    Some(match gone.children.get(edge) {
        Some(below) => without(node, value, below),
        None => value.clone(),
    })
}

fn or_null(nothing: bool, value: Value) -> Value {
    if nothing { Value::Null } else { value }
}

/// The first thing that does not fit the types: its path, and why.
pub(super) fn misfit(node: Node<'_>, object: &Value, at: &str) -> Option<String> {
    if let Some(wanted) = node.wants(object) {
        return Some(format!("{at}: expected {wanted}, got {object}"));
    }
    match object {
        Value::Object(fields) if node.form(Some(object)) == Form::Fields => {
            fields.iter().find_map(|(name, value)| {
                let (child, declared) = node.field(name);
                let path = format!("{at}.{name}");
                if !declared && node.is_closed() {
                    return Some(format!("{path}: field not declared in schema"));
                }
                misfit(child, value, &path)
            })
        }
        Value::Array(items) if node.form(Some(object)) == Form::Items => {
            items.iter().find_map(|item| {
                let edge = node.edge(item).unwrap_or_default();
                misfit(
                    node.item(),
                    item,
                    &format!("{at}{}", super::set::shown(&edge)),
                )
            })
        }
        _ => None,
    }
}
