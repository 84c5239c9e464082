//! WebSockets: a connection becomes a tunnel when, and only when, the origin consents with 101.
//!
//! Before that it is a request like any other, and bytes that a client sends early are not forwarded
//! as a tunnel (the class of CVE-2026-2833). Other upgrades are stripped like every hop-by-hop header,
//! which makes them ordinary requests.

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use uplink::document::Protocol;

use super::exchange::{Exchange, Tunnel};
use super::target::Target;
use crate::error::{RequestError, Sent, UpstreamError};
use crate::observe::FailureClass;
use crate::worker::view::LocalArm;

/// The protocol that the client asks for, where it is one that can be tunnelled.
pub(crate) fn asked<B>(
    request: &Request<B>,
    target: &Target,
    arm: &LocalArm,
) -> Option<HeaderValue> {
    let protocol = request.headers().get(UPGRADE)?;
    let is_websocket = protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    let is_http1 = target.is_http1 && arm.cluster.protocol == Protocol::Http1;
    (is_http1 && is_websocket).then(|| protocol.clone())
}

/// Asks the upstream for the same.
pub(crate) fn ask(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol.clone());
}

/// The origin switched. Where nobody asked it to, that is a broken answer.
pub(crate) fn switch(
    exchange: &mut Exchange,
    mut response: Response<Incoming>,
    client: Option<OnUpgrade>,
) -> Result<Response<Incoming>, RequestError> {
    let Some(client) = client else {
        let class = FailureClass::Reset;
        return Err(RequestError::Upstream(UpstreamError {
            class,
            sent: Sent::Maybe,
        }));
    };
    let upstream = hyper::upgrade::on(&mut response);
    let tunnel = exchange.tunnel();
    tokio::task::spawn_local(carry(client, upstream, tunnel));
    Ok(response)
}

/// Carries bytes both ways until both sides are done. The tunnel counts it as open on its arm.
async fn carry(client: OnUpgrade, upstream: OnUpgrade, tunnel: Tunnel) {
    let (Ok(client), Ok(upstream)) = (client.await, upstream.await) else {
        return;
    };
    let (mut client, mut upstream): (TokioIo<Upgraded>, TokioIo<Upgraded>) =
        (TokioIo::new(client), TokioIo::new(upstream));
    // However it ends, it has ended.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    drop(tunnel);
}
