//! Names, hashes, times: each becomes a symbol that means the same in every recording.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// The label that ties objects to a revision.
pub(super) const HASH: &str = "rollouts-pod-template-hash";

static UID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").expect("a pattern")
});
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)").expect("a pattern")
});

/// What stands for what. Pod template hashes become `rs1`, `rs2` … in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    namespace: String,
    answers: String,
    hashes: Vec<String>,
}

// === impl Symbols ===

impl Symbols {
    /// Of a namespace whose answers are at that address.
    pub fn new(namespace: &str, answers: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            answers: answers.to_owned(),
            hashes: Vec::new(),
        }
    }

    /// The symbol of a hash; a new one if it was never seen.
    pub fn hash(&mut self, hash: &str) -> String {
        if hash.is_empty() {
            return "none".to_owned();
        }
        let known = self.hashes.iter().position(|one| one == hash);
        let at = known.unwrap_or_else(|| {
            self.hashes.push(hash.to_owned());
            self.hashes.len() - 1
        });
        format!("rs{}", at + 1)
    }

    /// A text with every known name replaced.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (at, hash) in self.hashes.iter().enumerate() {
            text = text.replace(hash.as_str(), &format!("rs{}", at + 1));
        }
        if !self.answers.is_empty() {
            text = text.replace(&self.answers, "<answers>");
        }
        text = text.replace(&self.namespace, "<namespace>");
        let text = UID.replace_all(&text, "<uid>");
        TIME.replace_all(&text, "<time>").into_owned()
    }

    /// A document with every known name replaced, on one line, its keys sorted.
    pub fn value(&self, value: &Value) -> String {
        let mut sorted = value.clone();
        sorted.sort_all_objects();
        self.text(&sorted.to_string())
    }

    /// The opposite of [`Self::text`] for hashes.
    pub fn name(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (at, hash) in self.hashes.iter().enumerate().rev() {
            text = text.replace(&format!("rs{}", at + 1), hash);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_recordings_becomes_the_same() {
        let mut symbols = Symbols::new("c-7", "http://127.0.0.1:40123/c-7");
        assert_eq!(symbols.hash("6f4f9d8c9c"), "rs1");
        assert_eq!(symbols.hash("849b756fd4"), "rs2");
        assert_eq!(symbols.hash("6f4f9d8c9c"), "rs1");
        let table = [
            ("web-849b756fd4-2-1", "web-rs2-2-1"),
            (
                "get http://127.0.0.1:40123/c-7/x in c-7",
                "get <answers>/x in <namespace>",
            ),
            (
                "at 2026-11-24T09:00:00Z and 2026-11-24T09:00:00.12+01:00",
                "at <time> and <time>",
            ),
            (
                "c-7/0a1b2c3d-0000-4000-8000-0123456789ab.x.1",
                "<namespace>/<uid>.x.1",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(symbols.text(text), expected);
        }
        assert_eq!(symbols.name("web-rs2-2"), "web-849b756fd4-2");
    }
}
