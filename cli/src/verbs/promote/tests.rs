use serde_json::{Value, json};

use super::*;

fn rollout(paused: bool, strategy: &Value, status: &Value) -> Rollout {
    let spec = json!({"paused": paused, "strategy": strategy});
    serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec, "status": status}))
        .unwrap()
}

fn pause() -> Value {
    json!([{"reason": "CanaryPauseStep", "startTime": "2026-01-01T00:00:00Z"}])
}

fn canary() -> Value {
    json!({"canary": {"steps": [{"setWeight": 10}, {"pause": {}}, {"setWeight": 40}]}})
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table of uniform entries")]
fn the_next_step_depends_on_what_the_rollout_waits_for() {
    let inconclusive =
        json!({"currentStepAnalysisRunStatus": {"name": "r", "status": "Inconclusive"}});
    let resume = json!({"status": {"pauseConditions": null}});
    let unpause = json!({"spec": {"paused": false}});
    let blue_green = json!({"blueGreen": {"activeService": "a"}});
    let stepless = json!({"canary": {}});
    let skip = |index: i32| json!({"status": {"pauseConditions": null, "currentStepIndex": index}});
    let table = [
        (
            "a pause step",
            false,
            canary(),
            json!({"currentStepIndex": 1, "pauseConditions": pause()}),
            None,
            Some(resume.clone()),
        ),
        (
            "an analysis",
            false,
            canary(),
            json!({"currentStepIndex": 1}),
            None,
            Some(skip(2)),
        ),
        ("not begun", false, canary(), json!({}), None, Some(skip(1))),
        (
            "finished",
            false,
            canary(),
            json!({"currentStepIndex": 3}),
            None,
            Some(skip(3)),
        ),
        (
            "a user's pause",
            true,
            canary(),
            json!({"currentStepIndex": 0}),
            Some(unpause.clone()),
            Some(skip(1)),
        ),
        (
            "both pauses",
            true,
            canary(),
            json!({"pauseConditions": pause()}),
            Some(unpause.clone()),
            Some(resume.clone()),
        ),
        (
            "inconclusive",
            false,
            canary(),
            json!({"currentStepIndex": 1, "pauseConditions": pause(), "controllerPause": true, "canary": inconclusive.clone()}),
            None,
            Some(
                json!({"status": {"pauseConditions": null, "controllerPause": false, "currentStepIndex": 2}}),
            ),
        ),
        (
            "inconclusive, pause not the controller's",
            false,
            canary(),
            json!({"currentStepIndex": 1, "pauseConditions": pause(), "canary": inconclusive}),
            None,
            Some(resume.clone()),
        ),
        (
            "blue-green",
            false,
            blue_green.clone(),
            json!({"pauseConditions": pause()}),
            None,
            Some(resume),
        ),
        (
            "blue-green, nothing to do",
            false,
            blue_green,
            json!({}),
            None,
            None,
        ),
        ("no steps", true, stepless, json!({}), Some(unpause), None),
    ];
    for (case, paused, strategy, status, spec, expected) in table {
        let patches = patches(&rollout(paused, &strategy, &status), Promotion::Next);
        assert_eq!((patches.spec, patches.status), (spec, expected), "{case}");
    }
}

#[test]
fn a_full_promotion_is_for_an_update_under_way() {
    let under_way = json!({"currentPodHash": "b", "stableRS": "a", "pauseConditions": pause()});
    let done = json!({"currentPodHash": "b", "stableRS": "b"});
    let full = json!({"status": {"promoteFull": true}});
    for (paused, status, expected) in [
        (false, &under_way, Some(full.clone())),
        (true, &under_way, Some(full)),
        (true, &done, None),
    ] {
        let patches = patches(&rollout(paused, &canary(), status), Promotion::Full);
        let spec = paused.then(|| json!({"spec": {"paused": false}}));
        assert_eq!(
            (patches.spec, patches.status),
            (spec, expected),
            "{paused} {status}"
        );
    }
}

#[test]
fn old_spellings_skip_steps_whatever_the_pause() {
    let rollout = rollout(
        true,
        &canary(),
        &json!({"currentStepIndex": 1, "pauseConditions": pause()}),
    );
    let index = |promotion| {
        patches(&rollout, promotion).status.unwrap()["status"]["currentStepIndex"].clone()
    };
    assert_eq!(index(Promotion::SkipStep), 2);
    assert_eq!(index(Promotion::SkipSteps), 3);
}

#[test]
fn steps_that_are_not_there_cannot_be_skipped() {
    for strategy in [
        json!({"canary": {}}),
        json!({"blueGreen": {"activeService": "a"}}),
    ] {
        let rollout = rollout(false, &strategy, &json!({}));
        assert!(check(&rollout, Promotion::SkipStep).is_err(), "{strategy}");
        assert!(check(&rollout, Promotion::Next).is_ok(), "{strategy}");
    }
}
