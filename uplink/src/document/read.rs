//! From text to the raw document, and back to its canonical text.
//!
//! YAML and JSON are read into one tree, in which every key stands once. The tree is held against
//! the schema, so that all unknown keys and wrong types are told at once, and only then becomes
//! the document.

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Options;
use sha2::{Digest, Sha256};

use super::{RoutingConfig, shape};
use crate::check::{ConfigError, Faults, Path};
use crate::limits::MAX_DOCUMENT_BYTES;

/// YAML nodes and parser events of one document: what the largest one can have in earnest.
const MAX_YAML_NODES: usize = 2_000_000;

/// How often YAML aliases may repeat things, in parser events: convenience, not a bomb.
const MAX_YAML_REPLAYED: usize = 100_000;

/// Reads a routing configuration from YAML 1.2 or JSON. `on` and `yes` are no booleans; a key that
/// stands twice, an unknown key and a wrong type are errors, all of them told.
pub fn read_yaml_or_json(text: &str) -> Result<RoutingConfig, Vec<ConfigError>> {
    let mut faults = Faults::default();
    let Some(tree) = faults.take(&Path::ROOT, tree(text)) else {
        return faults.finish().map(|()| RoutingConfig::default());
    };
    shape::check(&mut faults, &tree);
    faults.finish()?;
    serde_path_to_error::deserialize(tree).map_err(|error| {
        vec![ConfigError {
            path: error.path().to_string(),
            message: error.inner().to_string(),
        }]
    })
}

/// The canonical text: JSON without spaces, keys in the order of the types, names sorted.
pub fn to_json(document: &RoutingConfig) -> String {
    serde_json::to_string(document).expect("string keys and plain values always serialize")
}

/// `sha256:` and the digest of the canonical text: equal documents have equal digests.
pub fn digest(document: &RoutingConfig) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(to_json(document))))
}

/// JSON where it begins as JSON does; a YAML flow mapping begins so too, hence the second try.
fn tree(text: &str) -> Result<Value, String> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(format!(
            "the document has {} bytes: expected at most {MAX_DOCUMENT_BYTES}",
            text.len()
        ));
    }
    let tree = if text.trim_start().starts_with('{') {
        json(text).or_else(|error| match error {
            duplicate if duplicate.is_data() => Err(duplicate.to_string()),
            syntax => yaml(text).map_err(|_| format!("invalid JSON: {syntax}")),
        })?
    } else {
        yaml(text)?
    };
    if tree.is_null() {
        return Err("the document is empty: expected at least `routes` and `clusters`".to_owned());
    }
    Ok(tree)
}

fn json(text: &str) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let tree = Once.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(tree)
}

fn yaml(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str_with_options(text, yaml_options())
        .map_err(|error| format!("invalid YAML: {error}"))
}

/// Strict YAML 1.2: what looks like a number by older rules (`0123`, `1_000`) stays a string, and
/// so do `on` and `yes`; where a number or boolean is wanted they are then wrong types.
fn yaml_options() -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_YAML_REPLAYED,
        },
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_nodes: MAX_YAML_NODES,
            max_events: 2 * MAX_YAML_NODES,
        },
    }
}

/// Reads a tree in which every key stands once; serde_json's own silently keeps the last.
#[derive(Clone, Copy)]
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key {key:?}")));
            }
            let value = entries.next_value_seed(self)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests;
