use std::path::Path;

use super::*;

fn schema_of(kind: &str) -> Value {
    let crd = all()
        .into_iter()
        .find(|crd| crd.spec.names.kind == kind)
        .unwrap();
    let document = serde_json::to_value(crd).unwrap();
    document
        .pointer("/spec/versions/0/schema/openAPIV3Schema")
        .unwrap()
        .clone()
}

#[test]
fn deploy_crds_is_what_crdgen_writes() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    for crd in all() {
        let (name, text) = file(&crd).unwrap();
        let found = std::fs::read_to_string(directory.join(&name)).unwrap_or_default();
        assert!(
            found == text,
            "{name} differs: cargo run -p sluice-crds --bin crdgen"
        );
    }
}

#[test]
fn generated_text_reads_back_as_the_same_definition() {
    for crd in all() {
        let (_, text) = file(&crd).unwrap();
        let mut documents = crate::read::documents(&text).unwrap();
        assert_eq!(
            documents.pop().unwrap(),
            serde_json::to_value(&crd).unwrap()
        );
    }
}

#[test]
fn only_a_rollout_has_subresources() {
    for crd in all() {
        let subresources = crd.spec.versions[0].subresources.as_ref();
        if crd.spec.names.kind != "Rollout" {
            assert!(subresources.is_none(), "{}", crd.spec.names.kind);
            continue;
        }
        let subresources = subresources.unwrap();
        assert!(subresources.status.is_some());
        let scale = subresources.scale.as_ref().unwrap();
        assert_eq!(scale.spec_replicas_path, ".spec.replicas");
        assert_eq!(scale.status_replicas_path, ".status.HPAReplicas");
        assert_eq!(
            scale.label_selector_path.as_deref(),
            Some(".status.selector")
        );
    }
}

#[test]
fn names_scopes_and_columns_are_argos() {
    let table = [
        (
            "Rollout",
            "ro",
            "Namespaced",
            "Desired Current Up-to-date Available Age",
        ),
        ("AnalysisTemplate", "at", "Namespaced", "Age"),
        ("ClusterAnalysisTemplate", "cat", "Cluster", "Age"),
        ("AnalysisRun", "ar", "Namespaced", "Status Age"),
        ("Experiment", "exp", "Namespaced", "Status Age"),
    ];
    for (crd, (kind, short, scope, columns)) in all().iter().zip(table) {
        assert_eq!(crd.spec.names.kind, kind);
        assert_eq!(crd.spec.names.plural, format!("{}s", kind.to_lowercase()));
        assert_eq!(
            crd.metadata.name,
            Some(format!("{}.{}", crd.spec.names.plural, crate::GROUP))
        );
        assert_eq!(
            crd.spec.names.short_names.as_deref(),
            Some(&[short.to_owned()][..])
        );
        assert_eq!(crd.spec.scope, scope);
        let version = &crd.spec.versions[0];
        assert_eq!(version.name, crate::VERSION);
        let found = version.additional_printer_columns.iter().flatten();
        let found: Vec<&str> = found.map(|column| column.name.as_str()).collect();
        assert_eq!(found.join(" "), columns, "{kind}");
    }
}

/// The rules of structural schemas that a generator can break.
fn check_structural(schema: &Value, path: &str) {
    let object = schema
        .as_object()
        .unwrap_or_else(|| panic!("{path}: not a schema: {schema}"));
    let open = object.contains_key("x-kubernetes-preserve-unknown-fields");
    let number = object.contains_key("x-kubernetes-int-or-string");
    assert!(
        object.contains_key("type") || open || number,
        "{path}: no type: {schema}"
    );
    assert!(
        !(object.contains_key("type") && number),
        "{path}: typed int-or-string"
    );
    for banned in [
        "$ref",
        "nullable",
        "default",
        "enum",
        "oneOf",
        "anyOf",
        "allOf",
        "definitions",
    ] {
        assert!(!object.contains_key(banned), "{path}: {banned}");
    }
    assert!(
        !(object.contains_key("properties") && object.contains_key("additionalProperties")),
        "{path}: properties and additionalProperties exclude each other"
    );
    let properties = object.get("properties").and_then(Value::as_object);
    for required in object
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let known = properties.is_some_and(|known| known.contains_key(required.as_str().unwrap()));
        assert!(known, "{path}: required {required} is no property");
    }
    for (name, inner) in properties.into_iter().flatten() {
        check_structural(inner, &format!("{path}.{name}"));
    }
    if object.get("type") == Some(&json!("array")) {
        check_structural(&object["items"], &format!("{path}[]"));
    }
    if let Some(inner) = object.get("additionalProperties") {
        check_structural(inner, &format!("{path}.*"));
    }
}

#[test]
fn schemas_are_structural() {
    for crd in all() {
        let kind = crd.spec.names.kind;
        check_structural(&schema_of(&kind), &kind);
    }
}

/// Where, and what is required there. CANARY and STEP stand for the paths of those.
const REQUIRED: &[(&str, &str)] = &[
    ("/spec/strategy/blueGreen", "activeService"),
    ("CANARY/pingPong", "pingService pongService"),
    ("CANARY/replicaProgressThreshold", "type value"),
    ("CANARY/trafficRouting/alb", "servicePort"),
    (
        "CANARY/trafficRouting/alb/stickinessConfig",
        "enabled durationSeconds",
    ),
    (
        "CANARY/trafficRouting/istio/destinationRule",
        "name canarySubsetName stableSubsetName",
    ),
    ("CANARY/trafficRouting/istio/virtualServices/[]", "name"),
    ("CANARY/trafficRouting/managedRoutes/[]", "name"),
    (
        "CANARY/trafficRouting/traefik",
        "weightedTraefikServiceName",
    ),
    ("STEP/setMirrorRoute", "name"),
    ("STEP/setHeaderRoute", ""),
    ("STEP/setHeaderRoute/match/[]", "headerName headerValue"),
    ("STEP/experiment", "templates"),
    ("STEP/experiment/templates/[]", "name specRef"),
    ("STEP/experiment/analyses/[]", "name templateName"),
    ("STEP/plugin", "name"),
    (
        "CANARY/analysis/measurementRetention/[]",
        "metricName limit",
    ),
    ("CANARY/analysis/dryRun/[]", "metricName"),
    ("CANARY/analysis/args/[]", "name"),
    ("/status/canary/weights", "canary stable"),
    (
        "/status/conditions/[]",
        "type status lastUpdateTime lastTransitionTime reason message",
    ),
    ("/status/pauseConditions/[]", "reason startTime"),
    ("/spec", ""),
    ("", "spec"),
];

#[test]
fn required_properties_are_argos() {
    let root = schema_of("Rollout");
    for (path, required) in REQUIRED {
        let path = path
            .replace("STEP", "CANARY/steps/[]")
            .replace("CANARY", "/spec/strategy/canary");
        let pointer = path.replace("/[]", "\u{0}").replace('/', "/properties/");
        let schema = root
            .pointer(&pointer.replace('\u{0}', "/items"))
            .expect(&path);
        let found = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut found: Vec<&str> = found.filter_map(Value::as_str).collect();
        let mut expected: Vec<&str> = required.split_whitespace().collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn the_selector_is_immutable_and_templates_are_open_where_they_must_be() {
    let root = schema_of("Rollout");
    let spec = &root["properties"]["spec"]["properties"];
    let rule = &spec["selector"]["x-kubernetes-validations"][0];
    assert_eq!(rule["rule"], "self == oldSelf");
    assert_eq!(rule["message"], ".spec.selector is immutable");

    let template = &spec["template"]["properties"];
    let metadata = template["metadata"]["properties"].as_object().unwrap();
    assert_eq!(
        metadata.keys().collect::<Vec<_>>(),
        ["annotations", "labels"]
    );
    let pod = &template["spec"]["properties"];
    let keep = "x-kubernetes-preserve-unknown-fields";
    assert_eq!(pod["volumes"]["items"][keep], true);
    let resources = &pod["containers"]["items"]["properties"]["resources"]["properties"];
    assert_eq!(resources["limits"][keep], true);
    assert_eq!(resources["requests"][keep], true);
    assert!(pod["containers"]["items"]["properties"]["livenessProbe"]["properties"].is_object());

    let job = schema_of("AnalysisRun");
    let job = &job["properties"]["spec"]["properties"]["metrics"]["items"]["properties"]["provider"]
        ["properties"]["job"]["properties"]["spec"]["properties"];
    assert_eq!(
        job["template"]["properties"]["spec"]["properties"]["volumes"]["items"][keep],
        true
    );
}

#[test]
fn definitions_fit_into_the_annotation_of_kubectl_apply() {
    // The API server takes 256 KiB of annotations in all.
    const LIMIT: usize = 250_000;
    for crd in all() {
        let size = serde_json::to_string(&crd).unwrap().len();
        assert!(size < LIMIT, "{}: {size}", crd.spec.names.kind);
    }
}
