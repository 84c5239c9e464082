//! Refusals: every error that the server answers, as the `Status` object that Kubernetes' clients
//! know how to read. Constructors are named for the reason.

use kube::core::Status;
use kube::core::response::{StatusCause, StatusDetails};

use super::kinds::Kind;

/// An error answer. Boxed, as it is large and rare.
pub(super) type Refusal = Box<Status>;

/// One thing wrong with an object: where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) field: String,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Cause {
    /// What the message says after the value.
    pub(super) fn why(&self) -> &str {
        self.message.splitn(3, ": ").nth(2).unwrap_or_default()
    }

    pub(super) fn invalid(field: &str, value: &serde_json::Value, why: &str) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Self {
            field: field.to_owned(),
            reason: "FieldValueInvalid",
            message,
        }
    }

    pub(super) fn required(field: &str, why: &str) -> Self {
        let message = match why {
            "" => "Required value".to_owned(),
            why => format!("Required value: {why}"),
        };
        Self {
            field: field.to_owned(),
            reason: "FieldValueRequired",
            message,
        }
    }

    pub(super) fn duplicate(field: &str, value: &serde_json::Value) -> Self {
        let message = format!("Duplicate value: {value}");
        Self {
            field: field.to_owned(),
            reason: "FieldValueDuplicate",
            message,
        }
    }

    pub(super) fn unsupported(field: &str, value: &serde_json::Value, accepted: &str) -> Self {
        let message = format!("Unsupported value: {value}: supported values: {accepted}");
        Self {
            field: field.to_owned(),
            reason: "FieldValueNotSupported",
            message,
        }
    }

    pub(super) fn forbidden(field: &str, why: &str) -> Self {
        let message = format!("Forbidden: {why}");
        Self {
            field: field.to_owned(),
            reason: "FieldValueForbidden",
            message,
        }
    }

    pub(super) fn too_long(field: &str, why: &str) -> Self {
        Self {
            field: field.to_owned(),
            reason: "FieldValueTooLong",
            message: format!("Too long: {why}"),
        }
    }

    pub(super) fn wrong_type(field: &str, got: &str, want: &str) -> Self {
        let message =
            format!("Invalid value: \"{got}\": {field} in body must be of type {want}: \"{got}\"");
        Self {
            field: field.to_owned(),
            reason: "FieldValueTypeInvalid",
            message,
        }
    }
}

fn refusal(code: u16, reason: &str, message: &str) -> Refusal {
    Box::new(Status::failure(message, reason).with_code(code))
}

fn about(kind: &Kind, name: &str) -> StatusDetails {
    StatusDetails {
        name: name.to_owned(),
        group: kind.group.clone(),
        kind: kind.plural.clone(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}

fn qualified(kind: &Kind) -> String {
    if kind.group.is_empty() {
        kind.plural.clone()
    } else {
        format!("{}.{}", kind.plural, kind.group)
    }
}

/// 404 for an object.
pub(super) fn not_found(kind: &Kind, name: &str) -> Refusal {
    let message = format!("{} \"{name}\" not found", qualified(kind));
    let mut status = refusal(404, "NotFound", &message);
    status.details = Some(about(kind, name));
    status
}

/// 404 for a path that leads nowhere.
pub(super) fn no_such_path() -> Refusal {
    refusal(
        404,
        "NotFound",
        "the server could not find the requested resource",
    )
}

/// 409 for a name that is taken.
pub(super) fn already_exists(kind: &Kind, name: &str) -> Refusal {
    let message = format!("{} \"{name}\" already exists", qualified(kind));
    let mut status = refusal(409, "AlreadyExists", &message);
    status.details = Some(about(kind, name));
    status
}

/// 409 for a write that relied on something that has changed.
pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Refusal {
    let message = format!(
        "Operation cannot be fulfilled on {} \"{name}\": {why}",
        qualified(kind)
    );
    let mut status = refusal(409, "Conflict", &message);
    status.details = Some(about(kind, name));
    status
}

/// The sentence of a stale resourceVersion, as clients and people search for it.
pub(super) const STALE: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// 422 with every cause.
pub(super) fn invalid(kind: &Kind, name: &str, causes: Vec<Cause>) -> Refusal {
    invalid_of(&kind.group, &kind.kind, name, causes)
}

/// The same for a kind that nobody keeps.
pub(super) fn invalid_of(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Refusal {
    let subject = match group {
        "" => kind.to_owned(),
        group => format!("{kind}.{group}"),
    };
    let message = format!("{subject} \"{name}\" is invalid: {}", listed(&causes));
    let mut status = refusal(422, "Invalid", &message);
    status.details = Some(StatusDetails {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: kind.to_owned(),
        causes: causes.into_iter().map(told).collect(),
        ..nothing()
    });
    status
}

/// 422 for a patch that leaves an object that is none of its kind.
pub(super) fn patched_wrong(object: &serde_json::Value, why: &str) -> Refusal {
    let text = serde_json::Value::String(object.to_string());
    let cause = Cause::invalid("patch", &text, why);
    let message = format!(" \"\" is invalid: {}: {}", cause.field, cause.message);
    let mut status = refusal(422, "Invalid", &message);
    status.details = Some(StatusDetails {
        causes: vec![told(cause)],
        ..nothing()
    });
    status
}

/// 422 for the options of a request: what its query says, or the body of a delete.
pub(super) fn invalid_options(method: &http::Method, cause: Cause) -> Refusal {
    invalid_options_all(method, vec![cause])
}

/// The same, with every cause.
pub(super) fn invalid_options_all(method: &http::Method, causes: Vec<Cause>) -> Refusal {
    let kind = match method.as_str() {
        "POST" => "CreateOptions",
        "PUT" => "UpdateOptions",
        "PATCH" => "PatchOptions",
        "DELETE" => "DeleteOptions",
        _ => "ListOptions",
    };
    let message = format!("{kind}.meta.k8s.io \"\" is invalid: {}", listed(&causes));
    let mut status = refusal(422, "Invalid", &message);
    status.details = Some(StatusDetails {
        group: "meta.k8s.io".to_owned(),
        kind: kind.to_owned(),
        causes: causes.into_iter().map(told).collect(),
        ..nothing()
    });
    status
}

fn listed(causes: &[Cause]) -> String {
    let listed: Vec<String> = causes
        .iter()
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect();
    match listed.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn told(cause: Cause) -> StatusCause {
    StatusCause {
        reason: cause.reason.to_owned(),
        message: cause.message,
        field: cause.field,
    }
}

fn nothing() -> StatusDetails {
    StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}

/// 409 for an apply that would change what others manage: each with the paths of what is theirs.
pub(super) fn apply_conflict(conflicts: &[(String, Vec<String>)]) -> Refusal {
    let causes = conflicts.iter().flat_map(|(manager, paths)| {
        paths.iter().map(move |path| StatusCause {
            reason: "FieldManagerConflict".to_owned(),
            message: format!("conflict with {manager}"),
            field: path.clone(),
        })
    });
    let causes: Vec<StatusCause> = causes.collect();
    let message = match causes.as_slice() {
        [one] => format!(
            "Apply failed with 1 conflict: {}: {}",
            one.message, one.field
        ),
        many => {
            let listed = conflicts.iter().map(|(manager, paths)| {
                let paths: Vec<String> = paths.iter().map(|path| format!("\n- {path}")).collect();
                format!("conflicts with {manager}:{}", paths.concat())
            });
            let listed: Vec<String> = listed.collect();
            format!(
                "Apply failed with {} conflicts: {}",
                many.len(),
                listed.join("\n")
            )
        }
    };
    let mut status = refusal(409, "Conflict", &message);
    status.details = Some(StatusDetails {
        causes,
        ..nothing()
    });
    status
}

/// 500 without a reason, as Kubernetes answers what it has no better word for.
pub(super) fn plain(message: &str) -> Refusal {
    refusal(500, "", message)
}

/// 400.
pub(super) fn bad_request(message: &str) -> Refusal {
    refusal(400, "BadRequest", message)
}

/// 403.
pub(super) fn forbidden(kind: &Kind, name: &str, why: &str) -> Refusal {
    let message = format!("{} \"{name}\" is forbidden: {why}", qualified(kind));
    let mut status = refusal(403, "Forbidden", &message);
    status.details = Some(about(kind, name));
    status
}

/// 410 for a resourceVersion that history no longer reaches.
pub(super) fn expired(asked: u64, oldest: u64) -> Refusal {
    refusal(
        410,
        "Expired",
        &format!("too old resource version: {asked} ({oldest})"),
    )
}

/// 504 for a resourceVersion that is not there yet.
pub(super) fn too_new(asked: u64, current: u64) -> Refusal {
    let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
    let mut status = refusal(504, "Timeout", &message);
    status.details = Some(StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: vec![StatusCause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        }],
        retry_after_seconds: 1,
    });
    status
}

/// 403 for what a web page sends from a browser on this machine.
pub(super) fn from_a_page() -> Refusal {
    let message =
        "this port is for programs on this machine: a request needs a loopback Host and no Origin";
    refusal(403, "Forbidden", message)
}

/// 405.
pub(super) fn method_not_allowed() -> Refusal {
    let message = "the server does not allow this method on the requested resource";
    refusal(405, "MethodNotAllowed", message)
}

/// 406.
pub(super) fn not_acceptable() -> Refusal {
    let message = "only the following media types are accepted: application/json";
    refusal(406, "NotAcceptable", message)
}

/// 413.
pub(super) fn too_large(limit: usize) -> Refusal {
    let message = format!("Request entity is too large: limit is {limit}");
    refusal(413, "RequestEntityTooLarge", &message)
}

/// 415 for a patch of no known kind.
pub(super) fn no_patch() -> Refusal {
    refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type")
}

/// 409 for a delete that was meant for another object of this name, or for another version of it.
pub(super) fn precondition(kind: &Kind, name: &str, why: &str) -> Refusal {
    let message = format!(
        "Operation cannot be fulfilled on {} \"{name}\": {why}",
        kind.kind
    );
    let mut status = refusal(409, "Conflict", &message);
    status.details = Some(StatusDetails {
        kind: kind.kind.clone(),
        ..about(kind, name)
    });
    status
}

/// 415.
pub(super) fn unsupported_media_type(accepted: &str) -> Refusal {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {accepted}"
    );
    refusal(415, "UnsupportedMediaType", &message)
}

/// 429 for what may be asked again later.
pub(super) fn too_many(message: &str) -> Refusal {
    refusal(429, "TooManyRequests", message)
}

/// 429 for an eviction that a budget stands against.
pub(super) fn disrupts(budget: &str, why: &str) -> Refusal {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut status = refusal(429, "TooManyRequests", message);
    status.details = Some(StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: vec![StatusCause {
            reason: "DisruptionBudget".to_owned(),
            message: format!("The disruption budget {budget} {why}"),
            field: String::new(),
        }],
        retry_after_seconds: 0,
    });
    status
}

/// 500 in Kubernetes' own words.
pub(super) fn internal_as_said(message: &str) -> Refusal {
    refusal(500, "InternalError", message)
}

/// 500.
pub(super) fn internal(message: &str) -> Refusal {
    refusal(
        500,
        "InternalError",
        &format!("Internal error occurred: {message}"),
    )
}

/// 501 with a sentence: what this server leaves out, it says so.
pub(super) fn not_done(sentence: &str) -> Refusal {
    refusal(501, "NotImplemented", sentence)
}
