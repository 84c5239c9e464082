//! Sets of fields, in the shape in which `metadata.managedFields` keeps them: a tree whose edges are
//! `f:NAME` (a field), `k:{…}` (an entry of a list, by its keys) and `v:…` (a value of a set).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::form::Node;

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) members: BTreeSet<String>,
    pub(super) children: BTreeMap<String, Set>,
}

/// What stands for a node itself beside its children.
const SELF: &str = ".";

/// Trees deeper than this are no managed fields of any object that this server takes.
const DEEPEST: usize = 128;

impl Set {
    /// Reads `fieldsV1`. Nothing where it is none.
    pub(super) fn parse(fields: &Value) -> Option<Self> {
        Self::parse_at(fields, DEEPEST)
    }

    fn parse_at(fields: &Value, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let mut set = Self::default();
        for (edge, below) in fields.as_object()?.iter().filter(|(edge, _)| *edge != SELF) {
            let edge = normal(edge)?;
            let inner = Self::parse_at(below, depth)?;
            let is_member = below.get(SELF).is_some() || inner.is_empty();
            if is_member {
                set.members.insert(edge.clone());
            }
            set.insert_below(edge, inner);
        }
        Some(set)
    }

    /// The set as `fieldsV1`.
    pub(super) fn print(&self) -> Value {
        let mut fields = Map::new();
        let edges: BTreeSet<&String> = self.members.iter().chain(self.children.keys()).collect();
        for edge in edges {
            let mut below = json!({});
            if let Some(child) = self.children.get(edge) {
                below = child.print();
                if self.members.contains(edge) {
                    below[SELF] = json!({});
                }
            }
            fields.insert(edge.clone(), below);
        }
        Value::Object(fields)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    /// Puts a set under an edge, unless it is empty.
    pub(super) fn insert_below(&mut self, edge: String, below: Self) {
        if !below.is_empty() {
            self.children.entry(edge).or_default().add(below);
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.members.extend(other.members);
        for (edge, below) in other.children {
            self.insert_below(edge, below);
        }
    }

    pub(super) fn take(&mut self, other: &Self) {
        self.members.retain(|edge| !other.members.contains(edge));
        self.children.retain(|edge, below| {
            if let Some(gone) = other.children.get(edge) {
                below.take(gone);
            }
            !below.is_empty()
        });
    }

    pub(super) fn shared(&self, other: &Self) -> Self {
        let members = self.members.intersection(&other.members).cloned().collect();
        let mut shared = Self {
            members,
            ..Self::default()
        };
        for (edge, below) in &self.children {
            if let Some(theirs) = other.children.get(edge) {
                shared.insert_below(edge.clone(), below.shared(theirs));
            }
        }
        shared
    }

    /// Takes away an edge with everything below it.
    pub(super) fn cut(&mut self, edge: &str) {
        self.members.remove(edge);
        self.children.remove(edge);
    }

    /// Takes away one path, not what is below it.
    pub(super) fn forget(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => drop(self.members.remove(*last)),
            [first, rest @ ..] => {
                if let Some(below) = self.children.get_mut(*first) {
                    below.forget(rest);
                    if below.is_empty() {
                        self.children.remove(*first);
                    }
                }
            }
        }
    }

    /// The set in which every field of a struct that has something below it is a member too: who
    /// gives up all of a struct gives up the struct.
    pub(super) fn with_structs(&self, node: Node<'_>) -> Self {
        let mut set = Self {
            members: self.members.clone(),
            children: BTreeMap::new(),
        };
        for (edge, below) in &self.children {
            let (child, declared) = node.below(edge);
            if declared {
                set.members.insert(edge.clone());
            }
            set.children.insert(edge.clone(), below.with_structs(child));
        }
        set
    }

    /// Every path, as people write them: `.spec.containers[name="a"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.paths_at("", &mut paths);
        paths
    }

    fn paths_at(&self, at: &str, paths: &mut Vec<String>) {
        paths.extend(
            self.members
                .iter()
                .map(|edge| format!("{at}{}", shown(edge))),
        );
        for (edge, below) in &self.children {
            below.paths_at(&format!("{at}{}", shown(edge)), paths);
        }
    }
}

pub(super) fn shown(edge: &str) -> String {
    let (kind, rest) = edge.split_at(edge.len().min(2));
    match kind {
        "f:" => format!(".{rest}"),
        "v:" => format!("[={rest}]"),
        _ => {
            let keys: Value = serde_json::from_str(rest).unwrap_or_default();
            let keys = keys.as_object().into_iter().flatten();
            let keys: Vec<String> = keys.map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
    }
}

/// The edge of an entry with these keys.
pub(super) fn entry(mut keys: Vec<(String, Value)>) -> String {
    keys.sort_by(|(one, _), (other, _)| one.cmp(other));
    let keys: Map<String, Value> = keys.into_iter().collect();
    format!("k:{}", Value::Object(keys))
}

/// An edge as this server writes it, with its keys in order.
fn normal(edge: &str) -> Option<String> {
    match edge.get(..2)? {
        "f:" | "v:" | "i:" => Some(edge.to_owned()),
        "k:" => {
            let keys: Map<String, Value> = serde_json::from_str(edge.get(2..)?).ok()?;
            Some(entry(keys.into_iter().collect()))
        }
        _ => None,
    }
}
