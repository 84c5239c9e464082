//! An attempt at one arm: an endpoint, a connection, the request sent, the head of the answer.
//!
//! Within the arm three things are tried again: an endpoint that accepts no connection (nothing was
//! sent), a kept connection that turns out closed before anything was written (nothing was sent), and
//! one that closes without a byte of answer, where the request is idempotent and can be sent again.

use std::net::SocketAddr;
use std::rc::Rc;

use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use uplink::document::Protocol;

use super::exchange::Exchange;
use crate::error::{RequestError, Sent, UpstreamError};
use crate::forward;
use crate::observe::FailureClass;
use crate::observe::open::Waiting;
use crate::relay::{SharedTape, UpstreamBody};
use crate::upstream::{FailureKind, Lease, LocalEndpoint, SendFailure};
use crate::worker::view::LocalArm;

/// Endpoints and connections that one attempt goes through.
const MAX_TRIES: usize = 4;

/// The head of an answer, and the connection that its body comes on.
pub(crate) type Answered = (Response<Incoming>, Lease);

/// What is needed to send a request once more.
pub(crate) struct Spare {
    pub(crate) idempotent: bool,
    host: HeaderValue,
    /// Kept for idempotent requests only.
    head: Option<(Method, Uri, HeaderMap)>,
    tape: Option<SharedTape>,
}

/// What a try says about the next one.
enum Next {
    /// Another endpoint, as this one accepts no connection.
    Elsewhere(SocketAddr),
    /// A new connection, as the kept one was closed.
    Fresh,
    GiveUp(RequestError),
}

/// Tries an arm. The request is still in its place afterwards where nothing of it was sent.
pub(crate) async fn attempt(
    exchange: &Exchange,
    arm: &Rc<LocalArm>,
    request: &mut Option<Request<UpstreamBody>>,
    (spare, waiting): (&Spare, &Waiting),
) -> Result<Answered, RequestError> {
    let mut tried = Vec::new();
    let mut fresh = false;
    for _ in 0..MAX_TRIES {
        let worker = exchange.worker();
        let picked = {
            let mut random = worker.random.borrow_mut();
            arm.cluster
                .pick(&mut random, &tried, exchange.started())
                .cloned()
        };
        let Some(endpoint) = picked else { break };
        if !endpoint.state.is_warm(exchange.started(), arm.warm_up) {
            exchange.cold(waiting);
        }
        match one_try(exchange, arm, &endpoint, (request, fresh), (spare, waiting)).await {
            Ok(answered) => return Ok(answered),
            Err(Next::Elsewhere(address)) => tried.push(address),
            Err(Next::Fresh) => fresh = true,
            Err(Next::GiveUp(error)) => return Err(error),
        }
    }
    let none = tried.is_empty() && !fresh;
    let class = if none {
        FailureClass::NoEndpoints
    } else {
        FailureClass::Connect
    };
    Err(upstream(class, Sent::Never))
}

async fn one_try(
    exchange: &Exchange,
    arm: &LocalArm,
    endpoint: &Rc<LocalEndpoint>,
    (request, fresh): (&mut Option<Request<UpstreamBody>>, bool),
    (spare, waiting): (&Spare, &Waiting),
) -> Result<Answered, Next> {
    let worker = exchange.worker();
    let Ok(mut lease) = endpoint.lease(&arm.cluster, worker.index, fresh).await else {
        arm.cluster.endpoint_failed(endpoint, worker.now());
        return Err(Next::Elsewhere(endpoint.state.address()));
    };
    if let Some(request) = request.as_mut() {
        match endpoint.protocol {
            Protocol::Http1 => forward::to_http1(request, &spare.host),
            Protocol::H2c => forward::to_http2(request, &spare.host),
        }
    }
    match lease.send(request, waiting).await {
        Ok(response) => {
            if response.status().is_server_error() {
                arm.cluster.endpoint_failed(endpoint, worker.now());
            } else {
                endpoint.state.succeeded();
            }
            Ok((response, lease))
        }
        Err(failure) => Err(after(exchange, arm, endpoint, failure, (spare, request))),
    }
}

/// What comes after a failed sending. A connection closed as idle is not the endpoint's failure.
fn after(
    exchange: &Exchange,
    arm: &LocalArm,
    endpoint: &LocalEndpoint,
    failure: SendFailure,
    (spare, request): (&Spare, &mut Option<Request<UpstreamBody>>),
) -> Next {
    if failure.kind == FailureKind::Client {
        return Next::GiveUp(RequestError::ClientGone);
    }
    if request.is_some() {
        return Next::Fresh;
    }
    let budget = &exchange.worker().budget;
    if failure.sent == Sent::OnReused
        && failure.kind == FailureKind::Reset
        && let Some(copy) = spare.request()
        && budget.withdraw()
    {
        *request = Some(copy);
        return Next::Fresh;
    }
    arm.cluster
        .endpoint_failed(endpoint, exchange.worker().now());
    let class = match failure.kind {
        FailureKind::Timeout => FailureClass::Timeout,
        _ => FailureClass::Reset,
    };
    Next::GiveUp(upstream(class, failure.sent))
}

fn upstream(class: FailureClass, sent: Sent) -> RequestError {
    RequestError::Upstream(UpstreamError { class, sent })
}

// === impl Spare ===

impl Spare {
    pub(crate) fn new(
        request: &Request<UpstreamBody>,
        idempotent: bool,
        tape: Option<SharedTape>,
        host: HeaderValue,
    ) -> Self {
        let copy = || {
            (
                request.method().clone(),
                request.uri().clone(),
                request.headers().clone(),
            )
        };
        Self {
            idempotent,
            host,
            head: idempotent.then(copy),
            tape,
        }
    }

    /// The request once more; `None` where it is not idempotent or its body cannot be replayed.
    pub(crate) fn request(&self) -> Option<Request<UpstreamBody>> {
        let (method, uri, headers) = self.head.clone()?;
        let body = match &self.tape {
            None => UpstreamBody::Empty,
            Some(tape) => tape.replay()?,
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Some(request)
    }
}
