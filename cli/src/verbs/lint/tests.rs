use super::*;

fn lines(text: &str) -> Vec<String> {
    let documents = manifest::documents("web.yaml", text).unwrap();
    lint(&documents).iter().map(Problem::line).collect()
}

const ROLLOUT: &str = "\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: web
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: web:1
  strategy:
    canary:
      stableService: web-stable
      canaryService: web-canary
      trafficRouting:
        plugins:
          sluice/proxy:
            port: 80
      steps:
        - setWeight: 10
        - analysis:
            templates:
              - templateName: errors
";

#[test]
fn a_good_rollout_has_no_problems_though_its_surroundings_are_elsewhere() {
    assert_eq!(lines(ROLLOUT), Vec::<String>::new());
}

#[test]
fn every_error_has_its_line() {
    let wrong = ROLLOUT
        .replace("setWeight: 10", "setWeight: 101")
        .replace("image: web:1", "imgae: web:1")
        .replace("port: 80", "prot: 80");
    let found = lines(&wrong).concat();
    let expected = [
        "web.yaml:12: Rollout/web: unknown field \"spec.template.spec.containers[0].imgae\"\n  did you mean image?\n",
        "web.yaml:22: Rollout/web: spec.strategy.canary.steps[0].setWeight: Invalid value: 101: SetWeight needs to be between 0 and 100\n",
        "web.yaml:20: ",
    ];
    for line in expected {
        assert!(found.contains(line), "{line}\nis not in\n{found}");
    }
}

#[test]
fn a_field_of_the_wrong_type_is_one_problem() {
    let found = lines(&ROLLOUT.replace("setWeight: 10", "setWeight: ten"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("web.yaml:22: Rollout/web: "),
        "{}",
        found[0]
    );
}

#[test]
fn services_of_the_same_files_are_cross_checked() {
    let service = "\
---
apiVersion: v1
kind: Service
metadata: {name: web-stable}
spec: {selector: {app: other}, ports: [{port: 80}]}
";
    let found = lines(&format!("{ROLLOUT}{service}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("web-stable"), "{}", found[0]);
    assert!(found[0].starts_with("web.yaml:15: "), "{}", found[0]);
}

#[test]
fn a_template_is_checked_as_far_as_its_arguments_are_known() {
    let template = "\
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: limit}]
  metrics:
    - name: good
      interval: 30s
      successCondition: result[0] < {{args.limit}}
      provider: {plugin: {sluice/proxy: {compare: errors}}}
    - name: bad
      interval: soon
      failureCondition: result[0] <
      provider: {plugin: {sluice/proxy: {compare: errors}}}
";
    let found = lines(template);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("web.yaml:13: "), "{}", found[0]);
    assert!(found[1].starts_with("web.yaml:12: "), "{}", found[1]);
}

#[test]
fn an_unknown_kind_of_ours_is_named() {
    let found = lines("apiVersion: argoproj.io/v1alpha1\nkind: Rolout\nmetadata: {name: x}\n");
    assert!(found[0].contains("there are: "), "{found:?}");
    assert_eq!(
        lines("apiVersion: v1\nkind: Service\n"),
        Vec::<String>::new()
    );
}
