//! Blue-green: switches, pauses, analysis, aborts.

use std::sync::Arc;

use crds::analysis::AnalysisTemplateSpec;
use crds::rollout::status::BlueGreenStatus;
use crds::words::AnalysisPhase;
use serde_json::{Value, json};

use super::super::Plan;
use super::world::World;

mod routed;

impl World {
    fn blue(&self) -> BlueGreenStatus {
        self.status().blue_green.unwrap_or_default()
    }

    fn selects(&self, service: &str) -> String {
        self.observed.services[service]
            .hash()
            .unwrap_or_default()
            .to_owned()
    }

    fn hash(&mut self, revision: i64) -> String {
        self.set(revision).hash.clone()
    }

    /// One that has been deployed, with the second version begun.
    fn blue_green_updating(settings: Value) -> Self {
        let mut world = Self::blue_green(settings);
        world.settle();
        world.release(2);
        world.settle();
        world
    }

    fn with_template(mut self) -> Self {
        let spec: AnalysisTemplateSpec = serde_json::from_value(json!({"metrics": [{
            "name": "errors", "provider": {"plugin": {"sluice/proxy": {"successRate": {"min": 0.9}}}},
        }]}))
        .unwrap();
        let templates = &mut self.observed.templates.namespaced;
        templates.insert("errors".to_owned(), Arc::new(spec));
        self
    }

    /// The only run that has not ended ends.
    fn end_run(&mut self, phase: AnalysisPhase) -> String {
        let mut runs = self.observed.runs.iter_mut();
        let run = runs
            .find(|run| {
                run.status
                    .as_ref()
                    .is_none_or(|status| status.phase.is_none())
            })
            .unwrap();
        run.status.get_or_insert_default().phase = Some(phase);
        run.metadata.name.clone().unwrap()
    }

    fn phase(&self) -> (String, String) {
        let status = self.status();
        (
            status
                .phase
                .map(|phase| phase.to_string())
                .unwrap_or_default(),
            status.message.unwrap_or_default(),
        )
    }

    fn sizes(&self) -> Vec<i32> {
        let mut sets: Vec<_> = self.observed.replica_sets.iter().collect();
        sets.sort_by_key(|set| set.revision);
        sets.iter().map(|set| set.desired).collect()
    }

    /// Looks as long as anything happens, without pods following. All plans.
    fn look_on(&mut self) -> Vec<Plan> {
        let mut plans = Vec::new();
        for _ in 0..20 {
            let before = (self.rollout.clone(), self.observed.clone());
            plans.push(self.step());
            if before.0 == self.rollout && before.1.replica_sets == self.observed.replica_sets {
                return plans;
            }
        }
        panic!("it does not settle: {:#?}", self.plan());
    }
}

fn analysis() -> Value {
    json!({"templates": [{"templateName": "errors"}]})
}

#[test]
fn a_first_deployment_is_stable_at_once_and_active_when_all_pods_are_there() {
    let mut world = World::blue_green(json!({}));
    world.look_on();
    let hash = world.hash(1);
    assert_eq!(world.status().stable_rs, Some(hash.clone()));
    assert_eq!(
        (world.selects("preview"), world.selects("active")),
        (hash.clone(), String::new())
    );
    assert_eq!(
        world.phase(),
        (
            "Progressing".into(),
            "more replicas need to be updated".into()
        )
    );
    let set = world.set(1);
    (set.current, set.ready, set.available) = (4, 4, 3);
    world.look_on();
    assert_eq!(world.selects("active"), "");
    world.follow();
    world.look_on();
    assert_eq!(world.selects("active"), hash);
    assert_eq!(world.phase(), ("Healthy".into(), String::new()));
    assert_eq!(world.blue().active_selector, Some(hash));
}

#[test]
fn the_switch_waits_for_all_pods_and_the_old_ones_outlast_it_by_the_delay() {
    let mut world = World::blue_green(json!({"scaleDownDelaySeconds": 20}));
    world.settle();
    world.release(2);
    world.look_on();
    let (old, new) = (world.hash(1), world.hash(2));
    assert_eq!(
        (world.selects("preview"), world.selects("active")),
        (new.clone(), old)
    );
    assert_eq!(world.phase().1, "more replicas need to be updated");
    world.follow();
    world.look_on();
    assert_eq!(world.selects("active"), new);
    assert_eq!(world.status().stable_rs, Some(new));
    assert_eq!(world.phase().0, "Healthy");
    assert_eq!(world.sizes(), [4, 4]);
    world.pass(19);
    world.settle();
    assert_eq!(world.sizes(), [4, 4]);
    world.pass(3);
    world.settle();
    assert_eq!(world.sizes(), [0, 4]);
}

#[test]
fn without_auto_promotion_it_pauses_until_somebody_resumes() {
    let mut world = World::blue_green_updating(json!({"autoPromotionEnabled": false}));
    let (old, new) = (world.hash(1), world.hash(2));
    assert_eq!(world.phase(), ("Paused".into(), "BlueGreenPause".into()));
    world.pass(3600);
    world.settle();
    assert_eq!(world.selects("active"), old);
    world.status_mut().pause_conditions.clear();
    world.settle();
    assert_eq!(world.selects("active"), new);
    assert_eq!(world.status().controller_pause, None);
    assert_eq!(world.phase().0, "Healthy");
}

#[test]
fn a_resume_is_not_forgotten_while_a_pod_is_missing() {
    let mut world = World::blue_green_updating(json!({"autoPromotionEnabled": false}));
    let new = world.hash(2);
    world.set(2).available = 3;
    world.status_mut().pause_conditions.clear();
    world.look_on();
    assert_ne!(world.selects("active"), new);
    world.settle();
    assert_eq!(world.selects("active"), new);
}

#[test]
fn auto_promotion_seconds_are_counted_from_the_pause_and_people_may_cut_them_short() {
    for early in [false, true] {
        let mut world = World::blue_green_updating(json!({"autoPromotionSeconds": 30}));
        let (old, new) = (world.hash(1), world.hash(2));
        world.pass(29);
        world.settle();
        assert_eq!(
            (world.selects("active"), world.phase().0.as_str()),
            (old, "Paused")
        );
        if early {
            world.status_mut().pause_conditions.clear();
        } else {
            world.pass(2);
        }
        world.settle();
        assert_eq!(world.selects("active"), new, "early: {early}");
    }
}

#[test]
fn few_preview_pods_become_all_of_them_before_the_switch() {
    let settings = json!({"autoPromotionEnabled": false, "previewReplicaCount": 1});
    let mut world = World::blue_green_updating(settings);
    let (old, new) = (world.hash(1), world.hash(2));
    assert_eq!(world.sizes(), [4, 1]);
    assert_eq!(world.phase(), ("Paused".into(), "BlueGreenPause".into()));
    world.status_mut().pause_conditions.clear();
    world.look_on();
    assert_eq!(world.blue().scale_up_preview_check_point, Some(true));
    assert_eq!((world.sizes(), world.selects("active")), (vec![4, 4], old));
    world.settle();
    assert_eq!(world.selects("active"), new);
    assert_eq!(world.blue().scale_up_preview_check_point, None);
}

#[test]
fn a_new_template_forgets_the_checkpoint_of_the_one_before() {
    let settings = json!({"autoPromotionEnabled": false, "previewReplicaCount": 1});
    let mut world = World::blue_green_updating(settings);
    world.status_mut().pause_conditions.clear();
    world.look_on();
    world.release(3);
    world.settle();
    assert_eq!(world.phase(), ("Paused".into(), "BlueGreenPause".into()));
    assert_eq!(world.set(3).desired, 1);
}

#[test]
fn a_failed_analysis_before_the_switch_aborts_and_users_never_see_the_new_pods() {
    let mut world = World::blue_green(json!({"prePromotionAnalysis": analysis()})).with_template();
    world.settle();
    world.release(2);
    world.settle();
    let (old, new) = (world.hash(1), world.hash(2));
    assert_eq!(world.selects("active"), old);
    let run = world.end_run(AnalysisPhase::Failed);
    assert_eq!(run, format!("web-{new}-2-pre"));
    world.settle();
    assert_eq!(world.selects("active"), old);
    let message = "RolloutAborted: Rollout aborted update to revision 2: \
                   Blue/green pre-promotion analysis phase error/failed";
    assert_eq!(world.phase(), ("Degraded".into(), message.into()));
    assert_eq!(world.sizes(), [4, 4]);
    world.pass(31);
    world.settle();
    assert_eq!(world.sizes(), [4, 0]);
}

#[test]
fn an_analysis_that_succeeds_before_the_switch_lets_it_happen() {
    let settings = json!({"prePromotionAnalysis": analysis(), "autoPromotionEnabled": false});
    let mut world = World::blue_green(settings).with_template();
    world.settle();
    world.release(2);
    world.settle();
    let new = world.hash(2);
    assert_eq!(world.phase().1, "active service cutover pending");
    world.end_run(AnalysisPhase::Successful);
    world.settle();
    assert_eq!(world.phase(), ("Paused".into(), "BlueGreenPause".into()));
    world.status_mut().pause_conditions.clear();
    world.settle();
    assert_eq!(world.selects("active"), new);
    let run = world.blue().pre_promotion_analysis_run_status.unwrap();
    assert_eq!(run.status, AnalysisPhase::Successful);
    assert_eq!(world.observed.runs.len(), 1);
}

#[test]
fn an_inconclusive_analysis_pauses_and_is_made_again_after_a_resume() {
    let mut world = World::blue_green(json!({"prePromotionAnalysis": analysis()})).with_template();
    world.settle();
    world.release(2);
    world.settle();
    world.end_run(AnalysisPhase::Inconclusive);
    world.settle();
    assert_eq!(
        world.phase(),
        ("Paused".into(), "InconclusiveAnalysisRun".into())
    );
    world.status_mut().pause_conditions.clear();
    world.settle();
    assert_eq!(world.observed.runs.len(), 2);
    let run = world.end_run(AnalysisPhase::Successful);
    assert!(run.ends_with("-2-pre.1"), "{run}");
    world.settle();
    assert_eq!(world.phase().0, "Healthy");
}

#[test]
fn a_failed_analysis_after_the_switch_undoes_it_however_the_new_pods_are() {
    for available in [4, 0] {
        let mut world =
            World::blue_green(json!({"postPromotionAnalysis": analysis()})).with_template();
        world.settle();
        world.release(2);
        world.settle();
        let (old, new) = (world.hash(1), world.hash(2));
        assert_eq!(world.selects("active"), new);
        assert_eq!(world.phase().1, "waiting for analysis to complete");
        assert_eq!(world.status().stable_rs, Some(old.clone()));
        world.pass(3600);
        world.settle();
        assert_eq!(world.sizes(), [4, 4], "old pods stay for the verdict");
        let run = world.end_run(AnalysisPhase::Error);
        assert_eq!(run, format!("web-{new}-2-post"));
        (world.set(2).ready, world.set(2).available) = (available, available);
        let plan = world.step();
        assert_eq!(world.selects("active"), old, "{available} available");
        assert_eq!(world.status().abort, Some(true));
        assert!(
            plan.events
                .iter()
                .any(|event| event.warning && event.reason == "RolloutAborted")
        );
        assert_eq!(world.blue().active_selector, Some(old.clone()));
    }
}

#[test]
fn an_abort_never_moves_users_to_a_stable_that_is_not_there() {
    let mut world = World::blue_green(json!({"postPromotionAnalysis": analysis()})).with_template();
    world.settle();
    world.release(2);
    world.settle();
    let (old, new) = (world.hash(1), world.hash(2));
    world.status_mut().abort = Some(true);
    (world.set(1).ready, world.set(1).available) = (0, 0);
    world.look_on();
    world.pass(3600);
    world.look_on();
    assert_eq!(world.selects("active"), new);
    assert_eq!(world.set(2).desired, 4, "what serves is not scaled down");
    world.settle();
    assert_eq!(world.selects("active"), old);
    world.pass(40);
    world.settle();
    assert_eq!(world.sizes(), [4, 0]);
}

#[test]
fn an_analysis_that_succeeds_after_the_switch_makes_the_new_pods_stable() {
    let mut world = World::blue_green(json!({"postPromotionAnalysis": analysis()})).with_template();
    world.settle();
    world.release(2);
    world.settle();
    let new = world.hash(2);
    world.end_run(AnalysisPhase::Successful);
    let plan = world.step();
    assert_eq!(world.status().stable_rs, Some(new.clone()));
    let text =
        format!("Rollout completed update to revision 2 ({new}): Completed blue-green update");
    assert!(
        plan.events.iter().any(|event| event.message == text),
        "{:?}",
        plan.events
    );
}

#[test]
fn a_retry_analyses_again() {
    let mut world = World::blue_green(json!({"prePromotionAnalysis": analysis()})).with_template();
    world.settle();
    world.release(2);
    world.settle();
    world.end_run(AnalysisPhase::Failed);
    world.settle();
    world.status_mut().abort = None;
    world.settle();
    assert_eq!(world.observed.runs.len(), 2);
    assert_eq!(world.status().aborted_at, None);
    world.end_run(AnalysisPhase::Successful);
    world.settle();
    assert_eq!(world.phase().0, "Healthy");
}

#[test]
fn a_full_promotion_skips_pause_and_analysis() {
    let settings = json!({"prePromotionAnalysis": analysis(), "autoPromotionEnabled": false, "previewReplicaCount": 1});
    let mut world = World::blue_green(settings).with_template();
    world.settle();
    world.release(2);
    world.settle();
    let new = world.hash(2);
    world.status_mut().promote_full = Some(true);
    world.settle();
    assert_eq!(world.selects("active"), new);
    assert_eq!(
        (world.status().promote_full, world.phase().0.as_str()),
        (None, "Healthy")
    );
}

#[test]
fn back_to_the_version_before_within_the_delay_skips_the_pause() {
    let settings = json!({"autoPromotionEnabled": false, "scaleDownDelaySeconds": 60});
    for (seconds, active) in [(30, 3), (90, 2)] {
        let mut world = World::blue_green_updating(settings.clone());
        for (later, set) in (0..).zip(&mut world.observed.replica_sets) {
            set.created += jiff::SignedDuration::from_secs(later);
        }
        world.status_mut().pause_conditions.clear();
        world.settle();
        world.pass(seconds);
        world.settle();
        world.release(1);
        world.settle();
        let expected = world.hash(active);
        assert_eq!(world.selects("active"), expected, "after {seconds} s");
    }
}

#[test]
fn back_to_stable_in_mid_update_is_a_rollback_at_once() {
    let mut world = World::blue_green_updating(json!({"autoPromotionEnabled": false}));
    let old = world.hash(1);
    world.release(1);
    world.settle();
    assert_eq!(
        (world.selects("active"), world.selects("preview")),
        (old.clone(), old)
    );
    assert_eq!(world.phase().0, "Healthy");
    assert_eq!(world.status().pause_conditions, []);
}

#[test]
fn the_delay_keeps_up_no_more_revisions_than_its_limit() {
    let settings = json!({"scaleDownDelaySeconds": 600, "scaleDownDelayRevisionLimit": 1});
    let mut world = World::blue_green_updating(settings);
    world.release(3);
    world.settle();
    assert_eq!(world.sizes(), [0, 4, 4]);
}

#[test]
fn no_delay_means_at_once() {
    let mut world = World::blue_green_updating(json!({"scaleDownDelaySeconds": 0}));
    world.pass(2);
    world.settle();
    assert_eq!(world.sizes(), [0, 4]);
}

#[test]
fn autoscalers_see_those_who_serve() {
    let mut world = World::blue_green_updating(json!({"autoPromotionEnabled": false}));
    let old = world.hash(1);
    let status = world.status();
    assert_eq!(
        (
            status.replicas,
            status.hpa_replicas,
            status.available_replicas
        ),
        (Some(8), Some(4), Some(4))
    );
    assert_eq!(
        status.selector,
        Some(format!("app=web,rollouts-pod-template-hash={old}"))
    );
    world.rollout.spec.replicas = Some(6);
    world.settle();
    assert_eq!(world.sizes(), [6, 6]);
    assert_eq!(world.phase(), ("Paused".into(), "BlueGreenPause".into()));
}

#[test]
fn a_user_pause_holds_the_services_and_an_abort_is_heard_all_the_same() {
    let mut world = World::blue_green(json!({"postPromotionAnalysis": analysis()})).with_template();
    world.settle();
    world.rollout.spec.paused = Some(true);
    world.release(2);
    world.settle();
    let (old, new) = (world.hash(1), world.hash(2));
    assert_eq!(
        (world.selects("preview"), world.selects("active")),
        (old.clone(), old.clone())
    );
    world.rollout.spec.paused = Some(false);
    world.settle();
    assert_eq!(world.selects("active"), new);
    world.rollout.spec.paused = Some(true);
    world.settle();
    world.status_mut().abort = Some(true);
    world.settle();
    assert_eq!(world.selects("active"), old);
}
