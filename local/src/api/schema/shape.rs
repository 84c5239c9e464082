//! Pruning and defaulting: what an object is made before it is checked.

use serde_json::{Map, Value};

use super::{Additional, Schema};

/// Fields that every object has, whatever its schema says.
const ENVELOPE: &[&str] = &["apiVersion", "kind", "metadata"];

impl Schema {
    /// Takes away what the schema of a whole object does not name. Returns the paths taken away.
    pub(crate) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        self.prune_at(object, "", true, &mut unknown);
        unknown
    }

    fn prune_at(&self, value: &mut Value, at: &str, envelope: bool, unknown: &mut Vec<String>) {
        match value {
            Value::Object(fields) => self.prune_fields(fields, at, envelope, unknown),
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                for (index, item) in items.iter_mut().enumerate() {
                    schema.prune_at(item, &format!("{at}[{index}]"), schema.embedded, unknown);
                }
            }
            _ => {}
        }
    }

    fn prune_fields(
        &self,
        fields: &mut Map<String, Value>,
        at: &str,
        envelope: bool,
        unknown: &mut Vec<String>,
    ) {
        fields.retain(|key, value| {
            if envelope && ENVELOPE.contains(&key.as_str()) {
                return true;
            }
            let below = if at.is_empty() {
                key.clone()
            } else {
                format!("{at}.{key}")
            };
            let schema = self.property(key).or(match &self.additional {
                Additional::Each(schema) => Some(schema),
                _ => None,
            });
            if let Some(schema) = schema {
                schema.prune_at(value, &below, schema.embedded, unknown);
                return true;
            }
            let kept = self.keep_unknown || matches!(self.additional, Additional::Any);
            if !kept {
                unknown.push(below);
            }
            kept
        });
    }

    /// Fills in defaults. A null where null is not allowed counts as missing, as in Kubernetes.
    pub(crate) fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, schema) in &self.properties {
                    schema.fill_field(fields, key);
                }
                if let Additional::Each(schema) = &self.additional {
                    let known = |key: &str| self.property(key).is_some();
                    for (_, value) in fields.iter_mut().filter(|(key, _)| !known(key)) {
                        schema.fill(value);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                for item in items {
                    schema.fill(item);
                }
            }
            _ => {}
        }
    }

    fn fill_field(&self, fields: &mut Map<String, Value>, key: &str) {
        let missing = fields
            .get(key)
            .is_none_or(|present| present.is_null() && !self.nullable);
        if let (true, Some(default)) = (missing, &self.default) {
            fields.insert(key.to_owned(), default.clone());
        }
        if let Some(value) = fields.get_mut(key) {
            self.fill(value);
        }
    }
}
