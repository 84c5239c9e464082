//! The tree of a condition.

use crate::conditions::functions::Function;
use crate::conditions::operate::Operator;
use crate::conditions::value::Value;

/// A part of a condition.
#[derive(Clone, Debug)]
pub(in crate::conditions) enum Node {
    Literal(Value),
    /// The measured result.
    Result,
    /// What a `let` bound.
    Variable(String),
    /// `#`, `#index` or `#acc` of the predicate around here.
    Item,
    Index,
    Accumulator,
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Not(Box<Node>),
    Negative(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Coalesce(Box<Node>, Box<Node>),
    Binary {
        operator: Operator,
        left: Box<Node>,
        right: Box<Node>,
    },
    Conditional {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
    Let {
        name: String,
        value: Box<Node>,
        body: Box<Node>,
    },
    /// `of.key`, `of[key]`, and with `optional` `of?.key`.
    Access {
        of: Box<Node>,
        key: Box<Node>,
        optional: bool,
    },
    Slice {
        of: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
    },
    /// A chain of accesses that is nil as a whole where an optional one finds nil.
    Chain(Box<Node>),
    Call {
        function: Function,
        arguments: Vec<Node>,
    },
    /// A function with a predicate, which is evaluated for each item.
    Each {
        each: Each,
        over: Box<Node>,
        predicate: Option<Box<Node>>,
        initial: Option<Box<Node>>,
    },
}

/// A function with a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conditions) enum Each {
    All,
    Any,
    None,
    One,
    Map,
    Filter,
    Find,
    FindIndex,
    FindLast,
    Count,
    Sum,
    Reduce,
}

// === impl Node ===

impl Node {
    pub(super) fn conditional(condition: Self, then: Self, otherwise: Self) -> Self {
        Self::Conditional {
            condition: Box::new(condition),
            then: Box::new(then),
            otherwise: Box::new(otherwise),
        }
    }
}

// === impl Each ===

impl Each {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "any" => Self::Any,
            "none" => Self::None,
            "one" => Self::One,
            "map" => Self::Map,
            "filter" => Self::Filter,
            "find" => Self::Find,
            "findIndex" => Self::FindIndex,
            "findLast" => Self::FindLast,
            "count" => Self::Count,
            "sum" => Self::Sum,
            "reduce" => Self::Reduce,
            _ => return None,
        })
    }

    /// Whether it may be called without a predicate.
    pub(super) fn predicate_is_optional(self) -> bool {
        matches!(self, Self::Count | Self::Sum)
    }
}
