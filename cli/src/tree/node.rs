//! A line of the tree and what hangs below it.

use jiff::Timestamp;
use kube::Resource;

use super::text::Text;

/// An object, or a revision.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its kind in a character.
    pub(super) icon: &'static str,
    pub(super) name: Text,
    /// Its kind; empty for a revision.
    pub(super) kind: &'static str,
    pub(super) state: State,
    pub(super) age: String,
    pub(super) info: Text,
    pub(super) children: Vec<Node>,
}

/// How an object is, in a character and a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) icon: &'static str,
    pub(super) word: String,
}

// === impl Node ===

impl Node {
    /// This line and all below it, as cells: name, kind, status, age, info.
    pub(super) fn rows(&self) -> Vec<Vec<Text>> {
        let mut rows = Vec::new();
        self.add_rows("", "", &mut rows);
        rows
    }

    /// `prefix` stands before this line, `below` before each of the lines under it.
    fn add_rows(&self, prefix: &str, below: &str, rows: &mut Vec<Vec<Text>>) {
        rows.push(self.row(prefix));
        for (index, child) in self.children.iter().enumerate() {
            let is_last = index + 1 == self.children.len();
            let (branch, gap) = if is_last {
                ("└──", "   ")
            } else {
                ("├──", "│  ")
            };
            child.add_rows(&format!("{below}{branch}"), &format!("{below}{gap}"), rows);
        }
    }

    fn row(&self, prefix: &str) -> Vec<Text> {
        vec![
            Text::plain(format!("{prefix}{} ", self.icon)).then(self.name.clone()),
            Text::plain(self.kind),
            self.state.text(),
            Text::plain(self.age.clone()),
            self.info.clone(),
        ]
    }
}

// === impl State ===

impl State {
    pub(super) fn new(icon: &'static str, word: impl Into<String>) -> Self {
        Self {
            icon,
            word: word.into(),
        }
    }

    /// Of something that has none.
    pub(super) fn none() -> Self {
        Self::new("", "")
    }

    pub(super) fn text(&self) -> Text {
        Text::word(self.icon).then(Text::plain(format!(" {}", self.word)))
    }
}

/// When an object was created.
pub(super) fn created<K: Resource>(object: &K) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

/// One of an object's annotations.
pub(super) fn annotation<'a, K: Resource>(object: &'a K, key: &str) -> Option<&'a str> {
    let annotations = object.meta().annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}
