//! The life of one request, from its head to the response's head.
//!
//! Target → route → split → attempt → perhaps stable instead. What is counted about it is in
//! [`exchange`], what is sent and sent again in [`attempt`], what it is asked for in [`target`]. The body
//! of the response outlives this and ends the exchange ([`crate::relay`]).

use std::convert::Infallible;
use std::rc::Rc;

use http::header::{HeaderName, HeaderValue, SET_COOKIE};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;

use crate::error::{RequestError, Sent, UpstreamError};
use crate::forward;
use crate::observe::open::Waiting;
use crate::observe::series::{RetryResult, Rule};
use crate::observe::{FailureClass, Role};
use crate::relay::{ResponseBody, SharedTape, UpstreamBody};
use crate::respond;
use crate::split::{self, Asked, Key};
use crate::worker::Worker;
use crate::worker::connection::Connection;
use crate::worker::view::LocalRoute;

mod attempt;
pub(crate) mod budget;
pub(crate) mod exchange;
mod target;
mod upgrade;

use attempt::Spare;
use exchange::{Exchange, Routed};
use target::Target;

/// Tells the client that stable answered what the canary had failed.
const X_SLUICE_FALLBACK: HeaderName = HeaderName::from_static("x-sluice-fallback");

/// A request that knows where to go.
struct Prepared {
    route: Rc<LocalRoute>,
    routed: Routed,
    /// What is to be sent; taken while an upstream has it.
    request: Option<Request<UpstreamBody>>,
    spare: Spare,
    /// The client's side of the tunnel that it asked for.
    upgrade: Option<OnUpgrade>,
}

/// Answers a request. Dropped before it is done when the client goes away, which cancels everything.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let version = request.version();
    let mut exchange = Exchange::begin(worker, connection, &request);
    let answered = match prepare(&mut exchange, request) {
        Ok(mut prepared) => {
            let answered = answer(&mut exchange, &mut prepared).await;
            answered.and_then(|response| finish(&mut exchange, prepared, response))
        }
        Err(error) => Err(error),
    };
    Ok(match answered {
        Ok(response) => response.map(|incoming| ResponseBody::Relayed(incoming, exchange)),
        Err(error) => {
            exchange.refused(error);
            respond::respond(error, version).map(|text| ResponseBody::Own(Some(text), exchange))
        }
    })
}

/// Everything up to the first byte to an upstream. It waits for nothing, so what it needs on the way
/// takes no room in the request's future.
fn prepare(
    exchange: &mut Exchange,
    mut request: Request<Incoming>,
) -> Result<Box<Prepared>, RequestError> {
    let target = Target::of(&request)?;
    let route = route(exchange, &request, &target)?;
    let routed = choose_side(exchange, &request, &route);
    exchange.routed(&route, routed.rule);
    let tunnel = upgrade::asked(&request, &target, &routed.arm);
    let upgrade = tunnel.is_some().then(|| hyper::upgrade::on(&mut request));
    if !target.is_http1 {
        forward::join_cookies(request.headers_mut());
    }
    let hop = &exchange.connection().hop;
    forward::request_headers(request.headers_mut(), &target.host, hop);
    if let Some(protocol) = &tunnel {
        upgrade::ask(request.headers_mut(), protocol);
    }
    exchange.worker().budget.deposit();
    let (request, spare) = replayable(request, target.host);
    let request = Some(request);
    Ok(Box::new(Prepared {
        route,
        routed,
        request,
        spare,
        upgrade,
    }))
}

/// Makes the upstream's response head ready for the client.
fn finish(
    exchange: &mut Exchange,
    prepared: Box<Prepared>,
    mut response: Response<Incoming>,
) -> Result<Response<Incoming>, RequestError> {
    if let Some(cookie) = prepared.routed.set_cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade::switch(exchange, response, prepared.upgrade);
    }
    forward::response_headers(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

fn route(
    exchange: &Exchange,
    request: &Request<Incoming>,
    target: &Target,
) -> Result<Rc<LocalRoute>, RequestError> {
    let view = exchange.worker().view();
    if view.generation == 0 {
        return Err(RequestError::NoConfiguration);
    }
    let host = target.normal_host();
    if exchange.connection().is_misdirected(&host) {
        return Err(RequestError::Misdirected);
    }
    let found = view
        .snapshot
        .table
        .find(&host, request.uri().path(), request.headers());
    let found = found.and_then(|place| view.routes.get(place));
    found.cloned().ok_or(RequestError::NoRoute)
}

/// Splits, and sends the canary's share to stable where the canary has no endpoint at all.
fn choose_side(exchange: &Exchange, request: &Request<Incoming>, route: &Rc<LocalRoute>) -> Routed {
    let Some(split) = &route.split else {
        return Routed::plainly(&route.stable);
    };
    let connection = exchange.connection();
    let asked = Asked {
        headers: request.headers(),
        peer: connection.peer.ip(),
        tls: connection.hop.tls,
    };
    let worker = exchange.worker();
    let choice = split::choose(split, &asked, &mut worker.random.borrow_mut());
    let arm = match (choice.role, &route.canary) {
        (Role::Canary, Some(canary)) if canary.cluster.endpoints.is_empty() => {
            exchange.no_endpoints(canary, choice.key, choice.sequence);
            let stable = Rc::clone(&route.stable);
            return Routed {
                rule: Rule::NoEndpoints,
                key: Key::None,
                ..Routed::new(stable, choice)
            };
        }
        (Role::Canary, Some(canary)) => canary,
        _ => &route.stable,
    };
    Routed::new(Rc::clone(arm), choice)
}

/// Keeps what is needed to send the request again, where that can ever be allowed.
fn replayable(request: Request<Incoming>, host: HeaderValue) -> (Request<UpstreamBody>, Spare) {
    let idempotent = is_idempotent(request.method());
    let (parts, incoming) = request.into_parts();
    let tape = (idempotent && !incoming.is_end_stream()).then(SharedTape::default);
    let body = match &tape {
        _ if incoming.is_end_stream() => UpstreamBody::Empty,
        Some(tape) => UpstreamBody::Taped(incoming, tape.clone()),
        None => UpstreamBody::Stream(incoming),
    };
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = parts.headers;
    let spare = Spare::new(&request, idempotent, tape, host);
    (request, spare)
}

/// The first attempt, and stable's answer where the canary failed it and that is allowed.
async fn answer(
    exchange: &mut Exchange,
    prepared: &mut Prepared,
) -> Result<Response<Incoming>, RequestError> {
    let Prepared {
        route,
        routed,
        request,
        spare,
        ..
    } = prepared;
    let may_fall_back = routed.arm.role == Role::Canary
        && spare.idempotent
        && route
            .split
            .as_ref()
            .is_some_and(|split| split.fallback_to_stable);
    let waiting = exchange.enter(routed, route.timeout, may_fall_back);
    let tried = attempt::attempt(exchange, &routed.arm, request, (spare, &waiting)).await;
    let outcome = judge(exchange, tried, waiting);
    let Some(failed) = Failed::of(&outcome).filter(|_| routed.arm.role == Role::Canary) else {
        return outcome;
    };
    let Some(rule) = again(exchange, route, &failed, (spare, request)) else {
        return outcome;
    };
    // What the canary did answer is dropped before stable is asked.
    drop(outcome);
    // Rare, and its room would be paid for by every request.
    Box::pin(fall_back(exchange, route, request, (spare, rule))).await
}

/// What decides about a retry: how much was sent, and how it failed.
struct Failed {
    class: FailureClass,
    sent: Sent,
}

/// Whether stable may answer, and why; the request to send is in its place then. One of which nothing
/// was sent is still there; else the copy takes it.
fn again(
    exchange: &Exchange,
    route: &LocalRoute,
    failed: &Failed,
    (spare, request): (&Spare, &mut Option<Request<UpstreamBody>>),
) -> Option<Rule> {
    // Nothing was sent, as no endpoint accepts connections: that is no usable endpoint.
    if failed.sent == Sent::Never && failed.class == FailureClass::Connect {
        return Some(Rule::NoEndpoints);
    }
    if !route
        .split
        .as_ref()
        .is_some_and(|split| split.fallback_to_stable)
    {
        return None;
    }
    let copy = spare.request();
    let refused = match copy {
        _ if !spare.idempotent => Some(RetryResult::NotIdempotent),
        None => Some(RetryResult::BodyTooLarge),
        Some(_) if !exchange.worker().budget.withdraw() => Some(RetryResult::Budget),
        Some(_) => None,
    };
    if let Some(result) = refused {
        exchange.retried(result);
        return None;
    }
    *request = copy;
    Some(Rule::Fallback)
}

async fn fall_back(
    exchange: &mut Exchange,
    route: &Rc<LocalRoute>,
    request: &mut Option<Request<UpstreamBody>>,
    (spare, rule): (&Spare, Rule),
) -> Result<Response<Incoming>, RequestError> {
    let canary = exchange.move_to(&route.stable, rule);
    let waiting = exchange.enter_unjudged(&route.stable, route.timeout);
    let tried = attempt::attempt(exchange, &route.stable, request, (spare, &waiting)).await;
    drop(waiting);
    let result = match &tried {
        Ok((response, _)) if !response.status().is_server_error() => RetryResult::Ok,
        _ => RetryResult::Failed,
    };
    if let Some(canary) = canary {
        exchange.count_retry(&canary, result);
    }
    let (mut response, lease) = tried?;
    exchange.head(response.status().as_u16(), lease);
    if rule == Rule::Fallback {
        let stable = HeaderValue::from_static(Role::Stable.as_str());
        response.headers_mut().insert(X_SLUICE_FALLBACK, stable);
    }
    Ok(response)
}

/// Counts the first attempt's outcome, which is final for evidence whoever answers in the end.
fn judge(
    exchange: &mut Exchange,
    tried: Result<attempt::Answered, RequestError>,
    waiting: Waiting,
) -> Result<Response<Incoming>, RequestError> {
    let too_old = waiting.leave();
    match tried {
        Ok((response, lease)) => {
            let failed = response.status().is_server_error();
            exchange.judge(failed.then_some(FailureClass::Status5xx), too_old);
            exchange.head(response.status().as_u16(), lease);
            Ok(response)
        }
        Err(error) => {
            if let RequestError::Upstream(error) = error {
                exchange.judge(Some(error.class), too_old);
            }
            Err(error)
        }
    }
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

// === impl Failed ===

impl Failed {
    /// `None` for an answer below 500, and where the client is to blame: nothing failed.
    fn of(outcome: &Result<Response<Incoming>, RequestError>) -> Option<Self> {
        match outcome {
            Ok(response) if response.status().is_server_error() => Some(Self {
                class: FailureClass::Status5xx,
                sent: Sent::Maybe,
            }),
            Err(RequestError::Upstream(UpstreamError { class, sent })) => Some(Self {
                class: *class,
                sent: *sent,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
