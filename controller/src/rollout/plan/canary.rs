//! The canary's pass: services, traffic, analysis, sizes, pause, and the step.

use super::{
    Draft, Plan, Scene, abort, analysis, pause, replicas, revision, steps, traffic, workload,
};
use crate::rollout::spec::Canary;

/// The next move of a canary whose revision and way are settled.
pub(super) fn release(scene: &Scene<'_>, canary: &Canary) -> Plan {
    let mut draft = Draft::default();
    revision::clean_up(scene, &mut draft);
    let abort = abort::decide(scene);
    traffic::services(scene, canary, &abort, &mut draft);
    let weights = traffic::divide(scene, canary, &abort, &mut draft);
    let runs = analysis::plan(scene, &abort, &mut draft);
    // A pause that analysis asks for stops everything else at once.
    if !runs.inconclusive && !scene.is_halted() {
        replicas::scale(scene, &abort, &mut draft);
        workload::progressively(scene, replicas::desired(scene, &abort).canary, &mut draft);
    }
    let pauses = pause::plan(scene, &abort, &runs, &mut draft);
    let outcome = steps::Outcome {
        abort,
        weights,
        runs,
        pauses,
    };
    let status = steps::advance(scene, outcome, &mut draft);
    draft.into_plan(status)
}
