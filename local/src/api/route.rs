//! Which verb a request is: from method, path and query to the function that does it.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::Value;

use super::answer::{self, Answer, Form};
use super::create::Creation;
use super::kinds::Kind;
use super::refuse::{self, Refusal};
use super::request::{Path, Request};
use super::server::{ApiServer, Write};
use super::update::Update;
use super::{
    create, delete, discovery, list, logs, openapi, patch, scale, table, tokens, update, watch,
};

/// What a request is about.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) kind: Arc<Kind>,
    /// Empty for cluster-scoped kinds, and for lists over all namespaces.
    pub(super) namespace: String,
    /// Empty for collections.
    pub(super) name: String,
    pub(super) subresource: String,
}

/// Answers any request.
pub(super) async fn answer(server: &Arc<ApiServer>, request: Request) -> Answer {
    let method = request.method.clone();
    let answered = dispatch(server, &request).await;
    let answer = answered.unwrap_or_else(|refusal| answer::refusal(&refusal));
    tracing::debug!(%method, path = request.path, code = answer.status().as_u16(), "answered");
    answer
}

async fn dispatch(server: &Arc<ApiServer>, request: &Request) -> Result<Answer, Refusal> {
    let path = request.path.trim_end_matches('/');
    match path {
        "/healthz" | "/livez" | "/readyz" => return Ok(answer::plain("ok")),
        _ => {}
    }
    if path.starts_with("/openapi/") {
        return openapi::answer(server, request);
    }
    if let Some(found) = discovery::answer(server, request) {
        return Ok(answer::json(StatusCode::OK, &found));
    }
    if path == "/apis/authentication.k8s.io/v1/tokenreviews" {
        return tokens::review(server, request);
    }
    refuse_what_is_not_built(path)?;
    let target = target(server, path)?;
    meet_fate(server, request, &target).await?;
    let dry = request.query.get("dryRun").is_some();
    if request.method != Method::GET && !dry {
        server.ask_hook(&write_of(request, &target))?;
    }
    if target.kind.is_pod() && target.subresource == "log" && request.method == Method::GET {
        return logs::read(server, request, &target.namespace, &target.name).await;
    }
    let answered = verb(server, request, &target);
    if request.method != Method::GET && server.state().belongings.has_suspects() {
        server.garbage.notify_one();
    }
    answered
}

fn refuse_what_is_not_built(path: &str) -> Result<(), Refusal> {
    let sentence = if path.starts_with("/apis/authentication.k8s.io/") {
        "this server has no users: of this group only TokenReview is built"
    } else if path.starts_with("/apis/authorization.k8s.io/") {
        "this server has no access control: access reviews are not built"
    } else {
        return Ok(());
    };
    Err(refuse::not_done(sentence))
}

fn target(server: &ApiServer, path: &str) -> Result<Target, Refusal> {
    let path = Path::parse(path).ok_or_else(refuse::no_such_path)?;
    let state = server.state();
    let kind = state.kinds.find(&path.group, &path.version, &path.plural);
    let kind = kind.cloned().ok_or_else(refuse::no_such_path)?;
    if path.namespace.is_some() && !kind.namespaced {
        return Err(refuse::no_such_path());
    }
    if kind.namespaced && path.namespace.is_none() && path.name.is_some() {
        return Err(refuse::no_such_path());
    }
    Ok(Target {
        kind,
        namespace: path.namespace.unwrap_or_default(),
        name: path.name.unwrap_or_default(),
        subresource: path.subresource.unwrap_or_default(),
    })
}

fn write_of(request: &Request, target: &Target) -> Write {
    Write {
        client: request.client.clone(),
        method: request.method.clone(),
        resource: target.kind.plural.clone(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        subresource: target.subresource.clone(),
    }
}

async fn meet_fate(server: &ApiServer, request: &Request, target: &Target) -> Result<(), Refusal> {
    let fate = server.dice().throw();
    if !fate.delay.is_zero() {
        tokio::time::sleep(fate.delay).await;
    }
    if fate.drop_watches && request.method != Method::GET {
        server.drop_watches();
    }
    if fate.error {
        return Err(refuse::internal("a fault, as ordered"));
    }
    let changes = request.method == Method::PUT || request.method == Method::PATCH;
    if fate.conflict && changes {
        return Err(refuse::conflict(&target.kind, &target.name, refuse::STALE));
    }
    Ok(())
}

fn verb(server: &Arc<ApiServer>, request: &Request, target: &Target) -> Result<Answer, Refusal> {
    let on_collection = target.name.is_empty();
    match (
        target.subresource.as_str(),
        on_collection,
        request.method.as_str(),
    ) {
        ("", true, "GET") if request.query.flag("watch") => watch::watch(server, request, target),
        ("", true, "GET") => list::list(server, request, target),
        ("", true, "POST") => create_verb(server, request, target),
        ("", true, "DELETE") => delete::collection(server, request, target),
        ("" | "status", false, "GET") if target.has_subresource() => get(server, request, target),
        ("" | "status", false, "PUT") if target.has_subresource() => {
            let object = create::object_of(request, &target.kind)?;
            let mut state = server.state();
            let update = Update::of(request, target)?;
            let outcome = update::update(&mut state, &update, object)?;
            shown(request, target, StatusCode::OK, &outcome)
        }
        ("" | "status", false, "PATCH") if target.has_subresource() => {
            let outcome = patch::patch(&mut server.state(), request, target)?;
            let code = if outcome.created {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            shown(request, target, code, &outcome)
        }
        ("", false, "DELETE") => delete::one(server, request, target),
        ("scale", false, _) if target.kind.scale.is_some() => {
            scale::answer(server, request, target)
        }
        ("binding", false, "POST") if target.kind.is_pod() => {
            create::bind(&mut server.state(), request, target)
        }
        ("eviction", false, "POST") if target.kind.is_pod() => {
            delete::evict(server, request, target)
        }
        ("token", false, "POST") if target.kind.is("", "ServiceAccount") => {
            tokens::give(server, request, target)
        }
        ("" | "status" | "scale", _, _) if target.has_subresource() => {
            Err(refuse::method_not_allowed())
        }
        (other, _, _) => Err(unknown_subresource(&target.kind, other)),
    }
}

impl Target {
    fn has_subresource(&self) -> bool {
        match self.subresource.as_str() {
            "" => true,
            "status" => self.kind.status,
            _ => self.kind.scale.is_some(),
        }
    }
}

fn unknown_subresource(kind: &Kind, subresource: &str) -> Refusal {
    let first = subresource.split('/').next().unwrap_or_default();
    let sentence = match first {
        "exec" | "attach" | "portforward" | "proxy" if kind.custom().is_none() => {
            "is not built: pods are local processes, reach them at their own loopback address"
        }
        "ephemeralcontainers" | "resize" | "finalize" | "approval" => "is not built",
        _ => return refuse::no_such_path(),
    };
    refuse::not_done(&format!(
        "the {first} subresource of {} {sentence}",
        kind.plural
    ))
}

fn create_verb(
    server: &Arc<ApiServer>,
    request: &Request,
    target: &Target,
) -> Result<Answer, Refusal> {
    if target.kind.namespaced && target.namespace.is_empty() {
        return Err(refuse::method_not_allowed());
    }
    let object = create::object_of(request, &target.kind)?;
    let creation = Creation::of(request, target)?;
    let outcome = create::create(&mut server.state(), &creation, object)?;
    shown(request, target, StatusCode::CREATED, &outcome)
}

fn get(server: &ApiServer, request: &Request, target: &Target) -> Result<Answer, Refusal> {
    let form = Form::accepted(&request.accept)?;
    let state = server.state();
    list::check_not_ahead(request, state.revision())?;
    let object = state.find(&target.kind, &target.namespace, &target.name)?;
    drop(state);
    if form == Form::Plain {
        let text = answer::present(&target.kind, &object).to_string();
        return Ok(answer::json_text(StatusCode::OK, text));
    }
    let value = in_form(request, &target.kind, form, &object);
    Ok(answer::json(StatusCode::OK, &value))
}

/// What a write did.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) object: Arc<Value>,
    pub(super) warnings: Vec<String>,
    /// There was none before.
    pub(super) created: bool,
}

fn shown(
    request: &Request,
    target: &Target,
    code: StatusCode,
    outcome: &Outcome,
) -> Result<Answer, Refusal> {
    let form = Form::accepted(&request.accept)?;
    let value = in_form(request, &target.kind, form, &outcome.object);
    let mut answer = answer::json(code, &value);
    answer::warn(&mut answer, &outcome.warnings);
    Ok(answer)
}

fn in_form(request: &Request, kind: &Kind, form: Form, object: &Arc<Value>) -> Value {
    match form {
        Form::Plain => answer::present(kind, object).into_owned(),
        Form::Metadata => answer::metadata_only(object),
        Form::Table => {
            let options = table::Options::of(request);
            table::of_objects(kind, std::slice::from_ref(object), &options)
        }
    }
}
