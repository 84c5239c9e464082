//! What analyses measure: a web service that answers what a scenario told it to.
//!
//! `/NAMESPACE/KEY` answers JSON, `/NAMESPACE/KEY/api/v1/query` the same as Prometheus would.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The path that makes an answer one of Prometheus.
const PROMETHEUS: &str = "/api/v1/query";

/// One answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// A status and a body.
    Whole {
        /// The HTTP status.
        status: u16,
        /// The body; a text is sent as it is, everything else as JSON.
        #[serde(default)]
        body: Value,
    },
    /// `{"value": …}`.
    Value(Value),
}

/// All answers.
#[derive(Debug, Default)]
pub struct Answers {
    /// By `/NAMESPACE/KEY`. Guards map operations only.
    all: Mutex<BTreeMap<String, Answer>>,
}

// === impl Answers ===

impl Answers {
    /// From now on this is the answer.
    pub fn set(&self, namespace: &str, key: &str, answer: Answer) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(format!("/{namespace}/{key}"), answer);
    }

    /// The status and body for a path; 404 where nothing was told.
    pub fn get(&self, path: &str) -> (u16, String) {
        let (key, prometheus) = match path.strip_suffix(PROMETHEUS) {
            Some(key) => (key, true),
            None => (path, false),
        };
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(key) {
            None => (404, "not found".to_owned()),
            Some(Answer::Whole {
                status,
                body: Value::String(text),
            }) => (*status, text.clone()),
            Some(Answer::Whole { status, body }) => (*status, body.to_string()),
            Some(Answer::Value(value)) if prometheus => (200, vector(value).to_string()),
            Some(Answer::Value(value)) => (200, json!({"value": value}).to_string()),
        }
    }

    /// Serves them on a free port of the loopback interface; ends with the task.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn serve(self: Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answers = self.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answers = answers.clone();
                    async move { Ok::<_, Infallible>(answers.respond(request.uri().path())) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // A client that went away is no concern of a scenario's.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        address
    }

    fn respond(&self, path: &str) -> Response<Full<Bytes>> {
        let (status, body) = self.get(path);
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a status that a scenario gave")
    }
}

/// As Prometheus answers an instant query.
fn vector(value: &Value) -> Value {
    let sample = |value: &Value| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        json!({"metric": {}, "value": [1_700_000_000, text]})
    };
    let samples: Vec<Value> = match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().map(sample).collect(),
        one => vec![sample(one)],
    };
    json!({"status": "success", "data": {"resultType": "vector", "result": samples}})
}
