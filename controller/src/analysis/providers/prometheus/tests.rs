use serde_json::json;

use super::*;
use crate::clock::Clock;
use crate::fetch::Certificates;
use crate::fetch::pretended::Pretended;
use crate::fetch::tokens::Tokens;

fn metric(fields: Json) -> PrometheusMetric {
    let mut whole = json!({"address": "http://prom:9090/", "query": "up"});
    whole
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

async fn ask(metric: &PrometheusMetric, server: &Pretended) -> Result<Reading, String> {
    let tokens = Tokens::default();
    let clock = Clock::starting_at("2026-11-23T12:00:00.25Z".parse().unwrap());
    let mut outside = Outside::new(server, &tokens, clock);
    read(metric, metric, None, &mut outside).await
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

fn body(request: &Request) -> String {
    String::from_utf8(request.body.clone().unwrap_or_default()).unwrap()
}

const UP: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
    {"metric":{"a":"b"},"value":[1435781451.781,"1"]},{"metric":{},"value":[1435781451.781,"0.25"]}]}}"#;

#[tokio::test(start_paused = true)]
async fn an_instant_query_is_sent_as_a_form() {
    let server = answering(200, UP);
    let reading = ask(&metric(json!({})), &server).await.unwrap();
    assert_eq!(reading.text, "[1,0.25]");
    assert_eq!(reading.result.to_json(), json!([1.0, 0.25]));
    assert_eq!(reading.metadata, BTreeMap::new());
    let asked = &server.asked()[0];
    assert_eq!(
        (asked.method.clone(), asked.url.as_str()),
        (Method::POST, "http://prom:9090/api/v1/query")
    );
    assert_eq!(body(asked), "query=up&time=1795435200.25");
    assert_eq!(asked.timeout, Duration::from_secs(30));
    assert_eq!(asked.certificates, Certificates::Checked);
}

#[tokio::test(start_paused = true)]
async fn a_range_query_takes_expressions() {
    let answer = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{},"values":[[1,"1"],[2,"NaN"]]},{"metric":{},"values":[[1,"+Inf"]]}]},"warnings":["a","b \"c\""]}"#;
    let server = answering(200, answer);
    let range = json!({"start": "now() - duration('5m')", "end": "now()", "step": "1m30s"});
    let reading = ask(&metric(json!({"rangeQuery": range})), &server)
        .await
        .unwrap();
    assert_eq!(reading.text, "[1,NaN,+Inf]");
    assert_eq!(reading.metadata["warnings"], "\"a\", \"b \"c\"\"");
    let asked = &server.asked()[0];
    assert_eq!(asked.url, "http://prom:9090/api/v1/query_range");
    assert_eq!(
        body(asked),
        "end=1795435200.25&query=up&start=1795434900.25&step=90"
    );
    for (range, expected) in [
        (
            json!({"start": "1", "end": "now()", "step": "1m"}),
            "failed to parse rangeQuery.start as time: expected time.Time, but got int",
        ),
        (
            json!({"start": "now()", "end": "nope", "step": "1m"}),
            "failed to parse rangeQuery.end as time: unknown name nope",
        ),
        (
            json!({"start": "now()", "end": "now()", "step": "x"}),
            "failed to parse rangeQuery.step as duration: ",
        ),
    ] {
        let error = ask(&metric(json!({"rangeQuery": range})), &server)
            .await
            .unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_knows_no_post_is_asked_with_get() {
    let server = Pretended::new(|request| {
        let (status, body) = match request.method {
            Method::GET => (200, UP),
            _ => (405, ""),
        };
        Ok(Answer {
            status,
            content_type: None,
            body: body.as_bytes().to_vec(),
        })
    });
    let metric = metric(json!({
        "address": "https://prom/base?tenant=a b", "query": "sum(x{a=\"b\"})", "insecure": true, "timeout": 5,
        "headers": [{"key": "X-Scope-OrgID", "value": "7"}],
        "authentication": {"basicAuth": {"username": "u", "password": "p"}},
    }));
    assert_eq!(ask(&metric, &server).await.unwrap().text, "[1,0.25]");
    let asked = &server.asked()[1];
    assert_eq!(
        asked.url,
        "https://prom/base/api/v1/query?query=sum%28x%7Ba%3D%22b%22%7D%29&tenant=a+b&time=1795435200.25"
    );
    assert_eq!(asked.body, None);
    assert_eq!(
        (asked.timeout, asked.certificates),
        (Duration::from_secs(5), Certificates::Any)
    );
    let expected = [("authorization", "Basic dTpw"), ("X-Scope-OrgID", "7")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(asked.headers, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_in_argos_words() {
    let rows = [
        (
            200,
            r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
            "bad_data: parse error",
        ),
        (
            422,
            r#"{"status":"error","errorType":"execution","error":"too many"}"#,
            "execution: too many",
        ),
        (400, UP, "bad_response: inconsistent body for response code"),
        (404, "", "client_error: client error: 404"),
        (503, "", "server_error: server error: 503"),
        (302, "", "bad_response: bad response code 302"),
        (
            200,
            r#"{"status":"success","data":{"resultType":"string","result":[1,"a"]}}"#,
            "unexpected value type \"string\"",
        ),
        (
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}"#,
            "bad_response: the result has not the shape that its type says",
        ),
        (
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}"#,
            "the result is a native histogram: ask for a number, with histogram_quantile, histogram_count or histogram_sum",
        ),
    ];
    for (status, answer, expected) in rows {
        let found = ask(&metric(json!({})), &answering(status, answer)).await;
        assert_eq!(found.unwrap_err(), expected);
    }
    let html = ask(&metric(json!({})), &answering(200, "<html>")).await;
    assert!(html.unwrap_err().starts_with("bad_response: "));
    let fields = [
        (
            json!({"timeout": -1}),
            "prometheus timeout should not be negative",
        ),
        (
            json!({"address": "prom:9090"}),
            "prometheus address is not is url format",
        ),
        (
            json!({"address": ""}),
            "prometheus address is not configured",
        ),
        (
            json!({"authentication": {"oauth2": {"tokenUrl": "http://t"}}}),
            "missing mandatory parameter in metric for OAuth2 setup",
        ),
    ];
    for (fields, expected) in fields {
        let found = ask(&metric(fields), &answering(200, UP)).await;
        assert_eq!(found.unwrap_err(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_told_as_argo_tells_it() {
    let nobody = ask(&metric(json!({})), &Pretended::nobody()).await;
    assert_eq!(
        nobody.unwrap_err(),
        "Post \"http://prom:9090/api/v1/query\": dial tcp prom:9090: connect: connection refused"
    );
    let slow = answering(200, UP).taking(Duration::from_mins(1));
    let clock = Clock::system();
    let started = clock.now();
    let slow = ask(&metric(json!({"timeout": 7})), &slow).await;
    assert_eq!(
        slow.unwrap_err(),
        "Post \"http://prom:9090/api/v1/query\": context deadline exceeded"
    );
    assert_eq!(clock.now().duration_since(started).as_secs(), 7);
    let lost = Pretended::new(|_| Err(FetchError::NoSuchHost));
    assert_eq!(
        ask(&metric(json!({})), &lost).await.unwrap_err(),
        "Post \"http://prom:9090/api/v1/query\": dial tcp: lookup prom: no such host"
    );
}

#[tokio::test(start_paused = true)]
async fn scalars_and_nothing_are_read_too() {
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"100000000000000000000000"]}}"#;
    let reading = ask(&metric(json!({})), &answering(200, scalar))
        .await
        .unwrap();
    assert_eq!(reading.text, "100000000000000000000000");
    for empty in [
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        r#"{"status":"success","data":{"resultType":"vector","result":null}}"#,
    ] {
        let reading = ask(&metric(json!({})), &answering(200, empty))
            .await
            .unwrap();
        assert_eq!(reading.text, "[]");
        assert!(reading.result.is_nil_or_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_address_may_come_from_outside() {
    let (server, tokens) = (answering(200, UP), Tokens::default());
    let mut outside = Outside::new(&server, &tokens, Clock::system());
    let bare = metric(json!({"address": ""}));
    let found = read(&bare, &bare, Some("http://given"), &mut outside).await;
    assert_eq!(found.unwrap().text, "[1,0.25]");
    assert_eq!(server.asked()[0].url, "http://given/api/v1/query");
    assert_eq!(metadata(&bare)[RESOLVED_QUERY], "up");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_asked_for_again() {
    let server = Pretended::new(|request| {
        let (status, body) = match request.url.as_str() {
            "http://login/" => (200, r#"{"access_token":"t","expires_in":3600}"#),
            _ => (401, ""),
        };
        Ok(Answer {
            status,
            content_type: None,
            body: body.as_bytes().to_vec(),
        })
    });
    let oauth2 = json!({"tokenUrl": "http://login/", "clientId": "c", "clientSecret": "s"});
    let metric = metric(json!({"authentication": {"oauth2": oauth2}}));
    let (tokens, clock) = (Tokens::default(), Clock::system());
    for _ in 0..2 {
        let mut outside = Outside::new(&server, &tokens, clock);
        let found = read(&metric, &metric, None, &mut outside).await;
        assert_eq!(found.unwrap_err(), "client_error: client error: 401");
        assert_eq!(outside.secrets(), ["t"]);
    }
    let asked: Vec<String> = server.asked().into_iter().map(|it| it.url).collect();
    let query = "http://prom:9090/api/v1/query";
    assert_eq!(asked, ["http://login/", query, "http://login/", query]);
}
