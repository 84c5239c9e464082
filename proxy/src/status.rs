//! The status listener: `/metrics`, `/livez` and `/readyz`. Anybody may read it; nothing changes by it.

use std::sync::Arc;

use http::{Method, StatusCode, Uri};

use crate::control::Control;
use crate::control::door::{Answer, Reply};
use crate::metrics;

/// What is here, for whoever asks for something else.
const KNOWN: &str = "/metrics /livez /readyz";

/// Answers the status listener.
#[derive(Debug)]
pub(crate) struct Status(pub(crate) Arc<Control>);

// === impl Status ===

impl Answer for Status {
    fn answer(&self, method: &Method, uri: &Uri) -> Reply {
        let read = method == Method::GET || method == Method::HEAD;
        match uri.path() {
            "/metrics" | "/livez" | "/readyz" if !read => Reply::use_method("GET, HEAD"),
            "/metrics" => Reply::metrics(metrics::scrape(&self.0)),
            "/livez" => Reply::text(StatusCode::OK, "ok"),
            "/readyz" => ready(&self.0),
            _ => Reply::not_found(KNOWN),
        }
    }
}

/// Ready from the first configuration to the beginning of the drain.
fn ready(control: &Control) -> Reply {
    let unready = |reason: String| Reply::text(StatusCode::SERVICE_UNAVAILABLE, reason);
    if control.drain.has_begun() {
        return unready("draining".to_owned());
    }
    if control.shared.is_configured() {
        return Reply::text(StatusCode::OK, "ok");
    }
    let refused = control.board.refused().map(|refused| {
        let first = refused
            .errors
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{} was refused: {first}", refused.origin)
    });
    let uplink = control
        .uplink
        .as_ref()
        .and_then(|uplink| uplink.last_error());
    let uplink = uplink.map(|error| format!("no uplink: {error}"));
    let reasons = ["no configuration is in force yet".to_owned()];
    let reasons: Vec<_> = reasons.into_iter().chain(refused).chain(uplink).collect();
    unready(reasons.join("; "))
}
