use k8s_openapi::api::core::v1::{Secret, Service};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn object<T: DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).expect("an object"))
}

fn rollout(name: &str, created: &str, block: Value) -> Arc<Rollout> {
    object(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
                     "creationTimestamp": created},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"canary": {
                "stableService": "web-stable", "canaryService": "web-canary",
                "trafficRouting": {
                    "plugins": {"sluice/proxy": block},
                    "managedRoutes": [{"name": "testers"}]},
                "steps": [
                    {"setHeaderRoute": {"name": "testers", "match": [
                        {"headerName": "X-Tester", "headerValue": {"exact": "yes"}}]}},
                    {"setWeight": 20}]}}},
        "status": {
            "stableRS": "aaa", "currentPodHash": "bbb", "currentStepIndex": 1,
            "canary": {"weights": {
                "canary": {"weight": 20, "podTemplateHash": "bbb"},
                "stable": {"weight": 80, "podTemplateHash": "aaa"}}}}
    }))
}

fn service(ports: Value) -> Arc<Service> {
    object(
        json!({"metadata": {"name": "web-stable", "namespace": "shop"}, "spec": {"ports": ports}}),
    )
}

fn one_port() -> Arc<Service> {
    service(json!([{"port": 80, "targetPort": "http"}]))
}

fn pod(name: &str, hash: &str, ip: &str, ready: bool) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop",
                     "labels": {"app": "web", "rollouts-pod-template-hash": hash}},
        "spec": {"containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": if ready {"True"} else {"False"}}]}
    })
}

fn secret(certificate: &str) -> Arc<Secret> {
    use base64::Engine as _;
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    object(json!({
        "metadata": {"name": "web-tls", "namespace": "shop"},
        "data": {"tls.crt": encoded(certificate), "tls.key": encoded("key")}
    }))
}

const OLD: &str = "2026-01-01T00:00:00Z";
const NEW: &str = "2026-01-02T00:00:00Z";

fn web(name: &str) -> RolloutKey {
    RolloutKey {
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn simple() -> Objects {
    let mut elsewhere = pod("e", "bbb", "10.0.0.9", true);
    elsewhere["metadata"]["labels"]["app"] = json!("another-rollout-with-the-same-template");
    let mut leaving = pod("d", "aaa", "10.0.0.4", true);
    leaving["metadata"]["deletionTimestamp"] = json!(NEW);
    let mut own_port = pod("c", "bbb", "10.0.0.3", true);
    own_port["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9090);
    Objects {
        rollouts: vec![rollout("web", OLD, json!({}))],
        services: vec![one_port()],
        pods: vec![
            object(pod("a", "aaa", "10.0.0.1", true)),
            object(pod("b", "aaa", "10.0.0.2", false)),
            object(own_port),
            object(leaving),
            object(elsewhere),
        ],
        ..Objects::default()
    }
}

#[test]
fn a_rollout_becomes_a_route_a_split_and_a_cluster_per_revision() {
    let plan = plan(&simple(), &mut LastGood::new());
    assert_eq!(plan.problems, BTreeMap::new());
    let document = uplink::document::to_json(&plan.fleets["shop/web"].document);
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let ejection = json!({"consecutiveFailures": 5, "baseTime": "10s", "maxPercent": 50});
    assert_eq!(
        document,
        json!({
            "fleet": "shop/web",
            "routes": [{"name": "shop/web", "backend": {"split": "shop/web"}}],
            "splits": {"shop/web": {
                "rolloutUid": "uid-web",
                "stable": "shop/web/aaa", "canary": "shop/web/bbb",
                "weight": 0, "maxWeight": 100, "epoch": 0,
                "salt": rollout_salt("uid-web", "bbb").to_string(),
                "headerRoutes": [{"name": "testers", "headers": [{"name": "X-Tester", "exact": "yes"}]}],
                "fuse": {"enabled": true, "alpha": 0.001, "ratio": 1.5, "minErrors": 3, "ageThreshold": "5s"}}},
            "clusters": {
                "shop/web/aaa": {"revision": "aaa", "protocol": "http1", "endpoints": ["10.0.0.1:8080"],
                                 "outlierEjection": ejection},
                "shop/web/bbb": {"revision": "bbb", "protocol": "http1", "endpoints": ["10.0.0.3:9090"],
                                 "outlierEjection": ejection}}
        })
    );
    let order = &plan.placed[&web("web")].order;
    assert_eq!(
        (order.weight, order.canary.as_deref()),
        (20, Some("bbb")),
        "as the status says"
    );
}

#[test]
fn every_setting_of_the_block_reaches_the_document() {
    let mut objects = simple();
    objects.secrets.push(secret("chain"));
    objects.services = vec![service(json!([
        {"name": "grpc", "port": 90, "targetPort": 9000, "appProtocol": "kubernetes.io/h2c"},
        {"name": "http", "port": 80}]))];
    objects.rollouts = vec![rollout(
        "web",
        OLD,
        json!({
        "fleet": "edge", "hostnames": ["web.example.com"], "port": "grpc",
        "tls": {"secretName": "web-tls"}, "sticky": {"cookie": {"maxAge": "1h"}},
        "override": {"header": "X-Canary", "value": "true"},
        "fallback": {"to": "stable"}, "fuse": {"minErrors": 7, "ageThreshold": "500ms"}}),
    )];
    let plan = plan(&objects, &mut LastGood::new());
    assert_eq!(plan.problems, BTreeMap::new());
    let published = &plan.fleets["shop/edge"];
    let (document, split) = (&published.document, &published.document.splits["shop/web"]);
    assert_eq!(document.routes[0].hostnames, ["web.example.com"]);
    let cluster = &document.clusters["shop/web/aaa"];
    assert_eq!(cluster.protocol, uplink::document::Protocol::H2c);
    assert_eq!(cluster.endpoints, ["10.0.0.1:9000"]);
    let cookie = split
        .sticky
        .as_ref()
        .and_then(|sticky| sticky.cookie.clone())
        .expect("a cookie");
    assert_eq!(
        (cookie.name.as_str(), cookie.max_age.as_deref()),
        ("sluice", Some("1h0m0s"))
    );
    assert_eq!(
        split.override_.as_ref().and_then(|it| it.value.as_deref()),
        Some("true")
    );
    assert!(split.fallback.is_some());
    assert_eq!(
        (split.fuse.min_errors, split.fuse.age_threshold.as_str()),
        (7, "500ms")
    );
    let text = uplink::document::to_json(document);
    let reference = &published.key_pairs[0].reference;
    assert!(reference.starts_with("shop/web-tls@sha256:") && text.contains(reference.as_str()));
    assert_eq!(published.key_pairs[0].key_pem, b"key");
    assert!(!text.contains("chain"), "bytes travel beside the document");
}

#[test]
fn what_cannot_be_resolved_is_a_problem_that_says_what_would_do() {
    let two = service(json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]));
    let rows: [(Value, Option<Arc<Service>>, &str); 7] = [
        (json!({}), None, "service shop/web-stable does not exist"),
        (
            json!({}),
            Some(two.clone()),
            "port is required: service web-stable has several ports, a (80), b (81)",
        ),
        (
            json!({"port": "c"}),
            Some(two.clone()),
            "no port \"c\", only a (80), b (81)",
        ),
        (
            json!({"port": 82}),
            Some(two),
            "no port 82, only a (80), b (81)",
        ),
        (
            json!({"stiky": {}}),
            Some(one_port()),
            "did you mean \"sticky\"",
        ),
        (
            json!({"tls": {"secretName": "nope"}}),
            Some(one_port()),
            "secret shop/nope",
        ),
        (
            json!({"fuse": {"ratio": 5000}}),
            Some(one_port()),
            "the proxies would refuse it",
        ),
    ];
    for (block, service, expected) in rows {
        let mut objects = simple();
        objects.rollouts = vec![rollout("web", OLD, block)];
        objects.services = service.into_iter().collect();
        let plan = plan(&objects, &mut LastGood::new());
        let problem = &plan.problems[&web("web")];
        assert!(
            problem.message.contains(expected),
            "{expected:?} in {:?}",
            problem.message
        );
        assert!(plan.placed.is_empty());
    }
}

#[test]
fn a_form_that_is_wrong_keeps_its_last_good_shape_and_follows_its_order_and_pods() {
    let (mut objects, mut last_good) = (simple(), LastGood::new());
    objects.secrets.push(secret("chain"));
    let tls = json!({"tls": {"secretName": "web-tls"}, "hostnames": ["a.example.com"]});
    objects.rollouts = vec![rollout("web", OLD, tls)];
    let good = plan(&objects, &mut last_good);
    let reference = good.fleets["shop/web"].key_pairs[0].reference.clone();
    // A renewal that a proxy refused, and a new pod, and an abort.
    objects.secrets = vec![secret("another chain")];
    let renewed = plan(&objects, &mut last_good.clone()).fleets["shop/web"].key_pairs[0]
        .reference
        .clone();
    assert_ne!(renewed, reference);
    objects
        .refused_secrets
        .insert(renewed, "proxy p-1 refused the certificate: bad".into());
    objects.pods.push(object(pod("f", "aaa", "10.0.0.7", true)));
    let order = TrafficOrder {
        weight: 0,
        ..good.placed[&web("web")].order.clone()
    };
    objects.orders.insert(web("web"), order);
    for _ in 0..2 {
        let kept = plan(&objects, &mut last_good);
        assert!(kept.problems[&web("web")].message.contains("p-1 refused"));
        assert_eq!(kept.fleets["shop/web"].key_pairs[0].reference, reference);
        let endpoints = &kept.fleets["shop/web"].document.clusters["shop/web/aaa"].endpoints;
        assert_eq!(endpoints, &["10.0.0.1:8080", "10.0.0.7:8080"]);
        assert_eq!(kept.placed[&web("web")].order.weight, 0);
    }
}

#[test]
fn of_two_that_claim_one_hostname_the_older_wins() {
    let mut objects = simple();
    let block = json!({"fleet": "edge", "hostnames": ["a.example.com"]});
    objects.rollouts = vec![
        rollout("newer", NEW, block.clone()),
        rollout("older", OLD, block),
    ];
    let plan = plan(&objects, &mut LastGood::new());
    assert!(plan.placed.contains_key(&web("older")) && !plan.placed.contains_key(&web("newer")));
    assert_eq!(
        plan.problems[&web("newer")].message,
        "a.example.com of fleet shop/edge is claimed by the older Rollout shop/older"
    );
    assert_eq!(plan.fleets["shop/edge"].document.routes.len(), 1);
}

#[test]
fn a_fleet_of_another_namespace_is_used_only_while_its_owner_grants_it() {
    let grant = object::<crate::grants::ReferenceGrant>(json!({
        "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
        "metadata": {"name": "shop", "namespace": "gateways"},
        "spec": {"from": [{"group": "argoproj.io", "kind": "Rollout", "namespace": "shop"}],
                 "to": [{"group": "sluice", "kind": "Fleet", "name": "edge"}]}
    }));
    let mut objects = simple();
    objects.rollouts = vec![rollout("web", OLD, json!({"fleet": "gateways/edge"}))];
    let mut last_good = LastGood::new();
    let refused = |plan: Plan| {
        assert!(!plan.placed.contains_key(&web("web")));
        let problem = &plan.problems[&web("web")];
        assert_eq!(problem.reason, "InvalidSpec");
        let sentence =
            "fleet gateways/edge is of another namespace, and no ReferenceGrant in gateways";
        assert!(problem.message.contains(sentence), "{}", problem.message);
        let routes = plan.fleets.values().map(|it| it.document.routes.len());
        assert_eq!(routes.sum::<usize>(), 0, "not even the last good ones");
    };
    refused(plan(&objects, &mut last_good));
    objects.grants = Arc::new(crate::grants::Grants::of([(*grant).clone()]));
    let granted = plan(&objects, &mut last_good);
    assert_eq!(granted.placed[&web("web")].fleet, "gateways/edge");
    assert_eq!(granted.fleets["gateways/edge"].document.routes.len(), 1);
    objects.grants = Arc::default();
    refused(plan(&objects, &mut last_good));
}

#[test]
fn rollouts_of_one_fleet_share_a_document_that_passes_the_check() {
    let mut objects = simple();
    let block = |host: &str| json!({"fleet": "edge", "hostnames": [host]});
    objects.rollouts = vec![
        rollout("web", NEW, block("a.example.com")),
        rollout("api", OLD, block("b.example.com")),
        rollout("none", OLD, json!({"fleet": "edge", "port": 99})),
    ];
    let plan = plan(&objects, &mut LastGood::new());
    let document = &plan.fleets["shop/edge"].document;
    assert_eq!(document.splits.len(), 2);
    uplink::check::check(document).expect("the whole passes as its parts do");
    assert!(
        plan.problems.contains_key(&web("none")),
        "and holds up nobody"
    );
}

#[test]
fn without_our_plugin_or_without_a_revision_there_is_nothing_to_publish() {
    let mut objects = simple();
    let mut foreign = Rollout::clone(&objects.rollouts[0]);
    foreign.spec.strategy = None;
    let mut first = Rollout::clone(&objects.rollouts[0]);
    first.metadata.name = Some("first".into());
    first.status = None;
    objects.rollouts = vec![Arc::new(foreign), Arc::new(first)];
    let plan = plan(&objects, &mut LastGood::new());
    assert!(plan.fleets.is_empty() && plan.problems.is_empty() && plan.placed.is_empty());
}

#[test]
fn the_first_revision_is_stable_and_an_abort_is_at_zero() {
    let mut objects = simple();
    let mut first = Rollout::clone(&objects.rollouts[0]);
    first.status.as_mut().expect("a status").stable_rs = None;
    objects.rollouts = vec![Arc::new(first)];
    let published = plan(&objects, &mut LastGood::new());
    let split = &published.fleets["shop/web"].document.splits["shop/web"];
    assert_eq!(
        (split.stable.as_str(), &split.canary),
        ("shop/web/bbb", &None)
    );
    let mut objects = simple();
    let mut aborted = Rollout::clone(&objects.rollouts[0]);
    aborted.status.as_mut().expect("a status").abort = Some(true);
    objects.rollouts = vec![Arc::new(aborted)];
    let placed = plan(&objects, &mut LastGood::new())
        .placed
        .remove(&web("web"))
        .expect("placed");
    assert_eq!(
        (placed.order.weight, placed.order.header_routes.len()),
        (0, 0)
    );
}

/// Blue-green whose status says which revision is active.
fn blue_green(active: &str) -> Arc<Rollout> {
    object(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "shop", "uid": "uid-web", "creationTimestamp": OLD,
                     "annotations": {"sluice/proxy": "override: {header: X-Preview, value: \"on\"}"}},
        "spec": {"selector": {"matchLabels": {"app": "web"}},
                 "strategy": {"blueGreen": {"activeService": "web-stable"}}},
        "status": {"stableRS": "aaa", "currentPodHash": "bbb", "blueGreen": {"activeSelector": active}}
    }))
}

#[test]
fn blue_green_serves_what_its_status_calls_active_until_it_is_ordered_otherwise() {
    // active → stable side, canary side, weight
    let table = [
        ("aaa", "aaa", Some("bbb"), 0),
        ("bbb", "aaa", Some("bbb"), 100),
        ("", "aaa", Some("bbb"), 0),
        // Between two switches neither stable nor the newest is active.
        ("ccc", "ccc", Some("bbb"), 0),
    ];
    for (active, stable, canary, weight) in table {
        let objects = Objects {
            rollouts: vec![blue_green(active)],
            ..simple()
        };
        let plan = plan(&objects, &mut LastGood::new());
        assert_eq!(plan.problems, BTreeMap::new());
        let order = &plan.placed[&web("web")].order;
        let found = (order.stable.as_str(), order.canary.as_deref(), order.weight);
        assert_eq!(found, (stable, canary, weight), "active {active}");
        let split = &plan.fleets["shop/web"].document.splits["shop/web"];
        assert!(
            split.override_.is_some() && !split.fuse.enabled,
            "{split:?}"
        );
    }
}
