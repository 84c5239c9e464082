//! Tables: the columns that `kubectl get` prints.

use http::Request;
use serde_json::{Value, json};

use super::support::{Place, place};

async fn columns(place: &Place, path: &str) -> String {
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let request = Request::get(path)
        .header("accept", table)
        .body(Vec::new())
        .unwrap();
    let table: Value = place.client.request(request).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let told = columns.map(|one| {
        let word = |key: &str| one[key].as_str().unwrap().to_owned();
        let wide = if one["priority"] == json!(0) { "" } else { "+" };
        format!("{wide}{}:{}:{}", word("name"), word("type"), word("format"))
    });
    told.collect::<Vec<_>>()
        .join(" ")
        .replace(":string:", "")
        .replace("Namename", "Name")
}

#[tokio::test]
async fn built_in_kinds_have_the_columns_that_kubectl_prints() {
    let place = place().await;
    for (path, wanted) in ROWS {
        assert_eq!(
            columns(&place, &format!("/{path}?limit=1")).await,
            *wanted,
            "{path}"
        );
    }
}

/// Path and columns: a + for what only `-o wide` shows, the type where it is no text.
const ROWS: &[(&str, &str)] = &[
    (
        "api/v1/pods",
        "Name Ready Status Restarts Age +IP +Node +Nominated Node +Readiness Gates",
    ),
    (
        "api/v1/services",
        "Name Type Cluster-IP External-IP Port(s) Age +Selector",
    ),
    ("api/v1/configmaps", "Name Data Age"),
    ("api/v1/secrets", "Name Type Data Age"),
    (
        "api/v1/events",
        "Last Seen Type Reason Object +Subobject +Source Message +First Seen +Count +Name",
    ),
    ("api/v1/namespaces", "Name Status Age"),
    (
        "api/v1/nodes",
        "Name Status Roles Age Version +Internal-IP +External-IP +OS-Image +Kernel-Version +Container-Runtime",
    ),
    ("api/v1/serviceaccounts", "Name Secrets Age"),
    ("api/v1/podtemplates", "Name Containers Images Pod Labels"),
    ("api/v1/endpoints", "Name Endpoints Age"),
    (
        "apis/apps/v1/deployments",
        "Name Ready Up-to-date Available Age +Containers +Images +Selector",
    ),
    (
        "apis/apps/v1/replicasets",
        "Name Desired:integer: Current:integer: Ready:integer: Age +Containers +Images +Selector",
    ),
    (
        "apis/batch/v1/jobs",
        "Name Status Completions Duration Age +Containers +Images +Selector",
    ),
    (
        "apis/policy/v1/poddisruptionbudgets",
        "Name Min Available Max Unavailable Allowed Disruptions:integer: Age",
    ),
    (
        "apis/autoscaling/v2/horizontalpodautoscalers",
        "Name Reference Targets MinPods MaxPods Replicas Age",
    ),
    (
        "apis/discovery.k8s.io/v1/endpointslices",
        "Name AddressType Ports Endpoints Age",
    ),
    ("apis/coordination.k8s.io/v1/leases", "Name Holder Age"),
    (
        "apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "Name Created At:date:",
    ),
];
