//! Reading an object strictly: each key is taken once, what is left over is an error.

use serde_json::{Map, Value};

use super::FieldError;
use crate::duration::GoDuration;

/// How alike a key must be to a known one to be suggested for it (0 to 1).
const ALIKE: f64 = 0.7;

/// The errors found so far, in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<FieldError>);

/// An object under a path, with the keys that it may have.
pub(super) struct Block<'a> {
    path: String,
    object: &'a Map<String, Value>,
}

// === impl Errors ===

impl Errors {
    pub(super) fn push(&mut self, path: &str, value: &Value, message: impl Into<String>) {
        let message = message.into();
        self.0.push(FieldError {
            path: path.to_owned(),
            value: value.clone(),
            message,
        });
    }

    /// The parsed block when nothing was wrong with it.
    pub(super) fn or<T>(self, parsed: Option<T>) -> Result<T, Vec<FieldError>> {
        match parsed {
            Some(parsed) if self.0.is_empty() => Ok(parsed),
            _ => Err(self.0),
        }
    }
}

// === impl Block ===

impl<'a> Block<'a> {
    /// Opens an object and reports the keys that are not among `known`.
    pub(super) fn open(
        value: &'a Value,
        path: &str,
        known: &[&str],
        errors: &mut Errors,
    ) -> Option<Self> {
        let Some(object) = value.as_object() else {
            let message = format!("must be an object with {}", listed(known));
            errors.push(path, value, message);
            return None;
        };
        for (key, value) in object {
            if !known.contains(&key.as_str()) {
                errors.push(&format!("{path}.{key}"), value, unknown_key(key, known));
            }
        }
        Some(Self {
            path: path.to_owned(),
            object,
        })
    }

    /// The path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// The path of the block itself.
    pub(super) fn own_path(&self) -> &str {
        &self.path
    }

    /// The block as it was written.
    pub(super) fn value(&self) -> Value {
        Value::Object(self.object.clone())
    }

    /// The value of a key; `null` is absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// A value that `accept` takes, or an error that says what is `wanted`.
    pub(super) fn wanted<T>(
        &self,
        key: &str,
        wanted: &str,
        accept: impl FnOnce(&'a Value) -> Option<T>,
        errors: &mut Errors,
    ) -> Option<T> {
        let value = self.get(key)?;
        let accepted = accept(value);
        if accepted.is_none() {
            errors.push(&self.path(key), value, format!("must be {wanted}"));
        }
        accepted
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
        errors: &mut Errors,
    ) -> Option<T> {
        let value = self.get(key)?;
        let text = value.as_str().unwrap_or_default();
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let meant = suggestion(text, &known);
        errors.push(
            &self.path(key),
            value,
            format!("must be {}{meant}", alternatives(&known)),
        );
        None
    }

    /// A Go duration that is longer than nothing.
    pub(super) fn duration(&self, key: &str, errors: &mut Errors) -> Option<GoDuration> {
        let value = self.get(key)?;
        let Some(text) = value.as_str() else {
            errors.push(
                &self.path(key),
                value,
                "must be a duration, as in \"500ms\" or \"5s\"",
            );
            return None;
        };
        match GoDuration::parse(text) {
            Ok(duration) if duration.nanoseconds() > 0 => Some(duration),
            Ok(_) => {
                errors.push(&self.path(key), value, "must be longer than 0s");
                None
            }
            Err(error) => {
                errors.push(&self.path(key), value, error.to_string());
                None
            }
        }
    }

    /// Those of `keys` that are set.
    pub(super) fn present<'k>(&self, keys: &[&'k str]) -> Vec<&'k str> {
        keys.iter()
            .copied()
            .filter(|key| self.get(key).is_some())
            .collect()
    }
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let meant = suggestion(key, known);
    if meant.is_empty() {
        format!("unknown key {key:?}; known keys are {}", listed(known))
    } else {
        format!("unknown key {key:?}{meant}")
    }
}

fn suggestion(text: &str, known: &[&str]) -> String {
    let alike = |word: &&str| strsim::jaro_winkler(&text.to_lowercase(), &word.to_lowercase());
    let best = known
        .iter()
        .copied()
        .max_by(|a, b| alike(a).total_cmp(&alike(b)));
    match best {
        Some(word) if alike(&word) >= ALIKE => format!("; did you mean {word:?}?"),
        _ => String::new(),
    }
}

fn listed(words: &[&str]) -> String {
    words.join(", ")
}

fn alternatives(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("{word:?}"))
        .collect::<Vec<_>>()
        .join(" or ")
}
