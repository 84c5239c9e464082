//! Create, get, list, update.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use super::support::{config_map, place, refusal};

#[tokio::test]
async fn an_object_gets_its_identity_when_it_is_created() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({"k": "v"})))
        .await
        .unwrap();
    assert!(made.uid().is_some_and(|uid| uid.len() == 36));
    assert!(made.creation_timestamp().is_some());
    assert_eq!(made.namespace().as_deref(), Some(place.namespace.as_str()));
    assert_eq!(maps.get("a").await.unwrap(), made);
}

#[tokio::test]
async fn a_generated_name_is_new_each_time() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let mut nameless = config_map("", json!({}));
    nameless.metadata.name = None;
    nameless.metadata.generate_name = Some("gen-".to_owned());
    let one = maps
        .create(&PostParams::default(), &nameless)
        .await
        .unwrap();
    let other = maps
        .create(&PostParams::default(), &nameless)
        .await
        .unwrap();
    assert!(one.name_any().starts_with("gen-") && one.name_any().len() == 9);
    assert_ne!(one.name_any(), other.name_any());
}

#[tokio::test]
async fn creates_are_refused_with_the_reason_that_clients_look_for() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    maps.create(&PostParams::default(), &config_map("taken", json!({})))
        .await
        .unwrap();
    let rows = [
        ("taken", 409, "AlreadyExists"),
        ("Not_A_Name", 422, "Invalid"),
        ("-begins-with-a-dash", 422, "Invalid"),
    ];
    for (name, code, reason) in rows {
        let status = refusal(
            maps.create(&PostParams::default(), &config_map(name, json!({})))
                .await,
        );
        assert_eq!(
            (status.code, status.reason.as_str()),
            (code, reason),
            "{name}"
        );
    }
    let elsewhere: Api<ConfigMap> = Api::namespaced(place.client.clone(), "there-is-none");
    let missing = refusal(
        elsewhere
            .create(&PostParams::default(), &config_map("a", json!({})))
            .await,
    );
    assert_eq!(
        (missing.code, missing.message.as_str()),
        (404, "namespaces \"there-is-none\" not found")
    );
}

#[tokio::test]
async fn wrong_types_are_refused_and_unknown_fields_told() {
    let place = place().await;
    let uri = format!("/api/v1/namespaces/{}/configmaps", place.namespace);
    let send = async |query: &str, body: serde_json::Value| {
        let request = http::Request::post(format!("{uri}{query}"))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .unwrap();
        place.client.request::<ConfigMap>(request).await
    };
    let wrong = json!({"metadata": {"name": "a"}, "data": {"k": 1}});
    assert_eq!(refusal(send("", wrong).await).code, 400);
    let unknown = json!({"metadata": {"name": "a"}, "data": {}, "tada": 1});
    let strict = refusal(send("?fieldValidation=Strict", unknown.clone()).await);
    assert_eq!(strict.code, 400);
    assert!(
        strict.message.contains("unknown field \"tada\""),
        "{}",
        strict.message
    );
    send("?fieldValidation=Ignore", unknown).await.unwrap();
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    maps.create(&dry, &config_map("a", json!({})))
        .await
        .unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_stale_update_is_a_conflict_and_an_equal_one_no_change() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let first = maps
        .create(&PostParams::default(), &config_map("a", json!({"k": "1"})))
        .await
        .unwrap();
    let mut changed = first.clone();
    changed.data = config_map("a", json!({"k": "2"})).data;
    let second = maps
        .replace("a", &PostParams::default(), &changed)
        .await
        .unwrap();
    assert_ne!(second.resource_version(), first.resource_version());
    let stale = refusal(maps.replace("a", &PostParams::default(), &changed).await);
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    let same = maps
        .replace("a", &PostParams::default(), &second)
        .await
        .unwrap();
    assert_eq!(same.resource_version(), second.resource_version());
}

#[tokio::test]
async fn only_the_server_writes_identity() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let mut forged = made.clone();
    forged.metadata.creation_timestamp = None;
    forged.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    let kept = maps
        .replace("a", &PostParams::default(), &forged)
        .await
        .unwrap();
    assert_eq!(kept.creation_timestamp(), made.creation_timestamp());
    forged.metadata.uid = Some("11111111-2222-4333-8444-555555555555".to_owned());
    forged.metadata.resource_version = None;
    assert_eq!(
        refusal(maps.replace("a", &PostParams::default(), &forged).await).code,
        409
    );
}

#[tokio::test]
async fn lists_come_in_pages_of_the_same_revision() {
    let place = place().await;
    let maps: Api<ConfigMap> = place.api();
    for name in ["p1", "p2", "p3"] {
        let labelled =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": {"page": "y"}}}));
        maps.create(&PostParams::default(), &labelled.unwrap())
            .await
            .unwrap();
    }
    let params = ListParams::default().labels("page=y").limit(2);
    let first = maps.list(&params).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let second = maps.list(&params.continue_token(&token)).await.unwrap();
    let names: Vec<String> = first
        .items
        .iter()
        .chain(&second.items)
        .map(kube::ResourceExt::name_any)
        .collect();
    assert_eq!(names, ["p1", "p2", "p3"]);
    assert_eq!(second.metadata.continue_.unwrap_or_default(), "");
    assert_eq!(
        first.metadata.resource_version,
        second.metadata.resource_version
    );
}

#[tokio::test]
async fn built_in_kinds_get_the_defaults_that_clients_count_on() {
    let place = place().await;
    let pods: Api<Pod> = place.api();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "image": "i:1", "ports": [{"containerPort": 80}],
         "readinessProbe": {"httpGet": {"port": 80}}}]}});
    let made = pods
        .create(
            &PostParams::default(),
            &serde_json::from_value(pod).unwrap(),
        )
        .await
        .unwrap();
    let made = serde_json::to_value(made).unwrap();
    let rows = [
        ("/spec/restartPolicy", json!("Always")),
        ("/spec/terminationGracePeriodSeconds", json!(30)),
        ("/spec/containers/0/ports/0/protocol", json!("TCP")),
        ("/spec/containers/0/readinessProbe/periodSeconds", json!(10)),
        ("/spec/containers/0/imagePullPolicy", json!("IfNotPresent")),
        ("/status/phase", json!("Pending")),
    ];
    for (pointer, value) in rows {
        assert_eq!(made.pointer(pointer), Some(&value), "{pointer}");
    }
    let services: Api<Service> = place.api();
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let made = services
        .create(
            &PostParams::default(),
            &serde_json::from_value(service).unwrap(),
        )
        .await;
    let spec = made.unwrap().spec.unwrap();
    assert!(
        spec.cluster_ip
            .is_some_and(|address| address.parse::<std::net::Ipv4Addr>().is_ok())
    );
    let secrets: Api<Secret> = place.api();
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}});
    let made = secrets
        .create(
            &PostParams::default(),
            &serde_json::from_value(secret).unwrap(),
        )
        .await;
    assert_eq!(made.unwrap().data.unwrap()["k"].0, b"v");
}

#[tokio::test]
async fn the_first_namespaces_are_there_and_active() {
    let place = place().await;
    let namespaces: Api<Namespace> = Api::all(place.client.clone());
    for name in ["default", "kube-system", "kube-public"] {
        let phase = namespaces.get(name).await.unwrap().status.unwrap().phase;
        assert_eq!(phase.as_deref(), Some("Active"), "{name}");
    }
}
