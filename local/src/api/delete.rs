//! `delete`: at once where nothing stands in the way; otherwise an object gets its
//! deletionTimestamp and goes when the last finalizer, or the kubelet, lets it.

use std::sync::Arc;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::collect;
use super::crd::stamp;
use super::create::{body_of, dry_run};
use super::kinds::Kind;
use super::list;
use super::object::{
    finalizers, is_deleting, metadata_mut, name, number, revision, set_path, text, uid,
};
use super::refuse::{self, Cause, Refusal};
use super::request::Request;
use super::route::Target;
use super::server::ApiServer;
use super::store::State;
use super::update::is_finished;

mod evict;

/// The seconds that a pod without a setting of its own gets to stop.
const DEFAULT_GRACE: i64 = 30;

pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// The body of a delete, with what the query may say instead.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteOptions {
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Preconditions,
    dry_run: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// A deletion as it is to be done.
struct Deletion {
    options: DeleteOptions,
    policy: Policy,
    dry: bool,
    now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Background,
    Foreground,
    Orphan,
}

impl Deletion {
    fn of(request: &Request, body: Value) -> Result<Self, Refusal> {
        let mut options = DeleteOptions::default();
        if !body.is_null() {
            options = serde_json::from_value(body).map_err(|error| {
                refuse::bad_request(&format!("the body is no DeleteOptions: {error}"))
            })?;
        }
        let query = &request.query;
        if let Some(grace) = query.number("gracePeriodSeconds")? {
            options.grace_period_seconds = i64::try_from(grace).ok();
        }
        if let Some(policy) = query.get("propagationPolicy") {
            options.propagation_policy = Some(policy.to_owned());
        }
        if let (Some(policy), Some(_)) = (&options.propagation_policy, options.orphan_dependents) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            let cause = Cause::invalid("propagationPolicy", &json!(policy), why);
            return Err(refuse::invalid_options(&request.method, cause));
        }
        let policy = match (
            options.propagation_policy.as_deref(),
            options.orphan_dependents,
        ) {
            (Some("Orphan"), _) | (None, Some(true)) => Policy::Orphan,
            (Some("Foreground"), _) => Policy::Foreground,
            (None | Some("" | "Background"), _) => Policy::Background,
            (Some(other), _) => {
                let accepted = r#""Foreground", "Background", "Orphan", "nil""#;
                let cause = Cause::unsupported("propagationPolicy", &json!(other), accepted);
                return Err(refuse::invalid_options(&request.method, cause));
            }
        };
        let asked = options
            .dry_run
            .as_ref()
            .is_some_and(|dry| dry.iter().any(|one| one == "All"));
        let dry = asked || dry_run(request)?;
        Ok(Self {
            options,
            policy,
            dry,
            now: request.now,
        })
    }

    /// A deletion by the server itself.
    fn background(now: Timestamp) -> Self {
        let options = DeleteOptions::default();
        Self {
            options,
            policy: Policy::Background,
            dry: false,
            now,
        }
    }
}

/// The options in the body, if there is one.
fn options_of(request: &Request) -> Result<Value, Refusal> {
    if request.body.is_empty() {
        Ok(Value::Null)
    } else {
        body_of(request)
    }
}

/// Answers `DELETE` of one object.
pub(super) fn one(
    server: &ApiServer,
    request: &Request,
    target: &Target,
) -> Result<Answer, Refusal> {
    let deletion = Deletion::of(request, options_of(request)?)?;
    let mut state = server.state();
    let object = state.find(&target.kind, &target.namespace, &target.name)?;
    let left = delete(&mut state, &target.kind, &object, &deletion)?;
    let shown = match left {
        Left::Stays(object) => answer::present(&target.kind, &object).into_owned(),
        // Kubernetes answers the last sight of a pod, and a Status for most other kinds.
        Left::Gone(object) if target.kind.is_pod() => Value::clone(&object),
        Left::Gone(object) => json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": target.name, "group": target.kind.group,
                        "kind": target.kind.plural, "uid": uid(&object)},
        }),
    };
    Ok(answer::json(StatusCode::OK, &shown))
}

/// Answers `DELETE` of a collection.
pub(super) fn collection(
    server: &ApiServer,
    request: &Request,
    target: &Target,
) -> Result<Answer, Refusal> {
    if target.kind.is_namespace() || (target.kind.namespaced && target.namespace.is_empty()) {
        return Err(refuse::method_not_allowed());
    }
    let deletion = Deletion::of(request, options_of(request)?)?;
    let interest = list::interest(request, target)?;
    let mut state = server.state();
    let objects = list::wanted(&state, &interest);
    for object in &objects {
        delete(&mut state, &target.kind, object, &deletion)?;
    }
    let metadata = json!({"resourceVersion": state.revision().to_string()});
    let text = list::plain(&target.kind, &objects, &metadata);
    Ok(answer::json_text(StatusCode::OK, text))
}

/// Answers `POST pods/{name}/eviction`: a delete that a disruption budget may stand against.
pub(super) fn evict(
    server: &ApiServer,
    request: &Request,
    target: &Target,
) -> Result<Answer, Refusal> {
    let mut eviction = body_of(request)?;
    let deletion = Deletion::of(request, eviction["deleteOptions"].take())?;
    let mut state = server.state();
    let pod = state.find(&target.kind, &target.namespace, &target.name)?;
    if let Some((kind, spent)) = evict::permit(&state, &pod, request.now)?
        && !deletion.dry
    {
        state.put(&kind, spent)?;
    }
    delete(&mut state, &target.kind, &pod, &deletion)?;
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
                         "status": "Success", "code": 201});
    Ok(answer::json(StatusCode::CREATED, &success))
}

/// Deletes an object on the server's own account.
pub(super) fn by_server(
    state: &mut State,
    kind: &Kind,
    object: &Arc<Value>,
    now: Timestamp,
) -> Result<(), Refusal> {
    delete(state, kind, object, &Deletion::background(now)).map(drop)
}

/// What a delete leaves.
enum Left {
    Stays(Arc<Value>),
    Gone(Arc<Value>),
}

fn delete(
    state: &mut State,
    kind: &Kind,
    object: &Arc<Value>,
    deletion: &Deletion,
) -> Result<Left, Refusal> {
    check_preconditions(kind, object, &deletion.options.preconditions)?;
    if kind.is_namespace() && matches!(name(object), "default" | "kube-system" | "kube-public") {
        return Err(refuse::forbidden(
            kind,
            name(object),
            "this namespace may not be deleted",
        ));
    }
    if deletion.dry {
        return Ok(Left::Gone(object.clone()));
    }
    if deletion.policy == Policy::Orphan {
        collect::orphan(state, uid(object))?;
    }
    if kind.is_crd() {
        delete_customs(state, object, deletion.now)?;
    }
    let doomed = doomed(kind, object, deletion);
    if is_finished(&doomed) {
        return state.remove(kind, &doomed).map(Left::Gone);
    }
    if doomed == **object {
        return Ok(Left::Stays(object.clone()));
    }
    state.put(kind, doomed).map(Left::Stays)
}

fn check_preconditions(kind: &Kind, object: &Value, wanted: &Preconditions) -> Result<(), Refusal> {
    let (id, version) = (uid(object), revision(object).to_string());
    let why = match (&wanted.uid, &wanted.resource_version) {
        (Some(wanted), _) if wanted != id => format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({id}). The object might have been deleted and then recreated"
        ),
        (_, Some(wanted)) if *wanted != version => format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
        ),
        _ => return Ok(()),
    };
    Err(refuse::precondition(kind, name(object), &why))
}

/// The object with its sentence: when it goes, and what it waits for.
fn doomed(kind: &Kind, object: &Value, deletion: &Deletion) -> Value {
    let mut doomed = object.clone();
    let grace = grace(kind, object, deletion);
    let earlier = number(object, "/metadata/deletionGracePeriodSeconds");
    let shorter = earlier.is_none_or(|earlier| grace < earlier);
    if !is_deleting(object) || (kind.is_pod() && shorter) {
        let end = deletion
            .now
            .saturating_add(SignedDuration::from_secs(grace));
        let end = end.unwrap_or(deletion.now);
        let generation = number(object, "/metadata/generation");
        let metadata = metadata_mut(&mut doomed);
        metadata.insert("deletionTimestamp".to_owned(), Value::String(stamp(end)));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
        if let Some(generation) = generation.filter(|_| !is_deleting(object)) {
            metadata.insert("generation".to_owned(), json!(generation + 1));
        }
    }
    if deletion.policy == Policy::Foreground && !finalizers(object).any(|one| one == FOREGROUND) {
        let metadata = metadata_mut(&mut doomed);
        let list = metadata.entry("finalizers").or_insert(json!([]));
        if let Value::Array(list) = list {
            list.push(json!(FOREGROUND));
        }
    }
    if kind.is_namespace() {
        set_path(&mut doomed, &["status", "phase"], json!("Terminating"));
    }
    doomed
}

/// Only pods that run somewhere get time: others have nothing to stop.
fn grace(kind: &Kind, object: &Value, deletion: &Deletion) -> i64 {
    let unscheduled = text(object, "/spec/nodeName").is_empty();
    let finished = matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
    if !kind.is_pod() || unscheduled || finished {
        return 0;
    }
    let own = number(object, "/spec/terminationGracePeriodSeconds");
    deletion
        .options
        .grace_period_seconds
        .or(own)
        .unwrap_or(DEFAULT_GRACE)
        .max(0)
}

/// The objects of a kind go with its definition.
fn delete_customs(state: &mut State, definition: &Value, now: Timestamp) -> Result<(), Refusal> {
    let place = name(definition);
    let kind = state
        .kinds
        .iter()
        .find(|kind| &*kind.place == place)
        .cloned();
    let Some(kind) = kind else { return Ok(()) };
    for object in state.all(place) {
        let mut object = Value::clone(&object);
        metadata_mut(&mut object).shift_remove("finalizers");
        by_server(state, &kind, &Arc::new(object), now)?;
    }
    Ok(())
}
