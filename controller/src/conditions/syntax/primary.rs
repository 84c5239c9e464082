//! What stands between operators: literals, names, calls, brackets, and accesses into them.

use super::{Each, NOT, Node, Parser, SIGN};
use crate::conditions::ConditionError;
use crate::conditions::functions::Function;
use crate::conditions::token::Kind;
use crate::conditions::value::Value;

impl Parser<'_> {
    /// An operand with the signs before it and the accesses behind it.
    pub(super) fn operand(&mut self) -> Result<Node, ConditionError> {
        if self.is_word("not") || self.is_sign("!") {
            self.count_operator()?;
            self.advance();
            return Ok(Node::Not(Box::new(self.expression(NOT)?)));
        }
        if self.is_sign("-") || self.is_sign("+") {
            self.count_operator()?;
            let negative = self.is_sign("-");
            self.advance();
            let operand = self.expression(SIGN)?;
            return Ok(if negative {
                Node::Negative(Box::new(operand))
            } else {
                operand
            });
        }
        let primary = self.primary()?;
        self.accesses(primary)
    }

    fn primary(&mut self) -> Result<Node, ConditionError> {
        match self.peek().clone() {
            Kind::Literal(value) => {
                self.advance();
                Ok(Node::Literal(value))
            }
            Kind::Name(name) => {
                self.advance();
                self.named(&name)
            }
            Kind::Pointer(name) if self.predicates > 0 => self.pointer(&name),
            Kind::Sign(".") if self.predicates > 0 => Ok(Node::Item),
            Kind::Sign("(") => {
                self.advance();
                let inner = self.sequence()?;
                self.expect(")")?;
                Ok(inner)
            }
            Kind::Sign("[") => {
                self.advance();
                Ok(Node::List(self.listed("]", Self::element)?))
            }
            Kind::Sign("{") => {
                self.advance();
                Ok(Node::Map(self.listed("}", Self::entry)?))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn pointer(&mut self, name: &str) -> Result<Node, ConditionError> {
        let node = match name {
            "" => Node::Item,
            "index" => Node::Index,
            "acc" => Node::Accumulator,
            other => return Err(self.error(format!("unknown pointer #{other}"))),
        };
        self.advance();
        Ok(node)
    }

    /// A name that was just taken: a constant, a call or a variable.
    fn named(&mut self, name: &str) -> Result<Node, ConditionError> {
        match name {
            "true" => return Ok(Node::Literal(Value::Bool(true))),
            "false" => return Ok(Node::Literal(Value::Bool(false))),
            "nil" => return Ok(Node::Literal(Value::Nil)),
            _ => {}
        }
        if self.is_sign("(") {
            return self.call(name, None);
        }
        if self.variables.iter().any(|variable| variable == name) {
            return Ok(Node::Variable(name.to_owned()));
        }
        match name {
            "result" => Ok(Node::Result),
            _ => Err(ConditionError::UnknownName(name.to_owned())),
        }
    }

    /// What is left of a pipe becomes the first argument of the call behind it.
    pub(super) fn piped(&mut self, left: Node) -> Result<Node, ConditionError> {
        let Kind::Name(name) = self.peek().clone() else {
            return Err(self.unexpected());
        };
        self.advance();
        let call = self.call(&name, Some(left))?;
        self.accesses(call)
    }

    fn call(&mut self, name: &str, piped: Option<Node>) -> Result<Node, ConditionError> {
        self.count_operator()?;
        if let Some(each) = Each::named(name) {
            return self.each(each, piped);
        }
        let Some(function) = Function::named(name) else {
            return Err(ConditionError::UnknownName(name.to_owned()));
        };
        self.expect("(")?;
        let mut arguments: Vec<Node> = piped.into_iter().collect();
        arguments.extend(self.listed(")", Self::element)?);
        let (least, most) = function.arguments();
        if arguments.len() < least {
            return Err(self.error(format!("not enough arguments to call {name}")));
        }
        if arguments.len() > most {
            return Err(self.error(format!("too many arguments to call {name}")));
        }
        Ok(Node::Call {
            function,
            arguments,
        })
    }

    fn each(&mut self, each: Each, piped: Option<Node>) -> Result<Node, ConditionError> {
        self.expect("(")?;
        let over = if let Some(piped) = piped {
            piped
        } else {
            let over = self.expression(0)?;
            if !self.is_sign(")") {
                self.expect(",")?;
            }
            over
        };
        let predicate = if self.is_sign(")") && each.predicate_is_optional() {
            None
        } else {
            Some(Box::new(self.predicate()?))
        };
        let initial = if each == Each::Reduce && self.take(",") {
            Some(Box::new(self.expression(0)?))
        } else {
            None
        };
        self.take(",");
        self.expect(")")?;
        Ok(Node::Each {
            each,
            over: Box::new(over),
            predicate,
            initial,
        })
    }

    /// `{# > 1}`, `{.field > 1}`, or the same without braces.
    fn predicate(&mut self) -> Result<Node, ConditionError> {
        let braces = self.take("{");
        self.predicates += 1;
        let predicate = if braces {
            self.sequence()?
        } else {
            self.expression(0)?
        };
        self.predicates -= 1;
        if braces {
            self.expect("}")?;
        }
        Ok(predicate)
    }

    /// Parts with commas between them, up to a closing sign; a comma may stand before it.
    fn listed<T>(
        &mut self,
        close: &str,
        part: fn(&mut Self) -> Result<T, ConditionError>,
    ) -> Result<Vec<T>, ConditionError> {
        let mut parts = Vec::new();
        while !self.take(close) {
            parts.push(part(self)?);
            if !self.is_sign(close) {
                self.expect(",")?;
            }
        }
        Ok(parts)
    }

    fn element(&mut self) -> Result<Node, ConditionError> {
        self.expression(0)
    }

    fn entry(&mut self) -> Result<(Node, Node), ConditionError> {
        let key = match self.peek().clone() {
            Kind::Name(name) => {
                self.advance();
                Node::Literal(Value::text(name))
            }
            Kind::Literal(value) => {
                self.advance();
                Node::Literal(Value::text(value.to_string()))
            }
            Kind::Sign("(") => self.expression(0)?,
            _ => return Err(self.unexpected()),
        };
        self.expect(":")?;
        Ok((key, self.expression(0)?))
    }

    fn accesses(&mut self, mut node: Node) -> Result<Node, ConditionError> {
        let mut chained = false;
        loop {
            let optional = self.is_sign("?.");
            if optional || self.is_sign(".") {
                self.count_operator()?;
                self.advance();
                chained |= optional;
                node = self.member(node, optional)?;
            } else if self.is_sign("[") {
                self.count_operator()?;
                self.advance();
                node = self.subscript(node, false)?;
            } else {
                return Ok(if chained {
                    Node::Chain(Box::new(node))
                } else {
                    node
                });
            }
        }
    }

    fn member(&mut self, of: Node, optional: bool) -> Result<Node, ConditionError> {
        if optional && self.take("[") {
            return self.subscript(of, true);
        }
        let Kind::Name(name) = self.peek().clone() else {
            return Err(self.unexpected());
        };
        self.advance();
        if self.is_sign("(") {
            // Results are plain data.
            return Err(self.error(format!("{name} is not a function")));
        }
        let key = Box::new(Node::Literal(Value::text(name)));
        Ok(Node::Access {
            of: Box::new(of),
            key,
            optional,
        })
    }

    /// `[key]`, `[from:to]`, after the opening bracket.
    fn subscript(&mut self, of: Node, optional: bool) -> Result<Node, ConditionError> {
        let of = Box::new(of);
        if self.take(":") {
            return self.slice(of, None);
        }
        let first = Box::new(self.expression(0)?);
        if self.take(":") {
            return self.slice(of, Some(first));
        }
        self.expect("]")?;
        Ok(Node::Access {
            of,
            key: first,
            optional,
        })
    }

    fn slice(&mut self, of: Box<Node>, from: Option<Box<Node>>) -> Result<Node, ConditionError> {
        let to = if self.is_sign("]") {
            None
        } else {
            Some(Box::new(self.expression(0)?))
        };
        self.expect("]")?;
        Ok(Node::Slice { of, from, to })
    }
}
