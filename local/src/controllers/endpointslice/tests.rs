use serde_json::{Value, json};

use super::*;

fn service(more: Value) -> Service {
    let mut service = json!({
        "metadata": {"name": "s", "namespace": "n", "uid": "u", "labels": {"team": "t"}},
        "spec": {"selector": {"app": "a"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]},
    });
    json_patch::merge(&mut service, &more);
    serde_json::from_value(service).unwrap()
}

fn pod(name: &str, more: Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "n", "uid": format!("{name}-uid")},
        "spec": {"nodeName": "local",
            "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": "127.42.0.1",
            "conditions": [{"type": "Ready", "status": "True"}]},
    });
    json_patch::merge(&mut pod, &more);
    serde_json::from_value(pod).unwrap()
}

fn only(mut plan: Plan) -> EndpointSlice {
    assert_eq!(
        (plan.create.len(), plan.update.len(), plan.delete.len()),
        (1, 0, 0),
        "{plan:?}"
    );
    plan.create.remove(0)
}

#[test]
fn conditions_tell_what_an_endpoint_is_good_for() {
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let publish = json!({"spec": {"publishNotReadyAddresses": true}});
    let table = [
        (json!({}), json!({}), (true, true, false)),
        (json!({}), unready.clone(), (false, false, false)),
        (json!({}), ending, (false, true, true)),
        (publish, unready, (true, false, false)),
    ];
    for (svc, more, expected) in table {
        let slice = only(plan(&service(svc), &[pod("p", more.clone())], &[]));
        let found = slice.endpoints[0].conditions.clone().unwrap();
        let found = (
            found.ready.unwrap(),
            found.serving.unwrap(),
            found.terminating.unwrap(),
        );
        assert_eq!(found, expected, "{more}");
    }
}

#[test]
fn a_slice_says_whose_it_is_and_where_its_pods_are() {
    let slice = only(plan(&service(json!({})), &[pod("p", json!({}))], &[]));
    let labels = slice.metadata.labels.unwrap();
    assert_eq!(labels.get(SERVICE_NAME).map(String::as_str), Some("s"));
    assert_eq!(labels.get("team").map(String::as_str), Some("t"));
    let endpoint = &slice.endpoints[0];
    assert_eq!(endpoint.addresses, ["127.42.0.1"]);
    let target = endpoint.target_ref.clone().unwrap();
    assert_eq!(
        (target.kind.as_deref(), target.name.as_deref()),
        (Some("Pod"), Some("p"))
    );
    assert_eq!(target.uid.as_deref(), Some("p-uid"));
}

#[test]
fn ports_are_found_by_name_or_number() {
    let port = |port: Value| json!({"spec": {"ports": [port]}});
    let table = [
        (port(json!({"port": 80, "targetPort": "web"})), Some(8080)),
        (port(json!({"port": 80, "targetPort": 9000})), Some(9000)),
        (port(json!({"port": 80})), Some(80)),
        (port(json!({"port": 80, "targetPort": "nothing"})), None),
        (
            port(json!({"port": 80, "targetPort": "web", "protocol": "UDP"})),
            None,
        ),
    ];
    for (svc, expected) in table {
        let slice = only(plan(&service(svc.clone()), &[pod("p", json!({}))], &[]));
        let found = slice.ports.and_then(|ports| ports[0].port);
        assert_eq!(found, expected, "{svc}");
    }
}

#[test]
fn pods_that_cannot_be_reached_are_left_out() {
    let pods = [
        pod("no-address", json!({"status": {"podIP": null}})),
        pod("done", json!({"status": {"phase": "Succeeded"}})),
    ];
    let slice = only(plan(&service(json!({})), &pods, &[]));
    assert!(slice.endpoints.is_empty());
}

#[test]
fn pods_with_other_port_numbers_get_a_slice_of_their_own() {
    let other = json!({"spec": {"containers": [
        {"name": "c", "ports": [{"name": "web", "containerPort": 9090}]}]}});
    let pods = [pod("p", json!({})), pod("q", other), pod("r", json!({}))];
    let plan = plan(&service(json!({})), &pods, &[]);
    let found: Vec<(usize, Option<i32>)> = plan
        .create
        .iter()
        .map(|slice| (slice.endpoints.len(), slice.ports.as_ref().unwrap()[0].port))
        .collect();
    assert_eq!(found, [(2, Some(8080)), (1, Some(9090))]);
}

#[test]
fn existing_slices_are_left_renewed_or_deleted() {
    let service = service(json!({}));
    let pods = [pod("p", json!({}))];
    let mut existing = only(plan(&service, &pods, &[]));
    existing.metadata.name = Some("s-abcde".to_owned());
    let same = plan(&service, &pods, &[existing.clone()]);
    assert_eq!(same, Plan::default());
    let renewed = plan(&service, &[], &[existing.clone()]);
    assert_eq!((renewed.create.len(), renewed.delete.len()), (0, 0));
    assert_eq!(renewed.update[0].metadata.name.as_deref(), Some("s-abcde"));
    assert!(renewed.update[0].endpoints.is_empty());
    let mut second = existing.clone();
    second.metadata.name = Some("s-zzzzz".to_owned());
    let fewer = plan(&service, &pods, &[existing, second]);
    assert_eq!(
        (fewer.update.len(), fewer.delete.as_slice()),
        (0, &["s-zzzzz".to_owned()][..])
    );
}
