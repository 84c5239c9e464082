//! What is refused of blue-green.

use serde_json::{Value, json};

use super::{check, errors_with, observed};
use crate::rollout::observe::{Observed, ServiceView};

fn world() -> Observed {
    let mut observed = observed();
    let service = observed.services["stable"].clone();
    let services = ["active", "preview"].map(|name| (name.to_owned(), service.clone()));
    observed.services.extend(services);
    observed
}

fn blue_green(settings: &Value) -> Value {
    let mut way = json!({"activeService": "active", "previewService": "preview"});
    json_patch::merge(&mut way, settings);
    json!({"spec": {"strategy": {"canary": null, "blueGreen": way}}})
}

#[test]
fn a_good_one_has_no_errors() {
    let table = [
        json!({}),
        json!({"previewService": null}),
        json!({"previewReplicaCount": 0, "autoPromotionSeconds": 0, "scaleDownDelayRevisionLimit": 10}),
        json!({"prePromotionAnalysis": {"templates": []}}),
    ];
    for settings in table {
        let errors = errors_with(&blue_green(&settings), &world());
        assert_eq!(errors, Vec::<String>::new(), "{settings}");
    }
}

#[test]
fn what_is_wrong_is_told_in_argos_words() {
    let table = [
        (
            json!({"previewService": "active"}),
            "spec.strategy.activeService: Invalid value: \"active\": This rollout uses the same service for the active \
             and preview services, but two different services are required.",
        ),
        (
            json!({"scaleDownDelayRevisionLimit": 11}),
            "spec.strategy.scaleDownDelayRevisionLimit: Invalid value: 11: This rollout's revision history limit can \
             not be smaller than the rollout's scale down limit",
        ),
        (
            json!({"activeService": "other"}),
            "spec.strategy.blueGreen.activeService: Invalid value: \"other\": service \"other\" not found",
        ),
        (
            json!({"previewReplicaCount": -1}),
            "spec.strategy.blueGreen.previewReplicaCount: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            json!({"autoPromotionSeconds": -1}),
            "spec.strategy.blueGreen.autoPromotionSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
    ];
    for (settings, expected) in table {
        let errors = errors_with(&blue_green(&settings), &world());
        assert_eq!(
            errors.first().map(String::as_str),
            Some(expected),
            "{settings}"
        );
    }
    let both = errors_with(
        &json!({"spec": {"strategy": {"blueGreen": {"activeService": "active"}}}}),
        &world(),
    );
    let text = "spec.strategy.strategy: Invalid value: \"blueGreen: true canary: true\": Multiple Strategies can not be listed";
    assert_eq!(both[0], text);
}

#[test]
fn an_analysis_of_either_side_is_checked() {
    for side in ["prePromotionAnalysis", "postPromotionAnalysis"] {
        let settings = json!({(side): {"templates": [{"templateName": "none"}]}});
        let errors = errors_with(&blue_green(&settings), &world());
        let path = format!("spec.strategy.blueGreen.{side}.templates: ");
        assert!(
            errors[0].starts_with(&path) && errors[0].contains("'none' not found"),
            "{errors:?}"
        );
    }
}

#[test]
fn the_annotation_is_strict_and_only_for_blue_green() {
    let annotated = |text: &str| json!({"metadata": {"annotations": {"sluice/proxy": text}}});
    let mut patch = blue_green(&json!({}));
    json_patch::merge(
        &mut patch,
        &annotated("{fleets: edge, sticky: {header: X-User}}"),
    );
    let errors = errors_with(&patch, &world());
    assert!(
        errors[0].starts_with("metadata.annotations[sluice/proxy].sticky: "),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("metadata.annotations[sluice/proxy].fleets: "),
        "{errors:?}"
    );
    let errors = errors_with(&annotated("{}"), &world());
    assert!(
        errors[0]
            .contains("is for blueGreen; a canary names it in spec.strategy.canary.trafficRouting"),
        "{errors:?}"
    );
}

/// Every Rollout of docs/blue-green.md, with the Services and templates that the page speaks of.
#[test]
fn the_page_about_it_shows_what_works() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/blue-green.md");
    let page = std::fs::read_to_string(file).expect("docs/blue-green.md can be read");
    let blocks: Vec<_> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let documents = blocks
        .iter()
        .flat_map(|block| crds::read::documents(block).unwrap());
    let (rollouts, templates): (Vec<_>, Vec<_>) =
        documents.partition(|document| document["kind"] == "Rollout");
    assert_eq!((rollouts.len(), templates.len()), (2, 1));
    let mut observed = Observed::default();
    let service = ServiceView {
        selector: [("app".into(), "shop".into())].into(),
        ..ServiceView::default()
    };
    observed.services = ["shop", "shop-preview"]
        .map(|name| (name.to_owned(), service.clone()))
        .into();
    for template in templates {
        let template: crds::AnalysisTemplate = crds::read::read(template).unwrap();
        let name = template.metadata.name.unwrap();
        observed
            .templates
            .namespaced
            .insert(name, std::sync::Arc::new(template.spec));
    }
    for rollout in rollouts {
        let errors = check(&crds::read::read(rollout).unwrap(), &observed).err();
        assert_eq!(errors, None);
    }
}

#[test]
fn an_analysis_that_compares_has_nothing_to_compare() {
    let mut observed = world();
    for (test, wrong) in [
        (json!({"compare": "errors"}), true),
        (json!({"successRate": {"min": 0.9}}), false),
    ] {
        let spec = serde_json::from_value(json!({"metrics": [{
            "name": "errors", "count": 1, "provider": {"plugin": {"sluice/proxy": test}},
        }]}));
        let templates = &mut observed.templates.namespaced;
        templates.insert("errors".to_owned(), std::sync::Arc::new(spec.unwrap()));
        let settings = json!({"prePromotionAnalysis": {"templates": [{"templateName": "errors"}]}});
        let errors = errors_with(&blue_green(&settings), &observed);
        let told = errors
            .iter()
            .any(|error| error.contains("compares two versions that serve at the same time"));
        assert_eq!(told, wrong, "{test}: {errors:?}");
    }
}
