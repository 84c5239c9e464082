//! Secrets are told to nobody.

use std::io::Write;
use std::sync::{Mutex, OnceLock};

use k8s_openapi::api::core::v1::Secret;

use super::outside::{answer, with_server};
use super::*;
use crate::fetch::pretended::Pretended as Server;
use crate::fetch::{Answer, FetchError, Request};

const CANARY: &str = "c4nary \"&<s3cret>/+";

/// Everything that is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes what is logged in this thread.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        // With one subscriber alone, tracing asks the thread that comes to a line first whether anybody
        // listens, and remembers the answer for all: another test's thread would say no.
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::registry()));
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(crate::run::log_filter("trace"))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Metrics that use the Secret wherever one can stand.
fn secretive() -> Vec<Value> {
    let oauth2 = json!({"oauth2": {"tokenUrl": "http://login/", "clientId": "c", "clientSecret": "{{args.s}}"}});
    let basic = json!({"basicAuth": {"username": "u", "password": "{{args.s}}"}});
    let header = json!([{"key": "x-token", "value": "{{args.s}}"}]);
    let web = |fields: Value| {
        let mut web = json!({"url": "http://app/{{args.s}}?q={{args.s}}"});
        web.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!({"web": web})
    };
    let prom = |fields: Value| {
        let mut prom =
            json!({"address": "http://prom/{{args.s}}", "query": "up{a=\"{{args.s}}\"}"});
        prom.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!({"prometheus": prom})
    };
    vec![
        web(json!({"headers": header})),
        web(json!({"headers": [{"key": "bad name", "value": "{{args.s}}"}]})),
        web(json!({"method": "POST", "body": "{{args.s}}"})),
        web(json!({"method": "POST", "jsonBody": {"a": "{{args.s}}"}})),
        web(json!({"authentication": oauth2})),
        web(json!({"jsonPath": "{$.{{args.s}}}"})),
        json!({"web": {"url": "{{args.s}}"}}),
        json!({"web": {"url": "http://{{args.s}}/"}}),
        prom(json!({"headers": header, "authentication": basic})),
        prom(json!({"authentication": oauth2})),
        prom(json!({"rangeQuery": {"start": "{{args.s}}", "end": "now()", "step": "1m"}})),
        json!({"job": {"spec": {"template": {"spec": {"restartPolicy": "{{args.s}}", "containers": [{"name": "{{args.s}}"}]}}}}}),
    ]
}

/// Servers that give back what they were sent, in every way that they can.
fn indiscreet(request: &Request) -> String {
    let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
    format!("{} {:?} {body} {CANARY}", request.url, request.headers)
}

type Serve = fn(&Request) -> Result<Answer, FetchError>;

fn indiscreet_servers() -> [Serve; 6] {
    [
        |_| Err(FetchError::Refused),
        |request| Ok(answer(500, indiscreet(request))),
        |request| Ok(answer(200, indiscreet(request))),
        |request| {
            Ok(answer(
                200,
                json!({"echo": indiscreet(request), "access_token": CANARY}).to_string(),
            ))
        },
        |request| {
            let error =
                json!({"status": "error", "errorType": CANARY, "error": indiscreet(request)});
            Ok(answer(400, error.to_string()))
        },
        |request| {
            let token = json!({"access_token": CANARY, "status": "success", "warnings": [indiscreet(request)],
                               "data": {"resultType": indiscreet(request), "result": []}});
            Ok(answer(200, token.to_string()))
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_in_a_status_an_event_or_a_log() {
    let log = Log::default();
    let _guard = log.listen();
    for serve in indiscreet_servers() {
        for (number, provider) in secretive().into_iter().enumerate() {
            let stage = with_server(&Server::new(serve)).await;
            let secret = json!({"metadata": {"name": "s"}, "data": {"k": base64_of(CANARY)}});
            let secrets: Api<Secret> = Api::namespaced(stage.server.client(), "default");
            let secret = serde_json::from_value(secret).unwrap();
            secrets
                .create(&PostParams::default(), &secret)
                .await
                .unwrap();
            let argument =
                json!([{"name": "s", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
            let metric = json!({
                "name": "m", "consecutiveErrorLimit": 0, "provider": provider,
                "successCondition": "result.{{args.s}} > \"{{args.s}}\"",
            });
            stage
                .start("Step", json!({"metrics": [metric], "args": argument}))
                .await;
            stage.until(is_completed).await;
            for kind in ["run", "events"] {
                let text = stage.all_of(kind).await;
                for part in ["c4nary", "s3cret", "YzRuYXJ5"] {
                    assert!(
                        !text.contains(part),
                        "provider {number}: {part} in the {kind}: {text}"
                    );
                }
            }
        }
    }
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("MetricError"), "the log was listened to");
    for line in text.lines() {
        assert!(
            !line.contains("c4nary") && !line.contains("s3cret"),
            "{line}"
        );
    }
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
