//! The value of a tree, for one result.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::operate::Operator;
use super::syntax::Node;
use super::value::Value;
use super::{ConditionError, MOST_STEPS};

/// What ends an evaluation early.
#[derive(Debug)]
pub(super) enum Stop {
    /// An optional access found nil: the chain around it is nil.
    Chain,
    Error(ConditionError),
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self::Error(ConditionError::Runtime(message))
    }
}

impl From<ConditionError> for Stop {
    fn from(error: ConditionError) -> Self {
        Self::Error(error)
    }
}

/// The item that a predicate looks at.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) item: Value,
    pub(super) index: i64,
    pub(super) accumulator: Value,
}

/// One evaluation.
pub(super) struct Evaluation<'a> {
    pub(super) result: &'a Value,
    pub(super) now: Timestamp,
    pub(super) scopes: Vec<Scope>,
    variables: Vec<(&'a str, Value)>,
    steps: u64,
}

/// The value of a whole condition.
pub(super) fn evaluate(
    tree: &Node,
    result: &Value,
    now: Timestamp,
) -> Result<Value, ConditionError> {
    let mut evaluation = Evaluation {
        result,
        now,
        scopes: Vec::new(),
        variables: Vec::new(),
        steps: 0,
    };
    match evaluation.value(tree) {
        Ok(value) => Ok(value),
        Err(Stop::Chain) => Ok(Value::Nil),
        Err(Stop::Error(error)) => Err(error),
    }
}

// === impl Evaluation ===

impl<'a> Evaluation<'a> {
    /// Pays for work.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        self.steps = self.steps.saturating_add(steps as u64);
        if self.steps > MOST_STEPS {
            Err(ConditionError::TooManySteps.into())
        } else {
            Ok(())
        }
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Result<Value, Stop> {
        self.spend(1)?;
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Result => Ok(self.result.clone()),
            Node::Variable(name) => Ok(self.variable(name)),
            Node::Item | Node::Index | Node::Accumulator => Ok(self.pointed(node)),
            Node::List(_) | Node::Map(_) => self.collection(node),
            Node::Not(operand) => {
                let operand = self.value(operand)?;
                boolean(&operand, "!").map(|answer| Value::Bool(!answer))
            }
            Node::Negative(operand) => {
                let operand = self.value(operand)?;
                negative(&operand)
            }
            Node::And(..) | Node::Or(..) | Node::Coalesce(..) | Node::Conditional { .. } => {
                self.branch(node)
            }
            Node::Binary {
                operator,
                left,
                right,
            } => self.binary(*operator, left, right),
            Node::Let { name, value, body } => self.binding(name, value, body),
            Node::Access { of, key, optional } => self.access(of, key, *optional),
            Node::Slice { of, from, to } => self.slice(of, from.as_deref(), to.as_deref()),
            Node::Chain(inner) => match self.value(inner) {
                Err(Stop::Chain) => Ok(Value::Nil),
                outcome => outcome,
            },
            Node::Call {
                function,
                arguments,
            } => {
                let arguments = self.values(arguments)?;
                self.spend(arguments.iter().map(size).sum())?;
                let value = function.call(&arguments, self.result, self.now)?;
                self.spend(size(&value))?;
                Ok(value)
            }
            Node::Each {
                each,
                over,
                predicate,
                initial,
            } => {
                let initial = initial
                    .as_ref()
                    .map(|initial| self.value(initial))
                    .transpose()?;
                let over = self.value(over)?;
                self.each(*each, &over, predicate.as_deref(), initial)
            }
        }
    }

    fn values(&mut self, nodes: &'a [Node]) -> Result<Vec<Value>, Stop> {
        nodes.iter().map(|node| self.value(node)).collect()
    }

    fn variable(&self, name: &str) -> Value {
        let bound = self
            .variables
            .iter()
            .rev()
            .find(|(bound, _)| *bound == name);
        bound.map_or(Value::Nil, |(_, value)| value.clone())
    }

    fn pointed(&self, node: &Node) -> Value {
        let Some(scope) = self.scopes.last() else {
            return Value::Nil;
        };
        match node {
            Node::Index => Value::Int(scope.index),
            Node::Accumulator => scope.accumulator.clone(),
            _ => scope.item.clone(),
        }
    }

    fn collection(&mut self, node: &'a Node) -> Result<Value, Stop> {
        match node {
            Node::List(items) => Ok(Value::list(self.values(items)?)),
            Node::Map(entries) => {
                let mut map = BTreeMap::new();
                for (key, value) in entries {
                    let key = self.value(key)?.to_string();
                    map.insert(key, self.value(value)?);
                }
                Ok(Value::Map(Arc::new(map)))
            }
            other => self.value(other),
        }
    }

    /// Operators that do not always look at both sides.
    fn branch(&mut self, node: &'a Node) -> Result<Value, Stop> {
        match node {
            Node::And(left, right) => {
                let left = self.value(left)?;
                if !boolean(&left, "&&")? {
                    return Ok(Value::Bool(false));
                }
                let right = self.value(right)?;
                boolean(&right, "&&").map(Value::Bool)
            }
            Node::Or(left, right) => {
                let left = self.value(left)?;
                if boolean(&left, "||")? {
                    return Ok(Value::Bool(true));
                }
                let right = self.value(right)?;
                boolean(&right, "||").map(Value::Bool)
            }
            Node::Coalesce(left, right) => match self.value(left)? {
                Value::Nil => self.value(right),
                value => Ok(value),
            },
            Node::Conditional {
                condition,
                then,
                otherwise,
            } => {
                let condition = self.value(condition)?;
                let branch = if boolean(&condition, "?")? {
                    then
                } else {
                    otherwise
                };
                self.value(branch)
            }
            other => self.value(other),
        }
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &'a Node,
        right: &'a Node,
    ) -> Result<Value, Stop> {
        let (a, b) = (self.value(left)?, self.value(right)?);
        let unlike = operator.compares() && !comparable(&a, &b);
        self.spend(size(&a) + size(&b))?;
        let value = operator.apply(&a, &b);
        let unlike = unlike
            || value
                .as_ref()
                .is_err_and(|error| *error == operator.invalid(&a, &b));
        if unlike && self.is_typed(left) && self.is_typed(right) {
            let (a, b) = (a.type_name(), b.type_name());
            let sign = operator.sign();
            return Err(format!("invalid operation: {sign} (mismatched types {a} and {b})").into());
        }
        let value = value?;
        self.spend(size(&value))?;
        Ok(value)
    }

    /// Whether the engine knows the type before it runs: then comparing unlike types is an error,
    /// where between values of unknown type it is just false, and other errors have other words.
    fn is_typed(&self, node: &Node) -> bool {
        match node {
            Node::Literal(_) | Node::Result | Node::Not(_) | Node::List(_) | Node::Map(_) => true,
            Node::Negative(operand) => self.is_typed(operand),
            Node::Binary { left, right, .. } => self.is_typed(left) && self.is_typed(right),
            Node::Access { of, .. } => {
                let floats = matches!(self.result, Value::List(list) if list.is_of_floats());
                floats && matches!(**of, Node::Result)
            }
            Node::Call { function, .. } => function.is_typed(),
            _ => false,
        }
    }

    fn binding(&mut self, name: &'a str, value: &'a Node, body: &'a Node) -> Result<Value, Stop> {
        let value = self.value(value)?;
        self.variables.push((name, value));
        let body = self.value(body);
        self.variables.pop();
        body
    }

    fn access(&mut self, of: &'a Node, key: &'a Node, optional: bool) -> Result<Value, Stop> {
        let of = self.value(of)?;
        if optional && matches!(of, Value::Nil) {
            return Err(Stop::Chain);
        }
        let key = self.value(key)?;
        Ok(fetch(&of, &key)?)
    }

    fn slice(
        &mut self,
        of: &'a Node,
        from: Option<&'a Node>,
        to: Option<&'a Node>,
    ) -> Result<Value, Stop> {
        let of = self.value(of)?;
        let from = from.map(|from| self.value(from)).transpose()?;
        let to = to.map(|to| self.value(to)).transpose()?;
        self.spend(size(&of))?;
        match &of {
            Value::List(items) => {
                let (from, to) = bounds(items.len(), from.as_ref(), to.as_ref())?;
                Ok(Value::List(items.part(from..to)))
            }
            Value::Text(text) => {
                let characters: Vec<char> = text.chars().collect();
                let (from, to) = bounds(characters.len(), from.as_ref(), to.as_ref())?;
                Ok(Value::text(characters[from..to].iter().collect::<String>()))
            }
            other => Err(format!("cannot slice {}", other.type_name()).into()),
        }
    }
}

/// The member of a map, or the item of a list.
pub(super) fn fetch(of: &Value, key: &Value) -> Result<Value, String> {
    match (of, key) {
        (Value::Map(fields), Value::Text(key)) => {
            Ok(fields.get(key.as_ref()).cloned().unwrap_or(Value::Nil))
        }
        (Value::List(items), Value::Int(_) | Value::Float(_)) => {
            let index = key.number().unwrap_or_default() as i64;
            let length = signed(items.len());
            let at = if index < 0 { length + index } else { index };
            let found = usize::try_from(at).ok().and_then(|at| items.get(at));
            let shown = at;
            found
                .cloned()
                .ok_or_else(|| format!("index out of range: {shown} (array length is {length})"))
        }
        _ => Err(format!("cannot fetch {key} from {}", of.type_name())),
    }
}

/// A length as the language counts.
pub(super) fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// What a value costs where it is copied or looked through.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() / 16,
        Value::List(items) => items.len(),
        Value::Map(fields) => fields.len(),
        _ => 0,
    }
}

/// The ends of a slice; like the engine, cut to the length instead of failing.
fn bounds(
    length: usize,
    from: Option<&Value>,
    to: Option<&Value>,
) -> Result<(usize, usize), String> {
    let end = |value: Option<&Value>, default: usize| match value {
        None => Ok(default),
        Some(Value::Int(index)) => {
            let at = if *index < 0 {
                signed(length) + index
            } else {
                *index
            };
            Ok(at.clamp(0, signed(length)) as usize)
        }
        Some(other) => Err(format!("cannot use {} as a slice index", other.type_name())),
    };
    let (from, to) = (end(from, 0)?, end(to, length)?);
    Ok((from.min(to), to))
}

fn comparable(a: &Value, b: &Value) -> bool {
    let nil = matches!(a, Value::Nil) || matches!(b, Value::Nil);
    let numbers = a.number().is_some() && b.number().is_some();
    let lists = matches!((a, b), (Value::List(_), Value::List(_)));
    nil || numbers || lists || a.type_name() == b.type_name()
}

pub(super) fn boolean(value: &Value, sign: &str) -> Result<bool, Stop> {
    match value {
        Value::Bool(answer) => Ok(*answer),
        other => {
            let found = other.type_name();
            Err(format!("invalid operation: {sign} needs a bool, but got {found}").into())
        }
    }
}

fn negative(value: &Value) -> Result<Value, Stop> {
    match value {
        Value::Int(number) => Ok(Value::Int(number.wrapping_neg())),
        Value::Float(number) => Ok(Value::Float(-number)),
        Value::Duration(nanoseconds) => Ok(Value::Duration(nanoseconds.wrapping_neg())),
        other => Err(format!(
            "invalid operation: - (mismatched type {})",
            other.type_name()
        )
        .into()),
    }
}
