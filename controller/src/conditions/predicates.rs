//! Functions that ask a predicate about each item of a list.

use super::evaluate::{Evaluation, Scope, Stop, boolean, signed};
use super::operate::Operator;
use super::syntax::{Each, Node};
use super::value::Value;

impl<'a> Evaluation<'a> {
    /// The value of a function over a list; `initial` is where `reduce` begins.
    pub(super) fn each(
        &mut self,
        each: Each,
        over: &Value,
        predicate: Option<&'a Node>,
        initial: Option<Value>,
    ) -> Result<Value, Stop> {
        let Value::List(items) = over else {
            let name = format!("{each:?}").to_lowercase();
            return Err(format!("invalid argument for {name} (type {})", over.type_name()).into());
        };
        match each {
            Each::All => Ok(Value::Bool(self.first(items, predicate, false)?.is_none())),
            Each::Any => Ok(Value::Bool(self.first(items, predicate, true)?.is_some())),
            Each::None => Ok(Value::Bool(self.first(items, predicate, true)?.is_none())),
            Each::One => Ok(Value::Bool(self.matching(items, predicate)?.len() == 1)),
            Each::Filter => Ok(Value::list(self.matching(items, predicate)?)),
            Each::Count => {
                let matching = self.matching(items, predicate)?;
                Ok(Value::Int(signed(matching.len())))
            }
            Each::Find => {
                let found = self.first(items, predicate, true)?;
                Ok(found
                    .and_then(|index| items.get(index))
                    .cloned()
                    .unwrap_or(Value::Nil))
            }
            Each::FindIndex => {
                let found = self.first(items, predicate, true)?;
                Ok(found.map_or(Value::Nil, |index| Value::Int(signed(index))))
            }
            Each::FindLast => {
                let mut matching = self.matching(items, predicate)?;
                Ok(matching.pop().unwrap_or(Value::Nil))
            }
            Each::Map => Ok(Value::list(self.mapped(items, predicate)?)),
            Each::Sum => {
                let mapped = self.mapped(items, predicate)?;
                let add = |sum: Value, item: &Value| Operator::Add.apply(&sum, item);
                Ok(mapped.iter().try_fold(Value::Int(0), add)?)
            }
            Each::Reduce => self.reduced(items, predicate, initial),
        }
    }

    /// What the predicate says of one item; the item itself where there is no predicate.
    fn ask(&mut self, predicate: Option<&'a Node>, scope: Scope) -> Result<Value, Stop> {
        self.spend(1)?;
        let Some(predicate) = predicate else {
            return Ok(scope.item);
        };
        self.scopes.push(scope);
        let value = self.value(predicate);
        self.scopes.pop();
        value
    }

    fn scope(index: usize, item: &Value) -> Scope {
        Scope {
            item: item.clone(),
            index: signed(index),
            accumulator: Value::Nil,
        }
    }

    /// The index of the first item for which the predicate gives `wanted`.
    fn first(
        &mut self,
        items: &[Value],
        predicate: Option<&'a Node>,
        wanted: bool,
    ) -> Result<Option<usize>, Stop> {
        for (index, item) in items.iter().enumerate() {
            let answer = self.ask(predicate, Self::scope(index, item))?;
            if boolean(&answer, "predicate")? == wanted {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn matching(
        &mut self,
        items: &[Value],
        predicate: Option<&'a Node>,
    ) -> Result<Vec<Value>, Stop> {
        let mut matching = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let answer = self.ask(predicate, Self::scope(index, item))?;
            if boolean(&answer, "predicate")? {
                matching.push(item.clone());
            }
        }
        Ok(matching)
    }

    fn mapped(&mut self, items: &[Value], predicate: Option<&'a Node>) -> Result<Vec<Value>, Stop> {
        let ask = |(index, item)| self.ask(predicate, Self::scope(index, item));
        items.iter().enumerate().map(ask).collect()
    }

    /// Without an initial value the first item is it.
    fn reduced(
        &mut self,
        items: &[Value],
        predicate: Option<&'a Node>,
        initial: Option<Value>,
    ) -> Result<Value, Stop> {
        let skipped = usize::from(initial.is_none());
        let first = initial.or_else(|| items.first().cloned());
        let mut accumulator =
            first.ok_or_else(|| "reduce of empty array with no initial value".to_owned())?;
        for (index, item) in items.iter().enumerate().skip(skipped) {
            let scope = Scope {
                item: item.clone(),
                index: signed(index),
                accumulator,
            };
            accumulator = self.ask(predicate, scope)?;
        }
        Ok(accumulator)
    }
}
