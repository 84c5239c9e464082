//! `create`: a new object gets its name, its identity and its first generation.

use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::admit::{self, Context, FieldValidation};
use super::answer::{self, Answer};
use super::crd::stamp;
use super::kinds::Kind;
use super::manage::{self, Writer};
use super::object::{child_mut, is_deleting, map_mut, metadata_mut, name, set_path, text};
use super::refuse::{self, Cause, Refusal};
use super::request::Request;
use super::route::{Outcome, Target};
use super::store::State;
use super::{names, patch, protobuf};

/// Service addresses are handed out of this /16 of the loopback range, which pods do not use.
const SERVICE_RANGE: [u8; 2] = [127, 96];

/// How an object is created.
pub(super) struct Creation {
    kind: Arc<Kind>,
    namespace: String,
    validation: FieldValidation,
    dry: bool,
    /// Who comes to manage the object. Without one the object says so itself, or nobody does.
    writer: Option<Writer>,
    now: Timestamp,
}

impl Creation {
    pub(super) fn of(request: &Request, target: &Target) -> Result<Self, Refusal> {
        Ok(Self {
            kind: target.kind.clone(),
            namespace: target.namespace.clone(),
            validation: FieldValidation::of(request)?,
            dry: dry_run(request)?,
            writer: Some(Writer::of(request, "")?),
            now: request.now,
        })
    }

    /// A creation of an object that already says who manages it.
    pub(super) fn applied(self) -> Self {
        Self {
            writer: None,
            ..self
        }
    }

    /// A creation by the server itself, of a cluster-scoped object.
    pub(super) fn plain(kind: Arc<Kind>, now: Timestamp) -> Self {
        let validation = FieldValidation::Ignore;
        Self {
            kind,
            namespace: String::new(),
            validation,
            dry: false,
            writer: None,
            now,
        }
    }
}

/// Whether a write is only asked about.
pub(super) fn dry_run(request: &Request) -> Result<bool, Refusal> {
    match request.query.get("dryRun") {
        None | Some("") => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            let cause = Cause::unsupported("dryRun", &json!([other]), "\"All\"");
            Err(refuse::invalid_options(&request.method, cause))
        }
    }
}

/// The object in a request's body that is to be of a kind.
pub(super) fn object_of(request: &Request, kind: &Kind) -> Result<Value, Refusal> {
    body_of(request).map_err(|mut refusal| {
        if refusal.code == 400 {
            refusal.message = format!(
                "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {}",
                kind.kind, refusal.message
            );
        }
        refusal
    })
}

/// The JSON object in a request's body.
pub(super) fn body_of(request: &Request) -> Result<Value, Refusal> {
    let media = patch::media_type(&request.content_type);
    let value: Value = match media {
        "" | "application/json" => serde_json::from_slice(&request.body)
            .map_err(|error| refuse::bad_request(&format!("the body is not JSON: {error}")))?,
        "application/yaml" => {
            let text = std::str::from_utf8(&request.body)
                .map_err(|error| refuse::bad_request(&format!("the body is not UTF-8: {error}")))?;
            serde_saphyr::from_str(text)
                .map_err(|error| refuse::bad_request(&format!("the body is not YAML: {error}")))?
        }
        protobuf::MEDIA_TYPE => protobuf::read(&request.body).map_err(|why| {
            tracing::debug!(why, "a protobuf body was not read");
            refuse::unsupported_media_type("application/json, application/yaml")
        })?,
        _ => {
            let accepted = "application/json, application/yaml";
            return Err(refuse::unsupported_media_type(accepted));
        }
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(refuse::bad_request("the body must be one JSON object"))
    }
}

/// An object must be of the kind that its path names; one that does not say gets to be.
pub(super) fn check_kind(kind: &Kind, object: &mut Value) -> Result<(), Refusal> {
    let fields = map_mut(object);
    let mut say = |field: &str, wanted: String| {
        let given = fields.entry(field).or_insert(Value::Null);
        if given.is_null() || given.as_str() == Some("") {
            *given = Value::String(wanted);
        }
        given.as_str().unwrap_or_default().to_owned()
    };
    let wanted = kind.api_version();
    let (version, given) = (
        say("apiVersion", wanted.clone()),
        say("kind", kind.kind.clone()),
    );
    let why = if version != wanted {
        let short = version.rsplit('/').next().unwrap_or_default();
        format!(
            "{given} in version {short:?} cannot be handled as a {}: no kind {given:?} is registered for version {version:?} under this path, which takes {wanted:?}",
            kind.kind
        )
    } else if given != kind.kind {
        format!(
            "{given} in version {:?} cannot be handled as a {}: this path takes {}",
            kind.version, kind.kind, kind.kind
        )
    } else {
        return Ok(());
    };
    Err(refuse::bad_request(&why))
}

/// Stores a new object.
pub(super) fn create(
    state: &mut State,
    creation: &Creation,
    mut object: Value,
) -> Result<Outcome, Refusal> {
    let kind = &creation.kind;
    check_kind(kind, &mut object)?;
    place(state, creation, &mut object)?;
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        let why = "resourceVersion should not be set on objects to be created";
        return Err(refuse::plain(why));
    }
    let wanted = name(&object).to_owned();
    if state.get(kind, &creation.namespace, &wanted).is_some() {
        return Err(refuse::already_exists(kind, &wanted));
    }
    let given = metadata_mut(&mut object).shift_remove("managedFields");
    identify(state, creation, &mut object);
    let context = Context {
        kind,
        kinds: &state.kinds,
        old: None,
        validation: creation.validation,
        now: creation.now,
    };
    let warnings = admit::decode(&mut object, &context)?;
    let given = given.unwrap_or_default();
    match &creation.writer {
        Some(writer) => manage::track(kind, None, &mut object, given, writer),
        None if given.is_null() => {}
        None => drop(metadata_mut(&mut object).insert("managedFields".to_owned(), given)),
    }
    admit::settle(&mut object, &context)?;
    if kind.is("", "Service") {
        assign_address(state, kind, &mut object);
    }
    let object = if creation.dry {
        Arc::new(object)
    } else {
        state.put(kind, object)?
    };
    Ok(Outcome {
        object,
        warnings,
        created: true,
    })
}

/// Name and namespace.
fn place(state: &mut State, creation: &Creation, object: &mut Value) -> Result<(), Refusal> {
    let kind = &creation.kind;
    let base = text(object, "/metadata/generateName").to_owned();
    let named = !name(object).is_empty();
    if !named && base.is_empty() {
        let cause = Cause::required("metadata.name", "name or generateName is required");
        return Err(refuse::invalid(kind, "", vec![cause]));
    }
    if !named {
        let made = names::generate(&base, &mut state.random);
        metadata_mut(object).insert("name".to_owned(), Value::String(made));
    }
    if !kind.namespaced {
        metadata_mut(object).shift_remove("namespace");
        return Ok(());
    }
    let metadata = metadata_mut(object);
    let given = metadata
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !given.is_empty() && given != creation.namespace {
        let why =
            "the namespace of the provided object does not match the namespace sent on the request";
        return Err(refuse::bad_request(why));
    }
    metadata.insert(
        "namespace".to_owned(),
        Value::String(creation.namespace.clone()),
    );
    check_namespace(state, kind, name(object), &creation.namespace)
}

fn check_namespace(state: &State, kind: &Kind, name: &str, namespace: &str) -> Result<(), Refusal> {
    let Some(namespaces) = state.kinds.find("", "v1", "namespaces") else {
        return Ok(());
    };
    let found = state.find(namespaces, "", namespace)?;
    if is_deleting(&found) {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        return Err(refuse::forbidden(kind, name, &why));
    }
    Ok(())
}

/// What only the server may say about an object.
fn identify(state: &mut State, creation: &Creation, object: &mut Value) {
    let kind = &creation.kind;
    // A node registers itself with its status; every other kind gets one later.
    if kind.status && !kind.is("", "Node") {
        map_mut(object).shift_remove("status");
    }
    let uid = names::uid(&mut state.random);
    let metadata = metadata_mut(object);
    for key in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        metadata.shift_remove(key);
    }
    metadata.insert("uid".to_owned(), Value::String(uid));
    metadata.insert(
        "creationTimestamp".to_owned(),
        Value::String(stamp(creation.now)),
    );
    metadata.shift_remove("generation");
    metadata.shift_remove("resourceVersion");
    if kind.generation {
        metadata.insert("generation".to_owned(), json!(1));
    }
}

/// A free address for a Service that wants one.
fn assign_address(state: &mut State, kind: &Kind, service: &mut Value) {
    let external = text(service, "/spec/type") == "ExternalName";
    if external || !text(service, "/spec/clusterIP").is_empty() {
        let given = text(service, "/spec/clusterIP").to_owned();
        if !external {
            set_path(service, &["spec", "clusterIPs"], json!([given]));
        }
        return;
    }
    let services = state.all(&kind.place);
    let taken = |address: &str| {
        services
            .iter()
            .any(|one| text(one, "/spec/clusterIP") == address)
    };
    let [first, second] = SERVICE_RANGE;
    let mut free = (0_u16..u16::MAX).map(|_| {
        let [third, fourth] = state.random.u16(1..u16::MAX).to_be_bytes();
        format!("{first}.{second}.{third}.{fourth}")
    });
    if let Some(address) = free.find(|address| !taken(address)) {
        let spec = child_mut(service, "spec");
        spec.insert("clusterIPs".to_owned(), json!([address]));
        spec.insert("clusterIP".to_owned(), Value::String(address));
    }
}

/// Answers `POST pods/{name}/binding`: the scheduler's word on where a pod runs.
pub(super) fn bind(
    state: &mut State,
    request: &Request,
    target: &Target,
) -> Result<Answer, Refusal> {
    let binding = body_of(request)?;
    let node = text(&binding, "/target/name").to_owned();
    let pod = state.find(&target.kind, &target.namespace, &target.name)?;
    if node.is_empty() {
        return Err(refuse::bad_request(
            "the binding names no node in target.name",
        ));
    }
    if is_deleting(&pod) {
        let why = format!(
            "pod {} is being deleted, cannot be assigned to a host",
            target.name
        );
        return Err(refuse::conflict(&target.kind, &target.name, &why));
    }
    let bound = text(&pod, "/spec/nodeName");
    if !bound.is_empty() {
        let why = format!("pod {} is already assigned to node {bound:?}", target.name);
        return Err(refuse::conflict(&target.kind, &target.name, &why));
    }
    let mut pod = Value::clone(&pod);
    set_path(&mut pod, &["spec", "nodeName"], Value::String(node));
    let condition = json!({"type": "PodScheduled", "status": "True",
                           "lastTransitionTime": stamp(request.now)});
    let conditions = child_mut(&mut pod, "status")
        .entry("conditions")
        .or_insert(json!([]));
    if let Some(conditions) = conditions.as_array_mut() {
        conditions.retain(|one| text(one, "/type") != "PodScheduled");
        conditions.push(condition);
    }
    if !dry_run(request)? {
        state.put(&target.kind, pod)?;
    }
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
                         "status": "Success", "code": 201});
    Ok(answer::json(StatusCode::CREATED, &success))
}
