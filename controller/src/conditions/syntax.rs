//! Tokens become a tree, by precedence (a Pratt parser). Names are looked up here, so a condition
//! with an unknown one is wrong even where it would never be reached.

mod primary;
mod tree;

use super::operate::Operator;
use super::token::{Kind, Token, syntax_error, tokens};
use super::{ConditionError, DEEPEST, LONGEST, MOST_OPERATORS};

pub(super) use tree::{Each, Node};

/// Reads a condition.
pub(super) fn parse(source: &str) -> Result<Node, ConditionError> {
    if source.len() > LONGEST {
        return Err(ConditionError::TooLong(source.len()));
    }
    let mut parser = Parser {
        source,
        tokens: tokens(source)?,
        next: 0,
        depth: 0,
        operators: 0,
        variables: Vec::new(),
        predicates: 0,
    };
    let tree = parser.sequence()?;
    match parser.peek() {
        Kind::End => Ok(tree),
        _ => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    operators: usize,
    /// Names bound by `let` around here.
    variables: Vec<String>,
    /// Predicates around here: only within one, `#` and `.field` mean something.
    predicates: usize,
}

/// What stands between two operands.
enum Infix {
    Plain(Operator),
    /// An operator with `not` before it.
    Negated(Operator),
    And,
    Or,
    Coalesce,
    Pipe,
}

/// How tightly `not` binds.
const NOT: u16 = 50;

/// How tightly a sign binds.
const SIGN: u16 = 90;

// === impl Parser ===

impl Parser<'_> {
    fn peek(&self) -> &Kind {
        // The last token is the end, and nothing goes beyond it.
        &self.tokens[self.next.min(self.tokens.len() - 1)].kind
    }

    fn peek_second(&self) -> &Kind {
        &self.tokens[(self.next + 1).min(self.tokens.len() - 1)].kind
    }

    fn advance(&mut self) {
        self.next += 1;
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Kind::Sign(found) if *found == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Kind::Name(name) if name == word)
    }

    /// Takes the sign if it is next.
    fn take(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), ConditionError> {
        if self.take(sign) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn unexpected(&self) -> ConditionError {
        let token = &self.tokens[self.next.min(self.tokens.len() - 1)];
        let message = match &token.kind {
            Kind::End => "unexpected token EOF".to_owned(),
            Kind::Sign(sign) => format!("unexpected token Operator({sign:?})"),
            Kind::Name(name) => format!("unexpected token Identifier({name:?})"),
            Kind::Pointer(name) => format!("unexpected token Operator(\"#{name}\")"),
            Kind::Literal(value) => format!("unexpected token {value}"),
        };
        syntax_error(self.source, token.at, message)
    }

    fn error(&self, message: impl Into<String>) -> ConditionError {
        let token = &self.tokens[self.next.min(self.tokens.len() - 1)];
        syntax_error(self.source, token.at, message)
    }

    fn count_operator(&mut self) -> Result<(), ConditionError> {
        self.operators += 1;
        if self.operators > MOST_OPERATORS {
            Err(ConditionError::TooComplex)
        } else {
            Ok(())
        }
    }

    /// `let` bindings, and the expression that they are for.
    fn sequence(&mut self) -> Result<Node, ConditionError> {
        if !self.is_word("let") {
            return self.expression(0);
        }
        self.count_operator()?;
        self.advance();
        let Kind::Name(name) = self.peek().clone() else {
            return Err(self.unexpected());
        };
        self.advance();
        self.expect("=")?;
        let value = self.expression(0)?;
        self.expect(";")?;
        self.variables.push(name.clone());
        let body = self.sequence()?;
        self.variables.pop();
        Ok(Node::Let {
            name,
            value: Box::new(value),
            body: Box::new(body),
        })
    }

    /// An expression of operators that bind at least as tightly as `least`.
    fn expression(&mut self, least: u16) -> Result<Node, ConditionError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(ConditionError::TooComplex);
        }
        let mut left = self.operand()?;
        while let Some((infix, binds, width)) = self.infix() {
            if binds < least {
                break;
            }
            self.count_operator()?;
            (0..width).for_each(|_| self.advance());
            left = self.joined(left, &infix, binds)?;
        }
        if least == 0 {
            left = self.conditional(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn joined(&mut self, left: Node, infix: &Infix, binds: u16) -> Result<Node, ConditionError> {
        if matches!(infix, Infix::Pipe) {
            return self.piped(left);
        }
        // All operators associate to the left, except powers.
        let powers = matches!(infix, Infix::Plain(Operator::Power));
        let right = Box::new(self.expression(if powers { binds } else { binds + 1 })?);
        let left = Box::new(left);
        Ok(match infix {
            Infix::Plain(operator) => Node::Binary {
                operator: *operator,
                left,
                right,
            },
            Infix::Negated(operator) => Node::Not(Box::new(Node::Binary {
                operator: *operator,
                left,
                right,
            })),
            Infix::And => Node::And(left, right),
            Infix::Or => Node::Or(left, right),
            Infix::Coalesce | Infix::Pipe => Node::Coalesce(left, right),
        })
    }

    /// `condition ? a : b`, and `condition ?: b`.
    fn conditional(&mut self, condition: Node) -> Result<Node, ConditionError> {
        if !self.take("?") {
            return Ok(condition);
        }
        self.count_operator()?;
        if self.take(":") {
            let otherwise = self.expression(0)?;
            return Ok(Node::conditional(condition.clone(), condition, otherwise));
        }
        let then = self.expression(0)?;
        self.expect(":")?;
        let otherwise = self.expression(0)?;
        Ok(Node::conditional(condition, then, otherwise))
    }

    /// The operator that is next, how tightly it binds, and of how many tokens it is.
    fn infix(&self) -> Option<(Infix, u16, usize)> {
        if self.is_word("not") {
            let Kind::Name(word) = self.peek_second() else {
                return None;
            };
            let operator = worded(word)?;
            return Some((Infix::Negated(operator), 20, 2));
        }
        let (infix, binds) = match self.peek() {
            Kind::Sign(sign) => signed(sign)?,
            Kind::Name(word) => match word.as_str() {
                "and" => (Infix::And, 15),
                "or" => (Infix::Or, 10),
                word => (Infix::Plain(worded(word)?), 20),
            },
            _ => return None,
        };
        Some((infix, binds, 1))
    }
}

fn worded(word: &str) -> Option<Operator> {
    Some(match word {
        "in" => Operator::In,
        "matches" => Operator::Matches,
        "contains" => Operator::Contains,
        "startsWith" => Operator::StartsWith,
        "endsWith" => Operator::EndsWith,
        _ => return None,
    })
}

fn signed(sign: &str) -> Option<(Infix, u16)> {
    Some(match sign {
        "|" => (Infix::Pipe, 0),
        "||" => (Infix::Or, 10),
        "&&" => (Infix::And, 15),
        "==" => (Infix::Plain(Operator::Equal), 20),
        "!=" => (Infix::Plain(Operator::NotEqual), 20),
        "<" => (Infix::Plain(Operator::Less), 20),
        "<=" => (Infix::Plain(Operator::LessOrEqual), 20),
        ">" => (Infix::Plain(Operator::Greater), 20),
        ">=" => (Infix::Plain(Operator::GreaterOrEqual), 20),
        ".." => (Infix::Plain(Operator::Range), 25),
        "+" => (Infix::Plain(Operator::Add), 30),
        "-" => (Infix::Plain(Operator::Subtract), 30),
        "*" => (Infix::Plain(Operator::Multiply), 60),
        "/" => (Infix::Plain(Operator::Divide), 60),
        "%" => (Infix::Plain(Operator::Remainder), 60),
        "**" | "^" => (Infix::Plain(Operator::Power), 100),
        "??" => (Infix::Coalesce, 500),
        _ => return None,
    })
}
