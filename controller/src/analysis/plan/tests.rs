use judgement::{Decision, Measure, Reasons, TestUsed, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::analysis::providers::Look;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn look(decision: Decision) -> Look {
    let reasons = Reasons {
        errors: 9,
        requests: 60,
        rate: 0.15,
        stable_errors: 1,
        stable_requests: 540,
        stable_rate: 0.002,
        share: 0.1,
        e: if decision == Decision::Worse {
            150.0
        } else {
            0.5
        },
        alpha: 0.01,
        threshold: 100.0,
        test: TestUsed::Share,
        measure: Measure::Errors,
        evidence: if decision == Decision::Insufficient {
            3
        } else {
            60
        },
        needed: 20,
    };
    Look {
        verdict: Verdict { decision, reasons },
        silence: None,
    }
}

/// A run of one metric `m`.
fn run_of(fields: Value) -> AnalysisRun {
    let mut metric =
        json!({"name": "m", "provider": {"plugin": {"sluice/proxy": {"compare": "errors"}}}});
    metric
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    of_spec(json!({"metrics": [metric]}))
}

fn of_spec(spec: Value) -> AnalysisRun {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "run", "namespace": "default", "uid": "u"}, "spec": spec,
    }))
    .unwrap()
}

fn seen(outcome: Result<Decision, &str>) -> Observed {
    let outcome = outcome.map(look).map_err(str::to_owned);
    Observed {
        looks: BTreeMap::from([("m".to_owned(), outcome)]),
        ..Observed::default()
    }
}

/// Carries a run on with one outcome per look, ten seconds apart; the last plan.
fn carried_on(run: &mut AnalysisRun, outcomes: &[Result<Decision, &str>]) -> Plan {
    let mut last = Plan::default();
    for (index, outcome) in (0..).zip(outcomes) {
        last = plan(run, &seen(*outcome), at(10 * index));
        run.status = Some(last.status.clone());
    }
    last
}

fn phase(plan: &Plan) -> &str {
    plan.status.phase.as_ref().map_or("", AnalysisPhase::as_str)
}

fn message(plan: &Plan) -> &str {
    plan.status.message.as_deref().unwrap_or_default()
}

const GOOD: Result<Decision, &str> = Ok(Decision::Undecided);
const BAD: Result<Decision, &str> = Ok(Decision::Worse);
const LITTLE: Result<Decision, &str> = Ok(Decision::Insufficient);
const ERROR: Result<Decision, &str> = Err("no answer");

/// With a condition each measurement is judged for itself, so that limits matter.
const CONDITION: &str = "result.e < 100";

/// A row: the metric, what is seen, the phase and the message.
type Limits = (
    Value,
    Vec<Result<Decision, &'static str>>,
    &'static str,
    String,
);

#[test]
fn limits_decide_as_in_argo() {
    let verdict = look(Decision::Worse).verdict.to_string();
    let failed = |n: u32, limit: u32| {
        format!(
            "Metric \"m\" assessed Failed due to failed ({n}) > failureLimit ({limit}): \"Error Message: {verdict}\""
        )
    };
    let every = json!({"interval": "10s", "successCondition": CONDITION});
    let with = |more: Value| {
        let mut fields = every.clone();
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        fields
    };
    let rows: Vec<Limits> = vec![
        (every.clone(), vec![GOOD, GOOD, GOOD], "Running", String::new()),
        (every.clone(), vec![GOOD, BAD], "Failed", failed(1, 0)),
        (with(json!({"failureLimit": 3})), vec![BAD, BAD, BAD], "Running", String::new()),
        (with(json!({"failureLimit": 3})), vec![BAD, GOOD, BAD, BAD, BAD], "Failed", failed(4, 3)),
        (with(json!({"count": 3})), vec![GOOD, GOOD], "Running", String::new()),
        (with(json!({"count": 3})), vec![GOOD, GOOD, GOOD], "Successful", String::new()),
        (with(json!({"count": 3, "failureLimit": 1})), vec![GOOD, BAD, GOOD], "Successful", String::new()),
        (with(json!({"count": 3})), vec![GOOD, ERROR, GOOD, ERROR, GOOD], "Successful", String::new()),
        (every.clone(), vec![ERROR; 4], "Running", String::new()),
        (every.clone(), vec![ERROR; 5], "Error",
         "Metric \"m\" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4): \"Error Message: no answer\"".to_owned()),
        (with(json!({"consecutiveErrorLimit": 0})), vec![ERROR], "Error",
         "Metric \"m\" assessed Error due to consecutiveErrors (1) > consecutiveErrorLimit (0): \"Error Message: no answer\"".to_owned()),
        (every.clone(), vec![ERROR, ERROR, ERROR, ERROR, GOOD, ERROR], "Running", String::new()),
        (with(json!({"consecutiveSuccessLimit": 2})), vec![GOOD, GOOD], "Successful", String::new()),
        (with(json!({"consecutiveSuccessLimit": 2, "failureLimit": 5})), vec![GOOD, BAD, GOOD], "Running", String::new()),
        (with(json!({"consecutiveSuccessLimit": 2, "failureLimit": 1, "count": 3})), vec![GOOD, BAD, GOOD], "Inconclusive", String::new()),
        (with(json!({"consecutiveSuccessLimit": 2, "failureLimit": -1, "count": 3})), vec![GOOD, BAD, GOOD], "Failed", String::new()),
        (json!({"interval": "10s", "successCondition": "result.e < 0.1", "failureCondition": "result.e > 1"}), vec![GOOD], "Inconclusive",
         "Metric \"m\" assessed Inconclusive due to inconclusive (1) > inconclusiveLimit (0)".to_owned()),
        (json!({"interval": "10s", "successCondition": "result.e < 0.1", "failureCondition": "result.e > 1", "inconclusiveLimit": 2}),
         vec![GOOD, GOOD], "Running", String::new()),
    ];
    for (fields, outcomes, expected, words) in rows {
        let last = carried_on(&mut run_of(fields.clone()), &outcomes);
        assert_eq!(phase(&last), expected, "{fields} {outcomes:?}");
        if !words.is_empty() && expected != "Inconclusive" {
            assert_eq!(message(&last), words, "{fields} {outcomes:?}");
        }
        if expected == "Inconclusive" {
            assert!(message(&last).starts_with(&words), "{}", message(&last));
        }
    }
}

#[test]
fn one_measurement_is_judged_by_both_conditions() {
    let rows = [
        (Some("true"), None, "Successful"),
        (Some("false"), None, "Failed"),
        (None, Some("true"), "Failed"),
        (None, Some("false"), "Successful"),
        (Some("true"), Some("true"), "Failed"),
        (Some("true"), Some("false"), "Successful"),
        (Some("false"), Some("true"), "Failed"),
        (Some("false"), Some("false"), "Inconclusive"),
        (Some("result.absent > 1"), None, "Error"),
        (Some("result.e"), None, "Error"),
    ];
    for (success, failure, expected) in rows {
        let fields =
            json!({"successCondition": success, "failureCondition": failure, "interval": "1m"});
        let last = plan(&run_of(fields), &seen(GOOD), at(0));
        let measurement = &last.status.metric_results[0].measurements[0];
        assert_eq!(
            measurement.phase.as_str(),
            expected,
            "{success:?} {failure:?}"
        );
        if success == Some("result.e") {
            let words =
                "could not evaluate successCondition \"result.e\": expected bool, but got float64";
            assert_eq!(measurement.message.as_deref(), Some(words));
        }
    }
}

#[test]
fn a_test_that_decides_ends_the_metric_at_once_and_beyond_its_limit() {
    let mut run = run_of(json!({"interval": "10m", "failureLimit": 3}));
    carried_on(&mut run, &[GOOD]);
    let early = plan(&run, &seen(GOOD), at(1));
    assert_eq!(early.status, *run.status.as_ref().unwrap());
    let last = plan(&run, &seen(BAD), at(1));
    let verdict = look(Decision::Worse).verdict.to_string();
    assert_eq!(phase(&last), "Failed");
    assert_eq!(
        message(&last),
        format!(
            "Metric \"m\" assessed Failed due to failed (4) > failureLimit (3): \"Error Message: {verdict}\""
        )
    );
    assert_eq!(last.status.metric_results[0].measurements.len(), 2);
    let reasons: Vec<&str> = last.notes.iter().map(|note| note.reason.as_str()).collect();
    assert_eq!(reasons, ["MetricFailed", "AnalysisRunFailed"]);
}

#[test]
fn too_little_evidence_is_its_own_outcome() {
    let value = |plan: &Plan| plan.status.metric_results[0].measurements[0].value.clone();
    for (step, on_insufficient, fields, expected) in [
        (false, None, json!({"interval": "10s"}), "Running"),
        (false, None, json!({}), "Successful"),
        (true, None, json!({}), "Inconclusive"),
        (true, Some("success"), json!({}), "Successful"),
        (false, Some("inconclusive"), json!({}), "Inconclusive"),
        (
            true,
            None,
            json!({"count": 2, "interval": "10s"}),
            "Running",
        ),
        (
            true,
            None,
            json!({"successCondition": "result.requests > 0"}),
            "Inconclusive",
        ),
    ] {
        let mut run = run_of(fields.clone());
        if let Some(word) = on_insufficient {
            let block = run.spec.metrics[0]
                .provider
                .plugin
                .get_mut("sluice/proxy")
                .unwrap();
            block["onInsufficient"] = word.into();
        }
        let last = plan(
            &run,
            &Observed {
                step,
                ..seen(LITTLE)
            },
            at(0),
        );
        assert_eq!(
            phase(&last),
            expected,
            "{step} {on_insufficient:?} {fields}"
        );
        assert_eq!(value(&last).as_deref(), Some("insufficient (3 of 20)"));
    }
    let mut silent = look(Decision::Insufficient);
    silent.silence = Some("no proxy of fleet my-app is connected".to_owned());
    let observed = Observed {
        looks: BTreeMap::from([("m".to_owned(), Ok(silent))]),
        ..Observed::default()
    };
    let expected = "insufficient (3 of 20): no proxy of fleet my-app is connected";
    assert_eq!(
        value(&plan(&run_of(json!({})), &observed, at(0))).as_deref(),
        Some(expected)
    );
}

#[test]
fn measurements_are_due_after_delay_interval_and_error() {
    let mut run = run_of(json!({"interval": "1m", "initialDelay": "30s"}));
    let first = plan(&run, &seen(GOOD), at(0));
    assert!(first.status.metric_results.is_empty());
    assert_eq!((phase(&first), first.again), ("Running", Some(at(30))));
    run.status = Some(first.status);
    assert!(
        plan(&run, &seen(GOOD), at(29))
            .status
            .metric_results
            .is_empty()
    );
    let second = plan(&run, &seen(ERROR), at(30));
    assert_eq!(
        second.again,
        Some(at(40)),
        "an error is tried again after 10 s"
    );
    run.status = Some(second.status);
    let third = plan(&run, &seen(GOOD), at(40));
    assert_eq!(third.again, Some(at(100)));
    assert!(third.watching);
}

#[test]
fn a_terminated_run_measures_no_more() {
    let mut run = run_of(json!({"interval": "10s"}));
    run.spec.terminate = Some(true);
    let never = plan(&run, &seen(BAD), at(0));
    assert_eq!(
        (phase(&never), message(&never)),
        ("Successful", "Run Terminated")
    );
    let mut run = run_of(json!({"interval": "10s"}));
    carried_on(&mut run, &[GOOD]);
    run.spec.terminate = Some(true);
    let last = plan(&run, &seen(BAD), at(60));
    assert_eq!(
        (phase(&last), message(&last)),
        ("Successful", "Run Terminated")
    );
    assert_eq!(
        last.status.metric_results[0].phase,
        AnalysisPhase::Successful
    );
}

#[test]
fn a_dry_run_metric_never_counts_and_a_bad_one_ends_the_others() {
    let proxy = json!({"plugin": {"sluice/proxy": {"compare": "errors"}}});
    let metric = |name: &str| json!({"name": name, "interval": "10s", "provider": proxy});
    let spec = |dry: Value| json!({"metrics": [metric("a"), metric("b")], "dryRun": dry});
    let looks = |a, b| Observed {
        looks: BTreeMap::from([("a".to_owned(), Ok(look(a))), ("b".to_owned(), Ok(look(b)))]),
        ..Observed::default()
    };
    let observed = looks(Decision::Worse, Decision::Undecided);
    let dry = plan(
        &of_spec(spec(json!([{"metricName": "a"}]))),
        &observed,
        at(0),
    );
    assert_eq!(phase(&dry), "Running");
    assert_eq!(dry.status.metric_results[0].dry_run, Some(true));
    let words = "Metric assessed Failed due to failed (1) > failureLimit (0)";
    assert_eq!(dry.status.metric_results[0].message.as_deref(), Some(words));
    let dry_summary = dry.status.dry_run_summary.unwrap();
    assert_eq!((dry_summary.count, dry_summary.failed), (Some(1), Some(1)));

    let counted = plan(&of_spec(spec(json!([]))), &observed, at(0));
    assert_eq!(phase(&counted), "Failed");
    assert_eq!(
        counted.status.metric_results[1].phase,
        AnalysisPhase::Successful
    );
    let summary = counted.status.run_summary.unwrap();
    assert_eq!(
        (summary.count, summary.failed, summary.successful),
        (Some(2), Some(1), Some(1))
    );
}

#[test]
fn what_cannot_be_carried_out_ends_as_error() {
    let graphite = run_of(json!({"provider": {"graphite": {"query": "a"}}}));
    let refused = plan(&graphite, &Observed::default(), at(0));
    assert_eq!(phase(&refused), "Error");
    assert!(
        message(&refused).starts_with(
            "Analysis spec invalid: metrics[0]: metric 'm' uses the provider 'graphite'"
        )
    );
    let unresolved = run_of(json!({"interval": "{{args.pace}}"}));
    let refused = plan(&unresolved, &Observed::default(), at(0));
    assert_eq!(
        message(&refused),
        "Unable to resolve metric arguments: failed to resolve {{args.pace}}"
    );
    let unreadable = Observed {
        unreadable: Some("secrets \"s\" not found".to_owned()),
        ..seen(GOOD)
    };
    let refused = plan(&run_of(json!({})), &unreadable, at(0));
    assert_eq!(
        message(&refused),
        "Unable to resolve metric arguments: secrets \"s\" not found"
    );
}

#[test]
fn a_tripped_fuse_fails_the_run_with_its_reason() {
    let mut run = run_of(json!({"interval": "10m"}));
    carried_on(&mut run, &[GOOD]);
    let tripped = Observed {
        fuse: Some("fuse of proxy p-1 tripped".to_owned()),
        ..seen(GOOD)
    };
    let last = plan(&run, &tripped, at(1));
    assert_eq!(
        (phase(&last), message(&last)),
        ("Failed", "fuse of proxy p-1 tripped")
    );
    assert_eq!(last.status.completed_at, Some(Time(at(1))));
}

#[test]
fn a_finished_run_is_left_alone_and_deleted_in_its_time() {
    let strategy = json!({"secondsAfterCompletion": 60, "secondsAfterFailure": 5});
    for (decision, over) in [(BAD, 5), (GOOD, 60)] {
        let mut run = run_of(json!({}));
        run.spec.ttl_strategy = Some(serde_json::from_value(strategy.clone()).unwrap());
        carried_on(&mut run, &[decision]);
        let later = plan(&run, &seen(BAD), at(over - 1));
        assert_eq!(later.status, *run.status.as_ref().unwrap());
        assert_eq!((later.delete, later.again), (false, Some(at(over))));
        assert!(plan(&run, &seen(BAD), at(over)).delete);
    }
    let mut run = run_of(json!({}));
    carried_on(&mut run, &[GOOD]);
    assert!(!plan(&run, &seen(BAD), at(1_000_000)).delete);
}

#[test]
fn the_newest_measurements_are_kept() {
    let mut run = run_of(json!({"interval": "10s"}));
    let last = carried_on(&mut run, &[GOOD; 15]);
    let result = &last.status.metric_results[0];
    assert_eq!((result.measurements.len(), result.count), (10, Some(15)));
    assert_eq!(result.measurements[9].finished_at, Some(Time(at(140))));
}

proptest! {
    /// Whatever is seen, a plan is stable at one moment, counts add up, and an end is final.
    #[test]
    fn plans_are_stable_and_ends_are_final(
        outcomes in prop::collection::vec(0..4_usize, 1..30),
        limit in 0..4_i64,
        count in prop::option::of(5..20_i64),
        conditions: bool,
    ) {
        let mut fields = json!({"interval": "10s", "failureLimit": limit});
        if let Some(count) = count { fields["count"] = count.into(); }
        if conditions { fields["successCondition"] = CONDITION.into(); }
        let mut run = run_of(fields);
        let mut ended: Option<AnalysisRunStatus> = None;
        for (index, outcome) in (0..).zip(&outcomes) {
            let observed = seen([GOOD, BAD, LITTLE, ERROR][*outcome]);
            let now = at(10 * index);
            let next = plan(&run, &observed, now);
            run.status = Some(next.status.clone());
            prop_assert_eq!(&plan(&run, &observed, now).status, &next.status);
            if let Some(ended) = &ended { prop_assert_eq!(ended, &next.status); }
            let result = &next.status.metric_results[0];
            let number = |count: Option<i32>| i64::from(count.unwrap_or_default());
            if conditions {
                let sum = number(result.successful) + number(result.failed) + number(result.inconclusive);
                prop_assert_eq!(number(result.count), sum);
            }
            prop_assert_eq!(result.phase == AnalysisPhase::Failed, number(result.failed) > limit);
            let over = next.status.phase.as_ref().is_some_and(AnalysisPhase::is_completed);
            prop_assert!(over || next.again.is_some_and(|again| again > now));
            if over { ended = Some(next.status); }
        }
    }
}
