//! Fields that an object's definition does not have. The API server drops them in silence; people
//! who typed them are told, and what they may have meant.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::Value;

/// How alike two names must be, from 0 to 1, for the one to be offered for the other.
const ALIKE: f64 = 0.8;

/// A field that is not in the definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// Its path.
    pub path: String,
    /// What it may have been meant to be.
    pub near: Option<String>,
}

/// The unknown fields of an object of one of our kinds; nothing for other kinds.
pub fn unknown(object: &Value) -> Vec<UnknownField> {
    let kind = object.get("kind").and_then(Value::as_str);
    let definition = crds::all()
        .into_iter()
        .find(|crd| Some(crd.spec.names.kind.as_str()) == kind);
    let versions = definition.map(|crd| crd.spec.versions).unwrap_or_default();
    let schema = versions
        .into_iter()
        .next()
        .and_then(|version| version.schema);
    let Some(schema) = schema.and_then(|schema| schema.open_api_v3_schema) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let Some(fields) = object.as_object() else {
        return found;
    };
    for (key, value) in fields {
        match (key.as_str(), property(&schema, key)) {
            // The API server knows these for every kind.
            ("apiVersion" | "kind" | "metadata", _) => {}
            (_, Some(below)) => walk(value, below, key, &mut found),
            (_, None) => found.push(field(&schema, "", key)),
        }
    }
    found
}

fn walk(value: &Value, schema: &JSONSchemaProps, path: &str, found: &mut Vec<UnknownField>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let below = format!("{path}.{key}");
                if let Some(schema) = property(schema, key).or_else(|| any_key(schema)) {
                    walk(value, schema, &below, found);
                } else if !is_open(schema) {
                    found.push(field(schema, path, key));
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.items.as_ref().and_then(item) else {
                return;
            };
            for (index, value) in items.iter().enumerate() {
                walk(value, schema, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn property<'a>(schema: &'a JSONSchemaProps, key: &str) -> Option<&'a JSONSchemaProps> {
    schema.properties.as_ref()?.get(key)
}

fn any_key(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrBool;
    match schema.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(schema) => Some(schema),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

fn item(
    items: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray,
) -> Option<&JSONSchemaProps> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray;
    match items {
        JSONSchemaPropsOrArray::Schema(schema) => Some(schema),
        JSONSchemaPropsOrArray::Schemas(schemas) => schemas.first(),
    }
}

/// Whether it takes fields that it does not name.
fn is_open(schema: &JSONSchemaProps) -> bool {
    schema.x_kubernetes_preserve_unknown_fields == Some(true)
        || schema.x_kubernetes_int_or_string == Some(true)
        || schema.additional_properties.is_some()
        // Not described at all: anything goes.
        || (schema.properties.is_none() && schema.type_.as_deref() != Some("object"))
}

fn field(schema: &JSONSchemaProps, path: &str, key: &str) -> UnknownField {
    let names = schema.properties.iter().flat_map(|fields| fields.keys());
    let nearest = names
        .map(|name| {
            (
                strsim::jaro_winkler(&key.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    UnknownField {
        path: if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        },
        near: nearest
            .filter(|(alike, _)| *alike >= ALIKE)
            .map(|(_, name)| name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_are_found_and_the_nearest_is_offered() {
        let rollout = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "stauts": {},
            "metadata": {"name": "web", "anything": 1},
            "spec": {"replica": 2, "template": {"metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "c", "imgae": "x", "env": [{"name": "A", "valu": ""}]}]}},
                "strategy": {"canary": {"steps": [{"setWeigth": 10}, {"pause": {}}],
                    "trafficRouting": {"plugins": {"sluice/proxy": {"whatever": 1}}}}}}});
        let found: Vec<_> = unknown(&rollout)
            .into_iter()
            .map(|field| (field.path, field.near.unwrap_or_default()))
            .collect();
        let expected = [
            ("stauts", "status"),
            ("spec.replica", "replicas"),
            ("spec.template.spec.containers[0].imgae", "image"),
            ("spec.template.spec.containers[0].env[0].valu", "value"),
            ("spec.strategy.canary.steps[0].setWeigth", "setWeight"),
        ];
        let mut expected: Vec<_> = expected
            .iter()
            .map(|(path, near)| ((*path).to_owned(), (*near).to_owned()))
            .collect();
        let mut found = found;
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn other_kinds_are_not_ours_to_judge() {
        assert_eq!(unknown(&json!({"kind": "Service", "spec": {"x": 1}})), []);
    }
}
