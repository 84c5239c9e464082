use serde_json::{Value, json};

use super::*;

fn step(value: Value) -> CanaryStep {
    crate::read::read(value).unwrap()
}

#[test]
fn steps_are_named_as_argo_names_them() {
    let table = [
        (json!({ "setWeight": 20 }), "setWeight: 20"),
        (json!({ "pause": {} }), "pause"),
        (json!({ "pause": { "duration": "10s" } }), "pause: 10s"),
        (json!({ "pause": { "duration": 10 } }), "pause: 10"),
        (json!({ "experiment": { "templates": [] } }), "experiment"),
        (json!({ "analysis": {} }), "analysis"),
        (
            json!({ "setCanaryScale": { "weight": 5 } }),
            "setCanaryScale{weight: 5}",
        ),
        (
            json!({ "setCanaryScale": { "matchTrafficWeight": true } }),
            "setCanaryScale{matchTrafficWeight: true}",
        ),
        (
            json!({ "setCanaryScale": { "replicas": 1 } }),
            "setCanaryScale{replicas: 1}",
        ),
        (json!({ "setCanaryScale": {} }), "invalid"),
        (json!({ "plugin": { "name": "x" } }), "plugin: x"),
        (
            json!({ "setHeaderRoute": { "name": "x" } }),
            "setHeaderRoute: x",
        ),
        (
            json!({ "setMirrorRoute": { "name": "x" } }),
            "setMirrorRoute: x",
        ),
        (json!({}), "invalid"),
        (json!({ "setWaight": 20 }), "invalid"),
    ];
    for (value, text) in table {
        assert_eq!(step(value.clone()).to_string(), text, "{value}");
    }
}

#[test]
fn of_several_keys_argos_precedence_decides() {
    let all = json!({
        "plugin": { "name": "x" },
        "setMirrorRoute": { "name": "x" },
        "setHeaderRoute": { "name": "x" },
        "analysis": {},
        "experiment": { "templates": [] },
        "setWeight": 5,
        "setCanaryScale": {},
        "pause": {},
    });
    let mut left = all.as_object().unwrap().clone();
    let order = [
        "pause",
        "setCanaryScale",
        "setWeight",
        "experiment",
        "analysis",
        "setHeaderRoute",
        "setMirrorRoute",
        "plugin",
    ];
    for key in order {
        let step = step(Value::Object(left.clone()));
        let found = match step.kind().unwrap() {
            StepKind::Pause(_) => "pause",
            StepKind::SetCanaryScale(_) => "setCanaryScale",
            StepKind::SetWeight(_) => "setWeight",
            StepKind::Experiment(_) => "experiment",
            StepKind::Analysis(_) => "analysis",
            StepKind::SetHeaderRoute(_) => "setHeaderRoute",
            StepKind::SetMirrorRoute(_) => "setMirrorRoute",
            StepKind::Plugin(_) => "plugin",
        };
        assert_eq!(found, key);
        left.remove(key);
    }
}

#[test]
fn a_step_is_written_in_the_order_of_argos_struct() {
    let text = r#"{"plugin":{"name":"x"},"setMirrorRoute":{"name":"x"},"setHeaderRoute":{"name":"x"},
        "setCanaryScale":{},"analysis":{},"experiment":{"templates":[]},"pause":{},"setWeight":5}"#;
    let step: CanaryStep = serde_json::from_str(text).unwrap();
    assert_eq!(
        serde_json::to_string(&step).unwrap(),
        r#"{"setWeight":5,"pause":{},"experiment":{"templates":[]},"analysis":{},"setCanaryScale":{},"setHeaderRoute":{"name":"x"},"setMirrorRoute":{"name":"x"},"plugin":{"name":"x"}}"#
    );
}

#[test]
fn null_is_absent_and_absent_steps_are_not_empty_steps() {
    let read = |value: Value| crate::read::read::<CanaryStrategy>(value).unwrap();
    assert_eq!(read(json!({ "steps": null })).steps, None);
    assert_eq!(read(json!({ "steps": [] })).steps, Some(vec![]));
    let status: RolloutStatus = crate::read::read(json!({ "pauseConditions": null })).unwrap();
    assert_eq!(status, RolloutStatus::default());
}

#[test]
fn fields_with_odd_names_are_written_exactly() {
    let status = RolloutStatus {
        hpa_replicas: Some(3),
        stable_rs: Some("abc".into()),
        observed_generation: Some("4".into()),
        ..RolloutStatus::default()
    };
    assert_eq!(
        serde_json::to_value(status).unwrap(),
        json!({ "HPAReplicas": 3, "stableRS": "abc", "observedGeneration": "4" })
    );
}
