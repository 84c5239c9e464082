//! The collector: what Kubernetes' garbage and namespace controllers do. It wakes after a
//! write that may concern it and looks, under one lock, until there is nothing left to do:
//!
//! - an object whose owners are all gone goes too (an owner that never was counts as gone);
//! - an owner that waits in the foreground goes when its dependents have gone;
//! - a namespace on its way out takes everything in it along, then goes itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::delete::{self, FOREGROUND};
use super::kinds::Kind;
use super::object::{finalizers, is_deleting, list, metadata_mut, name, namespace, text, uid};
use super::refuse::Refusal;
use super::server::WeakServer;
use super::store::State;
use super::update::is_finished;

/// Rounds in one waking. Each round takes one layer of ownership.
const ROUNDS: usize = 64;

/// Collects until the server is gone.
pub(super) async fn run(server: WeakServer, garbage: Arc<Notify>) {
    loop {
        garbage.notified().await;
        let Some(server) = server.upgrade() else {
            return;
        };
        let now = server.now();
        let mut state = server.state();
        for _ in 0..ROUNDS {
            match round(&mut state, now) {
                Ok(0) => break,
                Ok(_) => {}
                Err(status) => {
                    tracing::warn!(%status, "the collector could not finish");
                    break;
                }
            }
        }
    }
}

/// One look at everything. Returns how much it changed.
fn round(state: &mut State, now: Timestamp) -> Result<usize, Refusal> {
    let everything = Everything::of(state);
    let mut changed = 0;
    for (kind, object) in &everything.objects {
        let orphaned = everything.is_orphaned(state, object);
        let in_dying_namespace = everything.dying_namespaces.contains(namespace(object));
        if (orphaned || in_dying_namespace) && !is_deleting(object) {
            delete::by_server(state, kind, object, now)?;
            changed += 1;
        } else if let Some(after) = everything.released(kind, object) {
            put_or_remove(state, kind, after)?;
            changed += 1;
        }
    }
    Ok(changed)
}

fn put_or_remove(state: &mut State, kind: &Kind, object: Value) -> Result<(), Refusal> {
    if is_finished(&object) {
        state.remove(kind, &object).map(drop)
    } else {
        state.put(kind, object).map(drop)
    }
}

/// A picture of the store for one round.
struct Everything {
    objects: Vec<(Arc<Kind>, Arc<Value>)>,
    uids: HashSet<String>,
    /// Uids of owners whose dependents must go before them.
    waiting: HashSet<String>,
    dependents: HashMap<String, usize>,
    dying_namespaces: HashSet<String>,
    in_namespace: HashMap<String, usize>,
}

impl Everything {
    fn of(state: &State) -> Self {
        let mut all = Self {
            objects: Vec::new(),
            uids: HashSet::new(),
            waiting: HashSet::new(),
            dependents: HashMap::new(),
            dying_namespaces: HashSet::new(),
            in_namespace: HashMap::new(),
        };
        for kind in state.kinds.places() {
            for object in state.all(&kind.place) {
                all.note(&kind, &object);
                all.objects.push((kind.clone(), object));
            }
        }
        all
    }

    fn note(&mut self, kind: &Kind, object: &Value) {
        let own = uid(object).to_owned();
        if is_deleting(object) && finalizers(object).any(|one| one == FOREGROUND) {
            self.waiting.insert(own.clone());
        }
        if kind.is_namespace() && is_deleting(object) {
            self.dying_namespaces.insert(name(object).to_owned());
        }
        self.uids.insert(own);
        for owner in owners(object) {
            *self
                .dependents
                .entry(text(owner, "/uid").to_owned())
                .or_default() += 1;
        }
        *self
            .in_namespace
            .entry(namespace(object).to_owned())
            .or_default() += 1;
    }

    /// All of its owners are gone, or are only waiting for it to go.
    fn is_orphaned(&self, state: &State, object: &Value) -> bool {
        let mut owners = owners(object).peekable();
        owners.peek().is_some()
            && owners.all(|owner| {
                let owner_uid = text(owner, "/uid");
                self.waiting.contains(owner_uid)
                    || (!self.uids.contains(owner_uid) && is_known_kind(state, owner))
            })
    }

    /// The object without what held it, if that has been dealt with.
    fn released(&self, kind: &Kind, object: &Value) -> Option<Value> {
        if !is_deleting(object) {
            return None;
        }
        let mut after = object.clone();
        if self.waiting.contains(uid(object)) && !self.dependents.contains_key(uid(object)) {
            let metadata = metadata_mut(&mut after);
            if let Some(Value::Array(list)) = metadata.get_mut("finalizers") {
                list.retain(|one| one != FOREGROUND);
            }
        }
        let empty = !self.in_namespace.contains_key(name(object));
        if kind.is_namespace() && empty {
            after["spec"]["finalizers"] = json!([]);
        }
        (after != *object).then_some(after)
    }
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
    for (kind, object) in Everything::of(state).objects {
        if !owners(&object).any(|one| text(one, "/uid") == owner) {
            continue;
        }
        let mut freed = Value::clone(&object);
        let metadata = metadata_mut(&mut freed);
        if let Some(Value::Array(owners)) = metadata.get_mut("ownerReferences") {
            owners.retain(|one| text(one, "/uid") != owner);
        }
        state.put(&kind, freed)?;
    }
    Ok(())
}
