//! Web: an HTTP request whose answer is the value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crds::analysis::providers::WebMetric;
use http::Method;
use serde_json::{Number, Value as Json};

use super::jsonpath::JsonPath;
use super::{Outside, Reading, certificates, missing, pairs, told};
use crate::conditions::Value;
use crate::fetch::{Answer, FetchError, Request};

/// Seconds that a request may take where the metric does not say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The whole answer.
const EVERYTHING: &str = "{$}";

/// Makes the request. `shown` is the metric without the values of Secrets.
pub async fn read(
    metric: &WebMetric,
    shown: &WebMetric,
    outside: &mut Outside<'_>,
) -> Result<Reading, String> {
    let authentication = metric.authentication.clone().unwrap_or_default();
    if let Some(text) = missing(&authentication) {
        return Err(text.to_owned());
    }
    let path = metric.json_path.as_deref().filter(|path| !path.is_empty());
    let path = JsonPath::parse(path.unwrap_or(EVERYTHING)).map_err(|error| error.to_string())?;
    let mut request = request(metric)?;
    let method = request.method.clone();
    let failed = |error: FetchError| {
        let waited = match error {
            FetchError::TimedOut => " (Client.Timeout exceeded while awaiting headers)",
            _ => "",
        };
        told(&error, &method, &shown.url) + waited
    };
    outside
        .authenticate(&authentication, (request.certificates, request.timeout))
        .await
        .map_err(failed)?;
    request.headers.extend(outside.header());
    let answer = outside.ask(request).await.map_err(failed)?;
    if !(200..300).contains(&answer.status) {
        return Err(format!("received non 2xx response code: {}", answer.status));
    }
    reading(&answer, &path)
}

/// The method of a metric; the error says what is accepted.
pub fn method(metric: &WebMetric) -> Result<Method, String> {
    match metric.method.as_deref().unwrap_or_default() {
        "" | "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        other => Err(format!(
            "provider.web.method: {other:?} is not supported: GET, POST or PUT is accepted"
        )),
    }
}

fn request(metric: &WebMetric) -> Result<Request, String> {
    let text = metric.body.as_deref().filter(|body| !body.is_empty());
    let json = metric.json_body.as_ref().filter(|body| !body.is_null());
    let method = method(metric)?;
    if text.is_some() && json.is_some() {
        let wrong = "use either Body or JSONBody; both cannot exists for WebMetric payload";
        return Err(wrong.to_owned());
    }
    if method == Method::GET && (text.is_some() || json.is_some()) {
        let wrong = "Body/JSONBody can only be used with POST or PUT WebMetric Method types";
        return Err(wrong.to_owned());
    }
    let mut request = Request::new(method, &metric.url);
    request.headers.extend(pairs(&metric.headers));
    if json.is_some() {
        request = request.header("Content-Type", "application/json");
    }
    let json = json.map(|json| json.to_string().into_bytes());
    request.body = json.or_else(|| text.map(|text| text.as_bytes().to_vec()));
    let seconds = metric.timeout_seconds.filter(|seconds| *seconds > 0);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    request.timeout = seconds.map_or(TIMEOUT, Duration::from_secs);
    request.certificates = certificates(metric.insecure);
    Ok(request)
}

fn reading(answer: &Answer, path: &JsonPath) -> Result<Reading, String> {
    let metadata = BTreeMap::new();
    let Ok(document) = serde_json::from_slice::<Json>(&answer.body) else {
        // What is not JSON is a text, whatever the path.
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        return Ok(Reading {
            result: Value::text(text.as_str()),
            text,
            metadata,
        });
    };
    let found = path
        .first(&document)
        .map_err(|error| format!("Could not find JSONPath in body: {error}"))?;
    let found = found.ok_or("result of web metric produced no value")?;
    Ok(Reading {
        result: Value::from(&found),
        text: printed(&found),
        metadata,
    })
}

/// JSON as Go prints it: names in order, numbers as floats, `<`, `>` and `&` escaped.
fn printed(value: &Json) -> String {
    let text = gos(value).to_string();
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

fn gos(value: &Json) -> Cow<'_, Json> {
    match value {
        Json::Number(number) => Cow::Owned(float(number).map_or(Json::Null, Json::Number)),
        Json::Array(items) => Cow::Owned(items.iter().map(|it| gos(it).into_owned()).collect()),
        Json::Object(fields) => {
            let ordered: BTreeMap<&String, Json> = fields
                .iter()
                .map(|(name, it)| (name, gos(it).into_owned()))
                .collect();
            let ordered = ordered.into_iter().map(|(name, it)| (name.clone(), it));
            Cow::Owned(Json::Object(ordered.collect()))
        }
        other => Cow::Borrowed(other),
    }
}

/// A whole float is printed without a point, where it is exact.
fn float(number: &Number) -> Option<Number> {
    let float = number.as_f64()?;
    let whole = float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0;
    if whole {
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
}

#[cfg(test)]
mod tests;
