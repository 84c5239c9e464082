//! The two Services: which pods they are to select after this pass.

use super::super::{Action, Draft, Written};
use super::pause::Pause;
use super::{Look, selected};

/// Points the preview Service at the new pods, ready or not. What it selects then.
pub(super) fn preview(look: &Look<'_>, draft: &mut Draft) -> Option<String> {
    let service = look.way.preview_service.as_ref()?;
    if look.scene.is_halted() {
        return selected(look.scene, service).map(str::to_owned);
    }
    switch(look, service, &look.new.hash, draft);
    Some(look.new.hash.clone())
}

/// Switches the active Service, or switches it back. What it selects then.
pub(super) fn active(look: &Look<'_>, pause: &Pause, draft: &mut Draft) -> Option<String> {
    let target = target(look, pause);
    if let Some(target) = target {
        switch(look, &look.way.active_service, target, draft);
    }
    target.or(look.active).map(str::to_owned)
}

/// The hash that the active Service should select; `None` leaves it alone.
fn target<'a>(look: &'a Look<'_>, pause: &Pause) -> Option<&'a str> {
    if look.abort.aborted {
        return stable(look);
    }
    if look.scene.is_halted() || !look.is_ready() || !look.is_saturated() {
        return None;
    }
    if (look.is_fast_tracked() || pause.is_over) && is_reachable(look) {
        return Some(&look.new.hash);
    }
    look.active
}

/// Stable, once it can carry the traffic. Argo asks nothing of stable, and asks instead that the
/// *new* pods are all available, which after a bad switch they may never be.
fn stable<'a>(look: &'a Look<'_>) -> Option<&'a str> {
    let stable = look.scene.stable?;
    let full = stable.available >= look.scene.replicas();
    let better = stable.available > 0 && stable.available >= look.new.available;
    (full || better).then_some(stable.hash.as_str())
}

/// Our proxies, where they carry the traffic, can reach the new pods.
fn is_reachable(look: &Look<'_>) -> bool {
    let scene = look.scene;
    if !look.way.routed || look.is_active() || scene.is_initial() || look.active.is_none() {
        return true;
    }
    let nobody = scene.observed.traffic.connected == 0;
    (nobody && look.is_fast_tracked()) || scene.reachable(&look.new.hash) >= scene.replicas()
}

fn switch(look: &Look<'_>, name: &str, hash: &str, draft: &mut Draft) {
    let Some(service) = look.scene.observed.services.get(name) else {
        return;
    };
    if service.hash() == Some(hash) && service.managed_by.is_some() {
        return;
    }
    let from = service.hash().unwrap_or_default();
    draft.event_of(
        Written::Service(name.to_owned()),
        "SwitchService",
        format!("Switched selector for service '{name}' from '{from}' to '{hash}'"),
    );
    draft.actions.push(Action::SwitchService {
        service: name.to_owned(),
        resource_version: service.resource_version.clone(),
        hash: hash.to_owned(),
    });
}
