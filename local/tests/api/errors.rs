//! What a refused request is told: code, reason, message and causes, as clients see them. The requests
//! and the answers are a table, `errors.txt`.

use http::{Method, Request};
use kube::core::Status;
use serde_json::{Value, json};

use super::support::{Place, place, refusal};

/// One line of the table.
struct Row {
    line: &'static str,
    content: &'static str,
    body: &'static str,
    code: u16,
    reason: &'static str,
    message: &'static str,
}

/// The rows under a heading.
fn rows(heading: &str) -> Vec<Row> {
    let lines = include_str!("errors.txt").lines();
    let here = lines
        .skip_while(|line| line.strip_prefix("= ") != Some(heading))
        .skip(1);
    let here = here.take_while(|line| !line.is_empty());
    here.map(row).collect()
}

fn row(line: &'static str) -> Row {
    let cells: Vec<&str> = line.split(" ¦ ").collect();
    let [line, content, body, code, reason, message] = cells[..] else {
        panic!("six cells: {line}");
    };
    let or_nothing = |cell: &'static str| if cell == "-" { "" } else { cell };
    Row {
        line,
        content: match content {
            "json" => "application/json",
            "merge" => "application/merge-patch+json",
            "patch" => "application/json-patch+json",
            "apply" => "application/apply-patch+yaml",
            other => or_nothing(other),
        },
        body: or_nothing(body),
        code: code.parse().unwrap(),
        reason: or_nothing(reason),
        message,
    }
}

async fn ask(place: &Place, line: &str, content: &str, body: &str) -> Result<Value, kube::Error> {
    let (method, path) = line.split_once(' ').unwrap();
    let path = match path.strip_prefix('~') {
        Some(rest) => format!("/api/v1/namespaces/{}{rest}", place.namespace),
        None => path.replace("{ns}", &place.namespace),
    };
    let mut request = Request::builder()
        .method(method.parse::<Method>().unwrap())
        .uri(path);
    if !content.is_empty() {
        request = request.header("content-type", content);
    }
    let request = request.body(body.as_bytes().to_vec()).unwrap();
    place.client.request(request).await
}

async fn refused(place: &Place, line: &str, body: &str) -> Status {
    refusal(ask(place, line, "application/json", body).await)
}

const DEPLOYMENTS: &str = "POST /apis/apps/v1/namespaces/{ns}/deployments";

async fn hold(heading: &str) {
    let place = place().await;
    let map = json!({"metadata": {"name": "a"}, "data": {"x": "1"}});
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 0,
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    for (line, object) in [("POST ~/configmaps", map), (DEPLOYMENTS, deployment)] {
        let body = object.to_string();
        let made = ask(&place, line, "application/json", &body).await;
        made.unwrap();
    }
    let rows = rows(heading);
    assert!(!rows.is_empty(), "there is no heading {heading}");
    for row in rows {
        let asked = format!("{} {}", row.line, row.body);
        let status = refusal(ask(&place, row.line, row.content, row.body).await);
        let said = status.message.replace(&place.namespace, "{ns}");
        let told = (status.code, status.reason.as_str());
        assert_eq!(told, (row.code, row.reason), "{asked}: {said}");
        match row.message.strip_suffix('…') {
            Some(beginning) => assert!(said.starts_with(beginning), "{asked}: {said}"),
            None => assert_eq!(said, row.message, "{asked}"),
        }
    }
}

#[tokio::test]
async fn a_create_is_told_what_is_wrong_with_it() {
    hold("creates").await;
}

#[tokio::test]
async fn a_change_is_told_what_is_wrong_with_it() {
    hold("changes").await;
}

#[tokio::test]
async fn a_workload_is_told_everything_that_is_wrong_with_it() {
    hold("workloads").await;
}

#[tokio::test]
async fn a_delete_is_told_what_is_wrong_with_it() {
    hold("deletes").await;
}

#[tokio::test]
async fn a_list_is_told_what_is_wrong_with_it() {
    hold("lists").await;
}

#[tokio::test]
async fn an_apply_is_told_what_is_wrong_with_it() {
    hold("applies").await;
}

#[tokio::test]
async fn causes_come_with_their_fields() {
    let place = place().await;
    let body = r#"{"metadata":{"name":"x","finalizers":["nope"],"labels":{"a b":""}}}"#;
    let details = refused(&place, "POST ~/configmaps", body)
        .await
        .details
        .unwrap();
    assert_eq!(
        (details.name.as_str(), details.kind.as_str()),
        ("x", "ConfigMap")
    );
    let causes = details.causes.iter();
    let fields: Vec<&str> = causes.map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["metadata.labels", "metadata.finalizers[0]"]);
    let status = refused(&place, "POST ~/configmaps?dryRun=Nope", "{}").await;
    let details = status.details.unwrap();
    let about = (details.group.as_str(), details.kind.as_str());
    assert_eq!(about, ("meta.k8s.io", "CreateOptions"));
    assert_eq!(details.causes[0].reason, "FieldValueNotSupported");
}
