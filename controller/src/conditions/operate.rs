//! The operators between two values.

use std::cmp::Ordering;

use regex::Regex;

use super::value::Value;

/// An operator between two values that are both evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
}

/// The longest list that a range may make, as in Argo's engine.
const LONGEST_RANGE: i64 = 1_000_000;

// === impl Operator ===

impl Operator {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Power => "**",
            Self::In => "in",
            Self::Matches => "matches",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Range => "..",
        }
    }

    /// Whether values of different types are an error where both types are known beforehand.
    pub(super) fn compares(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// The value of `left operator right`.
    pub(super) fn apply(self, left: &Value, right: &Value) -> Result<Value, String> {
        let answer = |answer| Ok(Value::Bool(answer));
        match self {
            Self::Equal => answer(left.equals(right)),
            Self::NotEqual => answer(!left.equals(right)),
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => {
                self.order(left, right).map(Value::Bool)
            }
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Power => {
                self.arithmetic(left, right)
            }
            Self::Remainder => self.remainder(left, right),
            Self::In => Self::member(left, right).map(Value::Bool),
            Self::Matches | Self::Contains | Self::StartsWith | Self::EndsWith => {
                self.texts(left, right).map(Value::Bool)
            }
            Self::Range => range(left, right),
        }
    }

    pub(super) fn invalid(self, left: &Value, right: &Value) -> String {
        format!(
            "invalid operation: {} {} {}",
            left.type_name(),
            self.sign(),
            right.type_name()
        )
    }

    fn order(self, left: &Value, right: &Value) -> Result<bool, String> {
        let order = match (left, right) {
            (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => {
                Some(a.cmp(b))
            }
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
            _ => {
                let (Some(a), Some(b)) = (left.number(), right.number()) else {
                    return Err(self.invalid(left, right));
                };
                a.partial_cmp(&b)
            }
        };
        // NaN is neither less nor greater than anything: every comparison with it is false.
        let Some(order) = order else { return Ok(false) };
        Ok(match self {
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            _ => order != Ordering::Less,
        })
    }

    fn arithmetic(self, left: &Value, right: &Value) -> Result<Value, String> {
        match (self, left, right) {
            (Self::Add, Value::Text(a), Value::Text(b)) => Ok(Value::text(format!("{a}{b}"))),
            (Self::Add, Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.wrapping_add(*b))),
            (Self::Subtract, Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.wrapping_sub(*b))),
            (Self::Multiply, Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.wrapping_mul(*b))),
            _ => match (left.number(), right.number()) {
                (Some(a), Some(b)) => Ok(Value::Float(self.of_floats(a, b))),
                _ => self
                    .in_time(left, right)
                    .ok_or_else(|| self.invalid(left, right)),
            },
        }
    }

    /// Division and powers are floats even of integers.
    fn of_floats(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            _ => a.powf(b),
        }
    }

    fn in_time(self, left: &Value, right: &Value) -> Option<Value> {
        use Value::{Duration, Int, Time};
        let nanoseconds = jiff::SignedDuration::from_nanos;
        Some(match (self, left, right) {
            (Self::Add, Time(time), Duration(by)) | (Self::Add, Duration(by), Time(time)) => {
                Time(time.checked_add(nanoseconds(*by)).ok()?)
            }
            (Self::Subtract, Time(time), Duration(by)) => {
                Time(time.checked_sub(nanoseconds(*by)).ok()?)
            }
            (Self::Subtract, Time(a), Time(b)) => {
                Duration(i64::try_from(a.duration_since(*b).as_nanos()).ok()?)
            }
            (Self::Add, Duration(a), Duration(b)) => Duration(a.wrapping_add(*b)),
            (Self::Subtract, Duration(a), Duration(b)) => Duration(a.wrapping_sub(*b)),
            (Self::Multiply, Duration(a), Int(b)) | (Self::Multiply, Int(b), Duration(a)) => {
                Duration(a.wrapping_mul(*b))
            }
            _ => return None,
        })
    }

    fn remainder(self, left: &Value, right: &Value) -> Result<Value, String> {
        match (left, right) {
            (Value::Int(_), Value::Int(0)) => Err("integer divide by zero".to_owned()),
            (Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.wrapping_rem(*b))),
            _ => Err(self.invalid(left, right)),
        }
    }

    fn member(left: &Value, right: &Value) -> Result<bool, String> {
        match (left, right) {
            (_, Value::Nil) | (Value::Nil, Value::Map(_)) => Ok(false),
            (_, Value::List(items)) => Ok(items.iter().any(|item| item.equals(left))),
            (Value::Text(key), Value::Map(fields)) => Ok(fields.contains_key(key.as_ref())),
            _ => Err(format!(
                "operator \"in\" not defined on {}",
                right.type_name()
            )),
        }
    }

    fn texts(self, left: &Value, right: &Value) -> Result<bool, String> {
        // nil has no text, so nothing is in it.
        if matches!(left, Value::Nil) || matches!(right, Value::Nil) {
            return Ok(false);
        }
        let (Value::Text(text), Value::Text(part)) = (left, right) else {
            return Err(self.invalid(left, right));
        };
        match self {
            Self::Contains => Ok(text.contains(part.as_ref())),
            Self::StartsWith => Ok(text.starts_with(part.as_ref())),
            Self::EndsWith => Ok(text.ends_with(part.as_ref())),
            _ => {
                let pattern = Regex::new(part)
                    .map_err(|_| format!("error parsing regexp: {part:?} is not a pattern"))?;
                Ok(pattern.is_match(text))
            }
        }
    }
}

/// Both ends included; empty when the first is behind the last.
fn range(left: &Value, right: &Value) -> Result<Value, String> {
    let (Value::Int(from), Value::Int(to)) = (left, right) else {
        return Err(Operator::Range.invalid(left, right));
    };
    if to.saturating_sub(*from) >= LONGEST_RANGE {
        return Err("memory budget exceeded".to_owned());
    }
    Ok(Value::list((*from..=*to).map(Value::Int).collect()))
}
