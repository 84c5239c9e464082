//! AnalysisRuns of a canary.

use std::sync::Arc;

use crds::AnalysisRun;
use crds::words::AnalysisPhase;
use kube::ResourceExt;
use serde_json::json;

use super::super::{Action, Plan};
use super::world::World;

/// A release with an analysis step and one beside the steps, in its step.
fn analysed() -> World {
    let analysis = json!({"templates": [{"templateName": "errors"}]});
    let mut world = World::new(json!([{"setWeight": 20}, {"analysis": analysis}]));
    let template = json!({"metrics": [{"name": "errors", "count": 1,
        "provider": {"web": {"url": "http://errors"}}}]});
    let template = Arc::new(serde_json::from_value(template).unwrap());
    let templates = &mut world.observed.templates.namespaced;
    templates.insert("errors".to_owned(), template);
    world.set_canary(&json!({"analysis": analysis}));
    world.settle();
    world.release(2);
    world
}

/// The run whose name ends with that is over.
fn end(world: &mut World, suffix: &str, phase: AnalysisPhase) {
    let runs = &mut world.observed.runs;
    let of_that_name = |run: &&mut AnalysisRun| run.name_any().ends_with(suffix);
    let run = runs.iter_mut().find(of_that_name).unwrap();
    run.status.get_or_insert_default().phase = Some(phase);
}

fn told(plan: &Plan) -> Vec<&str> {
    let reasons = plan.events.iter().map(|event| event.reason.as_str());
    let of_traffic = ["SwitchService", "TrafficWeightUpdated"];
    reasons
        .filter(|reason| !of_traffic.contains(reason))
        .collect()
}

fn creates(plan: &Plan) -> Vec<String> {
    let created = plan.actions.iter().filter_map(|action| match action {
        Action::CreateRun(run) => Some(run.name_any()),
        _ => None,
    });
    created.collect()
}

#[test]
fn the_pass_that_aborts_tells_which_run_failed() {
    let mut world = analysed();
    world.settle();
    end(&mut world, "-2-1", AnalysisPhase::Failed);
    let plan = world.step();
    assert_eq!(told(&plan), ["AnalysisRunFailed", "RolloutAborted"]);
    let plan = world.step();
    assert!(
        !told(&plan).contains(&"AnalysisRunFailed"),
        "it is told once"
    );
}

#[test]
fn a_run_that_ended_while_nobody_looked_does_not_begin_again() {
    // Before each write of the pass that begins the run, and after all of them.
    for died_after in 0.. {
        let mut world = analysed();
        let plan = loop {
            let plan = world.plan();
            if !creates(&plan).is_empty() {
                break plan;
            }
            world.step();
            world.follow();
        };
        world.carry_out(&plan, died_after);
        let begun = !world.observed.runs.is_empty();
        if begun {
            end(&mut world, "-2", AnalysisPhase::Successful);
        }
        let again = creates(&world.plan());
        assert_eq!(again.is_empty(), begun, "{died_after}: {again:?}");
        world.settle();
        let names: Vec<String> = world
            .observed
            .runs
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        assert!(names.iter().all(|name| !name.contains('.')), "{names:?}");
        if begun {
            return;
        }
    }
}

#[test]
fn a_retry_that_died_before_its_run_was_there_creates_the_one_that_the_status_names() {
    let mut world = analysed();
    world.settle();
    end(&mut world, "-2-1", AnalysisPhase::Failed);
    world.settle();
    world.status_mut().abort = Some(false);
    let plan = loop {
        let plan = world.plan();
        if creates(&plan).iter().any(|name| name.ends_with("-2-1.1")) {
            break plan;
        }
        world.step();
        world.follow();
    };
    // All but the last write, and meanwhile the earlier run is removed.
    let writes = plan.actions.len();
    world.carry_out(&plan, writes);
    world
        .observed
        .runs
        .retain(|run| !run.name_any().ends_with("-2-1"));
    let again = creates(&world.plan());
    assert_eq!(again.len(), 1);
    assert!(again[0].ends_with("-2-1.1"), "{again:?}");
}
