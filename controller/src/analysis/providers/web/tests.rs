use serde_json::json;

use super::*;
use crate::clock::Clock;
use crate::fetch::Certificates;
use crate::fetch::pretended::Pretended;
use crate::fetch::tokens::Tokens;

fn metric(fields: Json) -> WebMetric {
    let mut whole = json!({"url": "http://app/health?q=1"});
    whole
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn answering(status: u16, body: &'static str) -> Pretended {
    Pretended::new(move |_| {
        Ok(Answer {
            status,
            content_type: None,
            body: body.as_bytes().to_vec(),
        })
    })
}

async fn ask(fields: Json, server: &Pretended) -> Result<Reading, String> {
    let (tokens, metric) = (Tokens::default(), metric(fields));
    let mut outside = Outside::new(server, &tokens, Clock::system());
    read(&metric, &metric, &mut outside).await
}

#[tokio::test(start_paused = true)]
async fn values_are_told_as_go_tells_them() {
    let rows = [
        (
            r#"{"b": 1.0, "a": [1e3, "<&>"], "c": null}"#,
            json!({}),
            r#"{"a":[1000,"\u003c\u0026\u003e"],"b":1,"c":null}"#,
        ),
        (
            r#"{"data": {"ok": true}}"#,
            json!({"jsonPath": "{$.data.ok}"}),
            "true",
        ),
        (
            r#"{"data": {"rate": 0.95}}"#,
            json!({"jsonPath": "{$.data.rate}"}),
            "0.95",
        ),
        (
            r#"{"data": {"text": "a\"b"}}"#,
            json!({"jsonPath": "{$.data.text}"}),
            r#""a\"b""#,
        ),
        ("[]", json!({}), "[]"),
        ("12", json!({}), "12"),
        ("null", json!({}), "null"),
        ("plain text", json!({"jsonPath": "{$.x}"}), "plain text"),
        ("", json!({}), ""),
    ];
    for (body, fields, expected) in rows {
        let reading = ask(fields, &answering(200, body)).await.unwrap();
        assert_eq!(reading.text, expected, "{body}");
    }
    let text = ask(json!({}), &answering(204, "ok")).await.unwrap();
    assert_eq!(text.result.to_json(), json!("ok"));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_in_argos_words() {
    let rows = [
        (
            json!({"body": "x"}),
            "Body/JSONBody can only be used with POST or PUT WebMetric Method types",
        ),
        (
            json!({"jsonBody": {}}),
            "Body/JSONBody can only be used with POST or PUT WebMetric Method types",
        ),
        (
            json!({"method": "PUT", "body": "x", "jsonBody": {}}),
            "use either Body or JSONBody; both cannot exists for WebMetric payload",
        ),
        (
            json!({"jsonPath": "{$.nope}"}),
            "Could not find JSONPath in body: nope is not found",
        ),
        (
            json!({"jsonPath": "{$.list[*]}"}),
            "result of web metric produced no value",
        ),
        (json!({"jsonPath": "{$.a"}), "unclosed action"),
        (
            json!({"method": "DELETE"}),
            "provider.web.method: \"DELETE\" is not supported: GET, POST or PUT is accepted",
        ),
        (
            json!({"authentication": {"oauth2": {"tokenUrl": "http://t", "clientId": "c"}}}),
            "missing mandatory parameter in metric for OAuth2 setup",
        ),
    ];
    for (fields, expected) in rows {
        let found = ask(fields, &answering(200, "{\"list\": []}")).await;
        assert_eq!(found.unwrap_err(), expected);
    }
    for status in [199, 301, 404, 500] {
        let found = ask(json!({}), &answering(status, "")).await.unwrap_err();
        assert_eq!(found, format!("received non 2xx response code: {status}"));
    }
    let nobody = ask(json!({}), &Pretended::nobody()).await.unwrap_err();
    assert_eq!(
        nobody,
        "Get \"http://app/health?q=1\": dial tcp app:80: connect: connection refused"
    );
    let slow = answering(200, "").taking(Duration::from_mins(1));
    let slow = ask(json!({"timeoutSeconds": 2}), &slow).await.unwrap_err();
    assert_eq!(
        slow,
        "Get \"http://app/health?q=1\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    );
}

#[tokio::test(start_paused = true)]
async fn the_request_is_made_as_the_metric_says() {
    let server = answering(200, "1");
    let plain = ask(json!({}), &server).await;
    let posted = ask(
        json!({
            "method": "POST", "jsonBody": {"b": 1, "a": [true]}, "insecure": true, "timeoutSeconds": 3,
            "headers": [{"key": "X-A", "value": "1"}, {"key": "content-type", "value": "text/plain"}],
        }),
        &server,
    )
    .await;
    let put = ask(json!({"method": "PUT", "body": "text"}), &server).await;
    assert!(plain.is_ok() && posted.is_ok() && put.is_ok());
    let asked = server.asked();
    assert_eq!(
        (
            asked[0].method.clone(),
            asked[0].timeout,
            asked[0].certificates
        ),
        (Method::GET, Duration::from_secs(10), Certificates::Checked)
    );
    assert_eq!(asked[0].headers, []);
    assert_eq!(
        asked[1].body.as_deref(),
        Some(&b"{\"b\":1,\"a\":[true]}"[..])
    );
    assert_eq!(
        (asked[1].timeout, asked[1].certificates),
        (Duration::from_secs(3), Certificates::Any)
    );
    let last = asked[1].headers.last().unwrap();
    assert_eq!(
        (last.0.as_str(), last.1.as_str()),
        ("Content-Type", "application/json")
    );
    assert_eq!(asked[2].body.as_deref(), Some(&b"text"[..]));
    assert_eq!(asked[2].method, Method::PUT);
}

#[tokio::test(start_paused = true)]
async fn a_token_opens_the_door() {
    let server = Pretended::new(|request| {
        let body = match request.url.as_str() {
            "http://login/" => r#"{"access_token":"t0k3n","token_type":"Bearer"}"#,
            _ => "{\"ok\":true}",
        };
        Ok(Answer {
            status: 200,
            content_type: None,
            body: body.as_bytes().to_vec(),
        })
    });
    let oauth2 = json!({"tokenUrl": "http://login/", "clientId": "c", "clientSecret": "s"});
    let found = ask(json!({"authentication": {"oauth2": oauth2}}), &server).await;
    assert_eq!(found.unwrap().text, "{\"ok\":true}");
    let asked = server.asked();
    let expected = ("authorization".to_owned(), "Bearer t0k3n".to_owned());
    assert_eq!(asked[1].headers, [expected]);
}
