//! Prometheus: a query in PromQL, over its HTTP API.
//!
//! The query is sent as a form with POST, and with GET where the server does not know that. What
//! comes back is a number or a list of numbers. Texts are those of Argo's client.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::analysis::providers::{PrometheusMetric, PrometheusRangeQuery};
use crds::duration::GoDuration;
use http::Method;
use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Outside, Reading, certificates, missing, pairs, told};
use crate::conditions::{self, Value};
use crate::fetch::{Answer, FetchError, Request, form};

/// The variable with the address of metrics that have none.
pub const ADDRESS_VARIABLE: &str = "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS";

/// The key of a result's metadata with the query as it was sent.
pub const RESOLVED_QUERY: &str = "ResolvedPrometheusQuery";

/// Seconds that a query may take where the metric does not say.
const TIMEOUT: i64 = 30;

/// What Prometheus answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Envelope {
    status: String,
    data: Data,
    error_type: String,
    error: String,
    warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Json,
}

/// What is sent.
struct Query<'a> {
    /// The end point with the address's own parameters.
    url: Url,
    parameters: Vec<(&'a str, String)>,
}

/// Asks the query. `shown` is the metric without the values of Secrets.
pub async fn read(
    metric: &PrometheusMetric,
    shown: &PrometheusMetric,
    default_address: Option<&str>,
    outside: &mut Outside<'_>,
) -> Result<Reading, String> {
    let address = address(metric, default_address)?;
    let shown_address = self::address(shown, default_address).ok();
    let timeout = timeout(metric)?;
    let authentication = metric.authentication.clone().unwrap_or_default();
    if let Some(text) = missing(&authentication) {
        return Err(text.to_owned());
    }
    let query = query(metric, address, outside.clock.now())?;
    let shown_url = shown_address.map_or_else(String::new, |address| {
        end_point(address, metric.range_query.is_some()).to_string()
    });
    let about = certificates(metric.insecure);
    let failed = |error: &FetchError, method: &Method| told(error, method, &shown_url);
    outside
        .authenticate(&authentication, (about, timeout))
        .await
        .map_err(|error| failed(&error, &Method::POST))?;
    let mut request = query.post();
    request.headers.extend(outside.header());
    request.headers.extend(pairs(&metric.headers));
    request.timeout = timeout;
    request.certificates = about;
    let answer = outside.ask(request.clone()).await;
    let answer = answer.map_err(|error| failed(&error, &Method::POST))?;
    if !matches!(answer.status, 405 | 501) {
        return reading(&answer);
    }
    request.method = Method::GET;
    request.url = query.get();
    request.body = None;
    request.headers.retain(|(name, _)| name != CONTENT_TYPE);
    let answer = outside.ask(request).await;
    reading(&answer.map_err(|error| failed(&error, &Method::GET))?)
}

/// What the result of the metric says about itself.
pub fn metadata(shown: &PrometheusMetric) -> BTreeMap<String, String> {
    let query = shown.query.clone().filter(|query| !query.is_empty());
    query
        .map(|query| (RESOLVED_QUERY.to_owned(), query))
        .into_iter()
        .collect()
}

/// Where Prometheus is: by the metric, or by [`ADDRESS_VARIABLE`].
fn address(metric: &PrometheusMetric, default: Option<&str>) -> Result<Url, String> {
    let own = metric.address.as_deref().filter(|own| !own.is_empty());
    let address = own.or(default.filter(|default| !default.is_empty()));
    let address = address.ok_or("prometheus address is not configured")?;
    let url = Url::parse(address).ok().filter(Url::has_host);
    // The second "is" is Argo's.
    url.ok_or_else(|| "prometheus address is not is url format".to_owned())
}

fn timeout(metric: &PrometheusMetric) -> Result<Duration, String> {
    let seconds = metric.timeout.unwrap_or(TIMEOUT);
    let seconds = u64::try_from(seconds);
    seconds
        .map(Duration::from_secs)
        .map_err(|_| "prometheus timeout should not be negative".to_owned())
}

fn end_point(mut address: Url, range: bool) -> Url {
    let name = if range { "query_range" } else { "query" };
    let path = format!("{}/api/v1/{name}", address.path().trim_end_matches('/'));
    address.set_path(&path);
    address
}

fn query(metric: &PrometheusMetric, address: Url, now: Timestamp) -> Result<Query<'_>, String> {
    let text = metric.query.clone().unwrap_or_default();
    let mut parameters = vec![("query", text)];
    match &metric.range_query {
        None => parameters.push(("time", seconds(now))),
        Some(range) => parameters.extend(span(range, now)?),
    }
    Ok(Query {
        url: end_point(address, metric.range_query.is_some()),
        parameters,
    })
}

fn span(range: &PrometheusRangeQuery, now: Timestamp) -> Result<[(&str, String); 3], String> {
    let moment = |name: &str, expression: &Option<String>| {
        let expression = expression.as_deref().unwrap_or_default();
        conditions::moment(expression, now)
            .map(seconds)
            .map_err(|error| {
                format!(
                    "failed to parse rangeQuery.{name} as time: {}",
                    error.told()
                )
            })
    };
    let step = GoDuration::parse(range.step.as_deref().unwrap_or_default());
    let (start, end) = (moment("start", &range.start)?, moment("end", &range.end)?);
    let step = step.map_err(|error| {
        format!(
            "failed to parse rangeQuery.step as duration: {}",
            error.in_go()
        )
    })?;
    let step = step.nanoseconds() as f64 / 1e9;
    Ok([("start", start), ("end", end), ("step", step.to_string())])
}

/// Seconds since 1970, as a float prints them.
fn seconds(time: Timestamp) -> String {
    let whole = time.as_second() as f64;
    (whole + f64::from(time.subsec_nanosecond()) / 1e9).to_string()
}

fn reading(answer: &Answer) -> Result<Reading, String> {
    let status = answer.status;
    let is_of_prometheus = matches!(status, 400 | 422);
    if !(200..300).contains(&status) && !is_of_prometheus {
        return Err(match status / 100 {
            4 => format!("client_error: client error: {status}"),
            5 => format!("server_error: server error: {status}"),
            _ => format!("bad_response: bad response code {status}"),
        });
    }
    let envelope: Envelope = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("bad_response: the answer is not Prometheus' JSON: {error}"))?;
    if envelope.status == "error" {
        return Err(format!("{}: {}", envelope.error_type, envelope.error));
    }
    if is_of_prometheus {
        return Err("bad_response: inconsistent body for response code".to_owned());
    }
    let (result, text) = value(&envelope.data)?;
    let mut metadata = BTreeMap::new();
    if !envelope.warnings.is_empty() {
        let quoted = envelope
            .warnings
            .iter()
            .map(|warning| format!("\"{warning}\""));
        let warnings = quoted.collect::<Vec<_>>().join(", ");
        metadata.insert("warnings".to_owned(), warnings);
    }
    Ok(Reading {
        result,
        text,
        metadata,
    })
}

/// The `result` of conditions, and the same as text.
fn value(data: &Data) -> Result<(Value, String), String> {
    let numbers = match data.result_type.as_str() {
        "scalar" => {
            let number = sample(&data.result)?;
            return Ok((Value::Float(number), printed(number)));
        }
        "vector" => series(&data.result, |one| Ok(vec![sample(member(one, "value")?)?]))?,
        "matrix" => series(&data.result, |one| {
            let samples = member(one, "values")?.as_array().ok_or_else(strange)?;
            samples.iter().map(sample).collect()
        })?,
        other => return Err(format!("unexpected value type {other:?}")),
    };
    let texts: Vec<String> = numbers.iter().copied().map(printed).collect();
    Ok((Value::floats(numbers), format!("[{}]", texts.join(","))))
}

/// The numbers of all series, one after the other.
fn series(
    result: &Json,
    numbers: impl Fn(&Json) -> Result<Vec<f64>, String>,
) -> Result<Vec<f64>, String> {
    let all = match result {
        Json::Null => &Vec::new(),
        Json::Array(all) => all,
        _ => return Err(strange()),
    };
    let each: Vec<Vec<f64>> = all.iter().map(numbers).collect::<Result<_, _>>()?;
    Ok(each.concat())
}

fn member<'a>(one: &'a Json, name: &str) -> Result<&'a Json, String> {
    if one.get(name).is_none() && (one.get("histogram").or(one.get("histograms"))).is_some() {
        return Err(
            "the result is a native histogram: ask for a number, with histogram_quantile, \
             histogram_count or histogram_sum"
                .to_owned(),
        );
    }
    one.get(name).ok_or_else(strange)
}

/// The number of a pair of time and value.
fn sample(pair: &Json) -> Result<f64, String> {
    let text = pair.get(1).and_then(Json::as_str).ok_or_else(strange)?;
    text.parse().map_err(|_| strange())
}

fn strange() -> String {
    "bad_response: the result has not the shape that its type says".to_owned()
}

/// As Prometheus prints samples: never with an exponent.
fn printed(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    number.to_string()
}

const CONTENT_TYPE: &str = "content-type";

// === impl Query ===

impl Query<'_> {
    fn form(&self) -> String {
        let own: Vec<(String, String)> = self.url.query_pairs().into_owned().collect();
        let own = own
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let asked = self
            .parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        form(&own.chain(asked).collect::<Vec<_>>())
    }

    fn post(&self) -> Request {
        let mut request = Request::new(Method::POST, self.url.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body = Some(self.form().into_bytes());
        request
    }

    fn get(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(Some(&self.form()));
        url.into()
    }
}

#[cfg(test)]
mod tests;
