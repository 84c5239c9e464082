//! The port and the forms of answers: tables, discovery, what is refused.

use serde_json::{Value, json};
use sluice_local::api::kubeconfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::support::{definition, place, refusal, server};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn get(client: &kube::Client, path: &str, accept: &str) -> Result<Value, kube::Error> {
    let request = http::Request::get(path)
        .header("accept", accept)
        .body(Vec::new())
        .unwrap();
    client.request(request).await
}

#[tokio::test]
async fn the_port_serves_the_same_objects_and_ends_when_told() {
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let served = server.serve(listener, stop.clone());
    let config: kube::config::Kubeconfig = serde_json::from_str(&kubeconfig(&url)).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options)
        .await
        .unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let version = client.apiserver_version().await.unwrap();
    assert_eq!(
        (version.major.as_str(), version.minor.as_str()),
        ("1", "34")
    );
    let found = get(&client, "/api/v1/namespaces/default", "application/json")
        .await
        .unwrap();
    assert_eq!(found["metadata"]["name"], "default");
    stop.cancel();
    served.await.unwrap();
}

#[tokio::test]
async fn web_pages_do_not_reach_the_port() {
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let served = server.serve(listener, stop.clone());
    for (headers, code) in [
        (format!("host: {address}"), "200"),
        ("host: localhost:1".to_owned(), "200"),
        (
            format!("host: {address}\r\norigin: http://example.com"),
            "403",
        ),
        ("host: rebound.example.com".to_owned(), "403"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET /api/v1/secrets HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(code), "{headers}");
    }
    stop.cancel();
    served.await.unwrap();
}

#[tokio::test]
async fn tables_have_the_columns_of_kubectl() {
    let place = place().await;
    let path = |rest: &str| format!("{rest}/namespaces/{}", place.namespace);
    let rows = [
        (
            path("/api/v1") + "/pods",
            "Name Ready Status Restarts Age IP Node Nominated Node Readiness Gates",
        ),
        (
            path("/api/v1") + "/services",
            "Name Type Cluster-IP External-IP Port(s) Age Selector",
        ),
        (
            path("/apis/apps/v1") + "/replicasets",
            "Name Desired Current Ready Age Containers Images Selector",
        ),
        (
            path("/apis/batch/v1") + "/jobs",
            "Name Status Completions Duration Age Containers Images Selector",
        ),
        (
            path("/api/v1") + "/events",
            "Last Seen Type Reason Object Subobject Source Message First Seen Count Name",
        ),
        (
            path("/apis/discovery.k8s.io/v1") + "/endpointslices",
            "Name AddressType Ports Endpoints Age",
        ),
        ("/api/v1/namespaces".to_owned(), "Name Status Age"),
    ];
    for (path, wanted) in rows {
        let table = get(&place.client, &path, TABLE).await.unwrap();
        let titles: Vec<&str> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            (table["kind"].as_str(), titles.join(" ").as_str()),
            (Some("Table"), wanted),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_row_carries_as_much_of_its_object_as_is_asked_for() {
    let place = place().await;
    let path = format!(
        "/api/v1/namespaces?fieldSelector=metadata.name={}",
        place.namespace
    );
    for (include, kind) in [
        ("", "PartialObjectMetadata"),
        ("&includeObject=Object", "Namespace"),
        ("&includeObject=None", ""),
    ] {
        let table = get(&place.client, &format!("{path}{include}"), TABLE)
            .await
            .unwrap();
        let row = &table["rows"][0];
        assert_eq!(row["cells"][0], json!(place.namespace), "{include}");
        assert_eq!(
            row["object"]["kind"].as_str().unwrap_or_default(),
            kind,
            "{include}"
        );
    }
}

#[tokio::test]
async fn a_definition_shows_in_discovery_and_brings_its_columns() {
    let server = server();
    let client = server.client();
    let mut crd = definition(
        "cols.example.com",
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    );
    let columns = json!([{"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Ready", "type": "string", "jsonPath": ".spec.conditions[?(@.type==\"Ready\")].status"},
        {"name": "Since", "type": "date", "jsonPath": ".spec.since"}]);
    crd.spec.versions[0].additional_printer_columns = serde_json::from_value(columns).unwrap();
    server.install_crds(std::slice::from_ref(&crd)).unwrap();
    server.install_crds(&[crd]).unwrap();
    let listed = client
        .list_api_group_resources("cols.example.com/v1")
        .await
        .unwrap();
    let names: Vec<&str> = listed
        .resources
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["widgets", "widgets/status", "widgets/scale"]);
    let path = "/apis/cols.example.com/v1/namespaces/default/widgets";
    let object = json!({"metadata": {"name": "w"}, "spec": {"size": 3, "since": "2026-01-02T03:02:05Z",
        "conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]}});
    let create = http::Request::post(path)
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes())
        .unwrap();
    client.request::<Value>(create).await.unwrap();
    let table = get(&client, path, TABLE).await.unwrap();
    assert_eq!(table["rows"][0]["cells"], json!(["w", 3, "True", "2m"]));
}

#[tokio::test]
async fn what_is_not_built_is_refused_with_a_sentence() {
    let server = server();
    let client = server.client();
    let rows = [
        (
            "POST",
            "/api/v1/namespaces/default/pods/p/exec",
            "application/json",
            501,
        ),
        (
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            "application/json",
            501,
        ),
        (
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            "application/json",
            501,
        ),
        ("PATCH", "/api/v1/namespaces/default", "text/plain", 415),
        ("POST", "/api/v1/pods", "application/json", 405),
        (
            "GET",
            "/apis/none.example.com/v1/things",
            "application/json",
            404,
        ),
    ];
    for (method, path, content, code) in rows {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .body(b"{}".to_vec())
            .unwrap();
        let status = refusal(client.request::<Value>(request).await);
        assert_eq!(status.code, code, "{method} {path}: {}", status.message);
        assert!(
            status.message.len() > 20,
            "{method} {path}: {}",
            status.message
        );
    }
}

#[tokio::test]
async fn kubectl_finds_the_signs_of_server_side_validation() {
    let server = server();
    let client = server.client();
    let index = get(&client, "/openapi/v3", "application/json")
        .await
        .unwrap();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap()
        .to_owned();
    let document = get(&client, &url, "application/json").await.unwrap();
    let patch =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/replicasets/{name}"]["patch"];
    let names: Vec<&str> = patch["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"fieldValidation") && names.contains(&"dryRun"),
        "{names:?}"
    );
    assert_eq!(
        patch["x-kubernetes-group-version-kind"]["kind"],
        "ReplicaSet"
    );
}
