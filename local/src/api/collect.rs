//! The collector: what Kubernetes' garbage and namespace controllers do. It wakes after a
//! write that may concern it and looks, under one lock, at what the write made suspect:
//!
//! - an object whose owners are all gone goes too (an owner that never was counts as gone);
//! - an owner that waits in the foreground goes when its dependents have gone;
//! - a namespace on its way out takes everything in it along, then goes itself.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::belongings::Spot;
use super::delete::{self, FOREGROUND};
use super::kinds::Kind;
use super::object::{finalizers, is_deleting, list, metadata_mut, name, namespace, text, uid};
use super::refuse::Refusal;
use super::server::WeakServer;
use super::store::State;
use super::update::is_finished;

/// Collects until the server is gone.
pub(super) async fn run(server: WeakServer, garbage: Arc<Notify>) {
    loop {
        garbage.notified().await;
        let Some(server) = server.upgrade() else {
            return;
        };
        let now = server.now();
        let mut state = server.state();
        while let Some(spot) = state.belongings.next() {
            if let Err(status) = look_at(&mut state, &spot, now) {
                tracing::warn!(%status, "the collector could not finish");
                break;
            }
        }
    }
}

fn look_at(state: &mut State, spot: &Spot, now: Timestamp) -> Result<(), Refusal> {
    let (place, key) = spot;
    let Some(object) = state.at(place, key).cloned() else {
        return Ok(());
    };
    let Some(kind) = state.kinds.of_place(place).cloned() else {
        return Ok(());
    };
    if kind.is_namespace() && is_deleting(&object) {
        for inside in state.contents(name(&object)) {
            state.belongings.suspect(inside);
        }
    }
    if !is_deleting(&object) {
        return if is_orphaned(state, &object) || is_in_dying_namespace(state, &object) {
            delete::by_server(state, &kind, &object, now)
        } else {
            Ok(())
        };
    }
    match released(state, &kind, &object) {
        Some(after) => put_or_remove(state, &kind, after),
        None => Ok(()),
    }
}

fn put_or_remove(state: &mut State, kind: &Kind, object: Value) -> Result<(), Refusal> {
    if is_finished(&object) {
        state.remove(kind, &object).map(drop)
    } else {
        state.put(kind, object).map(drop)
    }
}

/// All of its owners are gone, or are only waiting for it to go.
fn is_orphaned(state: &State, object: &Value) -> bool {
    let mut owners = owners(object).peekable();
    owners.peek().is_some()
        && owners.all(
            |owner| match state.belongings.spot_of(text(owner, "/uid")) {
                Some((place, key)) => state.at(place, key).is_none_or(|owner| is_waiting(owner)),
                None => is_known_kind(state, owner),
            },
        )
}

/// An owner that goes after its dependents.
fn is_waiting(owner: &Value) -> bool {
    is_deleting(owner) && finalizers(owner).any(|one| one == FOREGROUND)
}

fn is_in_dying_namespace(state: &State, object: &Value) -> bool {
    let key = (String::new(), namespace(object).to_owned());
    let dying = state.at("namespaces", &key);
    !key.1.is_empty() && dying.is_some_and(|namespace| is_deleting(namespace))
}

/// The object without what held it, if that has been dealt with.
fn released(state: &State, kind: &Kind, object: &Value) -> Option<Value> {
    let mut after = object.clone();
    if is_waiting(object) && state.belongings.owned_by(uid(object)).is_empty() {
        let metadata = metadata_mut(&mut after);
        if let Some(Value::Array(list)) = metadata.get_mut("finalizers") {
            list.retain(|one| one != FOREGROUND);
        }
    }
    if kind.is_namespace() && state.is_empty_namespace(name(object)) {
        after["spec"]["finalizers"] = json!([]);
    }
    (after != *object).then_some(after)
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    list(object, "/metadata/ownerReferences").iter()
}

/// An owner of a kind that nobody knows may exist somewhere: Kubernetes leaves its dependents alone.
fn is_known_kind(state: &State, owner: &Value) -> bool {
    state
        .kinds
        .named(text(owner, "/apiVersion"), text(owner, "/kind"))
        .is_some()
}

/// Takes an owner's name off its dependents, which then outlive it.
pub(super) fn orphan(state: &mut State, owner: &str) -> Result<(), Refusal> {
    for (place, key) in state.belongings.owned_by(owner) {
        let kind = state.kinds.of_place(&place).cloned();
        let (Some(kind), Some(object)) = (kind, state.at(&place, &key)) else {
            continue;
        };
        let mut freed = Value::clone(object);
        let metadata = metadata_mut(&mut freed);
        if let Some(Value::Array(owners)) = metadata.get_mut("ownerReferences") {
            owners.retain(|one| text(one, "/uid") != owner);
        }
        state.put(&kind, freed)?;
    }
    Ok(())
}
