//! ServiceAccount tokens and their review.

use http::Request;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

use super::support::{Place, eventually, place, refusal};

async fn post(place: &Place, path: &str, body: Value) -> Result<Value, kube::Error> {
    let request = Request::post(path.replace("{ns}", &place.namespace))
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    place.client.request(request).await
}

const TOKEN: &str = "/api/v1/namespaces/{ns}/serviceaccounts/sa/token";

async fn account(place: &Place) {
    let accounts: Api<ServiceAccount> = place.api();
    let account = serde_json::from_value(json!({"metadata": {"name": "sa"}})).unwrap();
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
}

fn asking(spec: Value) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
}

async fn review(place: &Place, token: &str, audiences: &[&str]) -> Value {
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                      "spec": {"token": token, "audiences": audiences}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    post(place, path, body).await.unwrap()["status"].clone()
}

#[tokio::test]
async fn a_token_is_good_for_its_audience_and_says_whose_it_is() {
    let place = place().await;
    account(&place).await;
    let given = post(&place, TOKEN, asking(json!({"audiences": ["uplink"]})))
        .await
        .unwrap();
    assert_eq!(given["spec"]["expirationSeconds"], json!(3600));
    let token = given["status"]["token"].as_str().unwrap();
    assert_eq!(token.split('.').count(), 3);
    let good = review(&place, token, &["other", "uplink"]).await;
    assert_eq!(
        (&good["authenticated"], &good["audiences"]),
        (&json!(true), &json!(["uplink"]))
    );
    let namespace = &place.namespace;
    assert_eq!(
        good["user"]["username"],
        json!(format!("system:serviceaccount:{namespace}:sa"))
    );
    let groups = json!([
        "system:serviceaccounts",
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated"
    ]);
    assert_eq!(good["user"]["groups"], groups);
    let wrong = review(&place, token, &["other"]).await;
    assert_eq!(wrong.get("authenticated"), None);
    let why = r#"[invalid bearer token, token audiences ["uplink"] is invalid for the target audiences ["other"]]"#;
    assert_eq!(wrong["error"], json!(why));
    let bogus = review(&place, "bogus", &["uplink"]).await;
    assert_eq!(bogus["error"], json!("invalid bearer token"));
}

#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() {
    let place = place().await;
    account(&place).await;
    let pods: Api<Pod> = place.api();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"serviceAccountName": "sa", "schedulerName": "none",
        "containers": [{"name": "c", "image": "i:1"}]}});
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "p"});
    let given = post(
        &place,
        TOKEN,
        asking(json!({"audiences": ["a"], "boundObjectRef": bound})),
    )
    .await
    .unwrap();
    let token = given["status"]["token"].as_str().unwrap();
    let good = review(&place, token, &["a"]).await;
    assert_eq!(
        good["user"]["extra"]["authentication.kubernetes.io/pod-name"],
        json!(["p"])
    );
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    // Kubernetes remembers for some seconds what it has found good.
    eventually(async || {
        let ended = review(&place, token, &["a"]).await;
        ended.get("authenticated").is_none()
    })
    .await;
}

#[tokio::test]
async fn a_token_that_cannot_be_given_is_refused_with_the_reason() {
    let place = place().await;
    account(&place).await;
    let rows = [
        (
            json!({"expirationSeconds": 10}),
            422,
            r#"TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"#,
        ),
        (
            json!({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "a"}}),
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        (
            json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}}),
            404,
            r#"pods "none" not found"#,
        ),
    ];
    for (spec, code, message) in rows {
        let status = refusal(post(&place, TOKEN, asking(spec)).await);
        assert_eq!((status.code, status.message.as_str()), (code, message));
    }
    let path = "/api/v1/namespaces/{ns}/serviceaccounts/none/token";
    let status = refusal(post(&place, path, asking(json!({}))).await);
    assert_eq!(status.message, r#"serviceaccounts "none" not found"#);
}
