//! Keys and types of a tree, held against the schema: every unknown key, missing key and wrong
//! type at once, where serde would stop at the first.
//!
//! It knows the part of JSON Schema that schemars makes of the document's types, and no more.

use serde_json::{Map, Value};

use crate::check::{Faults, Path, nearest, shown};
use crate::limits::MAX_NAME_BYTES;
use crate::schema;

pub(super) fn check(faults: &mut Faults, tree: &Value) {
    let schema = schema::shared();
    let checker = Checker {
        definitions: &schema["$defs"],
    };
    checker.value(faults, &Path::ROOT, tree, schema);
}

struct Checker {
    definitions: &'static Value,
}

impl Checker {
    fn value(&self, faults: &mut Faults, path: &Path<'_>, value: &Value, schema: &'static Value) {
        let (schema, optional) = self.resolve(schema);
        if value.is_null() && optional {
            return;
        }
        if let Some(choices) = choices(schema) {
            return choice(faults, path, value, &choices);
        }
        let wanted = wanted(schema);
        match (wanted, value) {
            ("object", Value::Object(map)) => self.object(faults, path, map, schema),
            ("array", Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(faults, &path.index(index), item, &schema["items"]);
                }
            }
            ("string", Value::String(_))
            | ("boolean", Value::Bool(_))
            | ("number", Value::Number(_)) => {}
            ("integer", Value::Number(number)) => {
                let max = whole_number_limit(schema);
                if number.as_u64().is_none_or(|number| number > max) {
                    let message = format!("{number} is not a whole number from 0 to {max}");
                    faults.add(path, message);
                }
            }
            _ => faults.add(path, wrong_type(wanted, value)),
        }
    }

    /// Follows `$ref` and the `anyOf` of an optional value; says whether null is welcome.
    fn resolve(&self, schema: &'static Value) -> (&'static Value, bool) {
        if let Some(alternatives) = schema["anyOf"].as_array() {
            let (resolved, _) = self.resolve(&alternatives[0]);
            return (resolved, true);
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return self.resolve(&self.definitions[name]);
        }
        (schema, schema["type"].is_array())
    }

    fn object(
        &self,
        faults: &mut Faults,
        path: &Path<'_>,
        map: &Map<String, Value>,
        schema: &'static Value,
    ) {
        let Some(properties) = schema["properties"].as_object() else {
            for (key, value) in map {
                self.value(
                    faults,
                    &path.key(key),
                    value,
                    &schema["additionalProperties"],
                );
            }
            return;
        };
        for (key, value) in map {
            match properties.get(key) {
                Some(schema) => self.value(faults, &path.field(key), value, schema),
                None => faults.add(path, unknown_key(key, properties)),
            }
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            let key = required.as_str().unwrap_or_default();
            if !map.contains_key(key) {
                faults.add(path, format!("missing key `{key}`"));
            }
        }
    }
}

/// The type that is wanted, null aside.
fn wanted(schema: &'static Value) -> &'static str {
    let kind = match &schema["type"] {
        Value::Array(kinds) => &kinds[0],
        kind => kind,
    };
    kind.as_str().unwrap_or_default()
}

fn whole_number_limit(schema: &Value) -> u64 {
    match schema["format"].as_str() {
        Some("uint32") => u32::MAX.into(),
        _ => u64::MAX,
    }
}

/// The words of an enumeration.
fn choices(schema: &'static Value) -> Option<Vec<&'static str>> {
    let alternatives = schema["oneOf"].as_array()?;
    Some(
        alternatives
            .iter()
            .filter_map(|alternative| alternative["const"].as_str())
            .collect(),
    )
}

fn choice(faults: &mut Faults, path: &Path<'_>, value: &Value, choices: &[&str]) {
    if value.as_str().is_some_and(|text| choices.contains(&text)) {
        return;
    }
    let found = described(value);
    faults.add(
        path,
        format!("{found}: expected one of {}", choices.join(", ")),
    );
}

fn unknown_key(key: &str, properties: &Map<String, Value>) -> String {
    let known = || properties.keys().map(String::as_str);
    if let Some(near) = nearest(key, known()) {
        return format!("unknown key {}, did you mean `{near}`?", key_shown(key));
    }
    let known: Vec<_> = known().map(|key| format!("`{key}`")).collect();
    format!(
        "unknown key {}: expected one of {}",
        key_shown(key),
        known.join(", ")
    )
}

/// In backticks like the keys that are known; one that is no key at all is cut as values are.
fn key_shown(key: &str) -> String {
    if key.len() <= MAX_NAME_BYTES {
        format!("`{key}`")
    } else {
        shown(key)
    }
}

fn wrong_type(wanted: &str, value: &Value) -> String {
    let found = described(value);
    let hint = match (wanted, value) {
        ("string", Value::Number(_) | Value::Bool(_)) => "; put it in quotes",
        ("boolean", Value::String(_)) => "; booleans are `true` and `false` (YAML 1.2)",
        ("integer" | "number", Value::String(_)) => "; take the quotes away",
        _ => "",
    };
    let wanted = match wanted {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a string",
        "boolean" => "a boolean",
        "integer" => "a whole number",
        _ => "a number",
    };
    format!("{found}: expected {wanted}{hint}")
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "nothing is given".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) => format!("the string {}", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}
