//! The tree against what Argo's own tests say it is.

use serde_json::{Value, json};

use super::*;

/// The scenarios of Argo's tests: their objects and what its CLI prints for them.
const SCENARIOS: [(&str, &str, &str); 7] = [
    (
        "canary",
        include_str!("testdata/canary.yaml"),
        include_str!("testdata/canary.txt"),
    ),
    (
        "ping-pong",
        include_str!("testdata/ping-pong.yaml"),
        include_str!("testdata/ping-pong.txt"),
    ),
    (
        "blue-green",
        include_str!("testdata/blue-green.yaml"),
        include_str!("testdata/blue-green.txt"),
    ),
    (
        "experiment-analysis",
        include_str!("testdata/experiment-analysis.yaml"),
        include_str!("testdata/experiment-analysis.txt"),
    ),
    (
        "experiment-step",
        include_str!("testdata/experiment-step.yaml"),
        include_str!("testdata/experiment-step.txt"),
    ),
    (
        "aborted",
        include_str!("testdata/aborted.yaml"),
        include_str!("testdata/aborted.txt"),
    ),
    (
        "invalid",
        include_str!("testdata/invalid.yaml"),
        include_str!("testdata/invalid.txt"),
    ),
];

const PLAIN: Look = Look {
    detail: Detail::Usual,
    paint: Paint::Plain,
};

/// A week after all objects of the scenarios were created.
fn now() -> Timestamp {
    "2026-01-08T00:00:00Z".parse().unwrap()
}

fn input(objects: Vec<Value>) -> TreeInput {
    let mut input = TreeInput::default();
    for object in objects {
        let kind = object["kind"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "Rollout" => input.rollout = crds::read::read(object).unwrap(),
            "ReplicaSet" => input
                .replica_sets
                .push(Arc::new(crds::read::read(object).unwrap())),
            "Pod" => input.pods.push(Arc::new(crds::read::read(object).unwrap())),
            "Experiment" => input
                .experiments
                .push(Arc::new(crds::read::read(object).unwrap())),
            "AnalysisRun" => input
                .analysis_runs
                .push(Arc::new(crds::read::read(object).unwrap())),
            other => panic!("a tree has no {other}"),
        }
    }
    input
}

fn scenario(name: &str) -> TreeInput {
    let (_, objects, _) = SCENARIOS
        .iter()
        .find(|(known, _, _)| *known == name)
        .unwrap();
    input(crds::read::documents(objects).unwrap())
}

#[test]
fn the_tree_is_argos() {
    for (name, objects, expected) in SCENARIOS {
        let input = input(crds::read::documents(objects).unwrap());
        let text = render(&input, PLAIN, now());
        assert_eq!(text, expected, "{name}:\n{text}");
    }
}

#[test]
fn the_order_of_the_objects_does_not_matter() {
    let (_, objects, expected) = SCENARIOS[3];
    let mut objects = crds::read::documents(objects).unwrap();
    objects.reverse();
    assert_eq!(render(&input(objects), PLAIN, now()), expected);
}

#[test]
fn a_scale_down_deadline_is_counted_down() {
    for (deadline, shown) in [
        ("2026-01-08T03:59:59Z", "delay:3h59m"),
        ("2026-01-08T00:00:20Z", "delay:20s"),
        ("2026-01-07T23:00:00Z", "delay:passed"),
    ] {
        let mut input = scenario("blue-green");
        let old = input
            .replica_sets
            .iter_mut()
            .find(|set| revision(set.as_ref()) == 8)
            .unwrap();
        let annotations = Arc::make_mut(old)
            .metadata
            .annotations
            .get_or_insert_default();
        annotations.insert("scale-down-deadline".to_owned(), deadline.to_owned());
        let text = render(&input, PLAIN, now());
        let line = text.lines().last().unwrap();
        assert!(
            line.ends_with(&format!("• ScaledDown  7d   {shown}")),
            "{line}"
        );
    }
}

#[test]
fn colours_change_no_column() {
    let input = scenario("experiment-analysis");
    let painted = render(
        &input,
        Look {
            paint: Paint::Ansi,
            ..PLAIN
        },
        now(),
    );
    assert!(painted.contains("\x1b[32m✔\x1b[0m Healthy"), "{painted}");
    let mut plain = painted.clone();
    for code in ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[94m", "\x1b[0m"] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, render(&input, PLAIN, now()));
}

#[test]
fn a_wide_tree_says_what_was_measured() {
    let mut input = scenario("aborted");
    let run = Arc::make_mut(&mut input.analysis_runs[0]);
    let status = run.status.as_mut().unwrap();
    status.metric_results[0].message = Some("31 of 100 failed, stable 0 of 900\nmore".to_owned());
    let text = render(
        &input,
        Look {
            detail: Detail::Wide,
            ..PLAIN
        },
        now(),
    );
    let line = text.lines().find(|line| line.contains("Metric")).unwrap();
    assert!(line.contains("└──≈ web"), "{line}");
    assert!(
        line.ends_with("✖ Failed      7d   31 of 100 failed, stable 0 of 900"),
        "{line}"
    );
}

#[test]
fn a_rollout_that_nothing_is_known_of_is_shown() {
    let rollout = json!({"kind": "Rollout", "metadata": {"name": "web", "namespace": "shop"},
                         "spec": {"strategy": {"canary": {}}}});
    let text = render(&input(vec![rollout]), PLAIN, now());
    assert!(
        text.contains("Message:         waiting for a controller to take it up\n"),
        "{text}"
    );
    assert!(
        text.ends_with("⟳ web  Rollout  ◌ Progressing  <unknown>\n"),
        "{text}"
    );
}
