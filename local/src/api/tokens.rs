//! ServiceAccount tokens: asked for through the `token` subresource of a ServiceAccount, told apart
//! by a TokenReview. They look like Kubernetes' own (a JWT that says for whom and for how long), but
//! only this server knows which are good: it remembers each until it expires, and none over a restart.
//!
//! This server lets everybody in. Tokens are for programs that ask who *their* clients are.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::crd::stamp;
use super::create::{body_of, dry_run};
use super::names;
use super::object::{text, uid};
use super::refuse::{self, Cause, Refusal};
use super::request::Request;
use super::route::Target;
use super::server::ApiServer;
use super::store::State;

/// The audience of a token that names none.
const OWN_AUDIENCE: &str = "https://kubernetes.default.svc";
/// The seconds that a token is good for where the request does not say.
const LASTS: i64 = 3600;
/// Kubernetes gives no shorter and no longer ones.
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
/// Tokens that are good at the same time; the next one is refused.
const MOST: usize = 10_000;

/// The tokens that are good.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<String, Arc<Token>>);

#[derive(Debug)]
struct Token {
    namespace: String,
    account: String,
    account_uid: String,
    audiences: Vec<String>,
    expires: Timestamp,
    /// Kind, name and uid of what it goes with.
    bound: Option<(String, String, String)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestSpec {
    audiences: Vec<String>,
    expiration_seconds: Option<i64>,
    bound_object_ref: Option<BoundObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BoundObject {
    kind: String,
    name: String,
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReviewSpec {
    token: String,
    audiences: Vec<String>,
}

/// Answers `POST serviceaccounts/{name}/token`.
pub(super) fn give(
    server: &ApiServer,
    request: &Request,
    target: &Target,
) -> Result<Answer, Refusal> {
    let mut body = body_of(request)?;
    let mut spec: RequestSpec = read(body["spec"].take())?;
    if spec.audiences.is_empty() {
        spec.audiences.push(OWN_AUDIENCE.to_owned());
    }
    let seconds = spec.expiration_seconds.unwrap_or(LASTS);
    check_seconds(seconds)?;
    let mut state = server.state();
    let account = state.find(&target.kind, &target.namespace, &target.name)?;
    let bound = spec
        .bound_object_ref
        .map(|bound| bind(&state, target, &bound))
        .transpose()?;
    let expires = request
        .now
        .saturating_add(SignedDuration::from_secs(seconds));
    let token = Token {
        namespace: target.namespace.clone(),
        account: target.name.clone(),
        account_uid: uid(&account).to_owned(),
        audiences: spec.audiences,
        expires: expires.unwrap_or(Timestamp::MAX),
        bound,
    };
    let id = names::uid(&mut state.random);
    drop(state);
    let written = written(&token, &id, request.now);
    let answered = json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": token.account, "namespace": token.namespace,
                     "creationTimestamp": stamp(request.now)},
        "spec": {"audiences": token.audiences, "expirationSeconds": seconds, "boundObjectRef": bound_of(&token)},
        "status": {"token": written, "expirationTimestamp": stamp(token.expires)},
    });
    if !dry_run(request)? {
        server.tokens().keep(written, token, request.now)?;
    }
    Ok(answer::json(StatusCode::CREATED, &answered))
}

fn read<T: serde::de::DeserializeOwned + Default>(spec: Value) -> Result<T, Refusal> {
    if spec.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(spec)
        .map_err(|error| refuse::bad_request(&format!("the spec cannot be read: {error}")))
}

fn check_seconds(seconds: i64) -> Result<(), Refusal> {
    let why = if seconds < SHORTEST {
        "may not specify a duration less than 10 minutes"
    } else if seconds > LONGEST {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let cause = Cause::invalid("spec.expirationSeconds", &json!(seconds), why);
    let group = "authentication.k8s.io";
    Err(refuse::invalid_of(group, "TokenRequest", "", vec![cause]))
}

/// What a token goes with must be there.
fn bind(
    state: &State,
    target: &Target,
    bound: &BoundObject,
) -> Result<(String, String, String), Refusal> {
    let kind = state
        .kinds
        .named("v1", &bound.kind)
        .filter(|kind| kind.is_pod() || kind.is("", "Secret"))
        .cloned();
    let Some(kind) = kind else {
        let why = format!(
            "cannot bind token to object of type /v1, Kind={}",
            bound.kind
        );
        return Err(refuse::bad_request(&why));
    };
    let object = state.find(&kind, &target.namespace, &bound.name)?;
    if !bound.uid.is_empty() && bound.uid != uid(&object) {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            bound.uid
        );
        return Err(refuse::conflict(&kind, &bound.name, &why));
    }
    Ok((
        bound.kind.clone(),
        bound.name.clone(),
        uid(&object).to_owned(),
    ))
}

fn bound_of(token: &Token) -> Value {
    token.bound.as_ref().map_or(
        Value::Null,
        |(kind, name, uid)| json!({"kind": kind, "apiVersion": "v1", "name": name, "uid": uid}),
    )
}

/// The token as text.
fn written(token: &Token, id: &str, now: Timestamp) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut about = json!({
        "namespace": token.namespace,
        "serviceaccount": {"name": token.account, "uid": token.account_uid},
    });
    if let Some((kind, name, uid)) = &token.bound {
        about[kind.to_lowercase()] = json!({"name": name, "uid": uid});
    }
    let claims = json!({
        "aud": token.audiences, "exp": token.expires.as_second(), "iat": now.as_second(),
        "iss": OWN_AUDIENCE, "jti": id, "kubernetes.io": about, "nbf": now.as_second(),
        "sub": format!("system:serviceaccount:{}:{}", token.namespace, token.account),
    });
    let header = json!({"alg": "none", "typ": "JWT"});
    format!(
        "{}.{}.{}",
        part(&header),
        part(&claims),
        URL_SAFE_NO_PAD.encode(id)
    )
}

impl Tokens {
    fn keep(&mut self, written: String, token: Token, now: Timestamp) -> Result<(), Refusal> {
        self.0.retain(|_, token| token.expires > now);
        if self.0.len() >= MOST {
            return Err(refuse::too_many(&format!(
                "{MOST} tokens are good at this moment"
            )));
        }
        self.0.insert(written, Arc::new(token));
        Ok(())
    }
}

/// Answers `POST /apis/authentication.k8s.io/v1/tokenreviews`.
pub(super) fn review(server: &ApiServer, request: &Request) -> Result<Answer, Refusal> {
    if request.method != Method::POST {
        return Err(refuse::method_not_allowed());
    }
    let mut review = body_of(request)?;
    let spec: ReviewSpec = read(review["spec"].clone())?;
    let token = server.tokens().0.get(&spec.token).cloned();
    let wanted = if spec.audiences.is_empty() {
        vec![OWN_AUDIENCE.to_owned()]
    } else {
        spec.audiences
    };
    let judged = judge(&server.state(), token.as_deref(), &wanted, request.now);
    review["kind"] = json!("TokenReview");
    review["apiVersion"] = json!("authentication.k8s.io/v1");
    review["status"] = match judged {
        Ok(status) => status,
        Err(why) => json!({"user": {}, "error": why}),
    };
    Ok(answer::json(StatusCode::CREATED, &review))
}

fn judge(
    state: &State,
    token: Option<&Token>,
    wanted: &[String],
    now: Timestamp,
) -> Result<Value, String> {
    let invalid = |why: &str| format!("[invalid bearer token, {why}]");
    let token = token.ok_or("invalid bearer token")?;
    if token.expires <= now {
        return Err(invalid("service account token has expired"));
    }
    let is_there = |plural: &str, name: &str, wanted: &str| {
        let kind = state.kinds.find("", "v1", plural);
        let object = kind.and_then(|kind| state.get(kind, &token.namespace, name));
        object.is_some_and(|object| {
            uid(object) == wanted && text(object, "/metadata/deletionTimestamp").is_empty()
        })
    };
    if !is_there("serviceaccounts", &token.account, &token.account_uid) {
        return Err(invalid("service account token has been invalidated"));
    }
    if let Some((kind, name, uid)) = &token.bound
        && !is_there(&format!("{}s", kind.to_lowercase()), name, uid)
    {
        return Err(invalid("service account token has been invalidated"));
    }
    let shared: Vec<&String> = token
        .audiences
        .iter()
        .filter(|one| wanted.contains(one))
        .collect();
    if shared.is_empty() {
        return Err(invalid(&format!(
            "token audiences {:?} is invalid for the target audiences {wanted:?}",
            token.audiences
        )));
    }
    let mut user = json!({
        "username": format!("system:serviceaccount:{}:{}", token.namespace, token.account),
        "uid": token.account_uid,
        "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{}", token.namespace),
                   "system:authenticated"],
    });
    if let Some((kind, name, uid)) = token.bound.as_ref().filter(|(kind, ..)| kind == "Pod") {
        let key = |what: &str| {
            format!(
                "authentication.kubernetes.io/{}-{what}",
                kind.to_lowercase()
            )
        };
        user["extra"] = json!({key("name"): [name], key("uid"): [uid]});
    }
    Ok(json!({"authenticated": true, "user": user, "audiences": shared}))
}
