//! The canary's pass: pods, services, traffic, analysis, sizes, pause, and the step.

use super::restart::{self, Restart};
use super::{
    Draft, Plan, Scene, abort, analysis, metadata, pause, replicas, revision, steps, traffic,
    workload,
};
use crate::rollout::spec::Canary;

/// The next move of a canary whose revision and way are settled.
pub(super) fn release(scene: &Scene<'_>, canary: &Canary) -> Plan {
    let mut draft = Draft::default();
    let abort = abort::decide(scene);
    let restart = restart::plan(scene, &mut draft);
    if restart == Restart::Evicting {
        // What is known of pods is true no more; but traffic never waits for that.
        let mut aside = Draft::default();
        traffic::divide(scene, canary, &abort, &mut aside);
        draft.actions.append(&mut aside.actions);
        return draft.into_actions();
    }
    metadata::plan(scene, &mut draft);
    revision::clean_up(scene, &mut draft);
    traffic::services(scene, canary, &abort, &mut draft);
    let weights = traffic::divide(scene, canary, &abort, &mut draft);
    let runs = analysis::plan(scene, &abort, &mut draft);
    // A pause that analysis asks for stops everything else at once.
    if !runs.inconclusive && !scene.is_halted() {
        let divided = weights
            .as_ref()
            .and_then(|divided| divided.weights.as_ref());
        replicas::scale(scene, &abort, divided, &mut draft);
        let wanted = replicas::desired(scene, &abort, divided).canary;
        workload::progressively(scene, wanted, &mut draft);
    }
    let pauses = pause::plan(scene, &abort, &runs, &mut draft);
    let outcome = steps::Outcome {
        abort,
        weights,
        runs,
        pauses,
        restarted: restart == Restart::Done,
    };
    let status = steps::advance(scene, outcome, &mut draft);
    draft.into_plan(status)
}
