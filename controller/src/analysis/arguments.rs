//! `{{args.name}}` in a metric becomes the argument's value.
//!
//! As in Argo, the whole metric is written as JSON, the tags are replaced inside its strings, and it
//! is read again; so arguments work in every string, whatever provider it belongs to.

use std::collections::BTreeMap;

use crds::AnalysisRunSpec;
use crds::analysis::{Argument, Metric};
use thiserror::Error;

use super::redact::REDACTED;

/// Why a metric's arguments cannot be filled in; the texts are Argo's.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ArgumentError {
    /// A tag that names no argument.
    #[error("failed to resolve {{{{{0}}}}}")]
    UnknownTag(String),
    /// A tag without an end.
    #[error("cannot find end tag=\"}}}}\" in the template, starting from {0:?}")]
    OpenTag(String),
    /// An argument that has neither a value nor a Secret.
    #[error("argument {0:?} was not supplied")]
    Unresolved(String),
    /// A Secret that is not there, or not readable.
    #[error("{0}")]
    Secret(String),
    /// What came out is no metric any more.
    #[error("metric {name} is not valid with its arguments: {reason}")]
    Broken {
        /// The metric.
        name: String,
        /// Why.
        reason: String,
    },
}

/// A key of a Secret that a run's argument refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretKey {
    /// The Secret, in the run's namespace.
    pub secret: String,
    /// Its key.
    pub key: String,
}

/// The Secrets that a run's arguments refer to.
pub fn secrets(spec: &AnalysisRunSpec) -> Vec<SecretKey> {
    spec.args.iter().filter_map(secret_of).collect()
}

fn secret_of(argument: &Argument) -> Option<SecretKey> {
    let from = argument.value_from.as_ref()?.secret_key_ref.as_ref()?;
    Some(SecretKey {
        secret: from.name.clone(),
        key: from.key.clone(),
    })
}

/// The run's metrics with their arguments filled in. A Secret that is not among `secrets` stands as
/// [`REDACTED`].
pub fn resolved(
    spec: &AnalysisRunSpec,
    secrets: &BTreeMap<SecretKey, String>,
) -> Result<Vec<Metric>, ArgumentError> {
    let values = values(spec, secrets)?;
    spec.metrics
        .iter()
        .map(|metric| filled(metric, &values))
        .collect()
}

/// One of them.
pub fn resolved_one(
    spec: &AnalysisRunSpec,
    metric: &Metric,
    secrets: &BTreeMap<SecretKey, String>,
) -> Result<Metric, ArgumentError> {
    filled(metric, &values(spec, secrets)?)
}

fn values(
    spec: &AnalysisRunSpec,
    secrets: &BTreeMap<SecretKey, String>,
) -> Result<BTreeMap<String, String>, ArgumentError> {
    let mut values = BTreeMap::new();
    for argument in &spec.args {
        let value = match (&argument.value, secret_of(argument)) {
            (Some(value), None) => value.clone(),
            // Beside a value, the Secret wins, as in Argo.
            (_, Some(key)) => secrets
                .get(&key)
                .cloned()
                .unwrap_or_else(|| REDACTED.to_owned()),
            (None, None) => return Err(ArgumentError::Unresolved(argument.name.clone())),
        };
        values.insert(format!("args.{}", argument.name), value);
    }
    Ok(values)
}

fn filled(metric: &Metric, values: &BTreeMap<String, String>) -> Result<Metric, ArgumentError> {
    let broken = |error: serde_json::Error| ArgumentError::Broken {
        name: metric.name.clone(),
        reason: error.to_string(),
    };
    let json = serde_json::to_string(metric).map_err(broken)?;
    if !json.contains("{{") {
        return Ok(metric.clone());
    }
    serde_json::from_str(&replaced(&json, values)?).map_err(broken)
}

/// The text with its tags replaced. Argo quotes values as Go does; JSON's quoting differs from it
/// only where Go's would not be JSON, and the metric could not be read again.
fn replaced(json: &str, values: &BTreeMap<String, String>) -> Result<String, ArgumentError> {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        let Some((tag, left)) = after.split_once("}}") else {
            return Err(ArgumentError::OpenTag(after.chars().take(40).collect()));
        };
        let value = values.get(tag.trim());
        let value = value.ok_or_else(|| ArgumentError::UnknownTag(tag.to_owned()))?;
        let quoted = serde_json::Value::from(value.as_str()).to_string();
        text.push_str(&quoted[1..quoted.len() - 1]);
        rest = left;
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run_spec(condition: &str, args: serde_json::Value) -> AnalysisRunSpec {
        serde_json::from_value(json!({
            "metrics": [{"name": "m", "count": "{{ args.n }}", "successCondition": condition,
                         "provider": {"web": {"url": "http://{{args.host}}/"}}}],
            "args": args,
        }))
        .unwrap()
    }

    #[test]
    fn every_string_of_a_metric_may_have_arguments() {
        let args = json!([{"name": "n", "value": "3"}, {"name": "host", "value": "a\"b\n\u{7}é"}]);
        let spec = run_spec("result == '{{args.n}}'", args);
        let metrics = resolved(&spec, &BTreeMap::new()).unwrap();
        assert_eq!(
            metrics[0].success_condition.as_deref(),
            Some("result == '3'")
        );
        assert_eq!(
            crds::int_or_string::count_or(metrics[0].count.as_ref(), 0),
            3
        );
        assert_eq!(
            metrics[0].provider.web.as_ref().unwrap().url,
            "http://a\"b\n\u{7}é/"
        );
    }

    #[test]
    fn what_cannot_be_filled_in_is_said() {
        let n = json!({"name": "n", "value": "3"});
        let host = json!({"name": "host", "value": "h"});
        let rows = [
            (json!([n]), "failed to resolve {{args.host}}"),
            (
                json!([n, {"name": "host"}]),
                "argument \"host\" was not supplied",
            ),
            (
                json!([n, {"name": "host", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
                "argument \"host\" was not supplied",
            ),
        ];
        for (args, expected) in rows {
            let error = resolved(&run_spec("true", args), &BTreeMap::new()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let open = resolved(&run_spec("{{args.n", json!([n, host])), &BTreeMap::new());
        assert!(open.is_err());
    }

    #[test]
    fn secrets_are_filled_in_and_never_shown() {
        let secret = json!({"secretKeyRef": {"name": "s", "key": "k"}});
        let args = json!([{"name": "n", "value": "3"}, {"name": "host", "valueFrom": secret}]);
        let spec = run_spec("true", args);
        let key = SecretKey {
            secret: "s".to_owned(),
            key: "k".to_owned(),
        };
        assert_eq!(secrets(&spec), std::slice::from_ref(&key));
        let known = BTreeMap::from([(key, "hunter2".to_owned())]);
        let url = |secrets: &BTreeMap<SecretKey, String>| {
            resolved(&spec, secrets).unwrap()[0]
                .provider
                .web
                .as_ref()
                .unwrap()
                .url
                .clone()
        };
        assert_eq!(url(&known), "http://hunter2/");
        assert_eq!(url(&BTreeMap::new()), "http://*****/");
    }
}
