//! Parts find values in a document.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::{Filter, MOST_STEPS, Node, Part, PathError, Slice, To, error};

/// Values that were found: the document's own, or literals of the path.
type Found<'a> = Vec<Cow<'a, Value>>;

/// One look.
struct Search {
    steps: usize,
}

/// What each part finds.
pub(super) fn all(parts: &[Part], document: &Value) -> Result<Vec<Vec<Value>>, PathError> {
    let mut search = Search { steps: 0 };
    let found = search.parts(parts, &Cow::Borrowed(document), false)?;
    let owned = |values: Found<'_>| values.into_iter().map(Cow::into_owned).collect();
    Ok(found.into_iter().map(owned).collect())
}

/// The index of the part that ends the range which `parts` begin inside of.
fn end_of(parts: &[Part]) -> usize {
    let mut open = 1_usize;
    for (index, part) in parts.iter().enumerate() {
        let Part::Path(nodes) = part else { continue };
        for node in nodes {
            match node {
                Node::Range => open += 1,
                Node::End => open -= 1,
                _ => {}
            }
            if open == 0 {
                return index;
            }
        }
    }
    parts.len()
}

// === impl Search ===

impl Search {
    fn spend(&mut self, steps: usize) -> Result<(), PathError> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MOST_STEPS {
            return Err(error(format!(
                "the path touches too many values: at most {MOST_STEPS} are accepted"
            )));
        }
        Ok(())
    }

    fn parts<'a>(
        &mut self,
        parts: &[Part],
        from: &Cow<'a, Value>,
        in_range: bool,
    ) -> Result<Vec<Found<'a>>, PathError> {
        let mut all = Vec::new();
        let mut index = 0;
        while let Some(part) = parts.get(index) {
            index += 1;
            self.spend(1)?;
            let nodes = match part {
                Part::Text(text) => {
                    all.push(vec![Cow::Owned(Value::from(text.as_str()))]);
                    continue;
                }
                Part::Path(nodes) => nodes,
            };
            if nodes.contains(&Node::End) && !in_range {
                return Err(error("not in range, nothing to end"));
            }
            let found = self.nodes(nodes, vec![from.clone()])?;
            if !nodes.contains(&Node::Range) {
                all.push(found);
                continue;
            }
            let rest = parts.get(index..).unwrap_or_default();
            let length = end_of(rest);
            let inside = rest.get(..length).unwrap_or_default();
            for value in &found {
                all.extend(self.parts(inside, value, true)?);
            }
            index += length + 1;
        }
        Ok(all)
    }

    fn nodes<'a>(&mut self, nodes: &[Node], from: Found<'a>) -> Result<Found<'a>, PathError> {
        nodes
            .iter()
            .try_fold(from, |values, node| self.node(node, values))
    }

    fn node<'a>(&mut self, node: &Node, values: Found<'a>) -> Result<Found<'a>, PathError> {
        self.spend(values.len())?;
        match node {
            Node::Literal(literal) => {
                let literals = values.iter().map(|_| Cow::Owned(literal.clone()));
                Ok(literals.collect())
            }
            Node::Text(text) => Ok(vec![Cow::Owned(Value::from(text.as_str()))]),
            Node::Field(name) => field(name, values),
            Node::Slice(slice) => self.sliced(slice, values),
            Node::Filter(filter) => self.filtered(filter, values),
            Node::Wildcard => {
                let mut found = Vec::new();
                for value in values {
                    found.extend(children(value));
                    self.spend(found.len())?;
                }
                Ok(found)
            }
            Node::Recursive => {
                let mut found = Vec::new();
                for value in values {
                    self.descend(value, &mut found)?;
                }
                Ok(found)
            }
            Node::Union(members) => {
                let mut found = Vec::new();
                for member in members {
                    found.extend(self.nodes(member, values.clone())?);
                }
                Ok(found)
            }
            Node::Range => Ok(values),
            Node::End => Ok(Vec::new()),
            Node::Unknown(word) => Err(error(format!("unrecognized identifier {word}"))),
        }
    }

    /// The value itself and all below it that hold something.
    fn descend<'a>(
        &mut self,
        value: Cow<'a, Value>,
        found: &mut Found<'a>,
    ) -> Result<(), PathError> {
        self.spend(1)?;
        if is_empty(&value) {
            return Ok(());
        }
        found.push(value.clone());
        for child in children(value) {
            self.descend(child, found)?;
        }
        Ok(())
    }

    fn sliced<'a>(&mut self, slice: &Slice, values: Found<'a>) -> Result<Found<'a>, PathError> {
        let mut found = Vec::new();
        for value in values {
            let length = match value.as_ref() {
                Value::Null => continue,
                Value::Array(items) => items.len(),
                other => return Err(error(format!("{} is not array or slice", go_type(other)))),
            };
            let Some((from, to, step)) = slice.within(length)? else {
                return Ok(found);
            };
            self.spend(to - from)?;
            let items = children(value).into_iter();
            found.extend(items.take(to).skip(from).step_by(step));
        }
        Ok(found)
    }

    fn filtered<'a>(&mut self, filter: &Filter, values: Found<'a>) -> Result<Found<'a>, PathError> {
        let mut found = Vec::new();
        for value in values {
            if !value.is_array() {
                return Err(error(format!(
                    "{} is not array or slice and cannot be filtered",
                    go_type(&value)
                )));
            }
            for item in children(value) {
                if self.passes(filter, &item)? {
                    found.push(item);
                }
            }
        }
        Ok(found)
    }

    fn passes(&mut self, filter: &Filter, item: &Value) -> Result<bool, PathError> {
        let left = self.nodes(&filter.left, vec![Cow::Borrowed(item)]);
        let Some((operator, right)) = &filter.comparison else {
            return Ok(left.is_ok_and(|left| !left.is_empty()));
        };
        let right = |search: &mut Self| search.nodes(right, vec![Cow::Borrowed(item)]);
        let (Some(left), Some(right)) = (single(left?)?, single(right(self)?)?) else {
            return Ok(false);
        };
        compared(&left, operator, &right)
    }
}

fn single(values: Found<'_>) -> Result<Option<Cow<'_, Value>>, PathError> {
    match values.len() {
        0 | 1 => Ok(values.into_iter().next()),
        _ => Err(error("can only compare one element at a time")),
    }
}

fn compared(left: &Value, operator: &str, right: &Value) -> Result<bool, PathError> {
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) if matches!(operator, "==" | "!=") => Some(a.cmp(b)),
        (Value::Bool(_), Value::Bool(_))
        | (Value::Null | Value::Array(_) | Value::Object(_), _)
        | (_, Value::Null | Value::Array(_) | Value::Object(_)) => {
            return Err(error("invalid type for comparison"));
        }
        _ => return Err(error("incompatible types for comparison")),
    };
    Ok(match operator {
        "<" => order == Some(Ordering::Less),
        ">" => order == Some(Ordering::Greater),
        "==" => order == Some(Ordering::Equal),
        "!=" => order != Some(Ordering::Equal),
        "<=" => order.is_some_and(Ordering::is_le),
        ">=" => order.is_some_and(Ordering::is_ge),
        _ => {
            return Err(error(format!("unrecognized filter operator {operator}")));
        }
    })
}

fn field<'a>(name: &str, values: Found<'a>) -> Result<Found<'a>, PathError> {
    if values.is_empty() {
        return Ok(values);
    }
    let member = |value: Cow<'a, Value>| match value {
        Cow::Borrowed(Value::Object(fields)) => fields.get(name).map(Cow::Borrowed),
        Cow::Owned(Value::Object(mut fields)) => fields.swap_remove(name).map(Cow::Owned),
        _ => None,
    };
    let found: Found<'a> = values.into_iter().filter_map(member).collect();
    if found.is_empty() {
        return Err(error(format!("{name} is not found")));
    }
    Ok(found)
}

/// The items of a list or the values of an object, in their order.
fn children(value: Cow<'_, Value>) -> Found<'_> {
    match value {
        Cow::Borrowed(Value::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Object(fields)) => fields.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Array(items)) => items.into_iter().map(Cow::Owned).collect(),
        Cow::Owned(Value::Object(fields)) => {
            fields.into_iter().map(|(_, it)| Cow::Owned(it)).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether recursive descent passes over it: what holds nothing is no result of it.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => true,
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

// === impl Slice ===

impl Slice {
    /// From where to where, and by which step, in a list of that length; `None` is no element.
    fn within(&self, length: usize) -> Result<Option<(usize, usize, usize)>, PathError> {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let from = match self.from.unwrap_or(0) {
            from if from < 0 => from.saturating_add(length),
            from => from,
        };
        let to = match self.to {
            To::Open | To::AfterIndex(0) => length,
            To::At(to) | To::AfterIndex(to) if to < 0 => to.saturating_add(length),
            To::At(to) | To::AfterIndex(to) => to,
        };
        if from == to {
            return Ok(None);
        }
        let outside = |index: i64| {
            error(format!(
                "array index out of bounds: index {index}, length {length}"
            ))
        };
        if from >= length || from < 0 {
            return Err(outside(from));
        }
        if to > length || to < 0 {
            return Err(outside(to.saturating_sub(1)));
        }
        if from > to {
            return Err(error(format!(
                "starting index {from} is greater than ending index {to}"
            )));
        }
        let step = self.step.unwrap_or(1);
        if step <= 0 {
            return Err(error("step must be > 0"));
        }
        let usize_of = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Some((usize_of(from), usize_of(to), usize_of(step))))
    }
}
