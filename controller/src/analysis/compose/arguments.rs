//! The arguments of a run: those that the templates declare, with the Rollout's values.

use crds::Rollout;
use crds::analysis::Argument;
use crds::analysis::template::ValueFrom;
use crds::rollout::steps::AnalysisRunArgument;
use crds::words::PodTemplateHashKind;
use serde_json::Value;

use super::{ComposeError, ComposeInput};

/// The declared arguments, overridden by the Rollout's. What the Rollout passes and no template
/// declares is dropped, as in Argo: analyses share argument lists.
pub(super) fn merged(
    input: &ComposeInput<'_>,
    mut declared: Vec<Argument>,
) -> Result<Vec<Argument>, ComposeError> {
    for passed in &input.analysis.args {
        let value = value(input, passed)?;
        if let Some(argument) = declared
            .iter_mut()
            .find(|argument| argument.name == passed.name)
        {
            // Argo keeps a template's `valueFrom` beside the Rollout's value, and the run then fails
            // for having both. Overriding is what was meant.
            argument.value = Some(value);
            argument.value_from = None;
        }
    }
    match declared.iter().find(|argument| !is_resolved(argument)) {
        Some(argument) => Err(ComposeError::Unresolved {
            name: argument.name.clone(),
        }),
        None => Ok(declared),
    }
}

fn is_resolved(argument: &Argument) -> bool {
    let has_source = |from: &ValueFrom| from.secret_key_ref.is_some() || from.field_ref.is_some();
    argument.value.is_some() || argument.value_from.as_ref().is_some_and(has_source)
}

/// The value of an argument of the Rollout; without any it is empty, as in Argo.
fn value(input: &ComposeInput<'_>, passed: &AnalysisRunArgument) -> Result<String, ComposeError> {
    let Some(from) = &passed.value_from else {
        return Ok(passed.value.clone().unwrap_or_default());
    };
    if let Some(field) = &from.field_ref {
        return if field.field_path.starts_with("metadata") {
            metadata(input.rollout, &field.field_path)
        } else {
            at_path(input.rollout, &field.field_path)
        };
    }
    Ok(match &from.pod_template_hash_value {
        Some(PodTemplateHashKind::Stable) => input.stable_hash.to_owned(),
        Some(PodTemplateHashKind::Latest) => input.latest_hash.to_owned(),
        _ => passed.value.clone().unwrap_or_default(),
    })
}

/// What Kubernetes' downward API would give for the path.
fn metadata(rollout: &Rollout, path: &str) -> Result<String, ComposeError> {
    let meta = &rollout.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let entries = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => {
                return Err(ComposeError::UnsupportedField {
                    path: path.to_owned(),
                });
            }
        };
        return Ok(entries
            .and_then(|entries| entries.get(key))
            .cloned()
            .unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => listed(meta.labels.as_ref()),
        "metadata.annotations" => listed(meta.annotations.as_ref()),
        _ => {
            return Err(ComposeError::UnsupportedField {
                path: path.to_owned(),
            });
        }
    })
}

/// `map['key']` in its parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// A whole map, as the downward API formats it.
fn listed(entries: Option<&std::collections::BTreeMap<String, String>>) -> String {
    let lines = entries
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The primitive at a path into the Rollout's JSON, as Go prints it.
fn at_path(rollout: &Rollout, path: &str) -> Result<String, ComposeError> {
    let nowhere = || ComposeError::InvalidPath {
        path: path.to_owned(),
    };
    let mut found = serde_json::to_value(rollout).map_err(|_| nowhere())?;
    for section in path
        .split(['.', '[', ']'])
        .filter(|section| !section.is_empty())
    {
        found = match found {
            Value::Array(mut items) => {
                let index = section.parse().map_err(|_| ComposeError::InvalidIndex {
                    index: section.to_owned(),
                })?;
                if index >= items.len() {
                    return Err(ComposeError::OutOfRange { index });
                }
                items.swap_remove(index)
            }
            Value::Object(mut fields) => fields.swap_remove(section).ok_or_else(nowhere)?,
            _ => return Err(nowhere()),
        };
    }
    match found {
        Value::Null => Err(nowhere()),
        Value::Array(_) | Value::Object(_) => Err(ComposeError::NotPrimitive {
            path: path.to_owned(),
        }),
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.as_f64().map_or_else(String::new, printed)),
        Value::Bool(answer) => Ok(answer.to_string()),
    }
}

/// The exponent from which on Go prints one.
const LARGEST: i32 = 6;

/// A float as Go's `%v` prints it.
fn printed(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number != 0.0 && !(-4..LARGEST).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::printed;

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        let rows = [
            (3.0, "3"),
            (0.5, "0.5"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (123_456_789.5, "1.234567895e+08"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.0, "0"),
        ];
        for (number, expected) in rows {
            assert_eq!(printed(number), expected);
        }
    }
}
