//! Argo's stock kubectl plugin: what it says under Argo's controller it says under ours.

use serde_json::{Value, json};
use sluice_tests::kubectl::Client;
use sluice_tests::objects::observed;
use sluice_tests::real::argo::Argo;
use sluice_tests::real::ground::Space;
use sluice_tests::real::plane;
use sluice_tests::wait::{LONG, LOOK_EVERY};

use super::release::{PODS, Release, at_rest, path, web};
use crate::program;

/// A command, and how the Rollout is when it has had its effect: phase and index.
type Deed = (&'static str, &'static str, Option<i64>);

/// `set image` → first gate → second gate → aborted → again → promoted → back again.
const CANARY: [Deed; 7] = [
    ("set image web app=x:2", "Paused", Some(1)),
    ("promote web", "Paused", Some(3)),
    ("abort web", "Degraded", None),
    ("retry rollout web", "Paused", Some(1)),
    ("promote web --full", "Healthy", None),
    ("undo web", "Paused", Some(1)),
    ("promote web --full", "Healthy", None),
];
const BLUE_GREEN: [Deed; 7] = [
    ("set image web app=x:2", "Paused", None),
    ("abort web", "Degraded", None),
    ("retry rollout web", "Paused", None),
    ("promote web", "Healthy", None),
    ("undo web", "Paused", None),
    ("promote web --full", "Healthy", None),
    ("abort web", "Healthy", None),
];

#[tokio::test(flavor = "multi_thread")]
async fn argos_plugin_says_the_same_of_a_canary_of_ours_as_of_argos() {
    compare(&Release::canary(), "real-plugin-canary", &CANARY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn argos_plugin_says_the_same_of_a_blue_green_release_of_ours_as_of_argos() {
    compare(&Release::blue_green(), "real-plugin-bg", &BLUE_GREEN).await;
}

async fn compare(release: &Release, namespace: &str, deeds: &[Deed]) {
    let (Some(plane), Some(argo)) = (plane(program()).await, Argo::found()) else {
        return;
    };
    let _others = plane.beside_others().await;
    let plugin = argo.plugin(&plane);
    let (expected, said) = tokio::join!(
        async {
            let space = Space::new(&plane, program(), &format!("{namespace}-argos")).await;
            let leader = argo.start(&space);
            let said = session(&space, &plugin, release, deeds).await;
            leader.stop().await;
            space.remove().await;
            said
        },
        async {
            let space = Space::new(&plane, program(), &format!("{namespace}-ours")).await;
            let leader = space.controller("ours").await;
            let said = session(&space, &plugin, release, deeds).await;
            leader.stop().await;
            space.remove().await;
            said
        },
    );
    for (expected, said) in expected.iter().zip(&said) {
        assert_eq!(said, expected, "\n{said}\n--- is not\n{expected}");
    }
}

/// What the plugin says, command by command, with `get` and `status` after each.
async fn session(space: &Space, plugin: &Client, release: &Release, deeds: &[Deed]) -> Vec<String> {
    space.apply(release.services()).await;
    space.apply([web(release, "x:1")]).await;
    becomes(space, ("Healthy", None), PODS).await;
    let mut said = vec![
        ask(space, plugin, "get rollout web --no-color").await,
        ask(space, plugin, "status web --watch=false").await,
    ];
    for (command, phase, index) in deeds {
        said.push(ask(space, plugin, command).await);
        let pods = if *phase == "Paused" {
            release.pods_at_gate
        } else {
            PODS
        };
        becomes(space, (phase, *index), pods).await;
        said.push(ask(space, plugin, "get rollout web --no-color").await);
        said.push(ask(space, plugin, "status web --watch=false").await);
    }
    said
}

/// Waits until the Rollout is so, has seen the newest spec, and all is at rest.
async fn becomes(space: &Space, (phase, index): (&str, Option<i64>), pods: i64) {
    let mut last = Value::Null;
    let look = async {
        loop {
            last = space.read(&path(space)).await;
            let status = &last["status"];
            let at = index.is_none_or(|index| status["currentStepIndex"] == index);
            // A verb that asks for something is heard when the controller has taken it off.
            let heard = status["promoteFull"] != true;
            if status["phase"] == phase
                && at
                && heard
                && observed(&last)
                && at_rest(space, pods).await
            {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let in_time = tokio::time::timeout(LONG, look).await.is_ok();
    assert!(
        in_time,
        "{}: not {phase} {index:?}: {:#}",
        space.namespace, last["status"]
    );
}

async fn ask(space: &Space, plugin: &Client, command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let printed = plugin
        .try_run(&[&words[..], &["-n", &space.namespace]].concat())
        .await;
    let printed = json!([printed.success, printed.out, printed.err]);
    let text = format!(
        "$ {command}: {}\n{}{}",
        printed[0],
        printed[1].as_str().unwrap_or_default(),
        printed[2].as_str().unwrap_or_default()
    );
    normal(&text, &space.namespace)
}

/// Without what differs by nature: hashes, pods' names, ages, and the widths of columns.
fn normal(text: &str, namespace: &str) -> String {
    let mut hashes: Vec<String> = Vec::new();
    let mut word = |word: &str| {
        if word == namespace {
            return "(namespace)".to_owned();
        }
        if is_age(word) {
            return "(age)".to_owned();
        }
        if let Some(rest) = word.strip_prefix("delay:").filter(|rest| is_age(rest)) {
            return format!("delay:({})", if rest.is_empty() { "" } else { "age" });
        }
        let Some((hash, rest)) = word
            .strip_prefix("web-")
            .map(|it| it.split_once('-').unwrap_or((it, "")))
        else {
            return word.to_owned();
        };
        let number = hashes
            .iter()
            .position(|known| known == hash)
            .unwrap_or_else(|| {
                hashes.push(hash.to_owned());
                hashes.len() - 1
            });
        format!(
            "web-{number}{}",
            if rest.is_empty() { "" } else { "-(pod)" }
        )
    };
    // What its informers say when they end with it, sometimes.
    let says = |line: &&str| !(line.starts_with("time=") && line.contains("Failed to watch"));
    let lines = text.lines().filter(says).map(|line| {
        let words: Vec<String> = line.split_whitespace().map(&mut word).collect();
        words.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `12s`, `2m3s`.
fn is_age(word: &str) -> bool {
    let ends_in_unit = word.ends_with(['s', 'm', 'h', 'd']);
    let digits = word.starts_with(|c: char| c.is_ascii_digit());
    let only = word
        .chars()
        .all(|c| c.is_ascii_digit() || "smhd".contains(c));
    ends_in_unit && digits && only
}
