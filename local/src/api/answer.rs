//! Answers: objects and refusals as HTTP responses, in the form that the `Accept` header asks for.

use std::borrow::Cow;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};

use super::events;
use super::kinds::Kind;
use super::refuse::{self, Refusal};

/// The body of an answer.
pub(super) type Reply = UnsyncBoxBody<Bytes, std::io::Error>;

/// A whole answer.
pub(super) type Answer = Response<Reply>;

/// How a client wants to read objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Plain,
    /// As rows for a person (`kubectl get`).
    Table,
    /// Only their metadata.
    Metadata,
}

impl Form {
    /// The first form of an `Accept` header that we can give. Protobuf is passed over.
    pub(super) fn accepted(accept: &str) -> Result<Self, Refusal> {
        if accept.trim().is_empty() {
            return Ok(Self::Plain);
        }
        let mut ranges = accept.split(',').map(str::trim);
        ranges
            .find_map(Self::of_range)
            .ok_or_else(refuse::not_acceptable)
    }

    fn of_range(range: &str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        if !matches!(parts.next()?, "application/json" | "*/*" | "application/*") {
            return None;
        }
        let parameters: Vec<&str> = parts.collect();
        let version_is = |version: &str| {
            parameters
                .iter()
                .filter_map(|one| one.strip_prefix("v="))
                .all(|v| v == version)
        };
        let form = parameters.iter().find_map(|one| one.strip_prefix("as="));
        match form {
            None => Some(Self::Plain),
            Some("Table") if version_is("v1") => Some(Self::Table),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") if version_is("v1") => {
                Some(Self::Metadata)
            }
            Some(_) => None,
        }
    }
}

/// An object as the version of its path shows it.
pub(super) fn present<'a>(kind: &Kind, object: &'a Value) -> Cow<'a, Value> {
    if kind.is_new_event() {
        return Cow::Owned(events::to_new(object));
    }
    let version = kind.api_version();
    if object.get("apiVersion").and_then(Value::as_str) == Some(version.as_str()) {
        return Cow::Borrowed(object);
    }
    let mut shown = object.clone();
    shown["apiVersion"] = Value::String(version);
    Cow::Owned(shown)
}

/// Only the metadata of an object, as `PartialObjectMetadata`.
pub(super) fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

/// A JSON answer.
pub(super) fn json(code: StatusCode, value: &Value) -> Answer {
    json_text(code, value.to_string())
}

/// A JSON answer that is text already.
pub(super) fn json_text(code: StatusCode, text: String) -> Answer {
    let mut response = Response::new(whole(Bytes::from(text)));
    *response.status_mut() = code;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// A plain-text answer.
pub(super) fn plain(text: &'static str) -> Answer {
    let mut response = Response::new(whole(Bytes::from_static(text.as_bytes())));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// A refusal as an answer.
pub(super) fn refusal(refusal: &Refusal) -> Answer {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json(code, &status_object(refusal));
    if refusal.code == 429 || refusal.code == 504 {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// A `Status` with its kind, which kube's type leaves out.
pub(super) fn status_object(status: &kube::core::Status) -> Value {
    let mut object = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}});
    if let Ok(Value::Object(fields)) = serde_json::to_value(status) {
        for (key, value) in fields {
            object[key] = value;
        }
    }
    object
}

/// Adds `Warning` headers (RFC 7234 §5.5), which kubectl prints.
pub(super) fn warn(answer: &mut Answer, warnings: &[String]) {
    for warning in warnings {
        let quoted = format!("299 - {warning:?}");
        if let Ok(value) = HeaderValue::from_str(&quoted) {
            answer.headers_mut().append(header::WARNING, value);
        }
    }
}

/// A body that is there already.
fn whole(bytes: Bytes) -> Reply {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that comes in pieces.
pub(super) fn streaming<S>(stream: S) -> Reply
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
{
    StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync()
}
