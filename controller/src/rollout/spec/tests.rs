//! What is refused, by Argo's sentences, and what is not built yet, by ours.

use crds::Rollout;
use serde_json::{Value, json};

use super::{check, selects};
use crate::rollout::observe::{Observed, Rival, ServiceView};

mod blue_green;

fn base() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u-1"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
            "strategy": {"canary": {
                "stableService": "stable",
                "canaryService": "canary",
                "trafficRouting": {"plugins": {"sluice/proxy": {}}, "managedRoutes": [{"name": "beta"}]},
                "steps": [{"setWeight": 20}, {"pause": {}}],
            }},
        },
    })
}

fn observed() -> Observed {
    let service = ServiceView {
        selector: [("app".into(), "web".into())].into(),
        ..ServiceView::default()
    };
    let services = ["stable", "canary"].map(|name| (name.to_owned(), service.clone()));
    Observed {
        services: services.into(),
        ..Observed::default()
    }
}

fn errors_with(patch: &Value, observed: &Observed) -> Vec<String> {
    let mut object = base();
    json_patch::merge(&mut object, patch);
    let rollout: Rollout = serde_json::from_value(object).unwrap();
    let errors = check(&rollout, observed).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

fn canary(patch: &Value) -> Value {
    json!({"spec": {"strategy": {"canary": patch}}})
}

fn steps(steps: &Value) -> Value {
    canary(&json!({"steps": steps}))
}

#[test]
fn a_good_rollout_has_no_errors() {
    assert_eq!(errors_with(&json!({}), &observed()), Vec::<String>::new());
}

fn assert_first(table: &[(Value, &str)]) {
    for (patch, text) in table {
        let errors = errors_with(patch, &observed());
        assert!(
            errors.first().is_some_and(|error| error.contains(text)),
            "{patch}: {errors:#?} lacks {text}"
        );
    }
}

#[test]
fn argos_checks_speak_argos_sentences() {
    let table = [
        (
            json!({"spec": {"replicas": -1}}),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            json!({"spec": {"selector": null}}),
            "spec.selector: Required value: Rollout has missing field '.spec.selector'",
        ),
        (
            json!({"spec": {"selector": {"matchLabels": null}}}),
            "empty selector is invalid for deployment",
        ),
        (
            json!({"spec": {"template": {"metadata": {"labels": {"app": "x"}}}}}),
            "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
        ),
        (
            json!({"spec": {"progressDeadlineSeconds": 10, "minReadySeconds": 10}}),
            "spec.progressDeadlineSeconds: Invalid value: 10: must be greater than minReadySeconds",
        ),
        (
            json!({"spec": {"strategy": {"canary": null}}}),
            "Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'",
        ),
        (
            json!({"spec": {"strategy": {"blueGreen": {"activeService": "a"}}}}),
            "Multiple Strategies can not be listed",
        ),
        (
            canary(&json!({"canaryService": "stable"})),
            "This rollout uses the same service for the stable and canary services",
        ),
        (
            canary(&json!({"maxSurge": 0, "maxUnavailable": 0})),
            "MaxSurge and MaxUnavailable both can not be zero",
        ),
    ];
    assert_first(&table);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table of uniform entries")]
fn argos_checks_of_steps_speak_argos_sentences() {
    let table = [
        (
            steps(&json!([{}])),
            "spec.strategy.steps[0]: Invalid value: \"step.Experiment: true step.Pause: true step.SetWeight: true \
             step.Analysis: true step.SetCanaryScale: true step.SetHeaderRoute: true step.SetMirrorRoute: true \
             step.Plugin: true\": Step must have one of the following set: experiment, setWeight, setCanaryScale, \
             plugin or pause",
        ),
        (
            steps(&json!([{"setWeight": 1, "pause": {}}])),
            "spec.strategy.steps[0]: Invalid value: \"step.Experiment: false step.Pause: true step.SetWeight: true \
             step.Analysis: false\": Step must have one of the following set",
        ),
        (
            steps(&json!([{"setWeight": 101}])),
            "spec.strategy.steps[0].setWeight: Invalid value: 101: SetWeight needs to be between 0 and 100",
        ),
        (
            steps(&json!([{"pause": {"duration": -1}}])),
            "steps[0].pause.duration: Invalid value: -1: Duration needs to be greater than 0",
        ),
        (
            steps(&json!([{"pause": {"duration": "10m."}}])),
            "steps[0].pause.duration: Invalid value: -1: Duration needs to be greater than 0",
        ),
        (
            steps(&json!([{"setHeaderRoute": {"name": "x"}}])),
            "Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes",
        ),
        (
            steps(
                &json!([{"setHeaderRoute": {"name": "beta", "match": [{"headerName": "A", "headerValue": {}}]}}]),
            ),
            "StringMatch value missed",
        ),
        (
            steps(
                &json!([{"setHeaderRoute": {"name": "beta", "match": [{"headerName": "A", "headerValue": {"exact": "a", "regex": "b"}}]}}]),
            ),
            "StringMatch match value must have exactly one of",
        ),
        (
            canary(&json!({"dynamicStableScale": true, "scaleDownDelaySeconds": 1})),
            "spec.strategy.dynamicStableScale: Invalid value: true: Canary dynamicStableScale cannot be used with scaleDownDelaySeconds",
        ),
        (
            canary(&json!({"trafficRouting": null, "scaleDownDelaySeconds": 1})),
            "Canary scaleDownDelaySeconds can only be used with traffic routing",
        ),
        (
            canary(&json!({"trafficRouting": null, "dynamicStableScale": true})),
            "spec.strategy.dynamicStableScale: Invalid value: true: Canary dynamicStableScale can only be used with \
             traffic routing",
        ),
        (
            canary(&json!({"trafficRouting": null, "steps": [{"setCanaryScale": {"weight": 5}}]})),
            "spec.strategy.trafficRouting: Required value: SetCanaryScale requires TrafficRouting to be set",
        ),
        (
            canary(&json!({"antiAffinity": {}})),
            "spec.strategy.antiAffinity: Invalid value: \"antiAffinity.PreferredDuringSchedulingIgnoredDuringExecution: \
             false antiAffinity.RequiredDuringSchedulingIgnoredDuringExecution: false\": AntiAffinity must have exactly \
             one strategy listed",
        ),
        (
            canary(
                &json!({"antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 101}}}),
            ),
            "spec.strategy.antiAffinity.weight: Invalid value: 101: AntiAffinity weight must be between 1-100",
        ),
        (
            steps(&json!([{"analysis": {"templates": [{"templateName": "gone"}]}}])),
            "AnalysisTemplate 'gone' not found",
        ),
    ];
    assert_first(&table);
}

#[test]
fn what_is_not_built_is_named() {
    let table = [
        (
            canary(&json!({"trafficRouting": {"smi": {}}})),
            "the smi traffic router",
        ),
        (
            canary(&json!({"trafficRouting": {"plugins": {"other/one": {}}}})),
            "the traffic router plugin other/one",
        ),
        (
            steps(&json!([{"experiment": {"templates": []}}])),
            "the experiment step",
        ),
        (
            steps(&json!([{"setMirrorRoute": {"name": "beta"}}])),
            "the setMirrorRoute step",
        ),
        (
            steps(&json!([{"plugin": {"name": "x"}}])),
            "the plugin step",
        ),
    ];
    for (patch, what) in table {
        let errors = errors_with(&patch, &observed());
        let text = format!("{what} is not supported by this version of Sluice");
        assert!(
            errors.iter().any(|error| error.ends_with(&text)),
            "{patch}: {errors:#?} lacks {text}"
        );
    }
}

#[test]
fn every_error_is_found_at_once() {
    let patch = json!({"spec": {"replicas": -1, "strategy": {"canary": {
        "steps": [{"setWeight": 200}, {"plugin": {"name": "x"}}],
        "trafficRouting": {"plugins": {"sluice/proxy": {"fleett": "x"}}},
    }}}});
    let errors = errors_with(&patch, &observed());
    assert_eq!(errors.len(), 4, "{errors:#?}");
    assert!(errors[3].contains("sluice/proxy"), "{errors:#?}");
}

#[test]
fn services_must_exist_fit_and_be_free() {
    let mut other = observed();
    other.services.remove("canary");
    let service = other.services.get_mut("stable").unwrap();
    service.managed_by = Some("another".to_owned());
    service.selector.insert("tier".to_owned(), "db".to_owned());
    let errors = errors_with(&json!({}), &other);
    let texts = [
        "service \"canary\" not found",
        "Service \"stable\" has unmatch label \"tier\" in rollout",
        "Service \"stable\" is managed by another Rollout",
    ];
    for (error, text) in errors.iter().zip(texts) {
        assert!(error.ends_with(text), "{error} lacks {text}");
    }
    assert_eq!(errors.len(), texts.len());
    let rival = Some(Rival {
        rollout: "default/old".to_owned(),
        hostname: Some("a.example".to_owned()),
    });
    let errors = errors_with(
        &json!({}),
        &Observed {
            rival,
            ..observed()
        },
    );
    assert!(
        errors[0].ends_with("the Rollout default/old has claimed a.example before"),
        "{errors:#?}"
    );
    let ungranted = Observed {
        ungranted: Some("no ReferenceGrant".to_owned()),
        ..observed()
    };
    let errors = errors_with(&json!({}), &ungranted);
    assert!(errors[0].ends_with("no ReferenceGrant"), "{errors:#?}");
}

#[test]
fn selectors_select_as_kubernetes_does() {
    let labels = [
        ("a".to_owned(), "1".to_owned()),
        ("b".to_owned(), "2".to_owned()),
    ]
    .into();
    let table = [
        (json!({"matchLabels": {"a": "1"}}), true),
        (json!({"matchLabels": {"a": "2"}}), false),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "3"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["1"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "b", "operator": "Exists"}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}),
            false,
        ),
    ];
    for (selector, selected) in table {
        let typed = serde_json::from_value(selector.clone()).unwrap();
        assert_eq!(selects(&typed, &labels), selected, "{selector}");
    }
}

#[test]
fn scaling_down_is_for_deployments_and_has_three_ways() {
    let with = |kind: &str, way: &str| {
        let version = if kind == "PodTemplate" {
            "v1"
        } else {
            "apps/v1"
        };
        let reference =
            json!({"apiVersion": version, "kind": kind, "name": "web", "scaleDown": way});
        errors_with(&json!({"spec": {"workloadRef": reference}}), &observed())
    };
    for way in ["never", "onsuccess", "progressively"] {
        assert_eq!(with("Deployment", way), Vec::<String>::new());
    }
    let table = [
        (
            "ReplicaSet",
            "onsuccess",
            "\"onsuccess\": only a Deployment can be scaled down",
        ),
        (
            "PodTemplate",
            "progressively",
            "\"progressively\": only a Deployment can be scaled down",
        ),
        (
            "Deployment",
            "onSuccess",
            "\"onSuccess\": must be never, onsuccess or progressively",
        ),
    ];
    for (kind, way, text) in table {
        let expected = format!("spec.workloadRef.scaleDown: Invalid value: {text}");
        assert_eq!(with(kind, way), [expected]);
    }
}

#[test]
fn ping_pong_needs_two_services_and_a_router() {
    let with = |ping: &str, pong: &str| {
        let mut observed = observed();
        let service = observed.services["stable"].clone();
        let turns = ["ping", "pong"].map(|name| (name.to_owned(), service.clone()));
        observed.services.extend(turns);
        let services = json!({"pingService": ping, "pongService": pong});
        errors_with(
            &canary(&json!({"stableService": null, "canaryService": null, "pingPong": services})),
            &observed,
        )
    };
    assert_eq!(with("ping", "pong"), Vec::<String>::new());
    // Argo leaves `canary` out of the paths of its own checks.
    let path = "spec.strategy.pingPong";
    let table = [
        (
            with("ping", ""),
            format!(
                "{path}.pongService: Invalid value: \"\": Ping service and Pong service must to be set to use Ping-Pong feature"
            ),
        ),
        (
            with("ping", "ping"),
            format!(
                "{path}.pingService: Invalid value: \"ping\": This rollout uses the same service for the ping and pong \
                 services, but two different services are required."
            ),
        ),
        (
            with("ping", "gone"),
            "spec.strategy.canary.pingPong.pongService: Invalid value: \"gone\": service \"gone\" not found".to_owned(),
        ),
    ];
    for (errors, expected) in table {
        assert_eq!(errors.first(), Some(&expected));
    }
}
