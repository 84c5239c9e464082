//! Reading objects, with the path of what is wrong.

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The text is not YAML.
    #[error("not YAML: {0}")]
    Yaml(#[from] Box<serde_saphyr::Error>),
    /// A field has the wrong type, or a required one is missing.
    #[error("{path}: {message}")]
    Field {
        /// The path of the field, as in `spec.replicas`.
        path: String,
        /// What is wrong with it.
        message: String,
    },
}

/// Reads a typed object from JSON.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, ReadError> {
    serde_path_to_error::deserialize(value).map_err(|error| ReadError::Field {
        path: error.path().to_string(),
        message: error.inner().to_string(),
    })
}

/// Reads all documents of a YAML text as JSON; empty documents are left out, lists of kind `List`
/// are opened.
pub fn documents(text: &str) -> Result<Vec<Value>, ReadError> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| ReadError::Yaml(Box::new(error)))?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .flat_map(opened)
        .collect())
}

fn opened(mut document: Value) -> Vec<Value> {
    let is_list = document.get("kind").and_then(Value::as_str) == Some("List");
    match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items,
        Some(items) => {
            document["items"] = items;
            vec![document]
        }
        None => vec![document],
    }
}

#[cfg(test)]
mod tests;
