//! `list`: the objects that a selector means, as of one revision, in pages where asked.
//!
//! A page after the first shows the objects of its part of the collection as they are *now*, under
//! the revision of the first page: a watch from that revision brings everything since, so an
//! informer ends up right. A token older than the history is refused with 410, as Kubernetes does.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{self, Answer, Form};
use super::kinds::Kind;
use super::object::{name, namespace};
use super::refuse::{self, Cause, Refusal};
use super::request::Request;
use super::route::Target;
use super::select::Selector;
use super::server::ApiServer;
use super::store::{Interest, Key, State};
use super::table;

/// Where the next page begins.
#[derive(Debug, Deserialize, Serialize)]
struct Token {
    revision: u64,
    after: Key,
}

/// One page.
struct Page {
    objects: Vec<Arc<Value>>,
    revision: u64,
    next: Option<Token>,
    remaining: usize,
}

/// Answers `GET` of a collection.
pub(super) fn list(
    server: &ApiServer,
    request: &Request,
    target: &Target,
) -> Result<Answer, Refusal> {
    let form = Form::accepted(&request.accept)?;
    let interest = interest(request, target)?;
    let page = page(&server.state(), request, &interest)?;
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some(next) = &page.next {
        let token = serde_json::to_vec(next).map_err(|e| refuse::internal(&e.to_string()))?;
        metadata["continue"] = Value::String(URL_SAFE_NO_PAD.encode(token));
        metadata["remainingItemCount"] = json!(page.remaining);
    }
    let value = match form {
        Form::Table => {
            let options = table::Options::of(request);
            let mut value = table::of_objects(&target.kind, &page.objects, &options);
            value["metadata"] = metadata;
            value
        }
        Form::Plain => {
            let text = plain(&target.kind, &page.objects, &metadata);
            return Ok(answer::json_text(StatusCode::OK, text));
        }
        Form::Metadata => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": page.objects.iter().map(|object| answer::metadata_only(object)).collect::<Vec<_>>(),
        }),
    };
    Ok(answer::json(StatusCode::OK, &value))
}

/// A list object, as text: copies of its objects would cost more than they are good for.
pub(super) fn plain(kind: &Kind, objects: &[Arc<Value>], metadata: &Value) -> String {
    let items: Vec<String> = objects
        .iter()
        .map(|object| answer::present(kind, object).to_string())
        .collect();
    format!(
        r#"{{"kind":{},"apiVersion":{},"metadata":{metadata},"items":[{}]}}"#,
        json!(kind.list_kind),
        json!(kind.api_version()),
        items.join(",")
    )
}

/// What a list or a watch is about.
pub(super) fn interest(request: &Request, target: &Target) -> Result<Interest, Refusal> {
    let query = &request.query;
    let labels = query.get("labelSelector").unwrap_or_default();
    let fields = query.get("fieldSelector").unwrap_or_default();
    Ok(Interest {
        place: target.kind.place.clone(),
        namespace: (!target.namespace.is_empty()).then(|| target.namespace.clone()),
        selector: Selector::parse(labels, fields, &target.kind)?,
    })
}

/// The objects that an interest is about, in order.
pub(super) fn wanted(state: &State, interest: &Interest) -> Vec<Arc<Value>> {
    let mut objects = match interest.namespace.as_deref() {
        Some(namespace) => state.in_namespace(&interest.place, namespace),
        None => state.all(&interest.place),
    };
    objects.retain(|object| interest.wants(object));
    objects
}

fn page(state: &State, request: &Request, interest: &Interest) -> Result<Page, Refusal> {
    let token = token(request)?;
    let current = state.revision();
    let revision = token.as_ref().map_or(current, |token| token.revision);
    if token.is_some() && revision < state.oldest() {
        return Err(refuse::expired(revision, state.oldest()));
    }
    if token.is_none() {
        check_revision(request, current)?;
    }
    let mut objects = wanted(state, interest);
    if let Some(token) = &token {
        let (namespace_after, name_after) = &token.after;
        objects.retain(|object| {
            (namespace(object), name(object)) > (namespace_after.as_str(), name_after.as_str())
        });
    }
    let limit = request.query.number("limit")?.unwrap_or(0) as usize;
    let remaining = if limit == 0 {
        0
    } else {
        objects.len().saturating_sub(limit)
    };
    objects.truncate(objects.len() - remaining);
    let next = objects.last().filter(|_| remaining > 0).map(|last| Token {
        revision,
        after: (namespace(last).to_owned(), name(last).to_owned()),
    });
    Ok(Page {
        objects,
        revision,
        next,
        remaining,
    })
}

fn token(request: &Request) -> Result<Option<Token>, Refusal> {
    let Some(text) = request
        .query
        .get("continue")
        .filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let decoded = URL_SAFE_NO_PAD.decode(text).ok();
    let token = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    token.map(Some).ok_or_else(|| {
        let why = "invalid continue token: continue key is not valid: it is none of this server's";
        refuse::bad_request(why)
    })
}

/// Lists are always current, which is right for every match but `Exact`.
fn check_revision(request: &Request, current: u64) -> Result<(), Refusal> {
    let query = &request.query;
    let matching = query.get("resourceVersionMatch").unwrap_or_default();
    let given = query.get("resourceVersion").unwrap_or_default();
    let field = "resourceVersionMatch";
    let forbidden = |why: &str| {
        Err(refuse::invalid_options(
            &request.method,
            Cause::forbidden(field, why),
        ))
    };
    if query.get("sendInitialEvents").is_some() {
        let why = "sendInitialEvents is forbidden for list";
        let cause = Cause::forbidden("sendInitialEvents", why);
        return Err(refuse::invalid_options(&request.method, cause));
    }
    match (matching, given) {
        ("", _) => {}
        (_, "") => {
            return forbidden(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            );
        }
        ("Exact", "0") => {
            return forbidden(
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            );
        }
        ("Exact" | "NotOlderThan", _) => {}
        (other, _) => {
            let accepted = r#""Exact", "NotOlderThan", """#;
            let cause = Cause::unsupported(field, &json!(other), accepted);
            return Err(refuse::invalid_options(&request.method, cause));
        }
    }
    let asked = revision_in(request)
        .map_err(|why| refuse::bad_request(&format!("invalid resource version: {why}")))?;
    match (matching, asked) {
        (_, Some(asked)) if asked > current => Err(refuse::too_new(asked, current)),
        ("Exact", Some(asked)) if asked < current => Err(refuse::expired(asked, current)),
        _ => Ok(()),
    }
}

/// Nobody can read what is not there yet.
pub(super) fn check_not_ahead(request: &Request, current: u64) -> Result<(), Refusal> {
    match revision_in(request) {
        Ok(Some(asked)) if asked > current => Err(refuse::too_new(asked, current)),
        _ => Ok(()),
    }
}

/// The query's resourceVersion, or what is wrong with it.
pub(super) fn revision_in(request: &Request) -> Result<Option<u64>, String> {
    let given = request.query.get("resourceVersion").unwrap_or_default();
    if given.is_empty() {
        return Ok(None);
    }
    given.parse().map(Some).map_err(|_| {
        format!("resourceVersion: Invalid value: {given:?}: strconv.ParseUint: parsing {given:?}: invalid syntax")
    })
}
