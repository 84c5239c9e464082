//! Blue-green's pass: preview, sizes, pause, switch, analysis, and the promotion.
//!
//! The new pods get the preview Service at once, grow beside the active ones, and are looked at.
//! Then one Service is switched, which is what everything else is derived from: the pods that it
//! selects are the *active* ones. Stable is what was active and stood the test after the switch; it
//! keeps its full size until then, so that an abort has somewhere to go.

use crds::rollout::status::BlueGreenStatus;

use super::abort::Abort;
use super::restart::{self, Restart};
use super::{Draft, Plan, Scene, metadata, revision, status, workload};
use crate::rollout::observe::ReplicaSetView;
use crate::rollout::spec::BlueGreen;

mod abort;
mod analysis;
mod pause;
mod promotion;
mod services;
mod sizes;
mod traffic;

pub(super) use promotion::{base, count, is_available, is_complete, waits_for};

static NO_STATUS: std::sync::LazyLock<BlueGreenStatus> =
    std::sync::LazyLock::new(BlueGreenStatus::default);

/// What the parts of a pass look at.
struct Look<'a> {
    scene: &'a Scene<'a>,
    way: &'a BlueGreen,
    new: &'a ReplicaSetView,
    /// The hash that the active Service selects.
    active: Option<&'a str>,
    abort: Abort,
}

/// The next move of a blue-green Rollout whose revision is settled.
pub(super) fn release<'a>(
    scene: &'a Scene<'a>,
    way: &'a BlueGreen,
    new: &'a ReplicaSetView,
) -> Plan {
    let look = Look::new(scene, way, new);
    let mut draft = Draft::default();
    let preview = services::preview(&look, &mut draft);
    if scene.template_changed() {
        return promotion::reset(&look, preview, draft);
    }
    // Evictions of this pass change nothing of what follows: it counts pods that are available.
    let restart = restart::plan(scene, &mut draft);
    sizes::scale(&look, &mut draft);
    workload::progressively(scene, look.wanted(), &mut draft);
    revision::clean_up(scene, &mut draft);
    let pause = pause::plan(&look, &mut draft);
    let active = services::active(&look, &pause, &mut draft);
    let divided = traffic::divide(&look, active.as_deref(), &mut draft);
    let runs = analysis::plan(&look, &divided, &mut draft);
    let outcome = promotion::Outcome {
        preview,
        active,
        pause,
        divided,
        runs,
    };
    metadata::plan(scene, &mut draft);
    let mut status = promotion::advance(&look, &outcome, &mut draft);
    if restart == Restart::Done {
        status
            .restarted_at
            .clone_from(&scene.rollout.spec.restart_at);
        status::finish(scene, &mut status);
    }
    draft.into_plan(status)
}

/// Follows a new `spec.replicas`, and does nothing else in this pass.
pub(super) fn rescale<'a>(
    scene: &'a Scene<'a>,
    way: &'a BlueGreen,
    new: &'a ReplicaSetView,
) -> Plan {
    let look = Look::new(scene, way, new);
    let mut draft = Draft::default();
    sizes::scale(&look, &mut draft);
    revision::clean_up(scene, &mut draft);
    let status = promotion::rescaled(&look, &mut draft);
    draft.into_plan(status)
}

// === impl Look ===

impl<'a> Look<'a> {
    fn new(scene: &'a Scene<'a>, way: &'a BlueGreen, new: &'a ReplicaSetView) -> Self {
        let mut look = Self {
            scene,
            way,
            new,
            active: selected(scene, &way.active_service),
            abort: Abort::default(),
        };
        look.abort = abort::decide(&look);
        look
    }

    /// What status said last.
    fn was(&self) -> &'a BlueGreenStatus {
        self.scene
            .was
            .blue_green
            .as_ref()
            .unwrap_or_else(|| &NO_STATUS)
    }

    fn is_active(&self) -> bool {
        self.active == Some(self.new.hash.as_str())
    }

    /// The new pods are old ones that came back, and may go on where they were.
    fn is_fast_rollback(&self) -> bool {
        let Some(stable) = self.scene.stable else {
            return false;
        };
        let is_stable = stable.hash == self.new.hash;
        let came_back = is_stable || self.new.created < stable.created;
        // Still up because of the delay after the last switch.
        let in_delay = self
            .new
            .deadline()
            .is_some_and(|deadline| deadline > self.scene.now);
        came_back && (is_stable || in_delay || self.scene.in_rollback_window())
    }

    /// Nothing but the pods stands between them and the switch.
    fn is_fast_tracked(&self) -> bool {
        self.is_fast_rollback()
            || self.scene.was.promote_full == Some(true)
            || self.active.is_none()
            || self.is_active()
    }

    /// Pods that the new ReplicaSet should have: few while it is only looked at, where that is set.
    fn wanted(&self) -> i32 {
        let was = self.was();
        let active = was.active_selector.as_deref().unwrap_or_default();
        let sets = &self.scene.observed.replica_sets;
        let is_up = |hash: &str| sets.iter().any(|set| set.hash == hash);
        let all = self.scene.replicas();
        let Some(few) = self.way.preview_replica_count else {
            return all;
        };
        if !is_up(active) || active == self.new.hash || self.scene.was.promote_full == Some(true) {
            return all;
        }
        let paused = self.scene.strategy.paused || !self.scene.was.pause_conditions.is_empty();
        let passed = was.scale_up_preview_check_point == Some(true);
        if passed && !paused && !self.scene.template_changed() {
            all
        } else {
            few
        }
    }

    /// The new pods are all there that are wanted so far.
    fn is_ready(&self) -> bool {
        let wanted = self.wanted();
        self.new.desired == wanted && self.new.available == wanted
    }

    /// They are there at full size.
    fn is_saturated(&self) -> bool {
        is_saturated(self.scene, self.new)
    }
}

/// A ReplicaSet has its full size, and all of it is available.
fn is_saturated(scene: &Scene<'_>, set: &ReplicaSetView) -> bool {
    let all = scene.replicas();
    set.desired == all && set.available == all && set.annotated_replicas() == Some(all)
}

/// The hash that a Service selects.
fn selected<'a>(scene: &'a Scene<'a>, service: &str) -> Option<&'a str> {
    scene.observed.services.get(service)?.hash()
}
